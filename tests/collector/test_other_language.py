"""examples/other-language as it stands: a Node service and one in Python, through one Collector, in one tree."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ldv_otel._internal.cli.rendering import trace_tree
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.privacy.pseudonyms import Key, KeyRing, Pseudonymiser
from ldv_otel._internal.record.logregel import Logregel
from tests.collector.conftest import Line
from tests.support.collector import KEY_ID, KEY_SECRET

EXAMPLE = Path(__file__).parents[2] / "examples" / "other-language"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Node service with its packages, which are fetched once for each version of package.json."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node is not here: the example in another language is not tried")
    package = EXAMPLE / "package.json"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    packages = cache / "ldv_otel" / "node" / hashlib.sha256(package.read_bytes()).hexdigest()[:16]
    if not (packages / "installed").exists():
        packages.mkdir(parents=True, exist_ok=True)
        shutil.copy(package, packages)
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]
        subprocess.run(command, check=True, cwd=packages, capture_output=True)
        (packages / "installed").touch()
    directory = tmp_path_factory.mktemp("node")
    for name in ("package.json", "gemeente.mjs"):
        shutil.copy(EXAMPLE / name, directory)
    (directory / "node_modules").symlink_to(packages / "node_modules")
    return directory / "gemeente.mjs"


@pytest.fixture
def rdw(confirmed: Line, tmp_path: Path) -> Iterator[str]:
    """The Python service, logging through the same Collector; its address."""
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"active": KEY_ID, "keys": [{"id": KEY_ID, "secret": KEY_SECRET}]}))
    keys.chmod(0o600)
    environ = {
        **os.environ,
        "LDV_LOGBOEK": f"otlp+http://127.0.0.1:{confirmed.collector.port}",
        "LDV_KEYS": str(keys),
        "LDV_SPOOL": str(tmp_path / "spool"),
        "LDV_STATE": str(tmp_path / "state"),
    }
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLE / "rdw_service.py")], env=environ, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait(20)
    process.stdout.close()


def test_one_trace_one_tree(confirmed: Line, node: Path, rdw: str) -> None:
    """Node's Actie, the RDW's below its HTTP client span, and one below that which went straight to the store."""
    environ = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{confirmed.collector.port}",
        "RDW_URL": rdw,
        "BSN": "123456782",
    }
    ran = subprocess.run(["node", str(node)], env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    trace_id = ran.stdout.strip()
    with confirmed.client() as client:
        for _ in range(200):
            records = {found.logregel.name: found.logregel for found in read.by_trace(client, trace_id)}
            if len(records) == 2:
                break
        top, below = records["Wijzig kenteken"], records["Zoek eigenaar"]
        assert (top.parent_span_id, below.parent_span_id) == (b"", top.span_id)
        sink = ClickHouseSink(confirmed.settings)
        sink.open()
        direct = Logregel(
            trace_id=top.trace_id,
            span_id=b"\x11" * 8,
            parent_span_id=below.span_id,
            name="Rechtstreeks",
            start_time_ms=top.start_time_ms,
            end_time_ms=top.end_time_ms,
        )
        sink.send(number_batch(new_writer_id(), 0, [direct]))
        sink.close()
        stored = [found.logregel for found in read.by_trace(client, trace_id)]
        pseudonymiser = Pseudonymiser(KeyRing([Key(id=KEY_ID, secret=KEY_SECRET)], active=KEY_ID))
        same_person = read.by_subject(client, pseudonymiser.candidates("123456782", "BSN"))
    assert {top.span_id, below.span_id} <= {found.logregel.span_id for found in same_person.records}
    (root,) = trace_tree(stored, title="").children
    (child,) = root.children
    (grandchild,) = child.children
    assert [str(node.label).split("  ")[0] for node in (root, child, grandchild)] == [
        "Wijzig kenteken",
        "Zoek eigenaar",
        "Rechtstreeks",
    ]
