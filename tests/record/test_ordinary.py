"""The short way makes the same record as the builder, for whatever it takes."""

from __future__ import annotations

from typing import Any, Final
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldv_otel._internal.privacy.pseudonyms import DataSubject
from ldv_otel._internal.privacy.redaction import REDACT_ALL, Redactor, RedactorPair
from ldv_otel._internal.privacy.stray_numbers import StrayNumbers
from ldv_otel._internal.record import actie, ordinary
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.record.builder import resource_of
from ldv_otel._internal.record.logregel import Status, encode_logregel
from ldv_otel._internal.record.resource_choice import RecordResource
from ldv_otel._internal.record.span_facts import EnclosingActie, ExceptionFacts, ForeignOperation, SpanFacts
from ldv_otel.attributes import Flag
from tests.record.test_actie import ACTIVITY, PSEUDONYMISER
from tests.strategies import anything, span_ids, trace_ids
from tests.support.quoting import quotations

BSN: Final = "123456782"
MAKERS: Final = [
    LogregelMaker(PSEUDONYMISER.subject),
    LogregelMaker(PSEUDONYMISER.subject, stray=StrayNumbers("flag")),
    LogregelMaker(PSEUDONYMISER.subject, stray=StrayNumbers(exempt=["name", "dpl.core.zaak"])),
]

#: Texts of a service, ordinary ones and those that quote somebody or cannot be stored as they are.
texts: Final = st.one_of(
    st.sampled_from(["Wijzig kenteken", ACTIVITY, "Zaak 2026-118", "AB-123-C", "x-7", " ", "", "geen URI", "Jansen"]),
    quotations(BSN).map(lambda quoted: f"https://register.example/{quoted}"),
    quotations("999990019"),
    st.text(max_size=20),
    st.text(st.characters(categories=["Cs"]), max_size=2),
    st.builds("x".__mul__, st.sampled_from([255, 257, 1_024, 1_025, 2_049])),
    st.builds(lambda count: "https://register.example/" + "x" * count, st.sampled_from([300, 2_023, 2_024])),
)
values: Final = st.one_of(texts, texts, anything)
names: Final = st.one_of(
    st.sampled_from(
        [
            "dpl.core.zaak",
            "dpl.core.processing_activity_id",
            "dpl.core.parent_processing_activity_id",
            "dpl.core.foreign_operation.processor",
            "dpl.core.data_subject_id",
            "dpl.objects.algorithm_id",
            "dpl.read.nextLogbookId",
            "dpl.eigen.naam",
            "foreign_operation.trace_id",
            "http.route",
        ]
    ),
    texts.map("dpl.{}".format),
)
subjects: Final = st.one_of(
    st.sampled_from([PSEUDONYMISER.subject(BSN, "BSN"), PSEUDONYMISER.subject("AB.12", "iets")]),
    st.builds(
        DataSubject,
        st.just(bytes(range(16))),
        st.sampled_from(["BSN", "", "iets", BSN]),
        st.just("k"),
        sealed=texts,
        flags=st.sampled_from([(), (Flag.SUBJECT_TYPE_UNKNOWN,)]),
    ),
)
redactors: Final = st.sampled_from(
    [
        None,
        Redactor([(BSN, "BSN")]),
        Redactor([("0" + BSN, None)]),
        Redactor([("12345", "KVK"), (BSN, "BSN")]),
        Redactor([("7", None)]),
        Redactor([("Jansen", "naam")]),
        RedactorPair(Redactor([("7", None)]), Redactor([(BSN, "BSN")])),
        REDACT_ALL,
    ]
)
times_ns: Final = st.one_of(st.integers(0, 2 * 10**18), st.integers())
foreign: Final = st.builds(ForeignOperation, trace_ids, span_ids, texts)
#: For each fact, what it may be.
FACTS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "trace_id": trace_ids,
    "span_id": span_ids,
    "name": values,
    "start_time_ns": times_ns,
    "end_time_ns": times_ns,
    "status": st.sampled_from(Status),
    "attributes": st.dictionaries(names, values, max_size=4),
    "extended": st.dictionaries(names, values, max_size=1),
    "subjects": st.lists(subjects, max_size=2),
    "enclosing": st.none() | st.builds(EnclosingActie, span_ids, texts),
    "foreign": st.none() | foreign,
    "outbound_span_ids": st.lists(span_ids, max_size=2).map(tuple),
    "read_apis": st.lists(texts, max_size=2),
    "exception": st.none() | st.builds(ExceptionFacts, texts, texts, texts),
    "resource": st.builds(resource_of, st.dictionaries(st.just("service.name") | names, values, max_size=2)),
    "flags": st.sampled_from([(), (Flag.VALUE_CUT,)]),
    "originals": st.dictionaries(st.just("name"), texts, max_size=1),
    "redactor": redactors,
    "closed": st.booleans(),
    "length_limit": st.none() | st.integers(1, 50),
    "named_by_code": st.booleans(),
}
ORDINARY: Final[dict[str, Any]] = {
    "trace_id": bytes(range(16)),
    "span_id": bytes(range(1, 9)),
    "name": "Wijzig kenteken",
    "start_time_ns": 1_750_000_000_123_456_789,
    "end_time_ns": 1_750_000_000_999_999_999,
    "attributes": {"dpl.core.processing_activity_id": ACTIVITY, "dpl.core.zaak": "Z-118", "http.route": "/"},
    "subjects": [PSEUDONYMISER.subject(BSN, "BSN")],
    "redactor": Redactor([(BSN, "BSN")]),
    "resource": RecordResource('{"service.name":"parkeren","service.version":"1.4.2"}'),
}


