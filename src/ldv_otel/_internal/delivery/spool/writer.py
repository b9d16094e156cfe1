"""One writer's spool: a directory that one process owns, and group commit into its segments.

    <base>/<writer_id>/          0700, held by its owner through `owner.lock`
        owner.lock               flock; free when the owner is gone, however it went
        000000000001.segment     0600, see segment.py
        progress                 which batches were frozen and confirmed, see progress.py

The first thread that waits writes and flushes for all that queued meanwhile: there is no writer thread that a fork
could lose, and a lone caller pays for one flush and little else.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from ldv_otel._internal.delivery.gevent_support import flushing, patched
from ldv_otel._internal.delivery.spool.progress import PROGRESS_NAME
from ldv_otel._internal.delivery.spool.segment import (
    FIRST_START,
    HEADER_BYTES,
    SEGMENT_BYTES,
    SUFFIX,
    encode_records,
    make_directory,
    make_segment,
    segment_name,
    segment_size,
    sync_directory,
)
from ldv_otel.errors import ConfigurationError, LogboekUnavailable

_logger = logging.getLogger(__name__)

LOCK_NAME: Final = "owner.lock"


class _CommitGroup:
    """Records that are committed together."""

    __slots__ = ("begun", "done", "ended", "error", "followers", "records")

    def __init__(self) -> None:
        self.records: list[tuple[int, bytes]] = []
        #: Acties that begin, or of which more is said (True); and those that end.
        self.begun: list[tuple[bytes, tuple[int, bytes], bool]] = []
        self.ended: list[bytes] = []
        self.done = False
        self.error: OSError | None = None
        #: What threads wait by for this group, each by a lock of its own, which takes half the time of a condition:
        #: one is let go to lead it, and all when it is on disk.
        self.followers: list[threading.Lock] = []

    def let_one_go(self) -> None:
        """Let one of those who wait go on; an open lock is that of one who is on its way, or was interrupted."""
        for turn in self.followers:
            if turn.locked():
                turn.release()
                break

    def let_all_go(self) -> None:
        """Let all who wait go on."""
        for turn in self.followers:
            if turn.locked():
                turn.release()


class SpoolWriter:
    """Commits records to disk, in order, for any number of threads of one process.

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
            # Only if these locks are gevent's: a leader that is away while others hold up its thread never comes back.
            self._committing = lambda data: flushing(self._commit, data)
        # One that knows its owner: a condition asks, and of gevent's plain locks it asks in a way that lets others run.
        self._mutex = lock = threading.RLock()
        self._changed = threading.Condition(lock)
        #: The drainer waits apart, for a number of records: waking it at each commit costs more than the commit.
        self._enough = threading.Condition(lock)
        self._wanted = 1
        self._forming = _CommitGroup()
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
        # Held before it has its name: another process could adopt, and remove, what nobody holds.
        draft = base / f".{writer_id}"
        try:
            make_directory(base)
            draft.mkdir(mode=0o700)
            self._lock = hold(draft)
            os.pwrite(self._lock, b"%d\n" % os.getpid(), 0)
            draft.rename(self.directory)
            sync_directory(base)
            self._open_segment(1, segment_size(1, self._segment_bytes))
        except OSError as error:
            with suppress(OSError):  # what the disk does not let go of is found by who adopts
                remove_spool(draft)
                remove_spool(self.directory)
            self.abandon()
            raise ConfigurationError(
                f"LDV_SPOOL: the spool {self.directory} cannot be made ({error.strerror}). Logging did not start. "
                "Let LDV_SPOOL name a directory on a local disk that this user may write."
            ) from error

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
        with self._mutex:
            group = self._open_group()
            numbered = list(enumerate(payloads, self._next_seq))
            following = self._next_seq + len(numbered)
            # No call between these two: an exception from elsewhere must not let a number be given twice.
            group.records += numbered
            self._next_seq = following
            if ended:
                group.ended.append(ended)
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

    def wait_for_commit(self, count: int, timeout_seconds: float, *, unless: Callable[[], bool]) -> None:
        """Wait until so many records were committed, the time is up, or there is a reason not to wait."""
        with self._mutex:
            self._wanted = count
            self._enough.wait_for(lambda: self.committed_records >= count or unless(), timeout_seconds)

    def prepare(self) -> None:
        """Make the next segment when half of this one is used, so that no commit has to wait for it."""
        with self._mutex:
            number = self._segment + 1
            early = self._offset < self._room // 2 or self._prepared >= number
            if self._descriptor < 0 or self._turning or early:
                return
            self._preparing = True
        try:
            size = segment_size(number, self._segment_bytes)
            flushing(make_segment, self.directory, number, self.writer_id, size=size)
        except OSError as error:
            # Said once: the commit that needs it tries again, and tells its callers.
            _logger.warning("The next segment of the spool cannot be made yet: %s.", error.strerror)
        finally:
            with self._mutex:
                self._preparing = False
                self._prepared = number
                self._changed.notify_all()

    def wake(self) -> None:
        """Let whoever waits for a commit look again."""
        with self._mutex:
            self._enough.notify_all()

    def abandon(self) -> None:
        """Let go without a word: in a forked child, whose parent may hold our locks, and where none could be made."""
        for descriptor in (self._descriptor, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._lock = -1

    def stop(self) -> None:
        """Take no more records, once what is being committed is; only now is it known what there is."""
        with self._mutex:
            while self._leading or self._preparing:
                self._changed.wait()
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def close(self) -> None:
        """Stop, and let go of the directory: what is in it may be adopted by another process."""
        self.stop()
        with self._mutex:
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    def _open_group(self) -> _CommitGroup:
        if self._descriptor < 0:
            raise LogboekUnavailable("The spool was closed; this record was not stored.", in_doubt=False)
        return self._forming

    def _commit_group(self, group: _CommitGroup) -> None:
        """Wait until a group is on disk, or see to it that it gets there."""
        try:
            turn = None
            while not group.done:
                turn = self._lead_or_follow(group, turn)
                if turn is not None:
                    turn.acquire()
        except BaseException:
            # Whoever is interrupted may have been the one that was let go to lead: another has to.
            with self._mutex:
                group.let_all_go()
                self._forming.let_all_go()
            raise
        if group.error is not None:
            raise LogboekUnavailable(
                f"The spool {self.directory} refused a record ({group.error.strerror}). The application has to decide "
                "whether its processing may stand without it. Make room on that disk, or let LDV_SPOOL name another."
            ) from group.error

    def _lead_or_follow(self, group: _CommitGroup, turn: threading.Lock | None) -> threading.Lock | None:
        """Commit a group; or, while another is being committed, return what to wait by before asking again.

        Args:
            turn: What was waited by before; a thread has one, so that none is let go in its place when it has left.
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
        """Take the lock unless this thread has it: an interruption may have come before or after it was taken."""
        try:
            self._changed.notify(0)
        except RuntimeError:
            self._mutex.acquire()

    def _lead(self, group: _CommitGroup) -> None:
        """Commit a group while the lock, which is held, is given up, so that the next one can form."""
        error: OSError | None = OSError(errno.EINTR, "interrupted")
        interruption: BaseException | None = None
        following, before, end = _CommitGroup(), self.committed_records, 0
        self._leading, self._forming = True, following
        try:
            self._mutex.release()
            data = encode_records(group.records)
            if self._offset + len(data) > self._room:
                self._wait_prepared()
            end = self._committing(data)
            error = None
        except OSError as refused:
            error = refused
        finally:
            while self._leading or not group.done:
                try:
                    if interruption is None:
                        self._mutex.acquire()
                    else:
                        self._hold()
                    self._conclude(group, error, before, end)
                except BaseException as again:  # noqa: BLE001  (raised below: others wait for this to be done)
                    interruption = again
            if interruption is not None:
                raise interruption

    def _conclude(self, group: _CommitGroup, error: OSError | None, before: int, end: int) -> None:
        """Say what became of a group, and wake whom it concerns; the same if it is done twice."""
        if error is None:
            self._take_over(group, before, end)
        else:
            # After a failed flush the kernel may have dropped the pages, and after an interrupted one nobody knows
            # what is there: nothing more is acknowledged on this file.
            self._room = 0
        group.error, self._turning = error, False
        self._changed.notify_all()
        if self.committed_records >= self._wanted:
            self._enough.notify_all()
        group.let_all_go()
        self._forming.let_one_go()
        group.done, self._leading = True, False

    def _wait_prepared(self) -> None:
        """Let whoever makes the next segment finish, and keep others from beginning; not for the thread of a pool."""
        with self._mutex:
            while self._preparing:
                self._changed.wait()
            self._turning = True

    def _take_over(self, group: _CommitGroup, before: int, end: int) -> None:
        """Count what is on disk now."""
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
            # What runs goes along, so that older segments can go.
            carried = encode_records(record for starts in self._running.values() for record in starts)
            longest = HEADER_BYTES + len(carried) + len(data)
            number = self._segment + 1
            self._open_segment(number, max(segment_size(number, self._segment_bytes) + len(carried), longest))
            self._room = max(self._room, longest)
            data = carried + data
        written = os.pwrite(self._descriptor, data, self._offset)
        while written < len(data):
            written += os.pwrite(self._descriptor, data[written:], self._offset + written)
        self._flush()
        return self._offset + len(data)

    def _flush(self) -> None:
        os.fdatasync(self._descriptor)
        # Asked by name first: after `fstat` has read a file's times the next flush takes half as long again (Linux 6.18
        # on ext4; since 6.13 a write notes its time more finely once somebody has looked).
        if not os.access(self._path, os.F_OK) and not os.fstat(self._descriptor).st_nlink:
            raise FileNotFoundError(errno.ENOENT, "somebody removed its files")

    def _open_segment(self, number: int, size: int) -> None:
        path = self.directory / segment_name(number)
        if not path.exists():
            make_segment(self.directory, number, self.writer_id, size=size)
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._ends[self._segment] = self._offset
        self._descriptor, self._segment, self._offset = descriptor, number, HEADER_BYTES
        self._path = str(path)
        # One that was made ahead may be smaller.
        self._room = os.fstat(descriptor).st_size


def remove_spool(directory: Path) -> None:
    """Take a spool away of which everything is confirmed; only its owner, or who holds it, may."""
    for path in (
        *sorted(directory.glob(f"*{SUFFIX}")),  # the end of an Actie never goes before its start
        *directory.glob("*.new"),
        directory / PROGRESS_NAME,
        directory / LOCK_NAME,
    ):
        path.unlink(missing_ok=True)
    try:
        directory.rmdir()
    except FileNotFoundError:
        return  # it was taken away before
    except OSError as error:
        _logger.warning("The spool directory %s holds something else and stays: %s.", directory, error.strerror)


def hold(directory: Path) -> int:
    """Take a spool directory for this process; return the descriptor that holds it.

    Raises:
        BlockingIOError: A living process has it.
        OSError: It cannot be locked.
    """
    descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(descriptor), os.stat(directory / LOCK_NAME)):  # noqa: PTH116  (as its twin)
            raise BlockingIOError(errno.EWOULDBLOCK, "it was removed meanwhile")
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def owner_of(directory: Path) -> int:
    """Return the process id of who made a spool, as that process knew it; 0 when that cannot be read."""
    try:
        return int((directory / LOCK_NAME).read_bytes())
    except (OSError, ValueError):
        return 0
