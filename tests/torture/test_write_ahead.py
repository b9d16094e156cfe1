"""Level `write-ahead`: a process is killed in the middle of its Acties, and each that had begun is on record once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import Settings, read_settings
from ldv_otel._internal.delivery import drainer
from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel._internal.delivery.paths import spool_base
from ldv_otel._internal.delivery.spool.inspect import inspect_spools
from ldv_otel._internal.privacy.key_file import add_key
from tests.support.chance import dice
from tests.support.logboek import LogboekProcess
from tests.torture.rig import Forge, hurry, size, wait_until


@pytest.fixture
def environ(process: LogboekProcess, tmp_path: Path) -> dict[str, str]:
    """A service with tables, keys and a spool of its own."""
    add_key(tmp_path / "keys.json")
    found = {
        "LDV_LOGBOEK": f"clickhouse+http://127.0.0.1:{process.port}/ahead_{os.urandom(4).hex()}",
        "LDV_KEYS": str(tmp_path / "keys.json"),
        "LDV_DELIVERY": "durable",
        "LDV_SPOOL": str(tmp_path / "spool"),
    }
    apply_schema(read_settings(found))
    return found


def base_of(settings: Settings) -> Path:
    """Where the spools are."""
    assert settings.spool
    return spool_base(settings.spool, settings.logboek)


def rows(settings: Settings) -> list[tuple[str, bool, bool]]:
    """Each row of the raw table: its span id, whether it is interrupted, and whether it names a person."""
    columns = "lower(hex(span_id)), attributes['ldv.interrupted'] = 'true', data_subject_id != toFixedString('', 16)"
    with LogboekClient(settings) as client:
        return [
            (str(span_id), bool(interrupted), bool(person))
            for span_id, interrupted, person in client.rows(Sql.verbatim(f"SELECT {columns} FROM logregel"))
        ]


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_what_had_begun_is_on_record_once(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As ended if its end was acknowledged, else as ended or as interrupted; adopted by a sibling that lives."""
    hurry(monkeypatch)
    monkeypatch.setattr(drainer, "_ADOPT_SECONDS", 0.1)
    chance = dice("write-ahead")
    settings = read_settings(environ)
    sibling = DurableDelivery(ClickHouseSink(settings), base_of(settings))
    sibling.start_draining()
    kills = size(30, 500)
    with Forge(environ) as forge:
        for _ in range(kills):
            pid = forge.fork("ahead")
            forge.open_gate()
            forge.wait_ready()
            time.sleep(chance.uniform(0, 0.2))
            os.kill(pid, signal.SIGKILL)
            assert forge.reap() == -signal.SIGKILL
        forge.settle()
        wait_until(lambda: [spool.writer_id for spool in inspect_spools(base_of(settings))] == [sibling.writer_id])
    assert sibling.shutdown(30)
    begun, ended = forge.oracle.issued, forge.oracle.acknowledged
    found = rows(settings)
    stored = Counter(span_id for span_id, _, _ in found)
    interrupted = {span_id for span_id, so, _ in found if so}
    print(f"{len(begun)} begun, {len(ended)} ended, {len(interrupted)} interrupted")
    assert begun - stored.keys() == set(), "begun and not on record"
    assert {span_id for span_id, count in stored.items() if count > 1} == set(), "on record twice"
    assert interrupted & ended == set(), "ended and on record as interrupted"
    assert stored.keys() - begun - interrupted == set(), "on record as ended and never begun"
    # The one that lingers, at least.
    assert len(interrupted) >= kills


_LIFE = """
import os, sys
import ldv_otel as ldv

activity = "https://register.example/activiteiten/parkeren"
ldv.install()
with ldv.processing(activity, name="af", delivery="write-ahead"):
    ldv.data_subject("123456782", type="BSN")
"""

_FORK = """
with ldv.processing(activity, name="ouder", delivery="write-ahead"):
    child = os.fork()
    if child == 0:
        {child}
    os.waitpid(child, 0)
    {parent}
print(ldv.force_flush())
"""


def live(environ: dict[str, str], code: str) -> subprocess.CompletedProcess[str]:
    """Run a service to its end, whatever that is."""
    return subprocess.run(
        [sys.executable, "-c", _LIFE + code], env=os.environ | environ, capture_output=True, text=True, check=False
    )


def command(environ: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run an `ldv` command."""
    return subprocess.run(
        [sys.executable, "-m", "ldv_otel._internal.cli", *words],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_spool_drain_logs_what_never_ended(environ: dict[str, str]) -> None:
    """With the people named so far; `ldv spool status` tells of it before."""
    killed = live(
        environ,
        """
with ldv.processing(activity, name="buiten", delivery="write-ahead"):
    with ldv.processing(activity, name="binnen", delivery="write-ahead"):
        ldv.data_subject("123456782", type="BSN")
        os.kill(os.getpid(), 9)
""",
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (spool,) = json.loads(command(environ, "spool", "status", "--json").stdout)["spools"]
    assert (spool["alive"], spool["running"]) == (False, 2)
    assert command(environ, "spool", "drain").returncode == 0
    assert sorted((interrupted, person) for _, interrupted, person in rows(read_settings(environ))) == [
        (False, True),
        (True, False),
        (True, True),
    ]
    shown = json.loads(command(environ, "inzage", "123456782", "--json").stdout)
    assert {record["name"] for record in shown} == {"af", "binnen"}
    assert json.loads(command(environ, "spool", "status", "--json").stdout)["spools"] == []


@pytest.mark.parametrize(
    ("child", "parent", "expected"),
    [
        ("os._exit(0)", "pass", {"af": [False], "ouder": [False]}),
        ("os.kill(os.getpid(), 9)", "pass", {"af": [False], "ouder": [False]}),
        ("os._exit(0)", "os.kill(os.getpid(), 9)", {"af": [False], "ouder": [True]}),
        (
            "\n        with ldv.processing(activity, name='kind', delivery='write-ahead'): os.kill(os.getpid(), 9)",
            "pass",
            {"af": [False], "ouder": [False], "kind": [True]},
        ),
    ],
    ids=["child leaves", "child is killed", "parent is killed", "child is killed in its own"],
)
def test_a_fork_in_the_middle(
    environ: dict[str, str], child: str, parent: str, expected: dict[str, list[bool]]
) -> None:
    """What runs in the parent is the parent's, however the child ends."""
    done = live(environ, _FORK.format(child=child, parent=parent))
    assert done.returncode == (-signal.SIGKILL if "kill" in parent else 0), done.stderr
    assert command(environ, "spool", "drain").returncode == 0
    with LogboekClient(read_settings(environ)) as client:
        found = client.rows(Sql("SELECT name, attributes['ldv.interrupted'] = 'true' FROM logregel"))
    by_name: dict[str, list[bool]] = {}
    for name, interrupted in found:
        by_name.setdefault(str(name), []).append(bool(interrupted))
    assert by_name == expected
