"""`LdvSpanProcessor` makes the Logregels of every Actie that ends, and hands them to delivery."""

from __future__ import annotations

import functools
import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Self

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanKind

from ldv_otel._internal.config.error_places import type_and_places
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.level import Delivery, EndedActie
from ldv_otel._internal.delivery.repeated_line import RepeatedLine
from ldv_otel._internal.parties.parties import Parties, parties_for
from ldv_otel._internal.privacy.pseudonyms import DataSubject
from ldv_otel._internal.record.actie import LogregelMaker, is_actie
from ldv_otel._internal.record.builder import child_of, interrupted, redacted
from ldv_otel._internal.record.error_status import ErrorStatuses
from ldv_otel._internal.record.logregel import Logregel, actie_id, encode_logregel
from ldv_otel._internal.record.overlooked import OverlookedAttributes
from ldv_otel._internal.sdk import _private, loop_commits, span_state, span_subjects
from ldv_otel._internal.sdk._private import uninstrumented
from ldv_otel._internal.sdk.extensions import Extensions, load_extensions
from ldv_otel._internal.sdk.fast_lane import ordinary_actie
from ldv_otel._internal.sdk.grpc_aborts import is_refusal
from ldv_otel._internal.sdk.inbound_context import restarted_from
from ldv_otel._internal.sdk.loop_commits import LoopCommits, RequestCommits
from ldv_otel._internal.sdk.peers import called_address
from ldv_otel._internal.sdk.reloaders import only_restarts
from ldv_otel._internal.sdk.span_facts import bare_facts_of, facts_of
from ldv_otel._internal.sdk.span_record import Refusal
from ldv_otel._internal.sdk.span_rules import SpanMapper, mapper_for
from ldv_otel._internal.sdk.span_state import ActieTransactions, LiveSpan
from ldv_otel.attributes import FLAGS, NAMESPACE
from ldv_otel.errors import LogboekSetupError, LogboekUnavailable

if TYPE_CHECKING:
    from ldv_otel._internal.delivery.drainer_threads import SharedThreads
    from ldv_otel._internal.delivery.sink import Sink

# What sets logging up, and what only some Acties need, is imported where it is used: `import ldv_otel` stays light.

_logger = logging.getLogger(__name__)

#: Counted with the flags: spans that could not be made into a record.
_FAILED: Final = "failed"


def maker_for(settings: Settings) -> LogregelMaker:
    """Return a maker of records, with the keys of the settings.

    Raises:
        ConfigurationError: There are no keys, or they cannot be used.
    """
    maker = LogregelMaker.from_settings(settings)
    maker.knows = register_check(settings)
    return maker


def register_check(settings: Settings) -> Callable[[str], bool] | None:
    """Return what says whether the Register has an activity; None where that is not checked (LDV-N15).

    Raises:
        ConfigurationError: The Register cannot be used.
    """
    if settings.register_check == "off":
        return None
    from ldv_otel._internal.register.known_activities import known_activities

    activities = known_activities(settings, uninstrumented)
    return activities.knows if activities is not None else None


def delivery_for(settings: Settings, sink: Sink, *, drains: bool, shared: SharedThreads | None = None) -> Delivery:
    """Return the delivery of the level that is set.

    Args:
        drains: Whether it sends from now on what dead processes left, too.
        shared: The threads that it shares with those of other Logboeken.

    Raises:
        ConfigurationError: Its spool cannot be made.
    """
    if settings.delivery == "memory":
        from ldv_otel._internal.delivery.losses import LossWriter
        from ldv_otel._internal.delivery.memory import MemoryDelivery

        return MemoryDelivery(
            sink, queue_records=settings.queue_records, quiet=uninstrumented, on_loss=LossWriter(settings)
        )
    from ldv_otel._internal.delivery.durable import DurableDelivery
    from ldv_otel._internal.delivery.paths import spool_base, spool_root

    delivery = DurableDelivery(
        sink,
        spool_base(spool_root(settings), settings.logboek),
        level=settings.delivery,
        confirm_seconds=settings.confirm_seconds,
        quiet=uninstrumented,
        shared=shared,
    )
    if drains:
        delivery.start_draining()
    return delivery


