"""Checks a Logboek on a real ClickHouse cluster: what no machine without a cluster can check.

    LDV_LOGBOEK=clickhouse+https://user@node1:8443/ldv LDV_KEYS=... python benchmarks/cluster.py --batches 200

It writes batches through the package's own sink, each of them twice, and then asks every replica what it has. It says
whether the tables are the same everywhere, whether anything is missing, doubled or on the wrong shard, and how many
records a second one writer got through. What it writes stays, under the activity that it names at the end.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time

from ldv_otel import Logregel, Settings, read_settings
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import check_schema, schema_status
from ldv_otel._internal.clickhouse.sink import open_sink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.tables import Table
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.delivery.retry import deliver
from ldv_otel._internal.times.instants import now_ms

_RECORDS_IN_BATCH = 5_000
_TABLES = f"""
SELECT hostName(), max(if(name = '{Table.LOGREGEL_LOCAL}', engine, '')), max(if(name = 'logregel', engine, ''))
FROM clusterAllReplicas({{cluster:String}}, system.tables) WHERE database = currentDatabase() GROUP BY hostName()
"""
_ROWS = f"""
SELECT hostName(), getMacro('shard'), count(), uniqExact(seq), uniqExact(trace_id)
FROM clusterAllReplicas({{cluster:String}}, currentDatabase(), {Table.LOGREGEL_LOCAL})
WHERE writer_id = {{writer:String}} GROUP BY 1, 2 ORDER BY 2, 1
"""
_TOTAL = "SELECT count(), uniqExact(seq) FROM logregel WHERE writer_id = {writer:String}"


def main() -> int:
    """Run the check; return 0 when nothing is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=200, help=f"batches of {_RECORDS_IN_BATCH:,} records")
    wanted = parser.parse_args().batches
    settings = read_settings(os.environ)
    with LogboekClient(settings) as client:
        check_schema(client)
        cluster = schema_status(client).cluster
        if not cluster:
            sys.exit("The tables are not on a cluster. Run `ldv schema apply --cluster NAME` first.")
        for host, local, front in client.rows(Sql.verbatim(_TABLES), {"cluster": cluster}):
            print(f"{host}: {Table.LOGREGEL_LOCAL} {local or 'MISSING'}, logregel {front or 'MISSING'}")
        writer, seconds = write(settings, wanted)
        expected = wanted * _RECORDS_IN_BATCH
        print(f"{expected:,} records, each sent twice, in {seconds:.1f} s: {expected / seconds:,.0f} records/s")
        time.sleep(5)  # replicas beyond the quorum may still be fetching
        problems = 0
        shards: dict[str, set[tuple[int, int]]] = {}
        for host, shard, rows, places, traces in client.rows(
            Sql.verbatim(_ROWS), {"cluster": cluster, "writer": writer}
        ):
            print(f"shard {shard}, {host}: {rows:,} rows, {places:,} places, {traces:,} traces")
            shards.setdefault(shard, set()).add((rows, places))
            problems += rows != places
        problems += sum(len(found) != 1 for found in shards.values())
        total = client.rows(Sql.verbatim(_TOTAL), {"writer": writer})[0]
        print(f"through logregel: {total[0]:,} rows, {total[1]:,} places, expected {expected:,}")
        problems += total != (expected, expected)
    print("nothing is wrong" if not problems else f"{problems} PROBLEMS")
    return 1 if problems else 0


def write(settings: Settings, batches: int) -> tuple[str, float]:
    """Send batches twice each; return who wrote them and the seconds it took."""
    sink = open_sink(settings)
    sink.open()
    writer = new_writer_id()
    started = time.monotonic()
    for number in range(batches):
        moment_ms = now_ms()
        records = [
            Logregel(
                trace_id=secrets.token_bytes(16),
                span_id=secrets.token_bytes(8),
                name="Controle van het cluster",
                start_time_ms=moment_ms,
                end_time_ms=moment_ms,
                processing_activity_id="urn:ldv:cluster-check",
            )
            for _ in range(_RECORDS_IN_BATCH)
        ]
        batch = number_batch(writer, number * _RECORDS_IN_BATCH, records)
        for _ in range(2):
            deliver(batch, sink, wait=_pause)
    seconds = time.monotonic() - started
    sink.close()
    return writer, seconds


def _pause(seconds: float) -> bool:
    time.sleep(seconds)
    return False


if __name__ == "__main__":
    sys.exit(main())
