"""Commands about one of several Logboeken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ldv_otel._internal.cli.app import app
from ldv_otel._internal.cli.application import tenant_apart
from ldv_otel._internal.config.settings import read_service_settings, tenant_settings
from ldv_otel._internal.delivery.paths import spool_base, spool_root
from ldv_otel._internal.delivery.spool.writer import SpoolWriter
from ldv_otel._internal.record.logregel import encode_logregel
from tests.delivery.test_memory import record
from tests.support.tenants import write_logboeken

RUNNER = CliRunner()


@pytest.mark.parametrize(
    ("arguments", "option", "rest"),
    [
        (["inzage", "--tenant", "0363", "--json"], ["--tenant", "0363"], ["inzage", "--json"]),
        (["--tenant", "0363", "inzage"], ["--tenant", "0363"], ["inzage"]),
        (["key", "list", "--tenant=0363"], ["--tenant=0363"], ["key", "list"]),
        (["run", "app", "--tenant", "x"], [], ["run", "app", "--tenant", "x"]),
        (["inzage", "--", "--tenant"], [], ["inzage", "--", "--tenant"]),
        (["inzage", "--tenant"], ["--tenant"], ["inzage"]),
    ],
)
def test_the_option_stands_anywhere_before_anothers_arguments(
    arguments: list[str], option: list[str], rest: list[str]
) -> None:
    """`ldv inzage --tenant 0363` reads as one would say it; a program that `ldv run` starts keeps its own."""
    assert tenant_apart(arguments) == (option, rest)


def test_status_shows_what_waits_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two Logregels of one tenant on disk, none of the other; the Logboeken are not asked."""
    path = write_logboeken(tmp_path, ["0363", "0344"])
    environ = {"LDV_LOGBOEKEN": str(path), "LDV_SPOOL": str(tmp_path / "spool"), "LDV_STATE": str(tmp_path / "state")}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LDV_TENANT", raising=False)
    common = read_service_settings(environ)
    assert common.logboeken is not None
    amsterdam = tenant_settings(common, common.logboeken, "0363")
    spool = SpoolWriter(spool_base(spool_root(amsterdam), amsterdam.logboek), "w1")
    spool.append(*[encode_logregel(record(number)) for number in range(2)])
    spool.close()
    shown = RUNNER.invoke(app, ["status", "--json"])
    pending = {tenant["tenant"]: tenant["pending"] for tenant in json.loads(shown.output)["tenants"]}
    assert (shown.exit_code, pending) == (0, {"quarantine": 0, "0363": 2, "0344": 0})
    assert "2 of 3 Logboeken have nothing waiting here" in RUNNER.invoke(app, ["status"]).output
    (tmp_path / "0344.json").unlink()
    broken = RUNNER.invoke(app, ["status"])
    assert broken.exit_code == 1
    assert "0344.json" in broken.output


def test_a_tenants_keys_are_those_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ldv key list --tenant` lists that tenant's."""
    path = write_logboeken(tmp_path, ["0363", "0344"])
    monkeypatch.setenv("LDV_LOGBOEKEN", str(path))
    monkeypatch.setenv("LDV_TENANT", "")
    listed = RUNNER.invoke(app, ["--tenant", "0344", "key", "list"])
    assert listed.output.startswith("0344.fp-")
    assert "0363" not in listed.output


def test_doctor_compares_the_keys_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is of one Logboek it says for that one."""
    path = write_logboeken(tmp_path, ["0363", "0344"])
    monkeypatch.setenv("LDV_LOGBOEKEN", str(path))
    monkeypatch.delenv("LDV_TENANT", raising=False)
    checks = {each["check"]: each for each in json.loads(RUNNER.invoke(app, ["doctor", "--json"]).output)}
    assert checks["settings"]["finding"].startswith("Logboeken of 2 tenants")
    assert (checks["keys"]["state"], checks["spool"]["state"]) == ("ok", "unknown")
    (tmp_path / "0344.json").write_bytes((tmp_path / "0363.json").read_bytes())
    checks = {each["check"]: each for each in json.loads(RUNNER.invoke(app, ["doctor", "--json"]).output)}
    assert checks["keys"]["state"] == "wrong"
    assert "whose secret" in checks["keys"]["finding"]
