"""The outboxes that `install()` was given: which transaction an Actie belongs to, and where its records go."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from ldv_otel._internal.config.daemon_thread import forks_later
from ldv_otel._internal.config.error_places import type_and_places
from ldv_otel._internal.delivery.level import Delivery
from ldv_otel._internal.delivery.outbox.sender import OutboxSender
from ldv_otel._internal.delivery.outbox.store import OutboxAway, OutboxFormat
from ldv_otel._internal.delivery.sink import Sink
from ldv_otel._internal.record.builder import after_commit, flagged, undone, until
from ldv_otel._internal.record.logregel import Logregel, encode_logregel
from ldv_otel._internal.sdk._private import uninstrumented
from ldv_otel._internal.sdk.health import OutboxHealth
from ldv_otel._internal.sdk.outbox.contract import Outbox
from ldv_otel._internal.sdk.outbox.doubts import Doubt, Doubts
from ldv_otel._internal.sdk.outbox.transaction import ASYNC_WITH, Fate, OpenTransaction, RunWaiting, TransactionWatcher
from ldv_otel._internal.sdk.span_record import Refusal
from ldv_otel._internal.times.instants import now_ms
from ldv_otel.attributes import Flag
from ldv_otel.errors import ConfigurationError, LogboekUnavailable

if TYPE_CHECKING:
    from ldv_otel._internal.sdk.span_state import LiveSpan

_logger = logging.getLogger(__name__)

_STOP_SECONDS: Final = 10.0


class InstalledOutboxes(TransactionWatcher):
    """Every Actie belongs to one open transaction of these databases, or says that it belongs to none.

    Args:
        delivery: Takes what is in no transaction.
        records_so_far: Makes the records of an Actie that runs.
        make_sink: Makes a sink for each sender.
    """

    def __init__(
        self,
        outboxes: Sequence[Outbox],
        delivery: Delivery,
        records_so_far: Callable[[LiveSpan], Sequence[Logregel]],
        make_sink: Callable[[], Sink],
    ) -> None:
        self._outboxes = tuple(outboxes)
        self._delivery = delivery
        self._records_so_far = records_so_far
        self._make_sink = make_sink
        self._changing = threading.Lock()
        self._senders: dict[Outbox, OutboxSender] = {}
        self._pid = os.getpid()
        #: What happened to transactions with Acties, for `health()`.
        self.counts: Counter[str] = Counter()
        self._doubts = Doubts(lambda doubt: self.rolled_back(doubt.size, doubt.records), uninstrumented)

    def open(self) -> None:
        """Begin to see transactions and to send.

        Raises:
            ConfigurationError: The tables of one are of a newer format. That they are missing, or that the database is
                away, is no such reason: a migration may be what this process is for.
        """
        for outbox in self._outboxes:
            store = outbox.store()
            try:
                with uninstrumented():
                    store.check()
                    store.close()
            except OutboxFormat as error:
                if not error.missing:
                    raise ConfigurationError(f"Outbox {outbox.name}: {error} Logging did not start.") from None
                _logger.error("Outbox %s: %s", outbox.name, str(error))
            except OutboxAway as error:
                _logger.warning("Outbox %s: %s", outbox.name, str(error))
        for outbox in self._outboxes:
            outbox.listen()
        self.start_sending()

    def start_sending(self) -> None:
        """Start a sender for each outbox that has none in this process."""
        if forks_later():
            return
        with self._changing:
            if self._pid != os.getpid():
                self._senders, self._pid = {}, os.getpid()
            for outbox in self._outboxes:
                if outbox.sends and outbox not in self._senders:
                    sender = OutboxSender(self._make_sink(), outbox.store(), quiet=uninstrumented)
                    if sender.start():
                        self._senders[outbox] = sender

    @property
    def run_waiting(self) -> RunWaiting | None:
        """Runs a function so that a driver in it may wait for an event loop; None where no driver does."""
        return next((outbox.run_waiting for outbox in self._outboxes if outbox.run_waiting is not None), None)

    def waits_at_end(self, live_span: LiveSpan) -> RunWaiting | None:
        """Return what runs the end of an Actie whose transaction is of such a driver; None for others."""
        transaction = live_span.record.transaction
        return transaction.run_waiting if isinstance(transaction, OpenTransaction) else None

    def check_waits(self, live_span: LiveSpan) -> None:
        """See that the driver of an Actie's transaction need not wait for an event loop, or may do so where this is.

        Raises:
            ConfigurationError: It would have to, below a plain `with`.
        """
        transaction = live_span.record.transaction
        if (
            self.waits_at_end(live_span) is not None
            and isinstance(transaction, OpenTransaction)
            and not transaction.may_wait()
        ):
            transaction.leave(live_span)
            raise ConfigurationError(ASYNC_WITH)

    def enter(self, live_span: LiveSpan, named: object) -> OpenTransaction | None:
        """Return the transaction that an Actie belongs to, which is told so; None for one that belongs to none.

        Args:
            named: What `processing` was given: a session or connection, False for none, or None to look which one is
                open here.

        Raises:
            ConfigurationError: There is none, or there are several and none is named; or it cannot take a record.
        """
        if named is False:
            return None
        with uninstrumented():
            transaction = self._current() if named is None else self._named(named)
        level = live_span.record.level
        if level in ("confirmed", "write-ahead"):
            raise ConfigurationError(
                f'This processing asks for delivery="{level}", which a record that commits with a transaction cannot '
                "have. The block was not entered. Leave `delivery` out, or say outbox=False to log it by the spool."
            )
        transaction.enter(live_span, self)
        return transaction

    def _current(self) -> OpenTransaction:
        transactions = [transaction for outbox in self._outboxes for transaction in outbox.open_here()]
        if len(transactions) == 1:
            return transactions[0]
        if not transactions:
            raise ConfigurationError(
                "No transaction of an outbox's database is open here, in this thread and task, so the record of this "
                "processing could not commit with its change. The block was not entered. Begin the transaction around "
                "it, or name the session or connection that has one (outbox=session), or say outbox=False where "
                "nothing is changed in that database: its record then goes by the spool."
            )
        raise ConfigurationError(
            f"{len(transactions)} transactions of outboxes' databases are open here, and nothing says which one this "
            "processing belongs to. The block was not entered. Name its session or connection: outbox=session."
        )

    def _named(self, named: object) -> OpenTransaction:
        for outbox in self._outboxes:
            if (transaction := outbox.named(named)) is not None:
                return transaction
        raise ConfigurationError(
            f"The outbox of this processing is a {type(named).__name__} that belongs to none of the databases that "
            f"install() was given ({', '.join(outbox.name for outbox in self._outboxes)}). The block was not entered."
        )

    def hand_over(self, records: Sequence[Logregel], live_span: LiveSpan) -> Sequence[Logregel]:
        """Put the records of an Actie that ended where they belong, and return what goes by the ordinary way."""
        record, transaction = live_span.record, live_span.record.transaction
        if not isinstance(transaction, OpenTransaction):
            return records
        transaction.leave(live_span)
        if record.committed_before_end and transaction.fate is not Fate.ROLLED_BACK:
            return after_commit(records, os.urandom(8))
        if record.left_by_error:
            # Nothing into a transaction that is most likely undone. Where the application commits it all the same,
            # this says that the Actie failed.
            return records
        if transaction.fate is Fate.OPEN:
            self._write(records, live_span, transaction)
            return ()
        if transaction.fate is Fate.ROLLED_BACK:
            self.rolled_back(len(records), records if transaction.keeps else ())
            return ()
        # It committed while the Actie ran, and nothing was heard before (Django).
        return [flagged(each, Flag.AFTER_COMMIT) for each in records]

    def _write(self, records: Sequence[Logregel], live_span: LiveSpan, transaction: OpenTransaction) -> None:
        try:
            transaction.write(records)
        except LogboekUnavailable as error:
            self.refused(len(records))
            live_span.record.refusal = Refusal(str(error), in_doubt=False)
            self.rolled_back(len(records), records if transaction.keeps else ())

    def records_so_far(self, live_span: LiveSpan) -> Sequence[Logregel]:
        """Return the records of an Actie that runs, as they are at the moment of a commit."""
        now = now_ms()
        return [until(record, now) for record in self._records_so_far(live_span)]

    def committing(self) -> None:
        """Wake the sender."""
        if self._pid != os.getpid() or len(self._senders) < len(self._outboxes):
            self.start_sending()
        for sender in self._senders.values():
            sender.note_commit()

    def rolled_back(self, count: int, records: Sequence[Logregel]) -> None:
        """Count records that were undone, and log those that are asked for as failed, by the spool."""
        self.counts["rolled_back"] += count
        if not records:
            return
        try:
            self._delivery.submit_encoded([encode_logregel(undone(record)) for record in records])
        except LogboekUnavailable as error:
            _logger.error("Of an Actie whose transaction was rolled back no record could be kept. %s", str(error))
        except Exception as error:  # LDV-A8: this is called from within a driver's rollback
            _logger.error(
                "Of an Actie whose transaction was rolled back no record could be made; please report this. %s",
                type_and_places(error),
            )

    def refused(self, count: int) -> None:
        """Count what a database did not take."""
        self.counts["refused"] += count

    def in_doubt(self, doubt: Doubt) -> None:
        """Have a database asked later what became of a transaction with Acties."""
        _logger.warning(
            "The connection broke while a transaction with Acties committed. If the database committed it, their "
            "records are in its outbox and will be sent; if not, there are none. %s",
            "It is asked." if doubt.number is not None else "It cannot say which.",
        )
        self._doubts.add(doubt)

    def health(self) -> OutboxHealth:
        """Return how they are doing."""
        return OutboxHealth(
            rolled_back=self.counts["rolled_back"],
            refused_writes=self.counts["refused"],
            in_doubt=self._doubts.open,
            databases={outbox.name: sender.state for outbox, sender in self._own_senders()},
        )

    def _own_senders(self) -> list[tuple[Outbox, OutboxSender]]:
        return list(self._senders.items()) if self._pid == os.getpid() else []

    def flush(self, timeout_seconds: float) -> bool:
        """Send what is there; True when nothing waits any more."""
        # Each of them, also when one has not got everything away.
        return not [sender for _, sender in self._own_senders() if not sender.flush(timeout_seconds)]

    def close(self, timeout_seconds: float = _STOP_SECONDS) -> None:
        """Send what is there unless the Logboek is away, and stop; the rest stays in the databases."""
        self._doubts.close(timeout_seconds)
        for _, sender in self._own_senders():
            sender.stop(timeout_seconds)
