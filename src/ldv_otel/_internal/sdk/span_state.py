"""Live spans: what is known of a span between its start and its end that OpenTelemetry does not keep.

Every recorded span gets a `LiveSpan`, found by span id, whichever processor or provider it came from. It is a weak
reference to the span, so a span that is never ended takes its entry along when it is collected. It knows its parent's
`LiveSpan`, so the nearest enclosing Actie is found through any number of technical spans, threads and tasks; when a
span ends the chain is cut short to that Actie, or to the nearest span that has not ended and may still become one, so a
long chain of follow-up tasks does not grow without end.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import SpanKind, TraceState
from opentelemetry.util.types import AttributeValue

from ldv_otel._internal.config.variables import DeliveryLevel
from ldv_otel._internal.delivery.level import Delivery
from ldv_otel._internal.privacy.pseudonyms import DataSubject
from ldv_otel._internal.privacy.redaction import Redactor
from ldv_otel._internal.record.actie import EnclosingActie, ExceptionFacts, ForeignOperation, activity_of, is_actie
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.sdk import _private
from ldv_otel._internal.sdk.inbound_context import foreign_of
from ldv_otel.errors import LdvError

if TYPE_CHECKING:
    # Importing these takes time that only those who use them are to pay.
    from ldv_otel._internal.parties.parties import Parties
    from ldv_otel._internal.rules.rules import Rule
    from ldv_otel._internal.sdk.extensions import Extensions


#: Instrumentation scope of the spans that `processing` starts.
SCOPE: Final = "ldv_otel"
#: Name of the span of a person who is named outside any Actie, or after its end.
SUBJECT_SPAN_NAME: Final = "Betrokkene"
#: How many identifiers of data subjects a trace remembers for the privacy shield (`sdk.told`).
TOLD_IN_TRACE: Final = 64

_NO_ATTRIBUTES: Final[Mapping[str, object]] = {}
_NONE_HIDDEN: Final[frozenset[str]] = frozenset()
_NONE_EXPOSED: Final[Mapping[str, AttributeValue]] = {}
#: The kinds of spans whose ids travel to another party.
OUTBOUND: Final = frozenset({SpanKind.CLIENT, SpanKind.PRODUCER})


class SpanOwner(Protocol):
    """The processor that logs a span."""

    @property
    def blocks(self) -> bool:
        """Whether the end of an Actie may wait for a disk or a server."""

    delivery: Delivery
    parties: Parties
    extensions: Extensions

    def pseudonymise(self, identifier: object, type_: object) -> DataSubject:
        """Return the data subject for an identifier."""

    def rule_for(self, span: ReadableSpan, attributes: Mapping[str, object]) -> Rule | None:
        """Return the mapping rule that takes the span as it is now."""

    def begin(self, known: LiveSpan) -> None:
        """Put the start of an Actie on disk.

        Raises:
            LogboekUnavailable: The disk refused.
        """

    def add_to_start(self, known: LiveSpan, subject: DataSubject) -> None:
        """Put a data subject on disk that was named while the Actie ran; otherwise as `begin`."""


class TraceMemory(list["tuple[str, str | None]"]):
    """The last identifiers of data subjects, with their types, that spans of a trace told of (`sdk.told`).

    Attributes:
        version: Goes up with each.
        redactor: What looks for them, and up to which version it knows them.
    """

    version = 0
    redactor: tuple[int, Redactor] | None = None

    def remember(self, one: tuple[str, str | None]) -> None:
        """Add one; what was told longest ago goes, when it gets too many."""
        self.append(one)
        del self[:-TOLD_IN_TRACE]
        self.version += 1


class SpanSnapshot(msgspec.Struct, frozen=True):
    """What a span said when it was looked at.

    Attributes:
        rule: The mapping rule that takes it, and the identifiers that this rule finds in it, with their types.
    """

    name: str
    attributes: Mapping[str, object]
    rule: Rule | None
    identifiers: Sequence[tuple[object, str]]


class LiveSpan(weakref.ref[Span]):
    """One span between start and end (and, for its late children, after that).

    Attributes:
        parent: The parent's live span; None for a root, for a remote parent, and once an Actie ended. Of a technical
            span that ended: the nearest one above that had not.
        foreign: The caller's ids when the parent is remote.
        owner: The processor that logs this span; a span makes one record, however many processors see it.
        activity: Set while this is an Actie that was started with `processing`; else None.
        subjects: Data subjects named without touching the span.
        outbound: Ids of the technical client spans below.
        read_apis: Where the parties that were called can be asked.
        exception: The exception that ended the Actie, with all that only the record may keep.
        level: What `processing` asked of delivery; None for what is set.
        start: What becomes of the Actie if it is never ended, while that is on disk.
        refused: Why the record could not be taken over, if it could not.
        ended: Whether the record has been made.
        told: Identifiers of whom this span is about, with their types, for the privacy shield; see `sdk.told`.
        says_whom: Some of them stand on the span itself.
        too_many: More stand on the span than are looked for.
        told_in_trace: The last of all spans of this trace here, which share it.
        redactor: What looks for them, where that is not what the whole trace looks for.
        seen: What was learnt from last, while the span runs.
        hidden: Names of attributes that a mapping rule takes a data subject from.
        exposed: Attributes that other exporters may see instead, with `LDV_EXPOSE_SUBJECT=pseudonym`.
    """

    __slots__ = (
        "_enclosing",
        "activity",
        "ended",
        "exception",
        "exposed",
        "foreign",
        "hidden",
        "level",
        "outbound",
        "owner",
        "parent",
        "read_apis",
        "redactor",
        "refused",
        "says_whom",
        "seen",
        "span_id",
        "start",
        "subjects",
        "told",
        "told_in_trace",
        "too_many",
    )

    def follow(self, span: Span, span_id: int, owner: SpanOwner, started_in: Context | None) -> None:
        """Note a span that starts, and what is above it; `__init__` of a weak reference costs as much again."""
        above = span.parent
        self.owner = owner
        self.span_id = span_id
        self.parent: LiveSpan | None = None
        self.foreign: ForeignOperation | None = None
        self.activity: str | None = None
        self.subjects: list[DataSubject] = []
        self.outbound: list[bytes] = []
        self.read_apis: list[object] = []
        self.exception: ExceptionFacts | None = None
        self.level: DeliveryLevel | None = None
        self.start: Logregel | None = None
        self.refused: LdvError | None = None
        self.ended = False
        self._enclosing: EnclosingActie | None = None
        self.says_whom = False
        self.too_many = False
        self.told: list[tuple[str, str | None]] | None = None
        self.redactor: tuple[int, Redactor] | None = None
        self.seen: SpanSnapshot | None = None
        self.hidden: frozenset[str] = _NONE_HIDDEN
        self.exposed: Mapping[str, AttributeValue] = _NONE_EXPOSED
        self.told_in_trace: TraceMemory
        if above is None:
            self.foreign = foreign_of(started_in, None)
            self.told_in_trace = TraceMemory()
            return
        self.parent = _live.get(above.span_id)
        if self.parent is not None and above.is_remote and not self.parent.is_in_trace(above.trace_id):
            # Span ids travel: a stranger can send one of ours along with a trace of its own.
            self.parent = None
        if self.parent is None and isinstance(above.trace_state, LiveParentState):
            self.parent, self.foreign = above.trace_state.ends
        elif self.parent is None:
            self.foreign = foreign_of(started_in, above) if above.is_remote else None
        if self.parent is None:
            self.told_in_trace = TraceMemory()
            return
        self.told_in_trace = self.parent.told_in_trace
        kind = span.kind
        # By identity: hashing a member of an Enum takes a call in Python.
        if kind is SpanKind.CLIENT or kind is SpanKind.PRODUCER:
            self.parent.add_outbound(self.span_id.to_bytes(8, "big"))

    @property
    def is_actie(self) -> bool:
        """Whether this span is an Actie as far as is known now."""
        if self.activity is not None or self.subjects:
            return True
        span = self()
        if span is None:
            return False
        attributes = attributes_of(span)
        return is_actie(attributes) or self.owner.rule_for(span, attributes) is not None

    def nearest_actie(self) -> LiveSpan | None:
        """Return this span or the nearest enclosing one that is an Actie and has not ended."""
        live: LiveSpan | None = self
        while live is not None and (live.ended or not live.is_actie):
            live = live.parent
        return live

    def as_enclosing(self) -> EnclosingActie | None:
        """Return what a child records of the Actie around it: this one, or the nearest above."""
        live: LiveSpan | None = self
        while live is not None:
            if live.ended:
                if live.parent is None:
                    return live._enclosing  # noqa: SLF001  (its own class)
            elif live.is_actie:
                return live._enclosed(live._own_activity())  # noqa: SLF001  (as above)
            live = live.parent
        return None

    def extended(self) -> Mapping[str, object]:
        """Return what is said to extensions: here, by the caller, and by Acties around that holds here too."""
        names = self.owner.extensions.attributes
        if not names:
            return _NO_ATTRIBUTES
        span, around = self(), self.parent.as_enclosing() if self.parent is not None else None
        caller = self.caller() if around is None else None
        own = attributes_of(span) if span is not None else _NO_ATTRIBUTES
        return {
            **(around.inherited if around is not None else {}),
            **(caller.attributes if caller is not None else {}),
            **{name: value for name, value in own.items() if name in names},
        }

    def is_in_trace(self, trace_id: int) -> bool:
        """Say whether the span is there and belongs to that trace."""
        span = self()
        return span is not None and span.get_span_context().trace_id == trace_id

    def caller(self) -> ForeignOperation | None:
        """Return the caller at the top of this span's chain."""
        live: LiveSpan | None = self
        while live is not None:
            if live.foreign is not None:
                return live.foreign
            live = live.parent
        return None

    def add_outbound(self, span_id: bytes) -> None:
        """Remember a technical client span on the nearest Actie, or here until one turns up at an end."""
        (self.nearest_actie() or self).outbound.append(span_id)

    def set_processor(self, url: str) -> None:
        """Say which application made the call that this span's chain serves."""
        top = self
        while top.parent is not None:
            top = top.parent
        known = top.foreign or ForeignOperation(b"", b"")
        top.foreign = ForeignOperation(known.trace_id, known.span_id, url, known.attributes)

    def add_read_api(self, url: object) -> None:
        """Remember where a called party can be asked, where `add_outbound` remembers the call."""
        target = self.nearest_actie() or self
        if url not in target.read_apis:
            target.read_apis.append(url)

    def end(self, *, actie: bool, activity: str = "") -> None:
        """Cut the chain: from now on children learn the nearest Actie from here."""
        self.ended = True
        self.seen = None
        if actie:
            self._enclosing = self._enclosed(activity)
            self.parent = None
            return
        above, self.parent = self.parent, None
        while above is not None and above.ended and above.parent is not None:
            above = above.parent
        if above is None:
            return
        if above.ended:
            self._enclosing = above.as_enclosing()
            self.foreign = self.foreign or above.caller()
        else:
            # What it is can be asked later, and need not be by every span below it.
            self.parent = above
        if self.outbound:
            above.outbound.extend(self.outbound)
        for url in self.read_apis:
            above.add_read_api(url)

    def _enclosed(self, activity: str) -> EnclosingActie:
        span_id, names = self.span_id.to_bytes(8, "big"), self.owner.extensions.inherited
        if not names:
            return EnclosingActie(span_id, activity)
        return EnclosingActie(
            span_id, activity, {name: value for name, value in self.extended().items() if name in names}
        )

    def _own_activity(self) -> str:
        if self.activity:
            return self.activity
        span = self()
        if span is not None:
            attributes = attributes_of(span)
            if named := activity_of(attributes):
                return str(named)
            rule = self.owner.rule_for(span, attributes)
            if rule is not None and rule.activity:
                return rule.activity
        above = self.parent.as_enclosing() if self.parent is not None else None
        return above.processing_activity_id if above is not None else ""


