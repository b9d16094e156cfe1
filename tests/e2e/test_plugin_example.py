"""The example package with a Sink and an Extension, as a service that has it installed uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from ldv_otel import plugins, testing
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.delivery.sink import make_sink
from ldv_otel._internal.privacy.key_file import add_key
from tests.support.package import installed

PROJECT = Path(__file__).parents[2] / "examples" / "plugin"
SERVICE = """
import sys
import ldv_otel as ldv

ldv.install()
headers = {"X-Zaak": "Z-2025-7"}
with ldv.processing("https://register.example/a", name="behandelen", attributes={"zaak.nummer": sys.argv[1]}):
    ldv.data_subject("123456782", type="BSN")
    with ldv.processing("https://register.example/b", name="opvragen"):
        pass
assert ldv.force_flush(), ldv.health()
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory to put on the path: the example package is installed there."""
    installed(tmp_path / "site", PROJECT)
    return tmp_path / "site"


def environ(tmp_path: Path, site: Path) -> dict[str, str]:
    """A service that logs to the example's file, with its extension on."""
    (tmp_path / "parties.yaml").write_text("extensions: {zaak: {header: X-Zaak}}\n", encoding="utf-8")
    if not (tmp_path / "keys.json").exists():
        add_key(tmp_path / "keys.json")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
    return clean | {
        "PYTHONPATH": f"{site}:{PROJECT / 'src'}",
        "LDV_LOGBOEK": f"jsonl://localhost{tmp_path}/logregels.jsonl",
        "LDV_KEYS": str(tmp_path / "keys.json"),
        "LDV_STATE": str(tmp_path / "state"),
        "LDV_PARTIES": str(tmp_path / "parties.yaml"),
    }


def run(tmp_path: Path, site: Path, number: str) -> subprocess.CompletedProcess[str]:
    """Run the service."""
    command = [sys.executable, "-c", textwrap.dedent(SERVICE), number]
    return subprocess.run(command, env=environ(tmp_path, site), capture_output=True, text=True, check=False, timeout=60)


def test_a_service_logs_through_the_example(tmp_path: Path, site: Path) -> None:
    """Chosen by the scheme of LDV_LOGBOEK; the case number goes along to Acties inside, a wrong one does not."""
    for number in ("Z-2025-42", "no number!"):
        result = run(tmp_path, site, number)
        assert result.returncode == 0, result.stderr
    rows = list(map(json.loads, (tmp_path / "logregels.jsonl").read_text(encoding="utf-8").splitlines()))
    assert Counter(row["name"] for row in rows) == {"behandelen": 2, "opvragen": 2}
    assert [row["attributes"].get("zaak.nummer") for row in rows] == ["Z-2025-42", "Z-2025-42", None, None]
    assert all("123456782" not in json.dumps(row) for row in rows)
    assert sum(bool(row["data_subject_id"]) for row in rows) == 2


def test_the_example_passes_the_conformance_suite(tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the page tells authors to test theirs; and what it stored is there for the next process."""
    monkeypatch.syspath_prepend(PROJECT / "src")
    monkeypatch.syspath_prepend(site)
    sink = make_sink(read_settings(environ(tmp_path, site)))
    assert isinstance(sink, plugins.Sink)
    path = tmp_path / "logregels.jsonl"

    def count_rows(writer_id: str) -> int:
        return sum(json.loads(line)["writer_id"] == writer_id for line in path.read_text(encoding="utf-8").splitlines())

    testing.check_sink(sink, count_rows=count_rows)
    stored = path.read_bytes()
    path.write_bytes(stored + b'{"writer_id": "torn')
    sink.open()
    sink.close()
    assert path.read_bytes() == stored


def test_a_process_knows_what_another_one_stored(tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It adopts the spool of a process that died after it sent a batch, and before it could forget it."""
    monkeypatch.syspath_prepend(PROJECT / "src")
    monkeypatch.syspath_prepend(site)
    settings = read_settings(environ(tmp_path, site))
    first, second = make_sink(settings), make_sink(settings)
    logregels = [
        plugins.Logregel(trace_id=b"t" * 16, span_id=bytes([n] * 8), name="naam", start_time_ms=1, end_time_ms=2)
        for n in (1, 2, 3)
    ]
    batch = plugins.Batch(writer_id="0" * 32, seqs=(7, 8, 9), logregels=tuple(logregels))
    part, rest = batch.halves()
    path = tmp_path / "logregels.jsonl"
    first.open()
    second.open()
    assert second.read_back(batch) == frozenset()
    first.send(part)
    stored = path.read_bytes()
    path.write_bytes(stored + b'{"writer_id": "torn')
    assert second.read_back(batch) == frozenset(part.seqs)
    assert path.read_bytes() == stored
    second.send(batch)
    assert first.read_back(batch) == frozenset(part.seqs + rest.seqs)
    assert [json.loads(line)["seq"] for line in path.read_text(encoding="utf-8").splitlines()] == [7, 8, 9]
    first.close()
    second.close()


def test_the_extension_reads_what_it_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the called party the number is what the caller had; what is no number, or is there twice, is ignored."""
    monkeypatch.syspath_prepend(PROJECT / "src")
    from ldv_example_plugin.zaak import open_extension  # on the path only now

    extension = open_extension({"header": "X-Zaak"})
    assert isinstance(extension, plugins.Extension)
    call = plugins.OutboundCall(b"t" * 16, "https://register.example/a", {"zaak.nummer": "Z-1"})
    headers = extension.call_headers(call)
    assert headers == {"X-Zaak": "Z-1"}
    assert extension.read_headers(lambda name: [headers[name]], None).attributes == {"zaak.nummer": "Z-1"}
    for values in ([], ["a", "b"], ["not a number"]):
        assert not extension.read_headers(lambda _, values=values: values, None).attributes  # type: ignore[misc]
    with pytest.raises(ValueError, match="header"):
        open_extension({"header": 1})


def test_it_imports_public_modules_only() -> None:
    """What it needs of `_internal` would be missing from the doors."""
    for path in (PROJECT / "src").rglob("*.py"):
        assert "_internal" not in path.read_text(encoding="utf-8")
