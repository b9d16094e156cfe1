"""The example is the standard's own story; here its relations are checked, in the Logboeken it leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ldv_otel import Logregel
from ldv_otel.cli.rendering import trace_tree

ROOT = Path(__file__).parents[2]
READ = """
import os, sys
import msgspec
from ldv_otel import read_settings
from ldv_otel.logboek import read
from ldv_otel.logboek.client import LogboekClient
with LogboekClient(read_settings(os.environ)) as client:
    records = [found.logregel for found in read.in_period(client).records]
sys.stdout.buffer.write(msgspec.msgpack.encode(records))
"""


def records_of(logboek: Path) -> dict[str, Logregel]:
    """Everything in an embedded Logboek, by name, read by a process of its own."""
    import msgspec  # noqa: PLC0415  (only here)

    environ = os.environ | {"LDV_LOGBOEK": f"chdb://{logboek}"}
    done = subprocess.run([sys.executable, "-c", READ], env=environ, capture_output=True, check=True)
    found = msgspec.msgpack.decode(done.stdout, type=list[Logregel])
    return {record.name: record for record in found}


@pytest.mark.slow
def test_the_story_of_the_introduction(tmp_path: Path) -> None:
    """Two organisations, two processes each, over HTTP: all relations as in the standard's introduction."""
    done = subprocess.run(
        [sys.executable, "examples/parkeervergunning/demo.py", "--home", str(tmp_path / "demo")],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Verstrek houdergegevens" in done.stdout
    assert "123456782" not in done.stdout

    gemeente = records_of(tmp_path / "demo" / "gemeente")
    rdw = records_of(tmp_path / "demo" / "rdw")
    toon, wijzig = gemeente["Toon alle vergunningen"], gemeente["Wijzig kenteken"]
    controleer, verstrek = gemeente["Controleer tenaamstelling"], rdw["Verstrek houdergegevens"]

    assert toon.trace_id == wijzig.trace_id == controleer.trace_id
    assert toon.processing_activity_id == wijzig.processing_activity_id
    assert controleer.parent_span_id == wijzig.span_id
    assert controleer.parent_processing_activity_id == wijzig.processing_activity_id
    assert controleer.processing_activity_id != wijzig.processing_activity_id
    assert verstrek.foreign_operation_trace_id == wijzig.trace_id
    assert verstrek.foreign_operation_span_id in controleer.outbound_span_ids
    assert verstrek.parent_processing_activity_id == ""
    assert controleer.external_read_api_id == "https://ldv.rdw.example/v1"
    # One person, two organisations, two keys: two pseudonyms.
    assert toon.data_subject_id == wijzig.data_subject_id == controleer.data_subject_id
    assert verstrek.data_subject_id not in (b"", wijzig.data_subject_id)
    assert "Aanvraag_span" in gemeente

    tree = trace_tree([toon, wijzig, controleer, verstrek], title="T")
    assert len(tree.children) == 2
    assert len(tree.children[1].children[0].children) == 1
