"""Every statement of `ldv schema apply --cluster`, run by the real engine.

The embedded engine makes Replicated tables with a real ZooKeeper, but leaves them read-only: it has no address for
other replicas. So there are two runs. In the first every table is made as it is on a cluster, and what changes one may
be refused as read-only, and for nothing else. In the second they are plain tables behind the real Distributed one, and
nothing is refused.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from ldv_otel._internal.clickhouse.schema.cluster import Cluster
from ldv_otel._internal.clickhouse.schema.migrations import all_statements
from tests.support.zookeeper import ZooKeeper, skip_without_zookeeper

pytestmark = pytest.mark.slow

TABLE_IS_READ_ONLY: Final = 242
NAME: Final = "prod"
REPLICATED: Final = "ENGINE = ReplicatedMergeTree("
TRACE: Final = "07" * 16
#: Runs statements, and prints for each its error code and answer. It does not end as it should: an engine with
#: read-only replicas never closes.
_ENGINE: Final = r"""
import json, os, re, sys
from chdb.state.sqlitelike import Connection
engine, answers = Connection(sys.argv[1]), []
for statement in json.load(sys.stdin):
    try:
        answers.append((0, engine.query(statement, "TabSeparated").bytes().decode()))
    except RuntimeError as error:
        code = re.search(r"Code: (\d+)", str(error))
        answers.append((int(code[1]) if code else -1, str(error)[:300]))
print(json.dumps(answers), flush=True)
os._exit(0)
"""


@pytest.fixture(scope="module")
def zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    """One for all tests of this file."""
    skip_without_zookeeper()
    with ZooKeeper(tmp_path_factory.mktemp("zookeeper") / "server") as server:
        yield server


def run(directory: Path, shard: str, port: int, statements: Sequence[str]) -> list[tuple[int, str]]:
    """Return the error code (0 for none) and the answer of each statement, run by a node of a cluster."""
    directory.mkdir()
    config = directory / "config.xml"
    # The port of the replica is this node's own, so that it is not asked over a network.
    config.write_text(
        f"<clickhouse><zookeeper><node><host>127.0.0.1</host><port>{port}</port></node></zookeeper>"
        f"<macros><shard>{shard}</shard><replica>r1</replica></macros><tcp_port>9000</tcp_port><remote_servers><{NAME}>"
        "<shard><internal_replication>true</internal_replication><replica><host>127.0.0.1</host><port>9000</port>"
        f"</replica></shard></{NAME}></remote_servers></clickhouse>"
    )
    done = subprocess.run(
        [sys.executable, "-c", _ENGINE, f"file:{directory}/engine?config-file={config}"],
        input=json.dumps(list(statements)),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    answers: list[Any] = json.loads(done.stdout)
    return [(code, text) for code, text in answers]


def statements_of(shards_by: str) -> list[str]:
    """Return every statement, as this node runs it when another one tells all to."""
    statements = [
        text.replace(f" ON CLUSTER '{NAME}'", "")
        for text in all_statements("ldv", Cluster(NAME, shards_by), collector=True)
    ]
    return [statements[0], "USE ldv", *statements[1:]]


@pytest.mark.parametrize("shards_by", ["", "trace"])
def test_every_table_is_made_as_on_a_cluster(zookeeper: ZooKeeper, tmp_path: Path, shards_by: str) -> None:
    """With ZooKeeper, macros and a cluster; a table's name, path and settings are all right to the engine."""
    # An insert into a read-only table waits for it for minutes; the other run has it.
    tables = [
        text
        for text in statements_of(shards_by)
        if re.search(r"^(CREATE (TABLE|DATABASE|MATERIALIZED VIEW)|USE|ALTER TABLE)", text, re.MULTILINE)
    ]
    counted = "SELECT name FROM system.tables WHERE database = 'ldv' AND engine = 'ReplicatedMergeTree' ORDER BY name"
    *answers, replicated = run(tmp_path / "node", f"of-{shards_by or 'none'}", zookeeper.port, [*tables, counted])
    refused = {text: answer for text, (code, answer) in zip(tables, answers, strict=True) if code}
    assert {code for code, _ in answers} <= {0, TABLE_IS_READ_ONLY}, refused
    assert [text for text in refused if not re.search(r"^ALTER TABLE", text, re.MULTILINE)] == []
    asked = [
        re.search(r"^CREATE TABLE IF NOT EXISTS (\w+)", text, re.MULTILINE) for text in tables if REPLICATED in text
    ]
    assert replicated[1].split() == sorted(match[1] for match in asked if match)
    assert "logregel_local" in replicated[1].split()


@pytest.mark.parametrize("shards_by", ["", "trace"])
def test_every_statement_is_run_and_a_record_goes_through_the_table_in_front(
    zookeeper: ZooKeeper, tmp_path: Path, shards_by: str
) -> None:
    """Migrations, views, what a Collector writes to; twice, as after a run that was cut short."""
    statements = [
        re.sub(
            r"replicated_deduplication_window_seconds = \d+",
            "old_parts_lifetime = 480",
            re.sub(
                r"(?<!_)\breplicated_deduplication_window = ",
                "non_replicated_deduplication_window = ",
                re.sub(r"ReplicatedMergeTree\([^)]*\)", "MergeTree", text),
            ),
        )
        for text in statements_of(shards_by)
    ]
    questions = [
        f"INSERT INTO ldv.logregel (trace_id, span_id, name, start_time) SELECT unhex('{TRACE}'), 's', 'Wijzig', now()",
        f"SELECT name FROM ldv.logregels_trace(trace_id = '{TRACE}')",
        "SELECT count() FROM ldv.logregel_local",
        "SELECT engine FROM system.tables WHERE database = 'ldv' AND name = 'logregel'",
    ]
    answers = run(tmp_path / "node", "one", zookeeper.port, [*statements, *statements, *questions])
    assert [answer for code, answer in answers if code] == []
    assert [answer.strip() for _, answer in answers[-3:]] == ["Wijzig", "1", "Distributed"]
