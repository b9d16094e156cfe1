"""The example is the standard's own story; here its relations are checked, in the Logboeken it leaves behind."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.tree import Tree
from werkzeug.exceptions import HTTPException

from ldv_otel import Logregel, testing
from ldv_otel._internal.cli.rendering import trace_tree
from ldv_otel._internal.record.logregel import Status

ROOT = Path(__file__).parents[2]
READ = """
import os, sys
import msgspec
from ldv_otel import read_settings
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.client import LogboekClient
with LogboekClient(read_settings(os.environ)) as client:
    records = [found.logregel for found in read.in_period(client).records]
sys.stdout.buffer.write(msgspec.msgpack.encode(records))
"""


def records_of(logboek: Path) -> list[Logregel]:
    """Everything in an embedded Logboek, read by a process of its own."""
    import msgspec  # only here

    environ = os.environ | {"LDV_LOGBOEK": f"chdb://{logboek}"}
    done = subprocess.run([sys.executable, "-c", READ], env=environ, capture_output=True, check=True)
    return msgspec.msgpack.decode(done.stdout, type=list[Logregel])


@pytest.mark.slow
def test_the_story_of_the_introduction(tmp_path: Path) -> None:
    """Two organisations, two processes each, over HTTP: all relations as in the introduction, in both modes."""
    done = subprocess.run(
        [sys.executable, "examples/parkeervergunning/demo.py", "--home", str(tmp_path / "demo")],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Verstrek houdergegevens" in done.stdout
    assert len(done.stdout.splitlines()) < 60
    assert "123456782" not in done.stdout
    before, changed, after = done.stdout.partition("An administrator changes one row")
    assert changed
    assert "all are as they were sealed" in before
    assert after.count("changed: 3 Logregels of writer") == 1

    gemeente = records_of(tmp_path / "demo" / "gemeente")
    rdw = records_of(tmp_path / "demo" / "rdw")
    assert "Aanvraag_span" in {record.name for record in gemeente}
    modes = {}
    for verstrek in rdw:
        together = [record for record in gemeente if record.trace_id == verstrek.foreign_operation_trace_id]
        modes[verstrek.trace_id == verstrek.foreign_operation_trace_id] = [*together, verstrek]
        # One person, two organisations, two keys: two pseudonyms.
        assert len({record.data_subject_id for record in together} - {b""}) == 1
        assert verstrek.data_subject_id not in {b"", together[0].data_subject_id}
        assert verstrek.foreign_operation_processor == "https://parkeren.gemeente.example"
        read_apis = {record.name: record.external_read_api_id for record in together}
        assert read_apis.pop("Controleer tenaamstelling").startswith("http://127.0.0.1:")
        assert not any(read_apis.values())
    assert relations(modes[True]) == picture(verstrek_trace="T", verstrek_parent="Controleer tenaamstelling")
    assert relations(modes[False]) == picture(verstrek_trace="own", verstrek_parent="")
    for records in modes.values():
        tree = trace_tree(records, title="T")
        # Which of the two comes first is no matter: they can begin within one millisecond.
        assert sorted(depth(child) for child in tree.children) == [1, 3]


def depth(tree: Tree) -> int:
    """Return how many records are below one another here."""
    return 1 + max(map(depth, tree.children), default=0)


@pytest.mark.parametrize("name", ["gemeente", "rdw"])
def test_what_is_refused_is_no_failure(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's plate, or one that does not exist: the status stays Unset (LDV-A5)."""
    monkeypatch.syspath_prepend(ROOT / "examples" / "parkeervergunning")
    service = importlib.import_module(name)
    with testing.logboek() as logboek, service.app.test_request_context():
        if name == "rdw":
            with pytest.raises(HTTPException):
                service.houder("ZZ-000-Z")
        else:
            monkeypatch.setattr(service, "controleer_tenaamstelling", lambda *_: False)
            with pytest.raises(HTTPException):
                service.wijzig_kenteken("P-1", "123456782", "XX-99-YY")
    (logregel,) = logboek.logregels
    assert logregel.status is Status.UNSET
    assert logregel.name == {"rdw": "Verstrek houdergegevens", "gemeente": "Wijzig kenteken"}[name]


GEMEENTE = "https://register.gemeente.example/activiteiten/"
VOEREN = f"{GEMEENTE}parkeervergunningadministratie-voeren"
CONTROLEREN = f"{GEMEENTE}tenaamstelling-controleren"
VERSTREKKEN = "https://register.rdw.example/activiteiten/kentekenhoudergegevens-verstrekken"


def picture(*, verstrek_trace: str, verstrek_parent: str) -> dict[str, tuple[str, ...]]:
    """Return the introduction's overall picture: trace, parent, foreign trace and span, activity, main activity.

    The introduction itself has `restart` (a trace of the RDW's own); the standard as it is now has `continue`.
    """
    return {
        "Toon alle vergunningen": ("T", "", "", "", VOEREN, ""),
        "Wijzig kenteken": ("T", "", "", "", VOEREN, ""),
        "Controleer tenaamstelling": ("T", "Wijzig kenteken", "", "", CONTROLEREN, VOEREN),
        "Verstrek houdergegevens": (
            verstrek_trace,
            verstrek_parent,
            "T",
            "Controleer tenaamstelling",
            VERSTREKKEN,
            "",
        ),
    }


def relations(records: list[Logregel]) -> dict[str, tuple[str, ...]]:
    """Return the same of records, with the names that the ids stand for."""
    spans = {record.span_id: record.name for record in records} | {b"": ""}
    assert len(spans) == len(records) + 1
    traces = {records[0].trace_id: "T", b"": ""}
    return {
        record.name: (
            traces.get(record.trace_id, "own"),
            spans[record.parent_span_id],
            traces[record.foreign_operation_trace_id],
            spans[record.foreign_operation_span_id],
            record.processing_activity_id,
            record.parent_processing_activity_id,
        )
        for record in records
    }
