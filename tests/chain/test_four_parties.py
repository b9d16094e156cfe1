"""A chain over four parties, each a process of its own: ours, ours of before, another's, and one without API."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.privacy.key_file import add_key
from ldv_otel._internal.record.logregel import Logregel
from tests.support.logboek import LogboekProcess
from tests.support.serving import Issuer, ServeProcess, environ_of

ROOT = Path(__file__).parents[2]
#: The last version that had the form of 2025 only.
BEFORE = "6c4f7f4"
TRACE = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
START = 1_788_343_190_000
#: What the record of the replaying party names as the next one.
NEXT_OF_PEER = "http://127.0.0.1:47417/data-processing-operations"

WRITE = """
import json, sys
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.record.logregel import Logregel
import os
settings = read_settings(os.environ)
apply_schema(settings)
sink = ClickHouseSink(settings)
sink.open()
sink.send(number_batch(new_writer_id(), 0, [Logregel(
    trace_id=bytes.fromhex(sys.argv[1]), span_id=bytes([11] * 8), parent_span_id=bytes([2] * 8), name="zoekt kenteken",
    start_time_ms=int(sys.argv[2]), end_time_ms=int(sys.argv[2]) + 5,
    processing_activity_id="https://register.example/kentekens",
)]))
sink.close()
"""


@pytest.fixture(scope="module")
def version_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the version before, from the project's history."""
    archive = subprocess.run(["git", "archive", BEFORE, "src"], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip("this copy of the project has no history, so the version before cannot be had")
    directory = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(directory, filter="data")
    return directory / "src"


@pytest.fixture(scope="module")
def chain(version_before: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The chain as the server of the first party answers it."""
    directory = tmp_path_factory.mktemp("four")
    with ExitStack() as stack:
        issuer = Issuer(directory)
        add_key(directory / "keys.json")
        (directory / "ours").write_text(issuer.token())
        (directory / "peer").write_text("lees")
        before = stack.enter_context(_version_before(version_before, directory, issuer))
        peer = stack.enter_context(
            subprocess.Popen([sys.executable, "-m", "tests.chain.replay"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        )
        stack.callback(peer.kill)
        assert peer.stdout
        peer_url = f"http://127.0.0.1:{int(peer.stdout.readline())}/data-processing-operations"
        parties = {
            "read_apis": [
                {"url": before.base, "name": "RDW", "token_file": str(directory / "ours")},
                {"url": peer_url, "name": "GBO", "token_file": str(directory / "peer")},
                {"url": NEXT_OF_PEER, "name": "Klein", "offered": False},
            ]
        }
        (directory / "parties.json").write_text(json.dumps(parties))
        logboek = stack.enter_context(LogboekProcess(directory / "logboek"))
        address = LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=logboek.port, database="ldv")
        settings = Settings(logboek=address, keys=directory / "keys.json")
        apply_schema(settings)
        _log(settings, before.base, peer_url)
        environ = environ_of(settings) | {"LDV_PARTIES": str(directory / "parties.json")}
        first = stack.enter_context(ServeProcess(environ, "--without-authentication", log=directory / "first.log"))
        answer = httpx.get(f"{first.base}/chains/{TRACE.hex()}", timeout=60)
        assert answer.status_code == 200, answer.text
        yield answer.json()


def _version_before(sources: Path, directory: Path, issuer: Issuer) -> ServeProcess:
    """A server of the version before, on a Logboek that it wrote itself."""
    environ = {
        "LDV_LOGBOEK": f"chdb://{directory}/before",
        "LDV_KEYS": str(directory / "keys.json"),
        "PYTHONPATH": str(sources),
    }
    variables = {name: value for name, value in os.environ.items() if not name.startswith("LDV_")}
    subprocess.run(
        [sys.executable, "-c", WRITE, TRACE.hex(), str(START + 3)], env=variables | environ, check=True, timeout=120
    )
    return ServeProcess(environ | issuer.environ, log=directory / "before.log")


def _log(settings: Settings, before: str, peer: str) -> None:
    """What the first party did: one Actie that calls both others."""
    common: dict[str, Any] = {"trace_id": TRACE, "processing_activity_id": "https://register.example/parkeren"}
    records = [
        Logregel(
            span_id=b"\x01" * 8, name="behandelt aanvraag", start_time_ms=START, end_time_ms=START + 9_000, **common
        ),
        Logregel(
            span_id=b"\x0a" * 8,
            parent_span_id=b"\x01" * 8,
            name="vraagt kenteken",
            start_time_ms=START + 1,
            end_time_ms=START + 20,
            external_read_api_id=before,
            outbound_span_ids=(b"\x02" * 8,),
            **common,
        ),
        Logregel(
            span_id=b"\x0b" * 8,
            parent_span_id=b"\x01" * 8,
            name="vraagt gegevens",
            start_time_ms=START + 2,
            end_time_ms=START + 30,
            external_read_api_id=peer,
            **common,
        ),
    ]
    sink = ClickHouseSink(settings)
    sink.open()
    sink.send(number_batch(new_writer_id(), 0, records))
    sink.close()


def test_every_party_is_in_the_chain(chain: dict[str, Any]) -> None:
    """Whatever form it speaks; the one without API is why the chain is not complete."""
    assert [(party["name"], party["state"], party["complete"]) for party in chain["parties"]] == [
        ("", "here", True),
        ("RDW", "reached", True),
        ("GBO", "reached", True),
        ("Klein", "no_api", False),
    ]
    assert not chain["complete"]


def test_every_record_hangs_where_it_belongs(chain: dict[str, Any]) -> None:
    """By its parent, by the ids of the call, or below the record that named its party."""
    records = chain["processingActivities"]
    shown = {
        record["name"]: (records[record["parent"]]["name"], record["relation"]) if "parent" in record else None
        for record in records
    }
    assert shown == {
        "behandelt aanvraag": None,
        "vraagt kenteken": ("behandelt aanvraag", "parent"),
        "vraagt gegevens": ("behandelt aanvraag", "parent"),
        "zoekt kenteken": ("vraagt kenteken", "caller"),
        "dataverwerking.doorgifte": ("vraagt gegevens", "asked"),
        "dataverwerking.bronbevraging": ("dataverwerking.doorgifte", "parent"),
    }
