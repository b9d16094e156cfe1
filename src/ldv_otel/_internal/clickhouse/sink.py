"""Writing batches: the ClickHouse Sink, for a server and for the embedded engine alike."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import columns_of
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema, check_version, checked, schema_status
from ldv_otel._internal.clickhouse.seal_key import signer_for
from ldv_otel._internal.clickhouse.sealing import BatchSealer
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.tables import Table
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.sink import SinkTraits
from ldv_otel._internal.delivery.stats import SealState
from ldv_otel._internal.times.instants import hour_from_ms
from ldv_otel.errors import LdvError, LogboekSetupError, LogboekUnavailable

#: `async_insert` is on by default since ClickHouse 26.2; its answer would come before the rows are in their table's
#: part. One batch is one block: ClickHouse adds a block's number to the token, so that a batch that is cut in
#: another way the second time would be stored twice (ClickHouse#32304).
_INSERT_SETTINGS: Final = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_insert": "enable",
    "max_insert_threads": 1,
    "max_insert_block_size": 1_048_576,
    "max_partitions_per_insert_block": 1_000,
}

#: A newer version of the tables is noticed before the next batch, which comes once a second at most times.
_CHECK_SECONDS: Final = 1.0

#: A confirmation then means that a majority of the replicas of each shard has the rows.
_ON_CLUSTER: Final = {"insert_quorum": "auto", "insert_quorum_parallel": 1, "distributed_foreground_insert": 1}

#: The hours in which the batch has records keep this to a few granules: the table is ordered by time, not by writer.
#: It is one row, with a number that only this query has: an empty answer of something on the way, one that broke off,
#: or one to another query would else mean that nothing is stored.
READ_BACK: Final = Sql("""
SELECT groupUniqArray(seq), {proof:UInt64} FROM logregel
WHERE writer_id = {writer_id:String} AND seq BETWEEN {first:UInt64} AND {last:UInt64}
  AND toRelativeHourNum(start_time) IN {hours:Array(UInt32)}
""")


#: A gateway may drop settings. Without these a batch could be stored twice, or confirmed before it is stored.
_IN_FORCE: Final = Sql("SELECT getSetting('insert_deduplication_token'), toUInt8(getSetting('async_insert'))")


class ClickHouseSink:
    """A `Sink` over one ClickHouse connection; `Sink` says who opens, closes and retries."""

    def __init__(self, settings: Settings) -> None:
        self.traits: Final = SinkTraits(in_process=settings.logboek.embedded)
        self._settings = settings
        self._client: LogboekClient | None = None
        self._pid = 0
        self._more_settings: Mapping[str, object] = {}
        #: When the version of the tables was last looked at, by the monotonic clock.
        self._checked = 0.0
        self._sealer = BatchSealer()

    def open(self) -> None:
        """Connect and check the tables; an embedded Logboek gets its tables made or brought up to date."""
        if self._client is not None and self._pid == os.getpid():
            return
        with ExitStack() as engine:
            if self._settings.logboek.embedded:
                # Kept open until we are connected, or the engine would stop and start again in between.
                engine.enter_context(LogboekClient(self._settings, database=""))
                apply_schema(self._settings)
            client = checked(LogboekClient(self._settings))
        try:
            _check_settings(client)
        except BaseException:
            client.close()
            raise
        self._client, self._pid, self._checked = client, os.getpid(), time.monotonic()
        self._more_settings = _ON_CLUSTER if schema_status(client).cluster else {}
        self._sealer.open(lambda: signer_for(self._settings, client))

    @property
    def seal_state(self) -> SealState:
        """How batches are sealed."""
        return self._sealer.state

    def send(self, batch: Batch) -> None:
        """Store a batch as one block under its token, in tables that are still of our version."""
        client = self._connected()
        if time.monotonic() - self._checked >= _CHECK_SECONDS:
            check_version(client)
            self._checked = time.monotonic()
        settings = {**_INSERT_SETTINGS, **self._more_settings, "insert_deduplication_token": batch.token}
        try:
            client.insert(Table.LOGREGEL, columns_of(batch) | self._sealer.columns_of(batch), settings)
        except LdvError:
            self._sealer.doubted(batch)
            raise
        self._sealer.stored(batch)

    def read_back(self, batch: Batch) -> frozenset[int]:
        """Return which of the batch's rows can be read now; only the hours its records are in are looked at."""
        self._sealer.read_back(batch)
        proof = secrets.randbits(63)
        parameters = {
            "writer_id": batch.writer_id,
            "first": min(batch.seqs),
            "last": max(batch.seqs),
            "hours": sorted({hour_from_ms(record.start_time_ms) for record in batch.logregels}),
            "proof": proof,
        }
        match self._connected().rows(READ_BACK, parameters, self_proving=True):
            case [(stored, answered)] if answered == proof:
                return frozenset(stored) & frozenset(batch.seqs)
        raise LogboekUnavailable(
            f"The Logboek {self._settings.logboek} answered another question than that for records in doubt. It is "
            "asked again."
        )

    def close(self) -> None:
        """Close the connection; one inherited over a fork is left to the parent."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> LogboekClient:
        if self._client is None:
            self.open()
        if self._client is None:
            raise RuntimeError("open() returned without a connection")
        return self._client


def _check_settings(client: LogboekClient) -> None:
    """Refuse a way to the Logboek on which the settings of an insert get lost.

    Raises:
        LogboekSetupError: It names what has to be let through.
    """
    token = secrets.token_hex(8)
    rows = client.rows(_IN_FORCE, settings={"insert_deduplication_token": token, "async_insert": 0}, self_proving=True)
    if rows != [(token, 0)]:
        raise LogboekSetupError(
            f"Something before the Logboek {client.address} drops settings of our requests, without which a batch "
            "could be stored twice, or confirmed before it is stored. Nothing was written. Let a gateway pass "
            f"{', '.join((*_INSERT_SETTINGS, 'insert_deduplication_token'))}, or let LDV_LOGBOEK name the server."
        )


def open_sink(settings: Settings) -> ClickHouseSink:
    """Return the sink for the `chdb` and `clickhouse+...` schemes; entry point of the group `ldv_otel_sink`."""
    return ClickHouseSink(settings)
