"""One writer's spool: a directory that one process owns, and group commit into its segments.

    <base>/<writer_id>/          0700, held by its owner through `owner.lock`
        owner.lock               flock; the kernel frees it when the owner dies, however it dies
        000000000001.segment     0600, see segment.py
        progress                 which batches were frozen and confirmed, see progress.py

Group commit: the first thread that waits, the leader, writes and flushes for all that queued meanwhile, its followers.
There is no writer thread that a fork could lose, and a lone caller pays for one flush and little else.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ldv_otel._internal.config.private_directories import sync_directory
from ldv_otel._internal.delivery.gevent_support import flushing, patched
from ldv_otel._internal.delivery.repeated_line import RepeatedLine
from ldv_otel._internal.delivery.spool.commit_group import CommitGroup
from ldv_otel._internal.delivery.spool.ownership import advice, claim_base, hold, remove_spool
from ldv_otel._internal.delivery.spool.room import affordable_bytes
from ldv_otel._internal.delivery.spool.segment import (
    FIRST_START,
    HEADER_BYTES,
    SEGMENT_BYTES,
    encode_records,
    make_segment,
    segment_name,
    segment_size,
)
from ldv_otel.errors import ConfigurationError, LogboekUnavailable

_logger = logging.getLogger(__name__)

#: The disk is full, or this account's share of it: that may pass by itself.
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
#: A quota refuses where the disk has room: segments then shrink by this at each refusal, and grow back.
_SHRINK: Final = 4


class _NoSegment(OSError):  # it never leaves this module
    """No new segment can be had; nothing was written to the present one."""


class SpoolClosed(LogboekUnavailable):  # as its root
    """The spool takes no records any more; this one was not stored."""


class SpoolWriter:
    """The writer commits records to disk, in order, for any number of threads of one process.

    Args:
        base: Directory of all spools for the same Logboek; made 0700 if it is not there.
        writer_id: Names this spool; a process takes a fresh one.
        segment_bytes: Size of the largest segments; the first ones are smaller, and a large record gets a larger one.

    Raises:
        ConfigurationError: The directory cannot be made or written; the message names it.
    """

    def __init__(self, base: Path, writer_id: str, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.directory = base / writer_id
        self.writer_id = writer_id
        self._segment_bytes = segment_bytes
        self._committing: Callable[[bytes], int] = self._commit
        if patched():
            # Only if these locks are gevent's. With locks of threads, a greenlet that waits for one would stop the
            # thread that the leader needs to come back from the pool.
            self._committing = lambda data: flushing(self._commit, data)
        # Reentrant, because it knows its owner: a condition asks whether it is held, and asks gevent's plain locks in a
        # way that lets other greenlets run.
        self._mutex = lock = threading.RLock()
        self._changed = threading.Condition(lock)
        #: The drainer waits apart, for a number of records: waking it at each commit costs more than the commit.
        self._enough = threading.Condition(lock)
        self._wanted = 1
        #: Called, with the lock held, when so many records were committed as the drainer waits for.
        self.on_enough: Callable[[], None] | None = None
        self._forming = CommitGroup()
        self._leading = False
        self._next_seq = 0
        self._next_start = FIRST_START
        #: Starts of the Acties that run, by Actie; changed by the leader only.
        self._running: dict[bytes, list[tuple[int, bytes]]] = {}
        self._segment = 0
        self._descriptor = self._lock = -1
        self._path = ""
        self._offset = 0
        self._room = 0
        #: Number of the last segment made ahead, whether one is being made, and whether the leader takes the next.
        self._prepared = 0
        self._preparing = self._turning = False
        #: Segment number and offset up to which records are on disk.
        self.committed: tuple[int, int] = (0, 0)
        self.committed_records = 0
        self._ends: dict[int, int] = {}
        #: Segments are at most so large: less than wanted after the disk refused one that should have fitted.
        self._largest = segment_bytes
        self._closed = False
        self._unprepared = RepeatedLine(_logger, logging.WARNING)
        try:
            self._make()
        except ConfigurationError:
            self._closed = True
            raise
        except OSError as error:
            if error.errno not in _NO_ROOM:
                self._closed = True
                raise ConfigurationError(
                    f"LDV_SPOOL: the spool {self.directory} cannot be made ({error.strerror}). Logging did not start. "
                    f"{advice(base)}"
                ) from error
            _logger.error(
                "The disk of the spool %s is full. Until there is room the application is refused each record.", base
            )

    def _make(self) -> None:
        """Make the directory and the first segment.

        Raises:
            ConfigurationError: Others have a hand in the directory of this account's spools.
            OSError: They cannot be made; nothing is left behind.
        """
        base = self.directory.parent
        affordable_bytes(base, 0, HEADER_BYTES)
        # Locked before it gets its name: another process could adopt, and remove, a spool that nobody holds.
        draft = base / f".{self.writer_id}"
        try:
            claim_base(base)
            draft.mkdir(mode=0o700)
            self._lock = hold(draft)
            os.pwrite(self._lock, b"%d\n" % os.getpid(), 0)
            draft.rename(self.directory)
            sync_directory(base)
            self._open_segment(HEADER_BYTES)
        except OSError:
            with suppress(OSError):  # what cannot be removed now is removed by the process that adopts it
                remove_spool(draft)
                remove_spool(self.directory)
            self._close_files()
            raise

    def append(self, *payloads: bytes, ended: bytes = b"") -> int:
        """Commit records, at least one, so that they survive power loss.

        Args:
            ended: An Actie that no longer runs when these are committed.

        Returns:
            The sequence number of the last, growing by one for each within this spool.

        Raises:
            LogboekUnavailable: The disk refused. The record may or may not be stored later on.

        Source: LDV-L2.
        """
        return self.append_together(payloads, (ended,) if ended else ())

    def append_together(self, payloads: Sequence[bytes], ended: Sequence[bytes]) -> int:
        """Commit the records of several Acties with one flush, all of them or none; otherwise as `append`."""
        with self._mutex:
            group = self._open_group()
            numbered = list(enumerate(payloads, self._next_seq))
            following = self._next_seq + len(numbered)
            # No call between these two lines: a signal's exception in between would give a number twice (LDV-L3).
            group.records += numbered
            self._next_seq = following
            group.ended += ended
        self._commit_group(group)
        return following - 1

    def append_start(self, actie: bytes, payload: bytes, *, more: bool = False) -> None:
        """Commit what becomes of an Actie if it is never ended; until then it counts as running.

        Args:
            actie: What `append` ends it by.
            more: Add to an Actie that runs; nothing is added to one that does not, or no longer.

        Raises:
            LogboekUnavailable: As for `append`.
        """
        with self._mutex:
            if more and actie not in self._running:
                return
            group = self._open_group()
            record = (self._next_start, payload)
            group.records += (record,)
            self._next_start += 1
            group.begun.append((actie, record, more))
        self._commit_group(group)

    @property
    def running(self) -> int:
        """How many Acties have a start and no end yet."""
        return len(self._running)

    def end_of(self, segment: int) -> int:
        """Return where the acknowledged part of an earlier segment ends."""
        return self._ends[segment]

    def forget_before(self, segment: int) -> None:
        """Forget the ends of segments that are read."""
        with self._mutex:
            for number in [number for number in self._ends if number < segment]:
                del self._ends[number]

    def wait_for_commit(self, count: int, timeout_seconds: float, *, unless: Callable[[], bool]) -> None:
        """Wait until so many records were committed, the time is up, or there is a reason not to wait."""
        with self._mutex:
            self._wanted = count
            self._enough.wait_for(lambda: self.committed_records >= count or unless(), timeout_seconds)

    def expect(self, count: int) -> bool:
        """Have `on_enough` called once so many records were committed; say whether they are already."""
        with self._mutex:
            self._wanted = count
            return self.committed_records >= count

    def retire(self, count: int) -> bool:
        """Take no more records if there are so many, all committed, and no Actie runs; say whether that is so."""
        with self._mutex:
            forming = self._forming
            at_work = self._leading or self._preparing or forming.records or forming.begun
            if at_work or self._running or self._closed or self.committed_records != count:
                return False
            self._closed = True
        return True

    def prepare(self) -> None:
        """Make the next segment when half of this one is used, so that no commit has to wait for it."""
        with self._mutex:
            number = self._segment + 1
            early = self._offset < self._room // 2 or self._prepared >= number
            if self._descriptor < 0 or self._turning or early:
                return
            self._preparing = True
        try:
            flushing(self._make_segment, number, HEADER_BYTES)
        except OSError as error:
            # A warning only: the commit that needs the segment tries again, and raises.
            self._unprepared.log("The next segment of the spool cannot be made yet: %s.", error.strerror)
        finally:
            with self._mutex:
                self._preparing = False
                self._prepared = number
                self._changed.notify_all()

    def wake(self) -> None:
        """Wake the drainer, to check again whether it has a reason to go on."""
        with self._mutex:
            self._enough.notify_all()

    def abandon(self) -> None:
        """Close the files without taking a lock: a thread of the parent may have held it at the fork."""
        self._closed = True
        self._close_files()

    def _close_files(self) -> None:
        for descriptor in (self._descriptor, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._lock = -1

    def stop(self) -> None:
        """Take no more records, after the group that is being committed; from now on the number of records is final."""
        with self._mutex:
            self._closed = True
            while self._leading or self._preparing:
                self._changed.wait()
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def close(self) -> None:
        """Stop, and release the directory: another process may adopt the records in it."""
        self.stop()
        with self._mutex:
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    def _open_group(self) -> CommitGroup:
        if self._closed:
            raise SpoolClosed("The spool was closed; this record was not stored.", in_doubt=False)
        if self._lock < 0:
            # The disk was full when this process began.
            try:
                self._make()
            except OSError as error:
                raise self._refusal(error) from None
        return self._forming

    def _refusal(self, error: OSError) -> LogboekUnavailable:
        return LogboekUnavailable(
            f"The spool {self.directory} refused a record ({error.strerror}). The application has to decide whether "
            "its processing may stand without it. Make room on that disk, or let LDV_SPOOL name another."
        )

    def _commit_group(self, group: CommitGroup) -> None:
        """Wait until a group is on disk, as its leader or as a follower."""
        try:
            turn = None
            while not group.done:
                turn = self._lead_or_follow(group, turn)
                if turn is not None:
                    turn.acquire()
        except BaseException:
            # The interrupted thread may have been the follower that was woken to lead: then another one has to lead.
            with self._mutex:
                group.wake_all()
                self._forming.wake_all()
            raise
        if group.error is not None:
            raise self._refusal(group.error) from group.error

    def _lead_or_follow(self, group: CommitGroup, turn: threading.Lock | None) -> threading.Lock | None:
        """Commit a group; or, while another one is being committed, return the lock to wait for before asking again.

        Args:
            turn: The lock this thread has waited for. A thread has one only: a second one could be unlocked instead,
                after the thread has left, and no thread would lead.
        """
        with self._mutex:
            if group.done:
                return None
            if not self._leading:
                self._lead(group)
                return None
            if turn is None:
                turn = threading.Lock()
                turn.acquire()
                group.followers.append(turn)
            return turn

    def _hold(self) -> None:
        """Acquire the lock unless this thread holds it: an interruption may have come before or after that."""
        try:
            self._changed.notify(0)
        except RuntimeError:
            self._mutex.acquire()

    def _lead(self, group: CommitGroup) -> None:
        """Commit a group while the lock, which is held, is released, so that the next group can form."""
        error: OSError | None = OSError(errno.EINTR, "interrupted")
        interruption: BaseException | None = None
        following, before, end = CommitGroup(), self.committed_records, 0
        self._leading, self._forming = True, following
        try:
            self._mutex.release()
            data = encode_records(group.records)
            if self._offset + len(data) > self._room:
                self._wait_prepared()
            end = self._committing(data)
            error = None
        except OSError as refused:
            # Made anew: the traceback of the one that was raised leads to this frame, and to those of the caller.
            error = type(refused)(refused.errno, refused.strerror)
        finally:
            while self._leading or not group.done:
                try:
                    if interruption is None:
                        self._mutex.acquire()
                    else:
                        self._hold()
                    self._conclude(group, error, before, end)
                except BaseException as again:  # noqa: BLE001  (raised below: followers wait for this to be done)
                    interruption = again
            if interruption is not None:
                try:
                    raise interruption
                finally:
                    del interruption

    def _conclude(self, group: CommitGroup, error: OSError | None, before: int, end: int) -> None:
        """Note the outcome of a group and wake its followers and the drainer; doing so twice changes nothing."""
        if error is None:
            self._take_over(group, before, end)
        elif not isinstance(error, _NoSegment):
            # After a failed flush the kernel may have dropped the pages, so that the next flush succeeds without them;
            # after an interrupted one it is unknown what is on disk. The next group goes to a new segment.
            self._room = 0
        group.error, self._turning = error, False
        self._changed.notify_all()
        if self.committed_records >= self._wanted:
            self._enough.notify_all()
            if self.on_enough is not None:
                self.on_enough()
        # As a rule nobody waits.
        if group.followers:
            group.wake_all()
        if self._forming.followers:
            self._forming.wake_one()
        group.done, self._leading = True, False

    def _wait_prepared(self) -> None:
        """Wait until the next segment is made, and let no other be begun; never in a thread of gevent's pool."""
        with self._mutex:
            while self._preparing:
                self._changed.wait()
            self._turning = True

    def _take_over(self, group: CommitGroup, before: int, end: int) -> None:
        """Count the records of a group that is on disk."""
        self._offset = end
        self.committed = (self._segment, self._offset)
        self.committed_records = before + len(group.records) - len(group.begun)
        for actie, record, more in group.begun:
            if actie in self._running or not more:
                starts = self._running.setdefault(actie, [])
                if record not in starts:
                    starts.append(record)
        for actie in group.ended:
            self._running.pop(actie, None)

    def _commit(self, data: bytes) -> int:
        """Write and flush, and return where the records end; only the leader is here."""
        if self._offset + len(data) > self._room:
            # Starts of running Acties are copied into the new segment, so that older segments can be unlinked.
            carried = encode_records(record for starts in self._running.values() for record in starts)
            data = carried + data
            try:
                self._open_segment(HEADER_BYTES + len(data), more=len(carried))
            except OSError as error:
                # What is left of the present segment still takes smaller records.
                raise _NoSegment(error.errno, error.strerror) from None
        written = os.pwrite(self._descriptor, data, self._offset)
        while written < len(data):
            written += os.pwrite(self._descriptor, data[written:], self._offset + written)
        self._flush()
        return self._offset + len(data)

    def _flush(self) -> None:
        os.fdatasync(self._descriptor)
        # A file that was removed is flushed without an error, and its records are lost with the process. By name first:
        # after `fstat` has read a file's times the next flush takes half as long again (Linux 6.18 on ext4; since 6.13
        # a write notes its time more finely once the times were read).
        if not os.access(self._path, os.F_OK) and not os.fstat(self._descriptor).st_nlink:
            raise FileNotFoundError(errno.ENOENT, "somebody removed its files")

    def _open_segment(self, needed: int, *, more: int = 0) -> None:
        """Go on in the next segment, made ahead or now.

        Args:
            needed: How many bytes it has to have at least.
            more: How many it has to have beyond the usual.
        """
        number = self._segment + 1
        path = self.directory / segment_name(number)
        if path.exists() and path.stat().st_size < needed:
            path.unlink()  # made ahead, and too small for what comes
        if not path.exists():
            self._make_segment(number, needed, more=more)
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._ends[self._segment] = self._offset
        self._descriptor, self._segment, self._offset = descriptor, number, HEADER_BYTES
        self._path = str(path)
        # Read from the file: one that was made ahead may be smaller than what is made now.
        self._room = os.fstat(descriptor).st_size

    def _make_segment(self, number: int, needed: int, *, more: int = 0) -> None:
        """Make a segment as large as planned, or as the room on the disk allows.

        Raises:
            OSError: There is no room for what is needed; that takes no longer than making one small segment.
        """
        planned = min(segment_size(number, self._segment_bytes), self._largest) + more
        size = affordable_bytes(self.directory, planned, needed)
        try:
            make_segment(self.directory, number, self.writer_id, size=size)
        except OSError as error:
            if error.errno in _NO_ROOM:
                self._largest = max(size // _SHRINK, HEADER_BYTES)
            raise
        self._largest = min(self._largest * _SHRINK, self._segment_bytes)
