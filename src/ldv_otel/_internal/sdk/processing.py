"""`processing` marks an Actie; `data_subject`, `called_by` and `next_logbook` add to its record from inside.

An Actie is an ordinary span of the service's own tracer provider, so it shows in the tracing backend too. The data
subject and the text of exceptions are for the Logboek alone, and never touch that span.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, ParamSpec, TypeVar

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Status, StatusCode

from ldv_otel._internal.config.variables import DeliveryLevel
from ldv_otel._internal.privacy.identifiers import attribute_form
from ldv_otel._internal.record.actie import stacktrace_without_values
from ldv_otel._internal.record.builder import storable_text
from ldv_otel._internal.record.logregel import Status as Outcome
from ldv_otel._internal.sdk import _private, span_state
from ldv_otel._internal.sdk.current_context import leave_elsewhere
from ldv_otel._internal.sdk.decorators import wrap
from ldv_otel._internal.sdk.running_call import RunningCall, begin_off_loop, finish_off_loop
from ldv_otel._internal.sdk.span_state import ActieTransactions, LiveSpan
from ldv_otel._internal.sdk.span_status import exception_facts
from ldv_otel._internal.sdk.tenant_context import named_tenant, with_tenant
from ldv_otel._internal.sdk.waiting_threads import do_off_loop
from ldv_otel._version import __version__
from ldv_otel.attributes import (
    DATA_SUBJECT_ID,
    DATA_SUBJECT_ID_TYPE,
    EXCEPTION_STACKTRACE,
    EXCEPTION_TYPE,
    PROCESSING_ACTIVITY_ID,
)
from ldv_otel.errors import ConfigurationError, LogboekUnavailable, UnknownTenant

P = ParamSpec("P")
R = TypeVar("R")

_NOT_LISTENING: Final = (
    "No LdvSpanProcessor saw the span of this processing, so nothing would be logged. "
    "Logging was shut down, or never set up: call ldv_otel.install() once at the start of the service (with "
    "OTEL_SDK_DISABLED unset and the tracer of scope 'ldv_otel' enabled); in tests use ldv_otel.testing.logboek()."
)


class Actie:
    """One running Actie, as `processing` hands it out."""

    __slots__ = ("_live_span", "span")

    def __init__(self, span: trace.Span, live_span: LiveSpan) -> None:
        self.span = span
        self._live_span = live_span

    @property
    def trace_id(self) -> str:
        """32 lower-case hex digits."""
        return trace.format_trace_id(self.span.get_span_context().trace_id)

    @property
    def span_id(self) -> str:
        """16 lower-case hex digits."""
        return trace.format_span_id(self.span.get_span_context().span_id)

    def data_subject(self, identifier: object, *, type: str | None = None) -> None:  # the public API's word
        """Name a data subject; see `ldv_otel.data_subject`."""
        _add_subject(self.span, self._live_span, identifier, type)

    def next_logbook(self, url: str) -> None:
        """Name where the called party's Logregels can be read; see `ldv_otel.next_logbook`."""
        self._live_span.add_read_api(url)

    def foreign_read_api(self, url: str) -> None:
        """Do as `next_logbook`, by its earlier name."""
        self.next_logbook(url)

    def set_attribute(self, name: str, value: Any) -> None:
        """Set an attribute on the span; those under `dpl.` enter the Logregel.

        A second, different data subject set like this is one more, where the span itself would forget the first.
        """
        if name == DATA_SUBJECT_ID:
            value = attribute_form(value)
        if name == DATA_SUBJECT_ID and isinstance(self.span, ReadableSpan):
            before = _private.attributes(self.span)
            if name in before and before[name] != value:
                type_ = before.get(DATA_SUBJECT_ID_TYPE)
                _add_subject(self.span, self._live_span, before[name], None if type_ is None else str(type_))
        self.span.set_attribute(name, value)

    def ok(self) -> None:
        """Set status `Ok`; see `ldv_otel.ok`."""
        _say(self._live_span, Outcome.OK)

    def reject(self) -> None:
        """Note that the user's input was refused; see `ldv_otel.reject`."""
        _say(self._live_span, Outcome.UNSET)

    def outcome(self, result: Outcome | Exception = Outcome.OK) -> None:
        """Log how it went, after the block: for an effect that begins once the Actie is on record.

        The Logregel of the Actie stays as it is; this is another one below it, about the same data subjects, which
        readers show with it as one step. Where it is called again, the last outcome counts.

        Args:
            result: A status, or the exception that says why it failed.

        Raises:
            ConfigurationError: The block has not ended; inside it `ok`, `reject` and exceptions say how it goes. Or
                nothing listens; see `processing`.
            LogboekUnavailable: The delivery refused the record, as at the end of `processing`.

        Source: LDV-N18.
        """
        ended = self._live_span
        if not ended.ended:
            raise ConfigurationError(
                "outcome was called inside its processing. Call it after the `with` block: it is for what happens when "
                "the Actie is on record."
            )
        before = _private.attributes(self.span) if isinstance(self.span, ReadableSpan) else {}
        attributes: dict[str, Any] = {
            name: before[name] for name in (DATA_SUBJECT_ID, DATA_SUBJECT_ID_TYPE) if name in before
        }
        activity = ended.record.activity or ""
        name = self.span.name if isinstance(self.span, ReadableSpan) else ""
        # Of the tenant that the Actie was of, wherever this is called.
        context = with_tenant(ended.owner.tenant, trace.set_span_in_context(self.span))
        actie = processing(
            activity, name=name, attributes=attributes, delivery=ended.record.level, outbox=False
        )._start(context)  # own class
        record = actie._live_span.record
        record.outcome_of, record.subjects = self.span_id, list(ended.record.subjects)
        if isinstance(result, Exception):
            actie._failed(result)
        elif result is not Outcome.UNSET:
            actie.span.set_status(StatusCode[Outcome(result).name])
        _end(actie, None)

    def _left_by(self, error: BaseException) -> None:
        """Judge an exception that leaves the block."""
        if self._live_span.record.said is not None:
            return
        status = self._live_span.owner.statuses.of(error)
        if status is Outcome.ERROR:
            self._failed(error)
        elif status is Outcome.OK:
            self.span.set_status(StatusCode.OK)

    def _failed(self, error: BaseException) -> None:
        facts = exception_facts(error)
        self._live_span.record.exception = facts
        # The message stays off the span: it may quote the data subject.
        self.span.add_event(
            "exception",
            {EXCEPTION_TYPE: facts.type, EXCEPTION_STACKTRACE: stacktrace_without_values(facts.stacktrace)},
        )
        self.span.set_status(Status(StatusCode.ERROR, facts.type))


