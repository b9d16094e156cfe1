"""`ldv key`, and what is said where a key is missing: a rotation from the first key to its end."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ldv_otel._internal.cli.app import app
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.privacy.key_file import add_key, read_keys
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import LdvError
from tests.support.chance import new_id
from tests.support.logboek import LogboekProcess

BSN = "123456782"


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An empty Logboek, and a ring with one key."""
    add_key(tmp_path / "keys.json", name="eerste")
    with LogboekProcess(tmp_path / "logboek") as process:
        found = {
            "LDV_LOGBOEK": f"clickhouse+http://127.0.0.1:{process.port}/ldv",
            "LDV_KEYS": str(tmp_path / "keys.json"),
            "LDV_STATE": str(tmp_path / "state"),
            "LDV_SEAL_KEY": str(tmp_path / "seal.key"),
            "COLUMNS": "200",
        }
        apply_schema(read_settings(found))
        yield found


def ldv(environ: Mapping[str, str], *arguments: str, typed: str = "") -> Result:
    """Run a command in this process."""
    names = [name for name in os.environ if name.startswith("LDV_")]
    return CliRunner().invoke(app, arguments, input=typed, env=dict.fromkeys(names) | dict(environ))


def refusal(environ: Mapping[str, str], *arguments: str) -> str:
    """Run a command that is refused, and return why."""
    error = ldv(environ, *arguments).exception
    assert isinstance(error, LdvError)
    return str(error)


def listed(environ: Mapping[str, str], *arguments: str) -> list[dict[str, Any]]:
    """Return what a command shows of keys."""
    found: list[dict[str, Any]] = json.loads(ldv(environ, "key", *arguments, "--json").stdout)
    return found


def write(environ: Mapping[str, str], count: int) -> None:
    """Store records about one person under the active key."""
    ring = read_keys(Path(environ["LDV_KEYS"]))
    records = [
        Logregel(
            trace_id=new_id(16),
            span_id=new_id(8),
            name="Stap",
            start_time_ms=1_790_000_000_000,
            end_time_ms=1_790_000_000_000,
            data_subject_id=ring.pseudonym("BSN", BSN),
            data_subject_id_type="BSN",
            key_id=ring.active.id,
        )
        for _ in range(count)
    ]
    sink = ClickHouseSink(read_settings(environ))
    sink.open()
    sink.send(number_batch(new_writer_id(), 0, records))
    sink.close()


def test_a_rotation_from_the_first_key_to_its_end(environ: dict[str, str]) -> None:
    """What may go, what may not, and how it is seen that it is done."""
    keys = Path(environ["LDV_KEYS"])
    first = read_keys(keys).active.id
    write(environ, 3)
    assert listed(environ, "list") == [
        {"id": first, "in_file": True, "active": True, "seals": False, "logregels": None},
    ]
    assert ldv(environ, "key", "new", "--id", "tweede", "--seal").exit_code == 0
    second = read_keys(keys).active.id
    write(environ, 2)
    checked = ldv(environ, "key", "check")
    assert checked.exit_code == 0
    assert checked.stdout.splitlines() == [f"{first}  3 Logregels", f"{second}  active  seals  2 Logregels"]
    assert "3 Logregels are under key" in refusal(environ, "key", "retire", first)
    assert "is the active one" in refusal(environ, "key", "retire", second)
    assert "There is no key" in refusal(environ, "key", "retire", "derde")
    assert list(read_keys(keys).keys) == [first, second]
    # A key that no record needs.
    unused = add_key(keys, name="ongebruikt").id
    last = add_key(keys, name="laatste").id
    assert f"key {unused} was removed" in ldv(environ, "key", "retire", unused).stdout
    assert list(read_keys(keys).keys) == [first, second, last]
    assert keys.stat().st_mode & 0o777 == 0o600


def test_who_asks_without_a_key_is_told(environ: dict[str, str], tmp_path: Path) -> None:
    """With how many records, under which key; nobody is silently not found."""
    first = read_keys(Path(environ["LDV_KEYS"])).active.id
    write(environ, 3)
    add_key(tmp_path / "other.json", name="ander")
    other = environ | {"LDV_KEYS": str(tmp_path / "other.json")}
    write(other, 1)
    sentence = f"3 Logregels are about people who cannot be found here, .*: 3 under '{first}'"
    asked = ldv(other, "inzage", "--json", typed=f"{BSN}\n")
    assert (asked.exit_code, len(json.loads(asked.stdout))) == (0, 1)
    assert re.search(sentence, asked.stderr)
    checked = ldv(other, "key", "check")
    assert checked.exit_code == 1
    assert f"{first}  MISSING  3 Logregels" in checked.stdout
    assert re.search(sentence, checked.stderr)
    status = ldv(other, "status")
    assert status.exit_code == 1
    assert re.search(sentence, status.stdout)
    assert json.loads(ldv(other, "status", "--json").stdout)["missing_keys"] == {first: 3}
    verified = ldv(other, "verify", "--subject", "BSN", typed=f"{BSN}\n")
    assert verified.exit_code == 3
    assert "checked   1 Logregels" in verified.stdout
    assert re.search(sentence, verified.stderr)
    as_json = json.loads(ldv(other, "verify", "--subject", "BSN", "--json", typed=f"{BSN}\n").stdout)
    assert (as_json["ok"], as_json["complete"], as_json["missingKeys"]) == (True, False, {first: 3})
    # And with both nothing is said.
    both = tmp_path / "both.json"
    rings = [json.loads(Path(each["LDV_KEYS"]).read_text(encoding="utf-8")) for each in (environ, other)]
    both.touch(0o600)
    both.write_text(json.dumps({"active": first, "keys": [key for ring in rings for key in ring["keys"]]}))
    whole = environ | {"LDV_KEYS": str(both)}
    asked = ldv(whole, "inzage", "--json", typed=f"{BSN}\n")
    assert (len(json.loads(asked.stdout)), asked.stderr.count("cannot be found")) == (4, 0)
    assert ldv(whole, "key", "check").exit_code == 0
    assert ldv(whole, "verify", "--subject", "BSN", typed=f"{BSN}\n").exit_code == 0
    # Who has no keys cannot compare, and is not told that all is well with them.
    without = {name: value for name, value in environ.items() if name != "LDV_KEYS"}
    assert json.loads(ldv(without, "status", "--json").stdout)["missing_keys"] is None
