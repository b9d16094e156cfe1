"""`ldv backup` and `ldv restore`: everything comes back, into any kind of Logboek, and what is not whole does not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ldv_otel._internal.clickhouse.backup.contents import BackupContents, read_contents
from ldv_otel._internal.clickhouse.backup.place import opened_source
from ldv_otel._internal.clickhouse.backup.restore import restore_backup
from ldv_otel._internal.clickhouse.backup.write import BackupNotes, write_backup
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import ConfigurationError
from tests.cli.test_cli import ldv
from tests.support.chance import new_id
from tests.support.logboek import SECRET, LogboekProcess, settings_at

BSN = "123456782"
REGISTER = """
activities:
  - id: https://register.example/a
    name: Parkeren
    retention: P5Y
"""
SERVICE = f"""
import ldv_otel as ldv
ldv.install()
for number in range(20):
    with ldv.processing("https://register.example/a", name="Stap"):
        ldv.data_subject({BSN!r}, type="BSN")
assert ldv.force_flush(30)
"""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An embedded Logboek that a service wrote, sealed, with a Register and tables of a Collector."""
    home = tmp_path_factory.mktemp("backup")
    (home / "register.yaml").write_text(REGISTER)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))} | {
        "LDV_LOGBOEK": f"chdb://{home}/logboek",
        "LDV_KEYS": str(home / "keys.json"),
        "LDV_STATE": str(home / "state"),
        "LDV_REGISTER": str(home / "register.yaml"),
        "COLUMNS": "200",
        "HOME_OF_TEST": str(home),
    }
    assert ldv(environ, "key", "new").returncode == 0
    subprocess.run([sys.executable, "-c", SERVICE], env=environ, check=True, capture_output=True)
    for command in (["schema", "apply", "--collector"], ["register", "apply"], ["seal"]):
        done = ldv(environ, *command)
        assert done.returncode == 0, done.stderr
    done = ldv(environ, "backup", str(home / "copy"))
    assert done.returncode == 0, done.stderr
    return environ | {"BACKUP": str(home / "copy"), "SHOWN": done.stdout}


def contents_of(path: Path) -> BackupContents:
    """What a backup says that it has."""
    with opened_source(path) as source:
        return read_contents(source)


def records(environ: dict[str, str]) -> Any:
    """What is known about the person."""
    done = ldv(environ, "inzage", "--json", typed=f"{BSN}\n")
    assert done.returncode == 0, done.stderr
    assert "cannot be found" not in done.stderr
    return json.loads(done.stdout)


def test_everything_comes_back_and_is_verified(original: dict[str, str], tmp_path: Path) -> None:
    """Into an empty place of the same kind, and into `ldv logboek`: the same records, and seals that hold."""
    expected = records(original)
    assert len(expected) == 20
    here = original | {"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek", "LDV_STATE": str(tmp_path / "state")}
    restored = ldv(here, "restore", original["BACKUP"])
    assert restored.returncode == 0, restored.stderr
    command = next(line for line in restored.stdout.splitlines() if line.startswith("check it")).split()[2:]
    with LogboekProcess(tmp_path / "shared") as process:
        shared = here | {
            "LDV_LOGBOEK": f"clickhouse+http://127.0.0.1:{process.port}/ldv",
            "LDV_LOGBOEK_PASSWORD": SECRET,
            "LDV_STATE": str(tmp_path / "state-of-shared"),
        }
        assert ldv(shared, "restore", original["BACKUP"]).returncode == 0
        for environ in (here, shared):
            assert records(environ) == expected
            verified = ldv(environ, *command[1:])
            assert (verified.returncode, "20 Logregels" in verified.stdout) == (0, True), verified.stdout
            status = json.loads(ldv(environ, "status", "--json").stdout)
            assert (status["schema"]["collector"], status["totals"]["logregels"]) == (True, 20)
            exported = ldv(environ, "register", "export")
            assert "Parkeren" in exported.stdout, exported.stderr
        # And a copy of the copy has the same rows.
        again = ldv(shared, "backup", str(tmp_path / "copy"), "--json")
        first, second = contents_of(Path(original["BACKUP"])), json.loads(again.stdout)
        assert {table.name: table.rows for table in first.tables} == second["tables"] | {
            "ldv_verification": next(table.rows for table in first.tables if table.name == "ldv_verification")
        }


def test_no_key_is_in_it_and_nobody_else_may_read_it(original: dict[str, str]) -> None:
    """The names of keys are, and the public key of the seal; files are 0600 in a directory of 0700."""
    backup = Path(original["BACKUP"])
    contents = contents_of(backup)
    ring = json.loads(Path(original["LDV_KEYS"]).read_text())
    assert [key.id for key in contents.keys] == [ring["active"]]
    assert contents.seal_key.startswith("ldv-sealer+")
    assert contents.register is not None
    secrets = [key["secret"] for key in ring["keys"]]
    secrets.append(Path(f"{original['LDV_KEYS']}.seal.key").read_text().strip())
    for file in backup.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
        assert not any(secret.encode() in file.read_bytes() for secret in secrets)
    assert backup.stat().st_mode & 0o777 == 0o700
    assert "No key is in it" in original["SHOWN"]


