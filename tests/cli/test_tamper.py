"""`ldv verify`, `ldv seal` and `ldv proof`, as people run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ldv_otel._internal.privacy.key_file import add_key
from tests.cli.test_cli import ldv

WRITE = """
import os, sys
from ldv_otel import Logregel, read_settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.clickhouse.sink import open_sink
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.sql_text import Sql
settings = read_settings(os.environ)
if len(sys.argv) > 1:
    with LogboekClient(settings) as client:
        client.command(Sql.verbatim(sys.argv[1]))
else:
    sink = open_sink(settings)
    sink.open()
    records = [
        Logregel(trace_id=b"t" * 16, span_id=bytes([number + 1]) * 8, name="Wijzig",
                 start_time_ms=1764000000000 + number, end_time_ms=1764000000009, processing_activity_id="https://register.example/a")
        for number in range(3)
    ]
    sink.send(number_batch(new_writer_id(), 0, records))
    sink.close()
"""
TRACE, SPAN = (b"t" * 16).hex(), (b"\x02" * 8).hex()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Where a Logboek will be, with the keys that a service makes."""
    add_key(tmp_path / "logboek.keys.json")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
    return clean | {
        "LDV_LOGBOEK": f"chdb://{tmp_path / 'logboek'}",
        "LDV_SPOOL": str(tmp_path / "spool"),
        "LDV_STATE": str(tmp_path / "state"),
    }


def run(environ: dict[str, str], *statement: str) -> None:
    """Store records, or run a statement behind the Logboek's back."""
    subprocess.run([sys.executable, "-c", WRITE, *statement], env=environ, check=True, capture_output=True)


def test_a_change_behind_the_logboeks_back_is_found(environ: dict[str, str], tmp_path: Path) -> None:
    """From the first record to the proof that a person takes home."""
    run(environ)
    place = f"file://{tmp_path / 'place'}"
    assert "not in a checkpoint yet" in ldv(environ, "proof", TRACE, SPAN, str(tmp_path / "early.json")).stderr
    sealed = json.loads(ldv(environ, "seal", "--to", place, "--json").stdout)
    assert (sealed["size"], sealed["added"]) == (1, 1)
    assert "1 manifests, 0 of them new" in ldv(environ, "seal").stdout
    clean = ldv(environ, "verify", "--against", place)
    assert clean.returncode == 0
    assert "checked   3 Logregels in 1 manifests; all are as they were sealed" in clean.stdout
    file = tmp_path / "proof.json"
    assert ldv(environ, "proof", TRACE, SPAN, str(file)).returncode == 0

    run(environ, "ALTER TABLE logregel UPDATE name = 'Bekijk' WHERE seq = 1 SETTINGS mutations_sync = 1")
    found = ldv(environ, "verify")
    assert found.returncode == 1
    assert "changed: 3 Logregels of writer" in found.stdout
    as_json = json.loads(ldv(environ, "verify", "--json", "--against", place).stdout)
    assert [each["kind"] for each in as_json["findings"]] == ["changed"]
    assert ldv(environ, "proof", TRACE, SPAN, str(file)).returncode == 1

    # Without Logboek and settings, on a machine that has the file only.
    elsewhere = {name: value for name, value in environ.items() if not name.startswith("LDV_")}
    proven = ldv(elsewhere, "verify", "--proof", str(file), "--key", sealed["key"])
    assert proven.returncode == 0
    assert '"Wijzig"' in proven.stdout
    assert "does not show that there are no other records" in proven.stdout
    assert "Nobody said whose key" in ldv(elsewhere, "verify", "--proof", str(file)).stdout
    content = file.read_text()
    file.write_text(content.replace('"index": 1', '"index": 2'))
    changed = ldv(elsewhere, "verify", "--proof", str(file), "--json")
    assert (changed.returncode, json.loads(changed.stdout)["ok"]) == (1, False)
    assert "was changed" in ldv(elsewhere, "verify", "--proof", str(file)).stdout


