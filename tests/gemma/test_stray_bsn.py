"""A BSN in a Verwerkingsactie that is no object of it (LDV-N14): redacted, kept with a flag, or refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ldv_otel._internal.privacy.stray_numbers import MASK
from tests.gemma.provider import body, provided

READ = """
import json, os
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import read_settings
with LogboekClient(read_settings(os.environ)) as client:
    print(json.dumps(sorted(row[0] for row in client.rows(Sql("SELECT name FROM logregel WHERE name LIKE 'Zoek%'")))))
"""
BSN = "123456782"
STRAY = "999990019"


@pytest.mark.parametrize(("policy", "name"), [("redact", f"Zoek {MASK}"), ("flag", f"Zoek {STRAY}"), ("refuse", "")])
def test_a_bsn_that_nobody_named(tmp_path: Path, policy: str, name: str) -> None:
    """In the answer, in the table and its files, and in the server's log."""
    logboek = f"chdb://{tmp_path}/logboek"
    with provided(tmp_path, logboek, LDV_STRAY_BSN=policy, LDV_STRAY_BSN_EXCEPT="gemma.gegevensbron") as provider:
        api = provider.client()
        content = body(BSN, actieNaam=f"Zoek {STRAY}", gegevensbron=f"bron {STRAY}")
        answer = api.ask("POST", "/verwerkingsacties", json=content)
        assert api.ask("POST", "/verwerkingsacties", json=body(BSN, actieNaam="Zoek")).status_code == 201
        if policy == "refuse":
            assert answer.status_code == 400
            assert STRAY not in answer.text
            assert provider.process.says("LDV_STRAY_BSN")
        else:
            assert answer.status_code == 201
            assert answer.json()["actieNaam"] == f"Zoek {STRAY}", "an answer to POST is what was sent"
            assert api.one(answer.json()).json()["actieNaam"] == name
            assert api.one(answer.json()).json()["gegevensbron"] == f"bron {STRAY}", "never looked at"
        assert STRAY not in provider.process.log
        environ = provider.environ
    # In a process of its own: an embedded engine has one directory for each process.
    done = subprocess.run(
        [sys.executable, "-c", READ],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == sorted(filter(None, ["Zoek", name]))