def test_what_is_not_whole_is_not_restored(original: dict[str, str], tmp_path: Path) -> None:
    """A changed, missing or foreign file, no contents, a Logboek that has rows: nothing is written."""
    here = original | {"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek", "LDV_STATE": str(tmp_path / "state")}
    copy = tmp_path / "copy"

    def refused() -> str:
        done = ldv(here, "restore", str(copy))
        assert done.returncode == 1
        assert "othing was restored" in done.stderr
        return done.stderr

    assert "is no whole backup" in refused()
    shutil.copytree(original["BACKUP"], copy)
    file = copy / "logregel.000000.native.zst"
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    assert "its checksum differs" in refused()
    file.unlink()
    assert "cannot be read" in refused()
    whole = json.loads((copy / "backup.json").read_text())
    for changed, words in (
        ({"format": 2}, "is of format 2"),
        ({"schema_version": 999}, "of version 999"),
        ({"tables": [{"name": "system.users", "rows": 0, "columns": [], "files": []}]}, "is not of a Logboek"),
        ({"register": {"name": "../../etc/passwd", "size": 1, "sha256": ""}, "tables": []}, "is no name of a file"),
    ):
        (copy / "backup.json").write_text(json.dumps(whole | changed))
        assert words in refused()
    assert not (tmp_path / "logboek").exists()
    shutil.rmtree(copy)
    shutil.copytree(original["BACKUP"], copy)
    assert ldv(here, "restore", str(copy)).returncode == 0
    assert "has rows in" in refused()
    assert "exists. Nothing was backed up" in ldv(here, "backup", str(copy)).stderr
    other = here | {"LDV_LOGBOEK": f"chdb://{tmp_path}/elders", "LDV_KEYS": str(tmp_path / "ander.json")}
    assert ldv(other, "key", "new", "--id", "ander").returncode == 0
    assert "NOT THERE the keys" in ldv(other, "restore", str(copy)).stdout


def test_many_files_are_one_table(tmp_path: Path) -> None:
    """Over minutes, within one, with rows that were stored twice, and at the ends of time."""
    with LogboekProcess(tmp_path / "logboek") as process:
        settings = msgspec.structs.replace(settings_at(process.port), seal=False)
        apply_schema(settings)
        times = [
            -2_000_000_000_000,
            -1,
            0,
            59_999,
            60_000,
            *[1_790_000_000_000] * 9,
            1_790_000_100_000,
            9_000_000_000_000,
        ]
        sink = ClickHouseSink(settings)
        sink.open()
        batch = [
            Logregel(trace_id=new_id(16), span_id=new_id(8), name="Stap", start_time_ms=ms, end_time_ms=ms)
            for ms in times
        ]
        sink.send(number_batch(new_writer_id(), 0, batch))
        sink.close()
        rows = Sql("SELECT * FROM logregel ORDER BY start_time, span_id, writer_id, seq")
        with LogboekClient(settings) as client:
            client.command(Sql.verbatim("INSERT INTO logregel SELECT * FROM logregel LIMIT 3"))
            stored = client.rows(rows)
            contents, _ = write_backup(client, tmp_path / "copy", BackupNotes(), file_rows=4)
        (table,) = [table for table in contents.tables if table.name == "logregel"]
        assert (table.rows, len(stored)) == (19, 19)
        assert len(table.files) > 4
        other = settings_at(process.port, "elders")
        restore_backup(other, tmp_path / "copy")
        with LogboekClient(other) as client:
            assert client.rows(rows) == stored
        with pytest.raises(ConfigurationError, match="has rows"):
            restore_backup(other, tmp_path / "copy")


def test_a_plan_to_remove_says_what_to_keep(original: dict[str, str]) -> None:
    """And removes nothing."""
    refused = ldv(original, "uninstall")
    assert (refused.returncode, "--plan" in refused.stderr) == (1, True)
    done = ldv(original, "uninstall", "--plan", "--json")
    assert done.returncode == 0, done.stderr
    steps = {step["what"].split()[0]: step for step in json.loads(done.stdout)}
    assert "20 Logregels" in steps["records"]["keep"]
    assert original["LDV_KEYS"] in steps["keys"]["remove"]
    assert steps["keys"]["keep"]
    assert len(records(original)) == 20
    assert "KEEP: " in ldv(original, "uninstall", "--plan").stdout


def test_a_backup_may_be_one_file(original: dict[str, str], tmp_path: Path) -> None:
    """With the same in it, for its owner alone; cut off or changed it is not restored."""
    file = tmp_path / "copy.tar"
    done = ldv(original, "backup", str(file))
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["copy.tar"]
    assert file.stat().st_mode & 0o777 == 0o600
    first, second = contents_of(Path(original["BACKUP"])), contents_of(file)
    assert [(each.name, each.rows) for each in second.tables if each.name != "ldv_verification"] == [
        (each.name, each.rows) for each in first.tables if each.name != "ldv_verification"
    ]
    here = original | {"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek", "LDV_STATE": str(tmp_path / "state")}
    content = file.read_bytes()
    for broken, words in (
        (content[: len(content) // 2], "othing was restored"),
        (b"no tar at all", "no tar file"),
        (content.replace(second.tables[3].files[0].sha256.encode(), b"0" * 64), "its checksum differs"),
    ):
        (tmp_path / "broken.tar").write_bytes(broken)
        refused = ldv(here, "restore", str(tmp_path / "broken.tar"))
        assert (refused.returncode, words in refused.stderr) == (1, True), refused.stderr
    assert not (tmp_path / "logboek").exists()
    assert ldv(here, "restore", str(file)).returncode == 0
    assert len(records(here)) == 20