class processing:  # noqa: N801  (reads as a verb where it is used)
    """Mark an Actie: as a context manager, or as a decorator of a function, coroutine or generator.

    The Logregel is made when the block ends. An exception that leaves the block gives status `Error` and goes on
    unchanged; its type and the places it passed are kept, its message is not.

    Args:
        activity: URI of the Verwerkingsactiviteit in the Register.
        name: What it is called for people; by default the last part of the activity, or the decorated function's name.
        attributes: More attributes of the standard, such as `dpl.objects.algorithm_id`.
        delivery: What is promised when the block has ended, where it is to be more than `LDV_DELIVERY` says.
        outbox: Where `install()` was given an outbox: the session or connection with whose transaction the record
            commits, or False for an Actie that changes nothing there. By default the one transaction that is open in
            this thread and task.

    Raises:
        ConfigurationError: On entering, with an outbox: no transaction is open here, or several are, or it commits each
            statement by itself.
        ConfigurationError: On entering, when nothing listens: a processing that would not be logged must show.
        UnknownTenant: On entering, with several Logboeken: nothing says whose this is, or says so in a way that can be
            followed.
        LogboekUnavailable: On entering, with level `write-ahead`, when the disk refused the start; nothing was begun.
        LogboekUnavailable: On leaving, with level `durable`, when the disk refused the record, so that the application
            can roll back. It never replaces an exception of the application's own: there it is a note.

    Source: LDV-A1 to A5.
    """

    def __init__(
        self,
        activity: str,
        *,
        name: str = "",
        attributes: Mapping[str, Any] | None = None,
        delivery: DeliveryLevel | None = None,
        outbox: object = None,
    ) -> None:
        self._activity = activity if isinstance(activity, str) else storable_text(activity)
        self._name = name
        self._attributes = attributes
        self._delivery = delivery
        self._outbox = outbox
        self._actie: Any = None
        self._token: Any = None
        self._context: Any = None

    def __enter__(self) -> Actie:
        """Start the Actie and make it current."""
        self._check_idle()
        actie = self._start()
        if actie._live_span.record.transaction is not None:
            _check_waits(actie)
        elif _writes_ahead(actie):
            _begin(actie)
        return self._make_current(actie)

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, places: TracebackType | None
    ) -> None:
        """End the Actie; exceptions pass."""
        actie, self._actie = self._actie, None
        self._leave()
        _end(actie, error)

    async def __aenter__(self) -> Actie:
        """Start the Actie and make it current; where its start is committed first, that does not hold up the loop."""
        self._check_idle()
        actie = self._start(awaited=True)
        await self._enter_awaited(actie)
        await begin_off_loop(_running(actie))
        return self._make_current(actie)

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, places: TracebackType | None
    ) -> None:
        """End the Actie without holding up the event loop while its record is written; exceptions pass."""
        actie, self._actie = self._actie, None
        self._leave()
        await finish_off_loop(_running(actie), error)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return the function with each call an Actie of its own, which lasts as long as the work.

        A result that is work is awaited, iterated or cancelled as before: a coroutine, a task, a future, a generator.
        What nobody uses ends when it is thrown away. Another awaitable, or an iterator, is a result like any other.
        Below `@staticmethod`, `@classmethod` or above them is the same.

        Raises:
            ConfigurationError: It is a class, or nothing that can be called.
        """
        name = self._name or _as_words(getattr(function, "__name__", "").replace("<lambda>", ""))

        def start() -> RunningCall:
            again = type(self)(
                self._activity, name=name, attributes=self._attributes, delivery=self._delivery, outbox=self._outbox
            )
            actie = again._start()  # own class
            return _running(actie)

        return wrap(function, start)

    def _check_idle(self) -> None:
        if self._actie is not None:
            raise RuntimeError("This processing is running already. Write processing(...) anew for each `with`.")

    def _make_current(self, actie: Actie) -> Actie:
        self._actie = actie
        self._context = trace.set_span_in_context(actie.span)
        self._token = otel_context.attach(self._context)
        return actie

    def _leave(self) -> None:
        try:
            self._token.var.reset(self._token)
        except ValueError:  # a framework goes on in another thread or task
            leave_elsewhere(self._token, self._context)

    async def _enter_awaited(self, actie: Actie) -> None:
        """Enter a transaction whose driver may have to wait for the event loop."""
        live_span = actie._live_span
        outboxes = live_span.owner.outboxes
        if outboxes is not None and outboxes.run_waiting is not None:
            await outboxes.run_waiting(_enter_transaction, actie.span, live_span, self._outbox)
        elif outboxes is not None or self._outbox:
            _enter_transaction(actie.span, live_span, self._outbox)

    def _start(self, context: Context | None = None, *, awaited: bool = False) -> Actie:
        attributes = {**(self._attributes or {}), PROCESSING_ACTIVITY_ID: self._activity}
        if DATA_SUBJECT_ID in attributes:
            attributes[DATA_SUBJECT_ID] = attribute_form(attributes[DATA_SUBJECT_ID])
        name = self._name if isinstance(self._name, str) else storable_text(self._name)
        span = _tracer().start_span(name or _last_part(self._activity), context, attributes=attributes)
        live_span = span_state.find(span)
        if live_span is None or live_span.ended:
            span.end()
            raise ConfigurationError(_NOT_LISTENING)
        if live_span.owner.refusal:
            error = UnknownTenant(live_span.owner.refusal)
            _never_began(span, live_span, error)
            raise error
        live_span.record.activity = self._activity
        live_span.record.level = self._delivery
        if (live_span.owner.outboxes is not None or self._outbox) and not awaited:
            _enter_transaction(span, live_span, self._outbox)
        return Actie(span, live_span)


def data_subject(identifier: object, *, type: str | None = None) -> None:  # the public API's word
    """Name a data subject of the current Actie. The identifier becomes a pseudonym here and goes no further.

    A second, different data subject gives a child Logregel of its own (LDV-A4). Outside an Actie the current span is
    logged for its data subject alone, and flagged.

    Args:
        identifier: As the application has it; BSNs may have dots, spaces or missing leading zeros.
        type: `BSN`, `KVK`, `RSIN`, `personeelsnummer`, ... or the URI of a register that defines it.

    Raises:
        ConfigurationError: Nothing listens; see `processing`.
        LogboekUnavailable: With level `write-ahead`, where the pseudonym is committed before this returns (in a
            coroutine: handed to a thread for that), the disk refused it.

    Source: LDV-A4.
    """
    _add_subject(trace.get_current_span(), None, identifier, type)


def next_logbook(url: str) -> None:
    """Name where the Logregels of the party that the current Actie calls can be read (`dpl.read.nextLogbookId`).

    A second, different party gives a child Logregel of its own. Not needed for parties in the file of `LDV_PARTIES`.

    Raises:
        ConfigurationError: There is no current Actie.
    """
    live_span = span_state.current()
    actie = live_span.nearest_actie() if live_span is not None else None
    if actie is None:
        raise ConfigurationError("next_logbook was called outside a processing. Call it inside the `with` block.")
    actie.add_read_api(url)


def foreign_read_api(url: str) -> None:
    """Do as `next_logbook`, by the name that this had in earlier versions of the standard."""
    next_logbook(url)


def called_by(party: str) -> None:
    """Name the application that made the call being served, where the application itself has identified it.

    This is for proofs that no web server shows, such as a signed token. Logregels of this call that end from here on
    have it as `dpl.core.foreign_operation.processor`; whether the trace restarts was decided before.

    Args:
        party: Name of a caller in the file of `LDV_PARTIES`, or the URL of its application.

    Raises:
        ConfigurationError: There is no current span.

    Source: LDV-X4.
    """
    live_span = span_state.current()
    if live_span is None:
        raise ConfigurationError("called_by was called outside a request. Call it inside the span that serves one.")
    caller = live_span.owner.parties.named(party)
    live_span.set_processor(caller.processor if caller is not None else party)


def ok() -> None:
    """Say that the current Actie succeeded: its status is `Ok`, a deliberate cancel by the user included (LDV-A5).

    It stands, whatever exception leaves the Actie. `reject` after it takes it back, and the other way round.

    Raises:
        ConfigurationError: There is no current span.
    """
    _say(_current("ok"), Outcome.OK)


def reject() -> None:
    """Say that the input of the current Actie was refused: an exception that leaves it is no failure (LDV-A5).

    Its status is `Unset`. Exceptions by which frameworks refuse input are known already; see `LDV_STATUS_OF`.

    Raises:
        ConfigurationError: There is no current span.
    """
    _say(_current("reject"), Outcome.UNSET)


def _current(function: str) -> LiveSpan:
    live_span = span_state.current()
    if live_span is None:
        raise ConfigurationError(f"{function} was called outside a processing. Call it inside the `with` block.")
    return live_span.nearest_actie() or live_span


def _say(actie: LiveSpan, status: Outcome) -> None:
    actie.record.said = status
    span = actie()
    if span is not None and status is Outcome.OK:
        # The tracing backend is to see it, too.
        span.set_status(StatusCode.OK)


def _add_subject(span: trace.Span, live_span: LiveSpan | None, identifier: object, type_: str | None) -> None:
    """Add a data subject to a live span, by default to the nearest Actie from a span upwards, or else that span."""
    if type(identifier) is not str and isinstance(identifier, list | tuple | set | frozenset) and len(identifier) > 1:
        # As in the attribute: a list is several people, and never one who is called so.
        for member in identifier:
            _add_subject(span, live_span, member, type_)
        return
    if live_span is None:
        live_span = span_state.nearest_actie_or_self(span)
        if live_span is not None and live_span.owner.tenant and named_tenant(None) not in ("", live_span.owner.tenant):
            # Code says that what it does here is another tenant's than the technical span around it.
            _subject_span(span, identifier, type_)
            return
    if live_span is None or live_span.ended:
        # There is no record, or it is out already: the data subject gets one of their own, below a span that is ours.
        _subject_span(span if live_span is not None else None, identifier, type_)
        return
    subject = live_span.add_subject(identifier, type_)
    if subject is not None and live_span.record.start is not None:
        # Level `write-ahead`: the start on disk is to name every data subject that is named while the Actie runs.
        do_off_loop(functools.partial(live_span.owner.add_to_start, live_span, subject))


def _subject_span(parent: trace.Span | None, identifier: object, type_: str | None) -> None:
    context = trace.set_span_in_context(parent) if parent is not None else None
    span = _tracer().start_span(span_state.SUBJECT_SPAN_NAME, context)
    live_span = span_state.find(span)
    if live_span is not None and not live_span.ended:
        live_span.add_subject(identifier, type_)
    span.end()
    if live_span is None:
        raise ConfigurationError(_NOT_LISTENING)


def _running(actie: Actie) -> RunningCall:
    context = trace.set_span_in_context(actie.span)
    first = functools.partial(_begin, actie) if _writes_ahead(actie) else None
    live_span = actie._live_span  # the other half of this module, as in those below
    delivery = live_span.owner.delivery
    collects = delivery.commits_together(live_span.record.level)
    end, conclude = functools.partial(_end_span, actie), functools.partial(_conclude, actie)
    outboxes = live_span.owner.outboxes
    if outboxes is not None and (run_waiting := outboxes.waits_at_end(live_span)) is not None:
        return RunningCall(context, None, end, conclude, delivery.blocks, collects, run_waiting)
    return RunningCall(context, first, end, conclude, delivery.blocks, collects)


def _writes_ahead(actie: Actie) -> bool:
    """Return whether the start of an Actie has to be on disk before anything is done."""
    live_span = actie._live_span
    level, owner = live_span.record.level, live_span.owner
    if live_span.record.transaction is not None:
        return False  # a process that is killed in the block undoes what it changed
    return owner.writes_ahead if level is None else owner.delivery.writes_ahead(level)


def _begin(actie: Actie) -> None:
    """Commit the start of an Actie; if that is refused, there is no Actie."""
    live_span = actie._live_span
    try:
        live_span.owner.begin(live_span)
    except LogboekUnavailable as error:
        _never_began(actie.span, live_span, error)
        raise


def _check_waits(actie: Actie) -> None:
    """See that a plain `with` can write the record; if not, there is no Actie."""
    live_span = actie._live_span
    try:
        if live_span.owner.outboxes is not None:
            live_span.owner.outboxes.check_waits(live_span)
    except ConfigurationError as error:
        _never_began(actie.span, live_span, error)
        raise


def _never_began(span: trace.Span, live_span: LiveSpan, error: Exception) -> None:
    live_span.end(actie=False)
    span.set_status(Status(StatusCode.ERROR, type(error).__name__))
    span.end()


def _installed(outboxes: ActieTransactions | None) -> ActieTransactions:
    if outboxes is None:
        raise ConfigurationError(
            "This processing names an outbox, and install() was given none. The block was not entered. Call "
            "ldv_otel.install(outbox=...)."
        )
    return outboxes


def _enter_transaction(span: trace.Span, live_span: LiveSpan, named: object) -> None:
    """Have an Actie belong to a transaction of an outbox; if there is none for it, there is no Actie."""
    outboxes = live_span.owner.outboxes
    try:
        live_span.record.transaction = _installed(outboxes).enter(live_span, named)
    except Exception as error:
        _never_began(span, live_span, error)
        raise


def _end(actie: Actie, error: BaseException | None) -> None:
    _end_span(actie, error)
    if actie._live_span.record.refusal is not None:
        _conclude(actie, error)


def _end_span(actie: Actie, error: BaseException | None) -> None:
    if error is not None:
        actie._live_span.record.left_by_error = True
        actie._left_by(error)
    actie.span.end()


def _conclude(actie: Actie, error: BaseException | None) -> None:
    """Raise that the record was refused, if it was; the error that left the block goes before it."""
    refusal = actie._live_span.record.refusal
    if refusal is not None:
        if error is None:
            raise LogboekUnavailable(refusal.message, in_doubt=refusal.in_doubt)
        # The caller has to see the application's own exception; ours is a note on it.
        error.add_note(f"And its Logregel was refused: {refusal.message}")


def _tracer() -> trace.Tracer:
    """Return the tracer of the provider that is set now; asking the provider each time costs a lock and a hash."""
    global _last_tracer  # noqa: PLW0603  (a cache of one)
    provider = trace.get_tracer_provider()
    last_provider, tracer = _last_tracer
    if last_provider is not provider or tracer is None:
        tracer = provider.get_tracer(span_state.SCOPE, __version__)
        _last_tracer = (provider, tracer)
    return tracer


_last_tracer: tuple[trace.TracerProvider | None, trace.Tracer | None] = (None, None)


def _last_part(activity: str) -> str:
    return _as_words(activity.rstrip("/").rpartition("/")[2].rpartition("#")[2])


def _as_words(identifier: str) -> str:
    words = identifier.replace("_", " ").replace("-", " ").strip()
    return words[:1].upper() + words[1:]