class LdvSpanProcessor(SpanProcessor):
    """Logs every Actie, sampled or not (LDV-A3), and never lets logging break the application (LDV-A8).

    Wire it by hand with `provider.add_span_processor(LdvSpanProcessor(...))` together with `LdvSampler`, without which
    spans that the sampler drops never get here; `ldv_otel.install()` does both.

    Args:
        maker: Makes records of spans.
        delivery: Takes them over; shut down with this processor.
        flush_seconds: How long `shutdown` waits for what is pending.
        mapper: Applies mapping rules to spans of existing instrumentation.
        parties: The parties that this application calls; `LdvPropagator` identifies those that call it.
        extensions: They add attributes to records.
        expose_subject: Let other exporters see the pseudonyms of a span's data subjects.
        status_of: What the application adds to the table of exceptions; see `LDV_STATUS_OF`.

    Attributes:
        flags: How often each flag was set on a record, and `failed` for spans that could not be made into one.
        overlooked: Attributes of the standard on spans that are no Acties (LDV-N9).
        tenant: Whose Logboek it logs to, of several; empty for the only one.
        tenant_decided: Whether that was said; see `tenants/choice.py`.
        refusal: Why a `processing` is not entered; empty where it is.
    """

    tenant = ""
    tenant_decided = False
    refusal = ""

    def __init__(  # noqa: PLR0913  (each is a part that can be had without the others)
        self,
        maker: LogregelMaker,
        delivery: Delivery,
        *,
        flush_seconds: float = 10.0,
        mapper: SpanMapper | None = None,
        parties: Parties | None = None,
        extensions: Extensions | None = None,
        expose_subject: bool = False,
        status_of: Iterable[str] = (),
    ) -> None:
        self.maker = maker
        self.mapper = mapper or SpanMapper(None, maker.pseudonymise)
        self.rule_for, self.same_rule = self.mapper.rule_for, self.mapper.same_rule
        self._expose_subject = expose_subject
        self.delivery = delivery
        self.flush_seconds = flush_seconds
        self.parties = parties or Parties()
        self._calls_known_parties = self.parties.calls_known_parties
        self.extensions = extensions or Extensions()
        self.statuses = ErrorStatuses(status_of, is_refusal)
        self._counting = threading.Lock()
        self.flags: Counter[str] = Counter()
        self.overlooked = OverlookedAttributes(_logger)
        self.pseudonymise = maker.pseudonymise
        self.stray = maker.stray
        self.writes_ahead = delivery.writes_ahead(None)
        self._loop_queue = loop_commits.LoopQueue(delivery)
        #: Databases of the application with whose transactions records commit; `install()` sets it.
        self.outboxes: ActieTransactions | None = None
        self._shut = False
        self._refusals, self._refused_starts = (RepeatedLine(_logger, logging.ERROR) for _ in range(2))

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return a processor with the delivery level, keys and Logboek that the settings name, opened.

        Raises:
            ConfigurationError: They cannot work. A Logboek that is away, or has to be set up otherwise, is no such
                reason: records wait for it.
        """
        from ldv_otel._internal.delivery.sink import make_sink
        from ldv_otel._internal.delivery.write_gates import gated

        sink = gated(make_sink(settings), settings, uninstrumented)
        maker = maker_for(settings)
        mapper = mapper_for(settings, maker.pseudonymise)
        parties = parties_for(settings)
        leaves_it = settings.logboek.embedded and only_restarts(sys.orig_argv, os.environ)
        with uninstrumented():
            try:
                if leaves_it:
                    _logger.warning(
                        "This process restarts the service when its code changes. It leaves the embedded Logboek to "
                        "the process that it starts."
                    )
                else:
                    sink.open()
            except (LogboekUnavailable, LogboekSetupError) as error:
                if isinstance(error, LogboekSetupError) and settings.delivery == "memory":
                    raise  # records cannot wait there
                _logger.warning("The service starts without its Logboek; Logregels wait for it. %s", str(error))
        return cls(
            maker,
            delivery_for(settings, sink, drains=not leaves_it),
            flush_seconds=settings.flush_seconds,
            mapper=mapper,
            parties=parties,
            extensions=load_extensions(parties, sink.traits.extension),
            expose_subject=settings.expose_subject == "pseudonym",
            status_of=settings.status_of,
        )

    def may_be_actie(self, name: str, kind: SpanKind, attributes: Mapping[str, object]) -> bool:
        """Return whether a span that starts like this may be an Actie: by its attributes, or by a mapping rule.

        One with any attribute of the standard may be: it is recorded, so that it is one or is named (LDV-N9).
        """
        return (
            is_actie(attributes)
            or name == span_state.SUBJECT_SPAN_NAME
            or self.mapper.may_match(name, kind)
            or any(attribute.startswith(NAMESPACE) for attribute in attributes)
        )

    @property
    def blocks(self) -> bool:
        """Whether the end of an Actie may wait for a disk or a server."""
        return self.delivery.blocks

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Begin a live span with its caller and called party; at level `write-ahead` commit the start of an Actie.

        `processing` commits its start itself, because it can refuse to go on, and wait outside an event loop.
        """
        if self._shut:
            return
        live_span = span_state.begin(span, self, parent_context)
        if live_span.owner is not self:
            return
        if (
            live_span.foreign is not None
            and span.parent is None
            and (caller := restarted_from(parent_context)) is not None
        ):
            # As OpenTelemetry does at a public endpoint: the tracing backend can still go from one trace to the other.
            span.add_link(caller)
        if self._calls_known_parties:
            self._note_called_party(span, live_span)
        if self.writes_ahead and not _is_of_processing(span):
            try:
                self.begin(live_span)
            except LogboekUnavailable as error:
                self._refused_starts.log(
                    "The start of an Actie was refused; only its end will be logged. %s", str(error)
                )

    def begin(self, live_span: LiveSpan) -> None:
        """Commit the start of a span if it is an Actie: everything known by now, with pseudonyms only.

        Raises:
            LogboekUnavailable: The disk refused.
        """
        records = self._records_of_start(live_span)
        if not records:
            return
        from ldv_otel._internal.delivery.spool.write_ahead import ActieStart

        start = ActieStart(actie_id(records[0]), tuple(records))
        self.delivery.begin(start, more=live_span.record.start is not None)
        live_span.record.start = records[0]

    def _records_of_start(self, live_span: LiveSpan) -> list[Logregel]:
        """Return the records that stand if the span is never ended; none when it is no Actie."""
        return [interrupted(record) for record in self.records_so_far(live_span)]

    def records_so_far(self, live_span: LiveSpan) -> Sequence[Logregel]:
        """Return the records of a span that runs, as far as they are known; none when it is no Actie."""
        span = live_span()
        try:
            if span is None:
                return []
            snapshot = live_span.look(span)
            facts = facts_of(span, snapshot, live_span, self.maker)
            if facts is None:
                return []
            if snapshot.rule is not None:
                self.mapper.apply(snapshot.rule, snapshot.identifiers, facts)
            return self.maker.make(facts)
        except Exception as error:  # LDV-A8, as in `on_end`
            _logger.error(
                "The record of a running Actie could not be made; only its end is logged. Please report this. %s",
                type_and_places(error),
            )
            return []

    def _bare(self, span: ReadableSpan, live_span: LiveSpan, error: Exception) -> Sequence[Logregel]:
        """Return the bare records of a span about which not everything can be found out; none if it is no Actie.

        LDV-A8: a record too many says that it is one; one too few is a broken duty.
        """
        # Nobody may know whom the span is about, so no text of it is shown to others.
        live_span.known_subjects.too_many = True
        return self.maker.bare(bare_facts_of(span, live_span), error) if self._may_be(span, live_span) else ()

    def _may_be(self, span: ReadableSpan, live_span: LiveSpan) -> bool:
        """Return whether a span, about which not everything can be found out, may be an Actie."""
        record = live_span.record
        if record.activity is not None or record.subjects:
            return True
        return self.may_be_actie(span.name, span.kind, _private.attributes(span))

    def add_to_start(self, live_span: LiveSpan, subject: DataSubject) -> None:
        """Commit a data subject that was named while the Actie ran.

        Raises:
            LogboekUnavailable: The disk refused.
        """
        start = live_span.record.start
        if start is None:
            return
        if not start.data_subject_id:
            self.begin(live_span)
            return
        from ldv_otel._internal.delivery.spool.write_ahead import ActieStart

        # The start was made before this data subject was named, and may quote the identifier.
        parent = redacted(start, live_span.known_subjects.known_redactor())
        child = interrupted(child_of(parent, subject, os.urandom(8)))
        self.delivery.begin(ActieStart(actie_id(start), (child,)), more=True)

    def on_end(self, span: ReadableSpan) -> None:
        """Log the span if it is an Actie."""
        try:
            self._end(span)
        except Exception as error:  # LDV-A8: the application goes on
            self._note_failure(error)

    def _note_failure(self, error: Exception) -> None:
        with self._counting:
            self.flags[_FAILED] += 1
        _logger.error("A Logregel could not be stored; please report this. %s", type_and_places(error))

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver everything; True only if nothing is pending and nothing was lost.

        Instrumentations call this after each request (that of AWS Lambda with 30 s), so it waits no longer than
        `flush_seconds`, and hardly while the Logboek is away: what is on disk stays pending.
        """
        return self.deliver(min(timeout_millis / 1_000, self.flush_seconds), patient=False)

    def deliver(self, seconds: float, *, patient: bool = True) -> bool:
        """Commit what a thread has yet to commit, and deliver what is pending, within this time together.

        Args:
            patient: As for `Delivery.flush`.

        Returns:
            Whether nothing is pending any more, and nothing was ever lost.
        """
        end = time.monotonic() + seconds
        settled = self.settle(seconds)
        return self.delivery.flush(max(0.0, end - time.monotonic()), patient=patient) and settled

    def settle(self, seconds: float) -> bool:
        """Wait until what a thread is to commit is with delivery; return whether that came true."""
        return self._loop_queue.settle(seconds)

    def shutdown(self) -> None:
        """Flush and stop; what cannot be delivered is reported by the delivery."""
        self._shut = True
        self.settle(self.flush_seconds)
        self.delivery.shutdown(self.flush_seconds)

    def _end(self, span: ReadableSpan) -> None:
        live_span = span_state.find(span)
        if live_span is None or live_span.owner is not self or live_span.ended:
            return
        if self._calls_known_parties:
            self._note_called_party(span, live_span)
        if live_span.parent is not None:
            self._look_upwards(live_span.parent, live_span)
        record = live_span.record
        if (
            record.activity is None
            and not record.subjects
            and not self.mapper.has_rules
            and not _private.has_name_in(span, NAMESPACE)
        ):
            # Nothing makes it an Actie, and nothing on it was overlooked.
            live_span.end(actie=False)
            return
        records: Sequence[Logregel] = ()
        try:
            records = ordinary_actie(span, live_span, self.maker) or self._records_of_end(span, live_span)
        except Exception as error:  # LDV-A8, as in `_bare`
            records = self._bare(span, live_span, error)
        if not records:
            live_span.end(actie=False)
            return
        self._hand_over(records, live_span)

    def _records_of_end(self, span: ReadableSpan, live_span: LiveSpan) -> Sequence[Logregel]:
        """Return the records of an ended span; none when it is no Actie."""
        snapshot = live_span.look(span)
        if live_span.record.activity is None:
            self.mapper.note(span, snapshot)
        facts = facts_of(span, snapshot, live_span, self.maker)
        if facts is None:
            self.overlooked.add(snapshot.attributes)
            return ()
        if snapshot.rule is not None:
            self.mapper.apply(snapshot.rule, snapshot.identifiers, facts)
        return self.maker.make(facts)

    def _hand_over(self, records: Sequence[Logregel], live_span: LiveSpan) -> None:
        """End an Actie, and hand its records to delivery."""
        # Before delivery, which may wait for a disk: other threads start children meanwhile.
        live_span.end(actie=True, activity=records[0].processing_activity_id)
        if self._expose_subject:
            live_span.known_subjects.exposed = span_subjects.exposed_attributes(records)
        if len(records) > 1 or FLAGS in records[0].attributes:
            self._count_flags(records)
        if live_span.record.transaction is not None and self.outboxes is not None:
            records = self.outboxes.hand_over(records, live_span)
            if not records:
                return
        commits = loop_commits.current()
        if commits is not None and self._left_to(commits, records, live_span):
            return
        try:
            if len(records) == 1:
                self.delivery.submit(records[0], live_span.record.level)
            else:
                self._submit_together(records, live_span)
        except LogboekUnavailable as error:
            self._note_refusal(live_span, error)

    def _left_to(self, commits: LoopCommits, records: Sequence[Logregel], live_span: LiveSpan) -> bool:
        """Leave the commit of an Actie to a thread, if what collects the commits here takes it and delivery can."""
        if not commits.takes(of_processing=live_span.record.activity is not None):
            return False
        if self.delivery.commits_together(live_span.record.level):
            actie = EndedActie(list(map(encode_logregel, records)), actie_id(records[0]))
            commits.add(self._loop_queue, actie, functools.partial(self._note_refusal, live_span))
            return True
        return (
            self.delivery.blocks
            and isinstance(commits, RequestCommits)
            and commits.add_alone(self._loop_queue, functools.partial(self._submit_alone, records, live_span))
        )

    def _submit_alone(self, records: Sequence[Logregel], live_span: LiveSpan) -> None:
        """Hand the records of an Actie to delivery in a thread, where nobody would see an exception."""
        try:
            self._submit_together(records, live_span)
        except LogboekUnavailable as error:
            self._note_refusal(live_span, error)
        except Exception as error:  # LDV-A8, as in `on_end`
            self._note_failure(error)

    def _note_refusal(self, live_span: LiveSpan, error: LogboekUnavailable) -> None:
        """Keep why delivery refused a record.

        `processing` raises it; a span made by hand has no caller of ours, so only the log shows it.
        """
        live_span.record.refusal = Refusal(str(error), error.in_doubt)
        self._refusals.log("A Logregel was refused. %s", str(error))

    def _count_flags(self, records: Sequence[Logregel]) -> None:
        with self._counting:
            for record in records:
                self.flags.update(record.flags)

    @staticmethod
    def _look_upwards(parent: LiveSpan, live_span: LiveSpan) -> None:
        """Have the shield learn of the spans around one that ends, before its end cuts it off from them."""
        try:
            parent.look_upwards()
        except Exception as error:  # LDV-A8: the record is made all the same
            # The type only: the rest may quote an identifier. And the shield stays closed.
            _logger.error("The data subjects of a span could not be found out (%s).", type(error).__name__)
            live_span.known_subjects.too_many = True

    def _note_called_party(self, span: ReadableSpan, live_span: LiveSpan) -> None:
        """Keep where the party that a span calls can be read; some instrumentations name the party only at the end."""
        if span.kind not in span_state.OUTBOUND:
            return
        try:
            host, port = called_address(_private.attributes(span))
            if host and (read_api := self.parties.read_api(host, port)):
                live_span.add_read_api(read_api)
        except Exception as error:  # LDV-A8: the record is made all the same
            _logger.error("The party that a span calls could not be found out. %s", type_and_places(error))

    def _submit_together(self, records: Sequence[Logregel], live_span: LiveSpan) -> None:
        """Hand all records of an Actie to delivery, for which it needs one flush."""
        payloads = list(map(encode_logregel, records))
        self.delivery.submit_encoded(payloads, live_span.record.level, ended=actie_id(records[0]))


def _is_of_processing(span: Span) -> bool:
    scope = span.instrumentation_scope
    return scope is not None and scope.name == span_state.SCOPE