class LiveParentState(TraceState):
    """The `tracestate` of a span that is not recorded, over which those below it find what is above (`LDV_RECORD`).

    OpenTelemetry keeps nothing else of such a span. On the wire it is the `tracestate` that it was made of.

    Attributes:
        ends: The nearest recorded span above, and who called when there is none.
    """

    def __init__(self, trace_state: TraceState | None, ends: tuple[LiveSpan | None, ForeignOperation | None]) -> None:
        super().__init__(list(trace_state.items()) if trace_state else None)
        self.ends = ends


def above_of(context: Context | None) -> tuple[LiveSpan | None, ForeignOperation | None]:
    """Return the nearest recorded span that a span started in this context hangs below, or else who called."""
    parent = trace.get_current_span(context).get_span_context()
    if not parent.is_valid:
        return None, foreign_of(context, None)
    found = None if parent.is_remote else _live.get(parent.span_id)
    if found is not None:
        return found, None
    if isinstance(parent.trace_state, LiveParentState):
        return parent.trace_state.ends
    return None, foreign_of(context, parent) if parent.is_remote else None


_live: dict[int, LiveSpan] = {}


def _forget(live: weakref.ref[Span]) -> None:
    if isinstance(live, LiveSpan) and _live.get(live.span_id) is live:
        del _live[live.span_id]


def attributes_of(span: ReadableSpan) -> Mapping[str, object]:
    """Return a span's attributes as a dict of our own."""
    return _private.attributes(span)


def begin(span: Span, owner: SpanOwner, started_in: Context | None = None) -> LiveSpan:
    """Note a span that starts; the first processor to see it is the one that logs it."""
    span_id = span.get_span_context().span_id
    live = _live.get(span_id)
    if live is None or live() is not span:
        live = LiveSpan(span, _forget)
        live.follow(span, span_id, owner, started_in)
        _live[span_id] = live
    return live


def find(span: ReadableSpan | trace.Span) -> LiveSpan | None:
    """Return the live span behind a span, a wrapper around one, or the copy that processors get at its end."""
    context = span.get_span_context()
    return _live.get(context.span_id) if context is not None else None


def parent_of(span: ReadableSpan) -> LiveSpan | None:
    """Return the live span of a span's parent."""
    return _live.get(span.parent.span_id) if span.parent is not None else None


def current() -> LiveSpan | None:
    """Return the live span of the current OpenTelemetry context."""
    return find(trace.get_current_span())
