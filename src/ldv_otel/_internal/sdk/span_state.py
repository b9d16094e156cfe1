"""Live spans hold what OpenTelemetry does not keep of a recorded span: its place in the tree, and its record so far.

A `LiveSpan` belongs to one span object, not to its ids: an application's id generator may repeat them, and `random`,
from which OpenTelemetry draws by default, may be seeded. The `LiveSpan` hangs on the span's `SpanContext`. That one
object is shared by the span, the readable copy that processors get at its end, wrappers around it, and its children as
their parent. Ids are looked up only for a parent that was rebuilt from them, and only where one span alone has them.

A `LiveSpan` is a weak reference to its span, so that a span that is never ended takes its entry along when it is
collected. It knows its parent's `LiveSpan`, so the nearest enclosing Actie is found through any number of technical
spans, threads and tasks. When a span ends the chain is cut short to that Actie, or to the nearest span that has not
ended and may still become one, so that a long chain of follow-up tasks does not grow without end.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import SpanContext, SpanKind, TraceState

from ldv_otel._internal.delivery.level import Delivery
from ldv_otel._internal.privacy.pseudonyms import DataSubject
from ldv_otel._internal.record.actie import activity_of, is_actie
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.record.span_facts import EnclosingActie, ForeignOperation
from ldv_otel._internal.sdk import _private
from ldv_otel._internal.sdk.inbound_context import INBOUND, foreign_of
from ldv_otel._internal.sdk.span_record import SpanRecord
from ldv_otel._internal.sdk.span_rules import SpanSnapshot
from ldv_otel._internal.sdk.span_subjects import FORGOTTEN, KnownSubjects, TraceSubjects
from ldv_otel.attributes import DATA_SUBJECT_ID

if TYPE_CHECKING:
    # Importing these takes time that only those who use them are to pay.
    from ldv_otel._internal.parties.parties import Parties
    from ldv_otel._internal.privacy.stray_numbers import StrayNumbers
    from ldv_otel._internal.record.actie import LogregelMaker
    from ldv_otel._internal.record.error_status import ErrorStatuses
    from ldv_otel._internal.rules.rule_file import Rule
    from ldv_otel._internal.sdk.extensions import Extensions


#: Instrumentation scope of the spans that `processing` starts.
SCOPE: Final = "ldv_otel"
#: Name of the span of a data subject who is named outside any Actie, or after its end.
SUBJECT_SPAN_NAME: Final = "Betrokkene"
#: The kinds of spans whose ids travel to another party.
OUTBOUND: Final = frozenset({SpanKind.CLIENT, SpanKind.PRODUCER})

_NO_ATTRIBUTES: Final[Mapping[str, object]] = {}


class ActieTransactions(Protocol):
    """The transactions of the application's databases that records may commit with (`outbox/installed.py`).

    Attributes:
        run_waiting: Runs a function so that a driver in it may wait for an event loop; None where no driver does.
    """

    @property
    def run_waiting(self) -> Callable[..., Awaitable[object]] | None: ...

    def waits_at_end(self, live_span: LiveSpan) -> Callable[..., Awaitable[object]] | None:
        """Return what runs the end of an Actie whose transaction is of such a driver; None for others."""

    def check_waits(self, live_span: LiveSpan) -> None:
        """See that the driver of an Actie's transaction need not wait for an event loop, or may do so where this is.

        Raises:
            ConfigurationError: It would have to, below a plain `with`.
        """

    def enter(self, live_span: LiveSpan, named: object) -> object:
        """Return the transaction that an Actie belongs to from here on; None for one that belongs to none.

        Args:
            named: What `processing` was given: a session or connection, False for none, or None to look which one is
                open here.

        Raises:
            ConfigurationError: There is none, or there are several and none is named; or it cannot take a record.
        """

    def hand_over(self, records: Sequence[Logregel], live_span: LiveSpan) -> Sequence[Logregel]:
        """Put the records of an Actie that ended into its transaction, and return what goes by the ordinary way."""


class SpanOwner(Protocol):
    """The processor that logs a span: what a live span and `processing` need of it."""

    @property
    def blocks(self) -> bool:
        """Whether the end of an Actie may wait for a disk or a server."""

    #: Whose Logboek it logs to, of several; empty for the only one, and for what cannot be told whose it is.
    tenant: str
    #: Whether that was said, so that it holds for what is inside a span; otherwise it is what nothing was said of.
    tenant_decided: bool
    #: Why a `processing` is not entered; empty where it is.
    refusal: str

    #: Whether Acties without a level of their own have their start committed before they begin.
    writes_ahead: bool
    delivery: Delivery
    stray: StrayNumbers
    maker: LogregelMaker
    parties: Parties
    extensions: Extensions
    statuses: ErrorStatuses

    @property
    def outboxes(self) -> ActieTransactions | None:
        """Databases with whose transactions records commit."""

    def pseudonymise(self, identifier: object, type_: object) -> DataSubject:
        """Return the data subject for an identifier."""

    def rule_for(self, span: ReadableSpan, attributes: Mapping[str, object]) -> Rule | None:
        """Return the mapping rule that takes the span as it is now."""

    def same_rule(self, before: Mapping[str, object], attributes: Mapping[str, object]) -> bool:
        """Say whether a span that changed like this has the same rule as before, which finds the same in it."""

    def begin(self, live_span: LiveSpan) -> None:
        """Put the start of an Actie on disk.

        Raises:
            LogboekUnavailable: The disk refused.
        """

    def add_to_start(self, live_span: LiveSpan, subject: DataSubject) -> None:
        """Put a data subject on disk that was named while the Actie ran; otherwise as `begin`."""


class LiveSpan(weakref.ref[Span]):
    """One span between start and end (and, for its late children, after that): where it hangs in the tree.

    Attributes:
        owner: The processor that logs this span; a span makes one record, however many processors see it.
        ids: Trace id and span id in one number.
        ids_repeated: Another span of this process has the same ids, or its parent's ids are those of several.
        parent: The parent's live span; None for a root, for a remote parent, and once an Actie ended. Of a technical
            span that ended: the nearest one above that had not.
        foreign: The caller's ids when the parent is remote.
        outbound: Ids of the technical client spans below.
        read_apis: Where the parties that were called can be read.
        ended: Whether the record has been made.
        record: What its record will hold beyond the span itself.
        known_subjects: What the shield knows of it.
        snapshot: The span as it was seen last, while it runs.
    """

    __slots__ = (
        "_enclosing",
        "ended",
        "foreign",
        "ids",
        "ids_repeated",
        "known_subjects",
        "outbound",
        "owner",
        "parent",
        "read_apis",
        "record",
        "snapshot",
    )

    def follow(self, span: Span, ids: int, owner: SpanOwner, started_in: Context | None) -> None:
        """Note a span that starts, and what is above it; `__init__` of a weak reference costs as much again."""
        above = span.parent
        self.owner = owner
        self.ids = ids
        self.ids_repeated = False
        self.parent: LiveSpan | None = None
        self.foreign: ForeignOperation | None = None
        self.outbound: list[bytes] = []
        self.read_apis: list[object] = []
        self.ended = False
        self._enclosing: EnclosingActie | None = None
        self.record = SpanRecord()
        self.snapshot: SpanSnapshot | None = None
        if above is None:
            self.known_subjects = KnownSubjects(subjects_of_trace(ids >> 64))
            if INBOUND in (otel_context.get_current() if started_in is None else started_in):
                self.foreign = foreign_of(started_in, None)
            return
        self.parent = _of_context(above)
        if self.parent is None:
            # Another span of the trace may live here all the same: its parent has ended, or is known by its ids only.
            self.known_subjects = KnownSubjects(subjects_of_trace(ids >> 64))
            self._follow_unrecorded(above, started_in)
            if self.parent is None:
                return
        self.known_subjects = KnownSubjects(self.parent.known_subjects.trace)
        kind = span.kind
        # By identity: hashing a member of an Enum takes a call in Python.
        if kind is SpanKind.CLIENT or kind is SpanKind.PRODUCER:
            self.parent.add_outbound(self.span_id)

    def _follow_unrecorded(self, above: SpanContext, started_in: Context | None) -> None:
        """Note what is above a span whose parent is not recorded here, or cannot be told from another span."""
        if isinstance(above.trace_state, LiveParentState):
            self.parent, self.foreign = above.trace_state.ends
            return
        if above.is_remote:
            self.foreign = foreign_of(started_in, above)
        if has_repeated_ids(above):
            # No evidence says which of them is the parent, so the record takes over from neither. Each may be about
            # somebody who is quoted here, and may be named later, so other exporters see no text of this trace.
            self.ids_repeated = self.known_subjects.trace.closed = True

    @property
    def span_id(self) -> bytes:
        """The span id, in 8 bytes."""
        return (self.ids & _SPAN_ID_MASK).to_bytes(8, "big")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as None: a span context that is sent elsewhere takes no live span along."""
        return (type(None), ())

    def __deepcopy__(self, memo: object) -> LiveSpan:
        """Return itself: the copy of a span context belongs to the same span."""
        return self

    @property
    def is_actie(self) -> bool:
        """Whether this span is an Actie as far as is known now."""
        record = self.record
        if record.activity is not None or record.subjects:
            return True
        span = self()
        if span is None:
            return False
        attributes = _private.attributes(span)
        return is_actie(attributes) or self.owner.rule_for(span, attributes) is not None

    def look(self, span: ReadableSpan) -> SpanSnapshot:
        """Return the span as it is now, and have the shield learn what is new in it."""
        last, name = self.snapshot, span.name
        attributes, length_limit = _private.limited_attributes(span)
        # A span of `processing` names its own activity, so no rule applies to it.
        ruled = self.record.activity is None
        if last is not None and last.name == name and (ruled or last.rule is None):
            if last.attributes == attributes:
                return last
            if ruled and self.owner.same_rule(last.attributes, attributes):
                # Nobody new is in it.
                self.snapshot = SpanSnapshot(name, attributes, length_limit, last.rule, last.identifiers)
                return self.snapshot
        rule = self.owner.rule_for(span, attributes) if ruled else None
        identifiers = rule.identifiers(attributes) if rule is not None else ()
        self.snapshot = snapshot = SpanSnapshot(name, attributes, length_limit, rule, identifiers)
        if rule is not None or DATA_SUBJECT_ID in attributes:
            self.known_subjects.learn(snapshot)
        return snapshot

    def look_upwards(self) -> None:
        """Have the shield learn of this span and those around it; a child calls it before its end cuts the chain."""
        above: LiveSpan | None = self
        while above is not None:
            span = above()
            if span is not None:
                above.look(span)
            above = above.parent

    def add_subject(self, identifier: object, type_: str | None) -> DataSubject | None:
        """Add a data subject to the record; return it, or None where the record had it already."""
        subject = self.owner.pseudonymise(identifier, type_)
        subjects = self.record.subjects
        is_new = subject not in subjects
        subjects.append(subject)
        self.known_subjects.add(identifier, type_)
        return subject if is_new else None

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
                    return live._enclosing  # its own class
            elif live.is_actie:
                return live._enclosed(live._activity())
            live = live.parent
        return None

    def extended(self) -> Mapping[str, object]:
        """Return the attributes of extensions: the span's own, its caller's, and those inherited."""
        extensions = self.owner.extensions
        if not extensions.attributes:
            return _NO_ATTRIBUTES
        # The Acties around that have not ended, the outermost last. In a loop: they may be nested as deep as one likes.
        around, above = [self], self.parent
        while above is not None and not (above.ended and above.parent is None):
            if not above.ended and above.is_actie:
                around.append(above)
            above = above.parent
        enclosing = above._enclosing if above is not None else None  # its own class
        values: Mapping[str, object] = _NO_ATTRIBUTES
        if enclosing is not None:
            inherited = enclosing.inherited
        else:
            caller = around[-1].caller()
            inherited = caller.attributes if caller is not None else _NO_ATTRIBUTES
        for live in reversed(around):
            span = live()
            own = _private.attributes(span) if span is not None else _NO_ATTRIBUTES
            values = {**inherited, **{name: value for name, value in own.items() if name in extensions.attributes}}
            inherited = {name: value for name, value in values.items() if name in extensions.inherited}
        return values

    def caller(self) -> ForeignOperation | None:
        """Return the caller at the top of this span's chain."""
        live: LiveSpan | None = self
        while live is not None:
            if live.foreign is not None:
                return live.foreign
            live = live.parent
        return None

    def add_outbound(self, span_id: bytes) -> None:
        """Keep the id of a client span with the nearest Actie; without one, here, to be handed up at the end."""
        (self.nearest_actie() or self).outbound.append(span_id)

    def set_processor(self, url: str) -> None:
        """Set the application that made the call which this span's chain serves."""
        top = self
        while top.parent is not None:
            top = top.parent
        caller = top.foreign or ForeignOperation(b"", b"")
        top.foreign = msgspec.structs.replace(caller, processor=url)

    def add_read_api(self, url: object) -> None:
        """Keep where a called party can be read, where `add_outbound` keeps the id of the call."""
        target = self.nearest_actie() or self
        if url not in target.read_apis:
            target.read_apis.append(url)

    def end(self, *, actie: bool, activity: str = "") -> None:
        """Cut the chain: from now on children learn the nearest Actie from here."""
        self.ended = True
        self.snapshot = None
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
        if self.record.said is not None:
            above.record.said = self.record.said

    def _enclosed(self, activity: str) -> EnclosingActie:
        span_id, names = self.span_id, self.owner.extensions.inherited
        if not names:
            return EnclosingActie(span_id, activity)
        return EnclosingActie(
            span_id, activity, {name: value for name, value in self.extended().items() if name in names}
        )

    def _activity(self) -> str:
        """Return the processing activity of this Actie: its own, or that of the nearest above that has one (LDV-A3)."""
        live: LiveSpan | None = self
        while live is not None:
            if live.ended:
                if live.parent is None:
                    enclosing = live._enclosing  # its own class
                    return enclosing.processing_activity_id if enclosing is not None else ""
            elif named := live._own_activity():
                return named
            live = live.parent
        return ""

    def _own_activity(self) -> str:
        if self.record.activity:
            return self.record.activity
        span = self()
        if span is None:
            return ""
        attributes = _private.attributes(span)
        if named := activity_of(attributes):
            return str(named)
        rule = self.owner.rule_for(span, attributes)
        return rule.activity if rule is not None else ""


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
    live_span = None if parent.is_remote else _of_context(parent)
    if live_span is not None:
        return live_span, None
    if isinstance(parent.trace_state, LiveParentState):
        return parent.trace_state.ends
    return None, foreign_of(context, parent) if parent.is_remote else None


