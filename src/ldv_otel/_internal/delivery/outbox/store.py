"""What senders do in the database of an outbox: short transactions of their own, and never one while they send.

A batch is frozen when it is claimed: content, places and so its token are in the database before it is sent. Whoever
sends it, first or again, sends the same block. A lease says who does; when it is over, another sender takes the batch
over, and reads it back first. Two that send one batch do no harm: it has one token, and its rows one place each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import msgspec

from ldv_otel._internal.delivery.outbox.dialects import FORMAT, Dialect, packed, unpacked
from ldv_otel.errors import LdvError

#: Longer than the pauses of a sender, in which it renews its lease; shorter than anybody's patience.
LEASE_SECONDS: Final = 60.0

Connect = Callable[[], Any]


class OutboxAway(LdvError):
    """The database of the outbox cannot be used now; what it holds stays there."""


class OutboxFormat(LdvError):
    """The tables of the outbox are missing, or of a newer version: nothing is read from them or written to them.

    Attributes:
        missing: They are not there.
    """

    def __init__(self, message: str, *, missing: bool) -> None:
        super().__init__(message)
        self.missing = missing


class FrozenRecords(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as it stands in the database.

    Attributes:
        sent_before: Whether somebody may have sent it already.
    """

    writer_id: str
    first_seq: int
    payloads: list[bytes]
    sent_before: bool


class RefusedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record that the Logboek refuses as data.

    Attributes:
        reason: In a sentence; never holds content of the record.
    """

    writer_id: str
    seq: int
    payload: bytes
    reason: str


class Backlog(msgspec.Struct, frozen=True):
    """What is in the outbox of all processes.

    Attributes:
        waiting: Records that nobody has claimed; counted up to some ten thousand rows.
        in_batches: Records that a sender has claimed, and the Logboek has not confirmed.
        refused: Records that the Logboek refuses as data.
        oldest: Bytes of the oldest record that nobody has claimed; empty for none.
    """

    waiting: int = 0
    in_batches: int = 0
    refused: int = 0
    oldest: bytes = b""


class OutboxStore:
    """The outbox in a database, for one thread at a time.

    Args:
        connect: Returns a connection of the driver that nobody else uses; it is kept until `close`.
    """

    def __init__(self, dialect: Dialect, connect: Connect) -> None:
        self.dialect = dialect
        self._connect = connect
        self._connection: Any = None

    def close(self) -> None:
        """Give the connection back; the next call takes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Exception as error:  # errors of any driver, about a connection that is given up
                raise OutboxAway(f"The connection to the outbox broke ({type(error).__name__}).") from None

    @contextmanager
    def _transaction(self, *, writes: bool = True) -> Iterator[Any]:
        """Give a cursor whose statements commit together.

        Raises:
            OutboxAway: The database did not do it.
            OutboxFormat: Its tables are not of this version.
        """
        try:
            connection = self._own()
            cursor = connection.cursor()
            if self.dialect.begin and connection.in_transaction:
                # A driver that is always in a transaction began one without the right to write.
                cursor.execute("ROLLBACK")
            if self.dialect.begin:
                cursor.execute(self.dialect.begin if writes else "BEGIN")
            elif connection.autocommit:
                cursor.execute("BEGIN")
            yield cursor
            cursor.execute("COMMIT")
            cursor.close()
        except LdvError:
            self._give_up()
            raise
        except Exception as error:  # a driver's own errors, which this layer does not know
            self._give_up()
            # Not its text, which may quote what the statement held.
            raise OutboxAway(f"The database of the outbox did not do what was asked ({_name_of(error)}).") from None
        except BaseException:
            self._give_up()
            raise

    def _own(self) -> Any:
        """Return the connection that is kept, or a new one.

        Raises:
            OutboxAway: There is none to be had.
        """
        if self._connection is None:
            try:
                self._connection = self._connect()
            except LdvError:
                raise
            except Exception as error:  # as above; the first line says which server did not answer, and no password
                reason = str(error).partition("\n")[0].strip()
                raise OutboxAway(f"The database of the outbox cannot be reached. {reason}") from None
        return self._connection

    def _give_up(self) -> None:
        """Close a connection of which nothing is known any more; the database undoes what was open on it."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        for undo in (connection.rollback, connection.close):
            with suppress(Exception):  # it was broken before
                undo()

    def apply(self) -> None:
        """Make the tables that are missing.

        Raises:
            OutboxFormat: They are of a newer version.
        """
        with self._transaction() as cursor:
            for statement in self.dialect.tables:
                cursor.execute(statement)
            self._check(cursor)

    def check(self) -> None:
        """See that the tables are there, and of this version.

        Raises:
            OutboxFormat: They are not.
            OutboxAway: The database does not answer.
        """
        with self._transaction(writes=False) as cursor:
            self._check(cursor)

    def _check(self, cursor: Any) -> None:
        try:
            cursor.execute(self.dialect.format)
            versions = [int(version) for (version,) in cursor.fetchall()]
        except Exception as error:
            if not _is_missing_table(error):
                raise
            versions = []
        if not versions:
            raise OutboxFormat(
                "The tables of the outbox are not there. Make them with `ldv outbox apply`.", missing=True
            )
        if versions != [FORMAT]:
            raise OutboxFormat(
                f"The tables of the outbox have format {max(versions)}, and this ldv_otel knows {FORMAT}. They are "
                "left alone. Upgrade ldv_otel.",
                missing=False,
            )

    def claim(self, owner: str, writer_id: str, first_seq: int, *, most_rows: int, batch_records: int) -> int:
        """Freeze the oldest records that wait as batches of a sender, and return how many records those are.

        Args:
            owner: The sender.
            first_seq: The place of the first within the writer; the others follow.
            most_rows: Acties at a time.
            batch_records: Of each batch at most.

        Raises:
            OutboxAway: It is not known whether they were claimed; these places must not be given again.
            OutboxFormat: The tables are not of this version.
        """
        with self._transaction() as cursor:
            self._check(cursor)
            cursor.execute(self.dialect.grown, (most_rows,))
            ids: list[int] = []
            records = 0
            for row_id, count in cursor.fetchall():
                if ids and records + count > max(batch_records, most_rows):
                    break
                ids.append(row_id)
                records += count
            if not ids:
                return 0
            cursor.execute(self.dialect.remove, (ids[-1] if self.dialect.begin else ids,))
            payloads: list[bytes] = []
            for _, value in sorted(cursor.fetchall()):
                payloads += _records_in(bytes(value))
            for begin in range(0, len(payloads), batch_records):
                part = payloads[begin : begin + batch_records]
                cursor.execute(
                    self.dialect.freeze,
                    (writer_id, first_seq + begin, len(part), packed(part), owner, LEASE_SECONDS),
                )
            return len(payloads)

    def take(self, owner: str) -> FrozenRecords | None:
        """Return the next batch that this sender is to send, with a lease; None when there is none."""
        with self._transaction() as cursor:
            self._check(cursor)
            cursor.execute(self.dialect.take, (owner,))
            row = cursor.fetchone()
            if row is None:
                return None
            writer_id, first_seq, value, tries = row
            cursor.execute(self.dialect.lease, (owner, LEASE_SECONDS, writer_id, first_seq))
            return FrozenRecords(
                writer_id=writer_id, first_seq=first_seq, payloads=_records_in(bytes(value)), sent_before=tries > 0
            )

    def renew(self, owner: str, batch: FrozenRecords) -> bool:
        """Make the lease of a batch longer; False when it is another's by now."""
        with self._transaction() as cursor:
            cursor.execute(self.dialect.renew, (LEASE_SECONDS, batch.writer_id, batch.first_seq, owner))
            return bool(cursor.rowcount)

    def settle(self, batch: FrozenRecords, refused: Sequence[RefusedRecord]) -> None:
        """Remove a batch of which each record is confirmed or refused; those are kept in a table of their own."""
        with self._transaction() as cursor:
            for record in refused:
                cursor.execute(self.dialect.refuse, (record.writer_id, record.seq, record.payload, record.reason))
            cursor.execute(self.dialect.settle, (batch.writer_id, batch.first_seq))

    def backlog(self) -> Backlog:
        """Return what is there, and take no right to write from the application for it.

        Raises:
            OutboxAway: The database does not answer.
            OutboxFormat: The tables are not of this version.
        """
        with self._transaction(writes=False) as cursor:
            self._check(cursor)
            cursor.execute(self.dialect.oldest)
            row = cursor.fetchone()
            return Backlog(
                waiting=_count(cursor, self.dialect.waiting),
                in_batches=_count(cursor, self.dialect.in_batches),
                refused=_count(cursor, self.dialect.refused_count),
                oldest=_records_in(bytes(row[0]))[0] if row else b"",
            )

    def refused(self) -> list[RefusedRecord]:
        """Return the records that the Logboek refuses as data."""
        with self._transaction(writes=False) as cursor:
            self._check(cursor)
            cursor.execute(self.dialect.refused)
            return [
                RefusedRecord(writer_id=writer_id, seq=seq, payload=bytes(payload), reason=reason)
                for writer_id, seq, payload, reason in cursor.fetchall()
            ]

    def fate(self, number: int) -> str:
        """Return what became of a transaction: committed, aborted, or something else while that is not known.

        Raises:
            OutboxAway: The database does not answer, or does not have that number.
        """
        with self._transaction(writes=False) as cursor:
            cursor.execute(self.dialect.fate, (number,))
            return str(cursor.fetchone()[0])

    def release(self, record: RefusedRecord) -> None:
        """Remove a refused record that the Logboek has confirmed by now."""
        with self._transaction() as cursor:
            cursor.execute(self.dialect.release, (record.writer_id, record.seq))


def _count(cursor: Any, statement: str) -> int:
    cursor.execute(statement)
    return int(cursor.fetchone()[0])


def _records_in(value: bytes) -> list[bytes]:
    """Return the records of a row; what is none of ours is a record that nobody can read, and is refused as such."""
    try:
        return unpacked(value) or [value]
    except msgspec.DecodeError:
        return [value]


def _name_of(error: Exception) -> str:
    state = _state_of(error) or getattr(error, "sqlite_errorname", None)
    return f"{type(error).__name__} {state}" if state else type(error).__name__


def _state_of(error: Exception) -> str | None:
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


def _is_missing_table(error: Exception) -> bool:
    return _state_of(error) == "42P01" or "no such table" in str(error)
