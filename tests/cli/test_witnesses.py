"""`ldv seal`, `ldv verify` and `ldv status` with the witnesses of `LDV_WITNESSES`, as people run them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_cli import ldv
from tests.cli.test_tamper import SPAN, TRACE, environ, run
from tests.support.serving import ServeProcess

__all__ = ["environ"]


def shown_key(variables: dict[str, str]) -> str:
    """The key that a witness shows."""
    command = [sys.executable, "-m", "ldv_otel._internal.cli", "witness", "--show", "--json"]
    shown = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    return str(json.loads(shown.stdout)["key"])


def test_a_log_is_witnessed_by_another_organisation(
    environ: dict[str, str],
    tmp_path: Path,
) -> None:
    """From the two files to the proof, and what is said when the witness is away, or the Logboek was rolled back."""
    run(environ)
    log_key = json.loads(ldv(environ, "seal", "--json").stdout)["key"]
    logs, witnesses = tmp_path / "logs.yaml", tmp_path / "witnesses.yaml"
    logs.write_text(f"logs: [{{key: {log_key}}}]\n", encoding="utf-8")
    elsewhere = {"LDV_WITNESS_LOGS": str(logs), "LDV_STATE": str(tmp_path / "elsewhere")}
    key = shown_key(elsewhere)
    environ["LDV_WITNESSES"] = str(witnesses)
    with ServeProcess(elsewhere, log=tmp_path / "log", command="witness") as process:
        witnesses.write_text(f"quorum: 1\nwitnesses: [{{key: {key}, url: '{process.address}/witness'}}]\n")
        assert "NOT WITNESSED 0 of 1" in ldv(environ, "status").stdout
        sealed = ldv(environ, "seal")
        assert (sealed.returncode, "witnessed by 1 of 1" in sealed.stdout) == (0, True), sealed.stdout
        assert json.loads(ldv(environ, "seal", "--json").stdout)["witnesses"][0]["state"] == "cosigned"
        verified = ldv(environ, "verify")
        assert (verified.returncode, "1 of 1 known witnesses cosigned" in verified.stdout) == (0, True)
        status = ldv(environ, "status")
        assert (status.returncode, "witnessed   1 of 1 cosigned the last checkpoint" in status.stdout) == (0, True)
        file = tmp_path / "proof.json"
        assert ldv(environ, "proof", TRACE, SPAN, str(file)).returncode == 0
        proven = ldv(elsewhere, "verify", "--proof", str(file), "--key", key)
        assert (proven.returncode, "signed by ldv-witness/" in proven.stdout) == (0, True)
        run(environ)
        assert ldv(environ, "seal").returncode == 0
        run(environ, "ALTER TABLE ldv_checkpoint DELETE WHERE size > 1 SETTINGS mutations_sync = 1")
        rolled_back = ldv(environ, "verify")
        assert (rolled_back.returncode, "it has cosigned 2 entries" in rolled_back.stdout) == (1, True)
        assert "A witness has seen another log" not in ldv(environ, "seal").stdout, (
            "nothing but the checkpoint was gone"
        )
    run(environ)
    away = ldv(environ, "seal")
    assert (away.returncode, "unreachable (ConnectError)" in away.stdout) == (3, True)
    unwitnessed = ldv(environ, "verify")
    assert (unwitnessed.returncode, "not witnessed: 0 of the 1" in unwitnessed.stdout) == (3, True)
    assert json.loads(ldv(environ, "verify", "--json").stdout)["ok"] is True
    status = ldv(environ, "status")
    assert (status.returncode, "NOT WITNESSED 0 of 1" in status.stdout) == (1, True)


@pytest.mark.parametrize("content", ["quorum: 1", "quorum: 3\nwitnesses: []", "witnesses: nobody"])
def test_a_list_of_witnesses_that_cannot_be_used_stops_the_seal(
    environ: dict[str, str],
    tmp_path: Path,
    content: str,
) -> None:
    """Before anything is signed: a checkpoint that nobody was asked about would pass for one."""
    file = tmp_path / "witnesses.yaml"
    file.write_text(content, encoding="utf-8")
    run(environ)
    refused = ldv(environ | {"LDV_WITNESSES": str(file)}, "seal")
    assert (refused.returncode, "LDV_WITNESSES" in refused.stderr) == (1, True)
    assert json.loads(ldv(environ, "seal", "--json").stdout)["added"] == 1