#: Key of a `LiveSpan` in the `__dict__` of its `SpanContext`.
_LIVE_SPAN: Final = "_ldv_otel_live_span"
_SPAN_ID_MASK: Final = (1 << 64) - 1
#: Of each pair of trace id and span id in use, the first span that has it; entries go when their spans are collected.
_by_ids: dict[int, LiveSpan] = {}
#: All spans in memory that share their ids with others.
_with_repeated_ids: dict[int, list[LiveSpan]] = {}
#: Hashes of the last 65,536 pairs of ids, each in the slot that its last bits name: 512 KiB for good, where a set would
#: grow, and a list would have to be searched. That two pairs have one hash (61 bits) is not to be expected.
_recent_ids: Final = memoryview(bytearray(8 << 16)).cast("Q")
_SLOT_MASK: Final = (1 << 16) - 1


class _MemoryOfTrace(weakref.ref[TraceSubjects]):
    """Refers to the memory of a trace, without keeping it."""

    __slots__ = ("trace_id",)
    trace_id: int


#: The memory of each trace that has a span here, by trace id; an entry goes with the last of those spans.
_memories: dict[int, _MemoryOfTrace] = {}


def _forget_memory(memory: weakref.ref[TraceSubjects]) -> None:
    """Remove a memory that is gone, unless another took its place; Python calls this at any point of any thread."""
    if isinstance(memory, _MemoryOfTrace) and _memories.get(memory.trace_id) is memory:
        del _memories[memory.trace_id]


