"""The tables of an outbox, and its statements, for each kind of database.

Four tables: `ldv_outbox` has what applications wrote, a row for each Actie; `ldv_outbox_batch` what a sender has
claimed, as frozen batches with their places; `ldv_outbox_refused` what the Logboek refuses as data; `ldv_outbox_format`
one row with the version of all this. Payloads are the bytes of the spool, several in one value: no type of the database
looks into them, because one that refuses a character would make the change of the application fail.

Places are given when records are claimed, for identity columns have holes where transactions were rolled back. The
writer is the process that claims, and not a counter in the database: a restored backup, or a copy of the database,
would give places a second time, and what has such a place is taken for stored already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

#: Of the tables and of what is in them.
FORMAT: Final = 1
#: The records of one Actie stand in rows of so many at most, so that a sender never reads more than it can hold.
MOST_RECORDS: Final = 100

#: The time of the database in seconds since 1970, by which leases run: the clocks of senders may differ.
_POSTGRESQL_NOW: Final = "extract(epoch FROM clock_timestamp())"
_SQLITE_NOW: Final = "((julianday('now') - 2440587.5) * 86400.0)"


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """The statements of an outbox as one kind of database wants them, with its own marks for parameters.

    Attributes:
        begin: Begins the transaction of a sender; empty where the driver does.
        tables: Make what is not there yet.
        grown: Rows that wait, oldest first, with the number of their records; those are the sender's from then on.
        remove: Removes these and returns them.
        take: The next batch of a sender: its own, or one whose lease is over.
        fate: What became of a transaction with a number; empty where they have none.
    """

    name: str
    begin: str
    tables: tuple[str, ...]
    insert: str
    format: str
    grown: str
    remove: str
    freeze: str
    take: str
    lease: str
    renew: str
    refuse: str
    settle: str
    waiting: str
    in_batches: str
    oldest: str
    refused: str
    refused_count: str
    release: str
    fate: str = ""


#: Gives the number of the transaction, which an insert gives it anyway; needs no right to read the table.
RETURNING_NUMBER: Final = " RETURNING txid_current()"
_INSERT: Final = "INSERT INTO ldv_outbox (format, records, payload) VALUES (1, %s, %s)"
_TAKE: Final = (
    "SELECT writer_id, first_seq, payload, tries FROM ldv_outbox_batch WHERE owner = %s OR leased_until < NOW "
    "ORDER BY tries, writer_id, first_seq LIMIT 1"
)
_SHARED: Final = {
    "format": "SELECT format FROM ldv_outbox_format",
    "freeze": (
        "INSERT INTO ldv_outbox_batch (writer_id, first_seq, records, payload, owner, leased_until, tries) "
        "VALUES (%s, %s, %s, %s, %s, NOW + %s, 0)"
    ),
    "lease": (
        "UPDATE ldv_outbox_batch SET owner = %s, leased_until = NOW + %s, tries = tries + 1 "
        "WHERE writer_id = %s AND first_seq = %s"
    ),
    "renew": (
        "UPDATE ldv_outbox_batch SET leased_until = NOW + %s WHERE writer_id = %s AND first_seq = %s AND owner = %s"
    ),
    "refuse": (
        "INSERT INTO ldv_outbox_refused (writer_id, seq, payload, reason) VALUES (%s, %s, %s, %s) "
        "ON CONFLICT (writer_id, seq) DO UPDATE SET reason = excluded.reason"
    ),
    "settle": "DELETE FROM ldv_outbox_batch WHERE writer_id = %s AND first_seq = %s",
    # Counted up to a bound: a backlog of millions is no reason to read it all every few seconds.
    "waiting": "SELECT coalesce(sum(records), 0) FROM (SELECT records FROM ldv_outbox LIMIT 10000) AS some_rows",
    "in_batches": "SELECT coalesce(sum(records), 0) FROM ldv_outbox_batch",
    "oldest": "SELECT payload FROM ldv_outbox ORDER BY id LIMIT 1",
    "refused": "SELECT writer_id, seq, payload, reason FROM ldv_outbox_refused ORDER BY writer_id, seq",
    "refused_count": "SELECT count(*) FROM ldv_outbox_refused",
    "release": "DELETE FROM ldv_outbox_refused WHERE writer_id = %s AND seq = %s",
}

POSTGRESQL: Final = Dialect(
    name="postgresql",
    begin="",
    tables=(
        "CREATE TABLE IF NOT EXISTS ldv_outbox_format (format integer NOT NULL)",
        "INSERT INTO ldv_outbox_format (format) SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM ldv_outbox_format)",
        # Rows come and go: what is dead is swept up by number, and not only when it is a share of a small table.
        (
            "CREATE TABLE IF NOT EXISTS ldv_outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
            "format smallint NOT NULL CHECK (format = 1), records integer NOT NULL, payload bytea NOT NULL) "
            "WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)"
        ),
        (
            "CREATE TABLE IF NOT EXISTS ldv_outbox_batch (writer_id text NOT NULL, first_seq bigint NOT NULL, "
            "records integer NOT NULL, payload bytea NOT NULL, owner text NOT NULL, "
            "leased_until double precision NOT NULL, "
            "tries integer NOT NULL, PRIMARY KEY (writer_id, first_seq))"
        ),
        (
            "CREATE TABLE IF NOT EXISTS ldv_outbox_refused (writer_id text NOT NULL, seq bigint NOT NULL, "
            "payload bytea NOT NULL, reason text NOT NULL, PRIMARY KEY (writer_id, seq))"
        ),
    ),
    insert=_INSERT + RETURNING_NUMBER,
    fate="SELECT txid_status(%s)",
    grown="SELECT id, records FROM ldv_outbox ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED",
    remove="DELETE FROM ldv_outbox WHERE id = ANY(%s) RETURNING id, payload",
    take=_TAKE.replace("NOW", _POSTGRESQL_NOW) + " FOR UPDATE SKIP LOCKED",
    **{name: statement.replace("NOW", _POSTGRESQL_NOW) for name, statement in _SHARED.items()},
)

SQLITE: Final = Dialect(
    name="sqlite",
    # At once with the right to write: SQLite has no row locks, so one sender claims at a time.
    begin="BEGIN IMMEDIATE",
    tables=(
        "CREATE TABLE IF NOT EXISTS ldv_outbox_format (format INTEGER NOT NULL)",
        "INSERT INTO ldv_outbox_format (format) SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM ldv_outbox_format)",
        (
            "CREATE TABLE IF NOT EXISTS ldv_outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, "
            "format INTEGER NOT NULL CHECK (format = 1), records INTEGER NOT NULL, payload BLOB NOT NULL)"
        ),
        (
            "CREATE TABLE IF NOT EXISTS ldv_outbox_batch (writer_id TEXT NOT NULL, first_seq INTEGER NOT NULL, "
            "records INTEGER NOT NULL, payload BLOB NOT NULL, owner TEXT NOT NULL, leased_until REAL NOT NULL, "
            "tries INTEGER NOT NULL, PRIMARY KEY (writer_id, first_seq))"
        ),
        (
            "CREATE TABLE IF NOT EXISTS ldv_outbox_refused (writer_id TEXT NOT NULL, seq INTEGER NOT NULL, "
            "payload BLOB NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (writer_id, seq))"
        ),
    ),
    grown="SELECT id, records FROM ldv_outbox ORDER BY id LIMIT ?",
    insert=_INSERT.replace("%s", "?"),
    # The oldest rows, all of them, for nobody else can take any meanwhile.
    remove="DELETE FROM ldv_outbox WHERE id <= ? RETURNING id, payload",
    take=_TAKE.replace("NOW", _SQLITE_NOW).replace("%s", "?"),
    **{name: statement.replace("NOW", _SQLITE_NOW).replace("%s", "?") for name, statement in _SHARED.items()},
)

DIALECTS: Final = {dialect.name: dialect for dialect in (POSTGRESQL, SQLITE)}


def insert_rows(cursor: Any, statement: str, rows: Sequence[tuple[int, bytes]]) -> int | None:
    """Insert rows, at least one; return the number of the transaction where the statement gives it.

    Args:
        cursor: Of any driver (PEP 249).
    """
    if not statement.endswith(RETURNING_NUMBER):
        cursor.executemany(statement, rows)
        return None
    cursor.execute(statement, rows[0])
    number = int(cursor.fetchone()[0])
    if len(rows) > 1:
        # Many in one round; nothing comes back of these.
        cursor.executemany(statement.removesuffix(RETURNING_NUMBER), rows[1:])
    return number


def packed(payloads: Sequence[bytes]) -> bytes:
    """Return records' bytes as one value of a row."""
    return msgspec.msgpack.encode(payloads)


def unpacked(value: bytes) -> list[bytes]:
    """Return the records' bytes in a value of a row.

    Raises:
        msgspec.DecodeError: It holds something else.
    """
    return msgspec.msgpack.decode(value, type=list[bytes])


def rows_of(payloads: Sequence[bytes]) -> list[tuple[int, bytes]]:
    """Return number and value for each row that the records of an Actie take."""
    parts = [payloads[begin : begin + MOST_RECORDS] for begin in range(0, len(payloads), MOST_RECORDS)]
    return [(len(part), packed(part)) for part in parts]
