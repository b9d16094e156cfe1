"""The levels that keep a record on the local disk from the moment `end()` returns until the Logboek has confirmed it.

| level | when `end()` returns | survives |
| --- | --- | --- |
| `durable` | the record is committed to the spool | a killed process, power loss, an outage as long as the disk holds |
| `write-ahead` | as `durable`; and its start was committed before it began | also a kill while it runs |
| `confirmed` | the Logboek has confirmed it as well | the loss of the local disk |
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from ldv_otel._internal.config.daemon_thread import forks_later
from ldv_otel._internal.config.variables import DeliveryLevel
from ldv_otel._internal.delivery.batch import Batch, new_writer_id
from ldv_otel._internal.delivery.clock import Clock, SystemClock
from ldv_otel._internal.delivery.drainer import Drainer
from ldv_otel._internal.delivery.gevent_support import waiting
from ldv_otel._internal.delivery.level import EndedActie
from ldv_otel._internal.delivery.repeated_line import RepeatedLine
from ldv_otel._internal.delivery.retry import RetryPolicy, deliver, sleep
from ldv_otel._internal.delivery.sink import Sink, seal_state_of
from ldv_otel._internal.delivery.spool.ownership import remove_spool
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine
from ldv_otel._internal.delivery.spool.segment import SEGMENT_BYTES
from ldv_otel._internal.delivery.spool.write_ahead import ActieStart, encode_start
from ldv_otel._internal.delivery.spool.writer import SpoolClosed, SpoolWriter
from ldv_otel._internal.delivery.stats import DeliveryStats
from ldv_otel._internal.record.logregel import Logregel, actie_id, decode_logregel, encode_logregel
from ldv_otel.errors import BatchRefused, ConfigurationError, LogboekUnavailable

if TYPE_CHECKING:
    from ldv_otel._internal.delivery.drainer_threads import SharedThreads

T = TypeVar("T")

_logger = logging.getLogger(__name__)

#: A person waits for the outcome, and can try again.
_STOP_SECONDS: Final = 5.0
#: The embedded engine crashes where a process ends while it works, and then the exit code is another: a server that
#: reloads itself, by its exit code, would stay away.
_ENGINE_STOP_SECONDS: Final = 60.0
_AT_ONCE: Final = RetryPolicy(patience_seconds=0.0)


def drain(sink: Sink, base: Path) -> tuple[int, int]:
    """Send, in this thread, what dead processes have left; return how many were confirmed and how many quarantined.

    Raises:
        LogboekUnavailable: The Logboek does not answer; what is left stays in its spool.
        ConfigurationError: It cannot be used like this.
    """
    spool = SpoolWriter(base, new_writer_id())
    drainer = Drainer(sink, spool, clock=SystemClock())
    try:
        sink.open()
        for _ in drainer.adopt():
            continue
    finally:
        sink.close()
        drainer.stop(0)
        spool.close()
        remove_spool(spool.directory)
    return drainer.adopted, drainer.quarantined


def retry_quarantine(sink: Sink, base: Path) -> tuple[int, int]:
    """Send every quarantined record once more, in its own place; return how many were confirmed and how many were not.

    Each goes out under its own writer and sequence number, so that it fills the gap that it left, and it stays in
    quarantine until it is confirmed.

    Raises:
        LogboekUnavailable: The Logboek does not answer; what it had not confirmed by then stays in quarantine.
        ConfigurationError: It cannot be used like this.
    """
    quarantine = Quarantine(base / QUARANTINE_NAME)
    confirmed = refused = 0
    sink.open()
    try:
        for batch in _quarantined_batches(quarantine, sink.traits.batch_records):
            # In doubt: the record may be there by now, from an attempt whose answer was lost.
            for outcome in deliver(batch, sink, wait=sleep, policy=_AT_ONCE, in_doubt=True):
                if outcome.refused is None:
                    confirmed += len(outcome.batch.seqs)
                    for seq in outcome.batch.seqs:
                        quarantine.release(batch.writer_id, seq)
                else:
                    refused += 1
                    content = outcome.batch.payloads[0]
                    quarantine.add(batch.writer_id, outcome.batch.seqs[0], content, str(outcome.refused))
    finally:
        sink.close()
    return confirmed, refused


def _quarantined_batches(quarantine: Quarantine, most: int) -> Iterator[Batch]:
    """Give the records of a quarantine that can be decoded, in batches of one writer each."""
    writers: dict[str, list[tuple[int, bytes, Logregel]]] = {}
    for record in quarantine.records():
        with suppress(msgspec.DecodeError):  # it stays, as no Logregel
            content = (record.seq, record.payload, decode_logregel(record.payload))
            writers.setdefault(record.writer_id, []).append(content)
    for writer_id, contents in writers.items():
        contents.sort(key=itemgetter(0))
        for begin in range(0, len(contents), most):
            seqs, payloads, logregels = zip(*contents[begin : begin + most], strict=True)
            yield Batch(writer_id=writer_id, seqs=seqs, payloads=payloads, logregels=logregels)


class DurableDelivery:
    """The delivery commits records to a spool, and one drainer thread sends them.

    Args:
        sink: Where to; opened and closed by the drainer.
        base: Directory of all spools for the same Logboek, see `paths.spool_base`.
        level: What a record gets when its `submit` does not say.
        confirm_seconds: How long level `confirmed` waits for the Logboek.
        quiet: Entered by the drainer; the SDK side gives a context in which instrumentation is silent (LDV-A11).
        shared: Threads that drainers share, for one of many Logboeken. It then gives its spool back when there was
            nothing to send for a while; the next record takes another.

    Attributes:
        lost: Records that were refused to the caller, and are stored nowhere.

    Raises:
        ConfigurationError: The spool cannot be made.
    """

    blocks = True

    def __init__(  # noqa: PLR0913  (parts that tests replace)
        self,
        sink: Sink,
        base: Path,
        *,
        level: DeliveryLevel = "durable",
        confirm_seconds: float = 10.0,
        clock: Clock | None = None,
        quiet: Callable[[], AbstractContextManager[object]] = nullcontext,
        segment_bytes: int = SEGMENT_BYTES,
        shared: SharedThreads | None = None,
    ) -> None:
        self._shared = shared
        #: Whether the spool was given back, and what it and those before it came to.
        self._at_rest = False
        self._before = DeliveryStats()
        self._sink = sink
        self._segment_bytes = segment_bytes
        self._base = base
        self._level = level
        self._confirm_seconds = confirm_seconds
        self._clock = clock or SystemClock()
        self._quiet = quiet
        self.lost = 0
        self._no_thread = RepeatedLine(_logger, logging.ERROR, clock=self._clock)
        self._spool: SpoolWriter | None = None
        self._drainer: Drainer | None = None
        self._pid = 0
        #: The process ends: what is logged from here on gets a spool of its own, for the next process to send.
        self._ended = self._last_words = False
        #: A lock for each process: an inherited one may be held by a thread that does not exist here.
        self._locks: dict[int, threading.Lock] = {}
        self._begin()
        if hasattr(os, "register_at_fork"):
            after_fork = weakref.WeakMethod(self._after_fork)
            os.register_at_fork(after_in_child=lambda: (hook := after_fork()) and hook())

    def _begin(self) -> None:
        """Take a fresh spool for this process."""
        self.writer_id = new_writer_id()
        self._spool = SpoolWriter(self._base, self.writer_id, segment_bytes=self._segment_bytes)
        self._drainer = drainer = Drainer(
            self._sink, self._spool, clock=self._clock, quiet=self._quiet, shared=self._shared
        )
        if self._shared is not None:
            drainer.on_rest = lambda: self._rest(drainer)
        self._draining = self._at_rest = False
        self._pid = os.getpid()

    def _after_fork(self) -> None:
        """Close the parent's spool in a forked child, which makes its own when it logs its first record."""
        if self._spool is not None:
            self._spool.abandon()
        self._spool = self._drainer = None
        self._draining = self._ended = self._last_words = self._at_rest = False
        self._before = DeliveryStats()
        self.lost = 0

    def _rest(self, drainer: Drainer) -> bool:
        """Give the spool back if nothing is in it, and say whether that was done."""
        with self._locks.setdefault(os.getpid(), threading.Lock()):
            spool = self._spool
            if spool is None or self._drainer is not drainer or self._ended or not spool.retire(drainer.read):
                return False
            self._before = self.stats()
            # Before another drainer can open it.
            self._sink.close()
            self._spool = self._drainer = None
            self._draining, self._at_rest = False, True
        spool.stop()
        remove_spool(spool.directory)
        spool.close()
        return True

    def _own_spool(self) -> SpoolWriter:
        """Return the spool of this process.

        It is made anew after a fork, with or without hooks (uWSGI forks in C), and for the last words of a process,
        which the next one sends.

        Raises:
            LogboekUnavailable: None can be made here.
        """
        spool = self._spool
        if spool is not None and self._pid == os.getpid() and not self._ended:
            return spool
        with self._locks.setdefault(os.getpid(), threading.Lock()):
            inherited = self._pid != os.getpid()
            if inherited or self._ended:
                if inherited:
                    self._after_fork()
                try:
                    self._begin()
                    self._last_words, self._ended = self._ended, False
                except ConfigurationError as error:
                    raise LogboekUnavailable(f"This process has no spool. {error}", in_doubt=False) from error
            elif self._at_rest:
                try:
                    self._begin()
                except ConfigurationError as error:
                    raise LogboekUnavailable(f"This process has no spool. {error}", in_doubt=False) from error
        if self._spool is None:
            raise LogboekUnavailable("This process has no spool; its record was not stored.", in_doubt=False)
        return self._spool

    @property
    def _own(self) -> tuple[SpoolWriter, Drainer] | None:
        """What this process has, if it is not only inherited."""
        if self._spool is None or self._drainer is None or self._pid != os.getpid():
            return None
        return self._spool, self._drainer

    @property
    def confirmed(self) -> int:
        """How many records of this process the Logboek has confirmed."""
        return self._own[1].confirmed if self._own else 0

    @property
    def quarantined(self) -> int:
        """How many records were quarantined because the Logboek refuses them as data."""
        return self._own[1].quarantined if self._own else 0

    @property
    def running(self) -> int:
        """How many Acties of this process have a start on disk and no end yet."""
        return self._own[0].running if self._own else 0

    @property
    def pending(self) -> int:
        """How many records of this process are neither confirmed nor quarantined yet."""
        return self._own[0].committed_records - self._own[1].settled if self._own else 0

    def stats(self) -> DeliveryStats:
        """Return how it is doing; nothing yet in a process that was forked and has not logged."""
        own = self._own
        before = self._before
        if own is None:
            return msgspec.structs.replace(before, pending=0, in_doubt=0, oldest_ms=None, lost=self.lost)
        spool, drainer = own
        pending = self.pending
        return DeliveryStats(
            pending=pending,
            in_doubt=drainer.in_doubt,
            oldest_ms=drainer.oldest_ms() if pending else None,
            running=spool.running,
            confirmed=before.confirmed + drainer.confirmed,
            confirmed_ms=drainer.confirmed_ms or before.confirmed_ms,
            adopted=before.adopted + drainer.adopted,
            retried=before.retried + drainer.retried,
            quarantined=before.quarantined + drainer.quarantined,
            lost=self.lost,
            seal=seal_state_of(self._sink),
        )

    def submit(self, logregel: Logregel, level: DeliveryLevel | None = None) -> None:
        """Commit a record to disk, and with level `confirmed` wait for the Logboek as well.

        Raises:
            LogboekUnavailable: The disk refused it; or it is on disk, and the Logboek did not confirm it in time, or
                will never take it. The message says which.
        """
        self.submit_encoded((encode_logregel(logregel),), level, ended=actie_id(logregel))

    def submit_encoded(
        self, payloads: Sequence[bytes], level: DeliveryLevel | None = None, *, ended: bytes = b""
    ) -> None:
        """Commit the bytes of records, at least one, with one flush; otherwise as `submit`.

        Args:
            ended: The Actie, if any, that they are the end of.
        """
        if "gevent" in sys.modules:
            waiting(self._submit, payloads, level, ended)
        else:
            # As `waiting` would, without the way there: every Actie of most services comes by here.
            self._submit(payloads, level, ended)

    def _submit(self, payloads: Sequence[bytes], level: DeliveryLevel | None, ended: bytes) -> None:
        try:
            seq = self._on_spool(lambda spool: spool.append(*payloads, ended=ended))
        except LogboekUnavailable:
            self.lost += len(payloads)
            raise
        if not self._draining:
            self.start_draining()
        if (level or self._level) == "confirmed":
            self._wait_for(range(seq - len(payloads) + 1, seq + 1))

    def _on_spool(self, write: Callable[[SpoolWriter], T]) -> T:
        """Write to the spool of this process, or to the next one if this was given back at this very moment."""
        while True:
            spool = self._own_spool()
            try:
                return write(spool)
            except SpoolClosed:
                with self._locks.setdefault(os.getpid(), threading.Lock()):
                    if self._spool is spool:
                        raise

    def commits_together(self, level: DeliveryLevel | None) -> bool:
        """Say no for level `confirmed`, which waits for the Logboek too, and under gevent, which waits otherwise."""
        return (level or self._level) != "confirmed" and "gevent" not in sys.modules

    def commit_together(self, acties: Sequence[EndedActie]) -> None:
        """Commit several Acties with one flush, all of them or none.

        Raises:
            LogboekUnavailable: The disk refused them.
        """
        payloads = [payload for actie in acties for payload in actie.payloads]
        try:
            ended = [actie.ended for actie in acties]
            self._on_spool(lambda spool: spool.append_together(payloads, ended))
        except LogboekUnavailable:
            self.lost += len(payloads)
            raise
        if not self._draining:
            self.start_draining()

    def writes_ahead(self, level: DeliveryLevel | None) -> bool:
        """Say whether an Actie of a level needs its start committed before it begins."""
        return (level or self._level) == "write-ahead"

    def begin(self, start: ActieStart, *, more: bool = False) -> None:
        """Commit what becomes of an Actie if it is never ended; `more` adds to one that runs here.

        Raises:
            LogboekUnavailable: The disk refused.
        """
        waiting(self._begin_actie, start, more=more)

    def _begin_actie(self, start: ActieStart, *, more: bool) -> None:
        self._on_spool(lambda spool: spool.append_start(start.actie, encode_start(start), more=more))
        if not self._draining:
            self.start_draining()

    def resume(self) -> None:
        """Take a spool again where it was given back, and send what dead processes left.

        Raises:
            LogboekUnavailable: None can be made here.
        """
        self._own_spool()
        if not self._draining:
            self.start_draining()

    def start_draining(self) -> None:
        """Start the drainer unless it runs; it also adopts spools of dead processes."""
        with self._locks.setdefault(os.getpid(), threading.Lock()):
            if self._own is not None and not (self._draining or self._last_words):
                self._draining = self._own[1].start()
                if not (self._draining or forks_later()):
                    self._no_thread.log(
                        "No thread can be started to send Logregels. They stay in the spool %s; the next record tries "
                        "again, and other processes of this service send what is left.",
                        self._base,
                    )

    def flush(self, timeout_seconds: float, *, patient: bool = True) -> bool:
        """Wait until nothing of this process is pending; True only if that came true and nothing was refused."""
        if self._own is None:
            return not self.lost
        spool, drainer = self._own
        wanted = spool.committed_records
        drainer.hurry()
        in_time = drainer.wait_settled(wanted, timeout_seconds if self._draining else 0, patient=patient)
        return in_time and not self.lost and not drainer.quarantined

    def ask_to_stop(self) -> None:
        """Let what is being sent be the last, before `shutdown`; for one of many, which stop together."""
        if self._own is not None:
            self._own[1].ask_to_stop()

    def shutdown(
        self, timeout_seconds: float, *, last_words: bool = False, stop_seconds: float = _STOP_SECONDS
    ) -> bool:
        """Flush and stop; what is not confirmed stays in the spool for the next process.

        Args:
            stop_seconds: How long it waits for what is being sent.
            last_words: What is submitted after that is committed all the same, for the next process to send. Otherwise
                it is refused.
        """
        delivered = self.flush(timeout_seconds)
        if self._own is None:
            return delivered
        spool, drainer = self._own
        drainer.stop(max(stop_seconds, _ENGINE_STOP_SECONDS) if self._sink.traits.in_process else stop_seconds)
        # From here on another spool takes the last words.
        self._ended = last_words
        # First, because a thread may still be committing: until it has, it is not known whether anything is left.
        spool.stop()
        left = spool.committed_records - drainer.settled
        if left:
            _logger.warning("%d Logregels stay in the spool %s until another process sends them.", left, self._base)
        if spool.running:
            _logger.warning("%d Acties never ended; another process logs them as interrupted.", spool.running)
        if not left and not spool.running:
            remove_spool(spool.directory)
        spool.close()
        return delivered and not left

    def _wait_for(self, seqs: range) -> None:
        drainer = self._own[1] if self._own else None
        seconds = self._confirm_seconds if self._draining else 0
        if drainer is None or not drainer.wait_for(seqs[-1], seconds):
            raise LogboekUnavailable(
                f"The Logboek did not confirm a record within {seconds:g} s. It is in the spool and will "
                "be sent; the application has to decide whether its processing may stand meanwhile."
            )
        if not drainer.refused.isdisjoint(seqs):
            raise LogboekUnavailable(
                "The Logboek refuses a record as data; it was quarantined (`ldv spool quarantine list`).",
                in_doubt=False,
            ) from BatchRefused("see the quarantine")