def subjects_of_trace(trace_id: int) -> TraceSubjects:
    """Return the memory of a trace, which all its spans in this process share.

    Runs in any thread without a lock: `setdefault` lets one of two threads be the first.
    """
    subjects = TraceSubjects()
    memory = _MemoryOfTrace(subjects, _forget_memory)
    memory.trace_id = trace_id
    first = _memories.setdefault(trace_id, memory)
    if first is memory:
        return subjects
    kept = first()
    if kept is not None:
        return kept
    # Its last span went at this very moment.
    _memories[trace_id] = memory
    return subjects


def known_of_trace(trace_id: int) -> TraceSubjects | None:
    """Return the memory of a trace; None where it has no span here."""
    memory = _memories.get(trace_id)
    return memory() if memory is not None else None


def _register(live_span: LiveSpan) -> None:
    """Enter a span under its ids, and mark it and a span in memory with the same ids.

    Runs in any thread, without a lock: each step is one operation on a dict, a list or a slot. Two threads that start
    spans with the same ids at once see each other because `setdefault` lets only one of them be the first.
    """
    ids = live_span.ids
    first = _by_ids.setdefault(ids, live_span)
    if first is not live_span:
        first.ids_repeated = live_span.ids_repeated = True
        _with_repeated_ids.setdefault(ids, [first]).append(live_span)
    hashed = hash(ids)
    slot = hashed & _SLOT_MASK
    if _recent_ids[slot] == hashed:
        live_span.ids_repeated = True
    _recent_ids[slot] = hashed