def test_keys_and_places_that_cannot_be_used_are_named(environ: dict[str, str], tmp_path: Path) -> None:
    """Which option it was, and that nothing was checked."""
    run(environ)
    assert "--key" in ldv(environ, "verify", "--key", "a+b+c").stderr
    assert "cannot be read" in ldv(environ, "verify", "--key", str(tmp_path / "nothing")).stderr
    assert "--against" in ldv(environ, "verify", "--against", "ftp://somewhere").stderr
    assert "--proof" in ldv(environ, "verify", "--proof", str(tmp_path / "nothing")).stderr
    keys = tmp_path / "keys"
    keys.write_text(json.loads(ldv(environ, "seal", "--json").stdout)["key"] + "\n")
    assert ldv(environ, "verify", "--key", str(keys)).returncode == 0
    without = environ | {"LDV_SEAL": "0"}
    assert "LDV_SEAL=0" in ldv(without, "seal").stderr
    assert "Nobody said which keys" in ldv(without, "verify").stdout
    assert ldv(without, "verify", "--since", "1d").returncode == 0


def test_records_that_are_not_sealed_have_an_exit_code_of_their_own(environ: dict[str, str]) -> None:
    """Nothing shows that they were tampered with, and nothing shows that they were not."""
    run(environ | {"LDV_SEAL": "0"})
    found = ldv(environ, "verify")
    assert found.returncode == 3
    assert "not sealed: 3 Logregels" in found.stdout


def test_the_key_is_shown_and_its_loss_too(environ: dict[str, str], tmp_path: Path) -> None:
    """With nothing configured; a new one is made by whoever says so, and shown as well."""
    assert "made with the first record" in ldv(environ, "status").stdout
    run(environ)
    first = json.loads(ldv(environ, "seal", "--json").stdout)["key"]
    key = first.split("+", 2)[2]
    shown = ldv(environ, "status")
    assert shown.returncode == 0
    assert f"{tmp_path / 'logboek.seal.key'}" in shown.stdout
    assert json.loads(ldv(environ, "status", "--json").stdout)["seal"]["key"].split("+", 2)[2] == key
    (tmp_path / "logboek.seal.key").unlink()
    lost = ldv(environ, "status")
    assert lost.returncode == 1
    assert "NOT SEALED  LDV_SEAL_KEY" in lost.stdout
    assert "was sealed before" in ldv(environ, "seal").stderr
    # The log goes on under the new key; who knows that one only sees what it did not sign.
    made = ldv(environ, "seal", "--new-key")
    assert (made.returncode, "A new key that seals records was made" in made.stderr) == (0, True)
    assert ldv(environ, "status").returncode == 0
    assert ldv(environ, "verify").returncode == 1
    (tmp_path / "keys").write_text("".join(f"{vkey}\n" for vkey in (first, made.stdout.split("key    ")[1].split()[0])))
    assert ldv(environ, "verify", "--key", str(tmp_path / "keys")).returncode == 0
    assert "LDV_SEAL=0" in ldv(environ | {"LDV_SEAL": "0"}, "status").stdout


def test_older_records_are_adopted_and_parts_are_checked(environ: dict[str, str]) -> None:
    """`ldv seal --adopt`, and then `ldv verify` of a trace, of a person, and from the last check on."""
    run(environ | {"LDV_SEAL": "0"})
    run(environ)
    assert ldv(environ, "verify", "--trace", TRACE).returncode == 3
    shown = ldv(environ, "seal", "--adopt")
    assert "adopted 3 Logregels in 1 manifests" in shown.stdout
    assert json.loads(ldv(environ, "seal", "--adopt", "--json").stdout)["adopted"]["records"] == 0
    everything = ldv(environ, "verify")
    assert (everything.returncode, "3 of them were sealed after they were stored" in everything.stdout) == (0, True)
    assert "6 of them were verified by an earlier run" in ldv(environ, "verify", "--continue").stdout
    of_trace = ldv(environ, "verify", "--trace", TRACE)
    assert of_trace.returncode == 0
    assert "checked   6 Logregels in 2 manifests" in of_trace.stdout
    assert "in a check of everything only" in of_trace.stdout
    of_nobody = ldv(environ, "verify", "--subject", "BSN", "--json", typed="123456782\n")
    assert json.loads(of_nobody.stdout)["records"] == 0
    assert "No identifier was given" in ldv(environ, "verify", "--subject", "BSN", typed="\n").stderr
    assert "Choose one of" in ldv(environ, "verify", "--trace", TRACE, "--since", "1d").stderr
