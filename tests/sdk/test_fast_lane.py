"""The fast lane makes the same record as the full way, for whatever Acties it takes, and takes the ordinary ones."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final, NamedTuple
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

import ldv_otel as ldv
from ldv_otel._internal.parties.evidence import Certificate
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser, new_key
from ldv_otel._internal.privacy.stray_numbers import StrayNumbers
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.record.logregel import Logregel, encode_logregel
from ldv_otel._internal.record.span_facts import ForeignOperation
from ldv_otel._internal.rules.rule_file import Match, Rule, SubjectSource
from ldv_otel._internal.rules.rules import Rules
from ldv_otel._internal.sdk import fast_lane, processor
from ldv_otel._internal.sdk.attach import attach
from ldv_otel._internal.sdk.extension_contract import OutboundCall, ReadHeader
from ldv_otel._internal.sdk.extensions import Extensions
from ldv_otel._internal.sdk.processor import LdvSpanProcessor
from ldv_otel._internal.sdk.span_facts import facts_of
from ldv_otel._internal.sdk.span_rules import SpanMapper
from ldv_otel._internal.sdk.span_state import LiveSpan, find
from ldv_otel.attributes import DATA_SUBJECT_ID, DATA_SUBJECT_ID_TYPE, PROCESSING_ACTIVITY_ID
from ldv_otel.testing import InMemoryLogboek, _AtOnce
from tests.record.test_ordinary import names, values
from tests.sdk.conftest import ACTIVITY
from tests.support.quoting import quotations

BSN: Final = "123456782"
OTHER_BSN: Final = "999990019"
RULES: Final = Rules(
    [
        Rule(
            rule="r",
            match=Match(name="vergunning*"),
            activity=ACTIVITY,
            subject=[SubjectSource(attribute="x.wie", type="BSN")],
        )
    ]
)
PSEUDONYMS: Final = Pseudonymiser(KeyRing([new_key("k")], active="k"))


class _Compared:
    """Makes each record in both ways."""

    def __init__(self, mapper: SpanMapper) -> None:
        self._mapper = mapper
        self.taken = 0
        self.different: list[tuple[Sequence[Logregel], Sequence[Logregel]]] = []

    def __call__(self, span: ReadableSpan, live_span: LiveSpan, maker: LogregelMaker) -> Sequence[Logregel]:
        fast = fast_lane.ordinary_actie(span, live_span, maker)
        snapshot = live_span.look(span)
        facts = facts_of(span, snapshot, live_span, maker)
        full: Sequence[Logregel] = ()
        if facts is not None:
            if snapshot.rule is not None:
                self._mapper.apply(snapshot.rule, snapshot.identifiers, facts)
            full = maker.make(facts)
        if fast:
            self.taken += 1
            if list(map(encode_logregel, fast)) != list(map(encode_logregel, full)):
                self.different.append((fast, full))
        return full


class _Tenant:
    """An extension that adds a tenant, which Acties inside have too."""

    attributes = frozenset({"tenant.name"})
    inherited = attributes

    def record_attributes(self, span_attributes: Mapping[str, object], start_time_ms: int) -> Mapping[str, object]:
        """Return what the span says."""
        del start_time_ms
        return span_attributes

    def call_headers(self, call: OutboundCall) -> Mapping[str, str]:
        """Return none."""
        del call
        return {}

    def read_headers(self, header: ReadHeader, certificate: Certificate | None) -> ForeignOperation:
        """Read none."""
        del header, certificate
        return ForeignOperation(b"", b"")


Deed = Callable[[ldv.Actie, trace.Tracer], object]


class Setting(NamedTuple):
    """How a service is set up, and what one Actie in it is like."""

    name: str
    attributes: dict[str, Any]
    deeds: list[Deed]
    limits: SpanLimits | None
    parent: str
    stray: StrayNumbers | None
    has_rules: bool
    has_tenants: bool
    by_hand: bool = False


class _Service:
    """A service as `install()` leaves it, whose records are made in both ways."""

    def __init__(self, setting: Setting) -> None:
        self.logboek = InMemoryLogboek(PSEUDONYMS)
        self.logboek.open()
        self.backend = InMemorySpanExporter()
        self.provider = TracerProvider(span_limits=setting.limits)
        self.provider.add_span_processor(SimpleSpanProcessor(self.backend))
        mapper = SpanMapper(RULES if setting.has_rules else None, PSEUDONYMS.subject)
        self.compared = _Compared(mapper)
        self.processor = LdvSpanProcessor(
            LogregelMaker(PSEUDONYMS.subject, stray=setting.stray),
            _AtOnce(self.logboek),
            mapper=mapper,
            extensions=Extensions({"tenant": _Tenant()} if setting.has_tenants else None),
        )
        attach(self.provider, self.processor)
        self.tracer = self.provider.get_tracer("service")

    def run(self, program: Callable[[trace.Tracer], None]) -> _Compared:
        """Run a program whose Acties are made in both ways."""
        with (
            mock.patch.object(trace, "get_tracer_provider", return_value=self.provider),
            mock.patch.object(processor, "ordinary_actie", self.compared),
        ):
            program(self.tracer)
        return self.compared


class _FailedError(Exception):
    """What an application raises."""


def _fail(*_: object) -> None:
    raise _FailedError(f"mislukt voor {BSN}")


def _named(actie: ldv.Actie, _: trace.Tracer) -> None:
    actie.data_subject(BSN, type="BSN")


def _named_on_span(actie: ldv.Actie, _: trace.Tracer) -> None:
    actie.span.set_attributes({DATA_SUBJECT_ID: BSN, DATA_SUBJECT_ID_TYPE: "BSN"})


def _child(kind: SpanKind) -> Deed:
    def do(_: ldv.Actie, tracer: trace.Tracer) -> None:
        with tracer.start_as_current_span(f"GET /{BSN}", kind=kind):
            pass

    return do


def _actie_inside(actie: ldv.Actie, tracer: trace.Tracer) -> None:
    del actie, tracer
    with ldv.processing(ACTIVITY, name="Binnen"):
        ldv.data_subject(BSN, type="BSN")


texts: Final = st.one_of(
    st.sampled_from(["Wijzig kenteken", "x-7", "", "Zaak 2026-118"]), quotations(BSN), st.text(max_size=8)
)


def _failed_by_hand(actie: ldv.Actie, _: trace.Tracer) -> None:
    actie.span.add_event("exception", {"exception.type": "E", "exception.message": BSN})
    actie.span.set_status(StatusCode.ERROR, f"voor {BSN}")


def _attribute(name: str, value: Any) -> Deed:
    return lambda actie, _: actie.set_attribute(name, value)


#: Of each kind one, and each makes something of the record other than it is in most Acties.
DEEDS: Final[dict[str, Deed]] = {
    "another person": lambda actie, _: actie.data_subject(OTHER_BSN, type="BSN"),
    "a short identifier": lambda actie, _: actie.data_subject("7", type=None),
    "several people": lambda actie, _: actie.data_subject([BSN, OTHER_BSN], type="BSN"),
    "nobody": lambda actie, _: actie.data_subject("", type="BSN"),
    "ok": lambda actie, _: actie.ok(),
    "next logbook": lambda actie, _: actie.next_logbook("https://andere.example/logboek"),
    "event": lambda actie, _: actie.span.add_event("exception", {"exception.type": "E"}),
    "failed": _failed_by_hand,
    "raised": _fail,
    "called by": lambda *_: ldv.called_by("https://beller.example"),
    "technical child": _child(SpanKind.INTERNAL),
    "call": _child(SpanKind.CLIENT),
    "actie inside": _actie_inside,
    "name": lambda actie, _: actie.span.update_name(f"Zaak van {BSN}"),
    "stray number": lambda actie, _: actie.span.update_name(f"Zaak van {OTHER_BSN}"),
    "person on the span": _attribute("dpl.core.data_subject_id", BSN),
    "another on the span": _attribute("dpl.core.data_subject_id", OTHER_BSN),
    "a short one on the span": _attribute("dpl.core.data_subject_id", "7"),
    "an empty one on the span": _attribute("dpl.core.data_subject_id", ""),
    "a number on the span": _attribute("dpl.core.data_subject_id", int(BSN)),
    "several on the span": _attribute("dpl.core.data_subject_id", [BSN, OTHER_BSN]),
    "odd type on the span": _attribute("dpl.core.data_subject_id_type", "bsn "),
    "no type on the span": _attribute("dpl.core.data_subject_id_type", ""),
    "no activity": _attribute("dpl.core.processing_activity_id", ""),
    "number for an activity": _attribute("dpl.core.processing_activity_id", 7),
    "other activity": _attribute("dpl.core.processing_activity_id", "https://register.example/anders"),
    "parent activity": _attribute("dpl.core.parent_processing_activity_id", "https://register.example/hoofd"),
    "caller": _attribute("dpl.core.foreign_operation.processor", "https://beller.example"),
    "bare caller": _attribute("foreign_operation.processor", "https://beller.example"),
    "read address": _attribute("dpl.read.nextLogbookId", "https://andere.example/logboek"),
    "number": _attribute("dpl.core.aantal", 7),
    "tenant": _attribute("tenant.name", "A"),
    "quoted": _attribute("dpl.core.zaak", f"zaak-{BSN}"),
    "quoted beside": _attribute("http.url", f"/inwoners/{BSN}"),
}
deeds: Final[st.SearchStrategy[Deed]] = st.one_of(
    st.just(_named),
    st.just(_named_on_span),
    st.sampled_from(list(DEEDS.values())),
    st.sampled_from(list(DEEDS.values())),
    st.builds(_attribute, names, values),
    st.builds(lambda name: lambda actie, _: actie.span.update_name(name), texts),
)
limits: Final = st.sampled_from(
    [None, None, SpanLimits(max_span_attributes=2), SpanLimits(max_span_attribute_length=20), SpanLimits(max_events=1)]
)
PARENTS: Final = ("", "technical", "actie", "ended actie", "remote")
settings_: Final = st.builds(
    Setting,
    name=st.just("Wijzig kenteken") | texts,
    attributes=st.just({}) | st.dictionaries(names | st.just("tenant.name"), values, max_size=2),
    deeds=st.lists(deeds, max_size=4),
    limits=limits,
    parent=st.sampled_from(PARENTS),
    stray=st.sampled_from([None, StrayNumbers("flag"), StrayNumbers(exempt=["name"])]),
    has_rules=st.booleans(),
    has_tenants=st.sampled_from([False, False, False, True]),
    by_hand=st.booleans(),
)
ORDINARY: Final = Setting(
    "Wijzig kenteken", {"dpl.core.zaak": "Z-118", "http.route": "/"}, [], None, "", None, False, False
)


def _around(parent: str, tracer: trace.Tracer, program: Callable[[], None]) -> None:
    """Run a program below a parent of one of the kinds there are."""
    outer = "https://register.example/activiteiten/melden"
    if parent == "technical":
        with tracer.start_as_current_span("verzoek", kind=SpanKind.SERVER):
            program()
    elif parent == "actie":
        with ldv.processing(outer, name="Buiten", attributes={"tenant.name": "A"}):
            program()
    elif parent == "ended actie":
        with ldv.processing(outer, name="Voorbij") as before:
            pass
        with trace.use_span(before.span):
            program()
    elif parent == "remote":
        with trace.use_span(NonRecordingSpan(SpanContext(7, 7, is_remote=True, trace_flags=TraceFlags(1)))):
            program()
    else:
        program()


@contextlib.contextmanager
def _by_hand(setting: Setting, tracer: trace.Tracer) -> Iterator[ldv.Actie]:
    """Mark a span by its attributes, which may name another activity, or none."""
    attributes = {PROCESSING_ACTIVITY_ID: ACTIVITY, **setting.attributes}
    with tracer.start_as_current_span(setting.name, attributes=attributes) as span:
        live_span = find(span)
        assert live_span is not None
        yield ldv.Actie(span, live_span)


def _compared(setting: Setting) -> _Compared:
    service = _Service(setting)

    def program(tracer: trace.Tracer) -> None:
        def act() -> None:
            actie: contextlib.AbstractContextManager[ldv.Actie] = (
                _by_hand(setting, tracer)
                if setting.by_hand
                else ldv.processing(ACTIVITY, name=setting.name, attributes=setting.attributes)
            )
            with actie as begun:
                for deed in setting.deeds:
                    deed(begun, tracer)

        with contextlib.suppress(_FailedError):
            _around(setting.parent, tracer, act)

    return service.run(program)


@given(settings_)
@settings(max_examples=300)
def test_the_record_equals_that_of_the_full_way(setting: Setting) -> None:
    """Whatever the span is called and holds, happens in it, and stands around it."""
    assert _compared(setting).different == []


@pytest.mark.parametrize("parent", PARENTS)
@pytest.mark.parametrize("deed", DEEDS)
def test_the_record_equals_that_of_the_full_way_whatever_is_done(deed: str, parent: str) -> None:
    """One thing at a time is other than usual, so that nothing else sends the Actie the full way."""
    for has_tenants, by_hand in product((False, True), repeat=2):
        for name in (_named, _named_on_span):
            deeds = [name, DEEDS[deed]]
            setting = ORDINARY._replace(deeds=deeds, parent=parent, has_tenants=has_tenants, by_hand=by_hand)
            assert _compared(setting).different == []


def test_an_outcome_equals_that_of_the_full_way() -> None:
    """It is a record of an Actie that ended, and says so."""
    service = _Service(ORDINARY)

    def program(_: trace.Tracer) -> None:
        with ldv.processing(ACTIVITY, name="Wijzig kenteken") as actie:
            pass
        actie.outcome()

    compared = service.run(program)
    assert (compared.taken, compared.different) == (1, [])


@pytest.mark.parametrize(
    ("setting", "taken"),
    [
        (ORDINARY, 1),
        (ORDINARY._replace(deeds=[_named]), 1),
        (ORDINARY._replace(deeds=[_named, _child(SpanKind.CLIENT)], parent="technical"), 1),
        (ORDINARY._replace(deeds=[_named], parent="ended actie", has_rules=True), 2),
        (ORDINARY._replace(deeds=[_named, _actie_inside]), 2),
        (ORDINARY._replace(by_hand=True), 1),
        (ORDINARY._replace(deeds=[_named], by_hand=True), 1),
        (ORDINARY._replace(deeds=[_named_on_span], by_hand=True), 1),
        (ORDINARY._replace(deeds=[_named_on_span], by_hand=True, has_rules=True), 1),
        (ORDINARY._replace(name="vergunning", by_hand=True, has_rules=True), 0),
        (ORDINARY._replace(deeds=[_named_on_span, _named], by_hand=True), 0),
        (ORDINARY._replace(deeds=[_fail], by_hand=True), 0),
        (ORDINARY._replace(deeds=[_named, DEEDS["another person"]]), 0),
        (ORDINARY._replace(has_tenants=True), 0),
        (ORDINARY._replace(deeds=[_fail]), 0),
        (ORDINARY._replace(limits=SpanLimits(max_span_attributes=1)), 0),
    ],
)
def test_ordinary_acties_take_the_fast_lane(setting: Setting, taken: int) -> None:
    """Else the two would be equal because there is one; and what is not ordinary does not."""
    compared = _compared(setting)
    assert (compared.taken, compared.different) == (taken, [])