def _forget(reference: weakref.ref[Span]) -> None:
    """Remove a span that was collected; Python calls this at any point of any thread."""
    if not isinstance(reference, LiveSpan):
        return
    ids, live_span = reference.ids, reference
    others = _with_repeated_ids.get(ids)
    if others is not None:
        with contextlib.suppress(ValueError):
            others.remove(live_span)
        if not others:
            _with_repeated_ids.pop(ids, None)
    if _by_ids.get(ids) is live_span:
        if others:
            _by_ids[ids] = others[0]
        else:
            del _by_ids[ids]
    # The span context may be kept for longer, by exporters and links, but identifiers are not.
    live_span.known_subjects = KnownSubjects(FORGOTTEN)
    live_span.record.exception = None


def _of_context(context: SpanContext) -> LiveSpan | None:
    """Return the live span to which a span context belongs; None when that is unknown, or its span was collected."""
    live_span: LiveSpan | None = context.__dict__.get(_LIVE_SPAN)
    if live_span is not None:
        # What was collected is not looked up by its ids: another span may have them by now.
        return live_span if live_span() is not None else None
    if isinstance(context.trace_state, LiveParentState):
        return None
    live_span = _by_ids.get(context.trace_id << 64 | context.span_id)
    return live_span if live_span is not None and not live_span.ids_repeated else None