#: An ordinary Actie with a few facts that may not be.
some_facts: Final = st.lists(st.sampled_from(sorted(FACTS)), max_size=3, unique=True).flatmap(
    lambda drawn: st.fixed_dictionaries({fact: FACTS[fact] for fact in drawn})
)


def records(maker: LogregelMaker, facts: dict[str, Any], *, by_builder: bool) -> list[bytes]:
    """The records of an Actie, made in the way that its facts lead to, or by the builder alone."""
    if not by_builder:
        return list(map(encode_logregel, maker.make(SpanFacts(**facts))))
    with mock.patch.object(actie, "ordinary_record", return_value=None):
        return list(map(encode_logregel, maker.make(SpanFacts(**facts))))


def test_every_fact_is_drawn() -> None:
    """A fact that is new has to be looked at here, and in `ordinary_record`."""
    assert set(FACTS) == set(SpanFacts.__struct_fields__)


@given(some_facts, st.sampled_from(MAKERS))
@settings(max_examples=300)
def test_the_record_equals_that_of_the_builder(drawn: dict[str, Any], maker: LogregelMaker) -> None:
    """Whatever is odd about an Actie that is ordinary otherwise."""
    facts = ORDINARY | drawn
    assert records(maker, facts, by_builder=False) == records(maker, facts, by_builder=True)


@given(st.fixed_dictionaries(FACTS), st.sampled_from(MAKERS))
def test_the_record_of_whatever_facts_equals_that_of_the_builder(facts: dict[str, Any], maker: LogregelMaker) -> None:
    """And where everything is odd."""
    assert records(maker, facts, by_builder=False) == records(maker, facts, by_builder=True)


@pytest.mark.parametrize(
    "fact",
    [
        {},
        {"subjects": []},
        {"redactor": None},
        {"enclosing": EnclosingActie(bytes(8), "https://register.example/activiteiten/melden")},
        {"enclosing": EnclosingActie(bytes(8), ACTIVITY), "status": Status.OK},
        {"enclosing": EnclosingActie(bytes(8), "")},
        {"outbound_span_ids": (bytes(8),)},
        {"attributes": {"dpl.core.processing_activity_id": "https://register.example/118"}},
    ],
)
def test_ordinary_acties_do_without_the_builder(fact: dict[str, Any]) -> None:
    """Else the two would be equal because there is one."""
    with mock.patch.object(actie, "LogregelBuilder", side_effect=AssertionError("the builder was used")):
        made = records(MAKERS[0], ORDINARY | fact, by_builder=False)
    assert made == records(MAKERS[0], ORDINARY | fact, by_builder=True)


def test_no_name_that_may_be_somebodys_is_remembered() -> None:
    """And no text with a digit: what is remembered is not searched again."""
    for name in ("Inzage door Jansen", "https://register.example/1"):
        facts = ORDINARY | {"name": name, "attributes": {"dpl.core.processing_activity_id": name}}
        records(MAKERS[0], facts, by_builder=False)
        assert not {name} & (ordinary._NAMES | ordinary._ACTIVITIES)