def has_repeated_ids(context: SpanContext) -> bool:
    """Say whether a span context was rebuilt from ids that more than one span of this process has, or had."""
    if context.__dict__.get(_LIVE_SPAN) is not None:
        return False
    live_span = _by_ids.get(context.trace_id << 64 | context.span_id)
    return live_span is not None and live_span.ids_repeated


def begin(span: Span, owner: SpanOwner, started_in: Context | None = None) -> LiveSpan:
    """Note a span that starts; the first processor to see it is the one that logs it."""
    context = span.get_span_context()
    live_span: LiveSpan | None = context.__dict__.get(_LIVE_SPAN)
    if live_span is None or not _is_same(live_span(), span):
        live_span = LiveSpan(span, _forget)
        live_span.follow(span, context.trace_id << 64 | context.span_id, owner, started_in)
        _register(live_span)
        # Past `__setattr__`, by which a span context refuses what would change its value; this does not.
        context.__dict__[_LIVE_SPAN] = live_span
    return live_span


def _is_same(followed: Span | None, span: Span) -> bool:
    """Whether a span is the one that is followed, or the shield's view of it, which shares its `__dict__`."""
    return followed is span or (followed is not None and followed.__dict__ is span.__dict__)


def find(span: ReadableSpan | trace.Span) -> LiveSpan | None:
    """Return the live span behind a span, a wrapper around one, or the copy that processors get at its end."""
    context = span.get_span_context()
    if context is None:
        return None
    # As `_of_context` begins: this is asked several times for each span.
    live_span: LiveSpan | None = context.__dict__.get(_LIVE_SPAN)
    if live_span is not None:
        return live_span if live_span() is not None else None
    return _of_context(context)


def parent_of(span: ReadableSpan) -> LiveSpan | None:
    """Return the live span of a span's parent."""
    return _of_context(span.parent) if span.parent is not None else None


def nearest_actie_or_self(span: trace.Span) -> LiveSpan | None:
    """Return the nearest Actie that has not ended, from a span upwards; without one, the span's own live span."""
    live_span = find(span)
    return None if live_span is None else live_span.nearest_actie() or live_span


def current() -> LiveSpan | None:
    """Return the live span of the current OpenTelemetry context."""
    return find(trace.get_current_span())
