"""A Logboek in which nothing was ever logged: readers say so and make nothing; `ldv serve` makes its tables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.loopback import free_port


def environ(tmp_path: Path) -> dict[str, str]:
    """An environment whose Logboek is not there."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
    return {**clean, "LDV_LOGBOEK": f"chdb://{tmp_path}/nowhere/logboek", "LDV_STATE": f"{tmp_path}/state"}


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["inzage", "--type", "BSN"],
        ["activity", "https://x.example"],
        ["trace", "0" * 31 + "1"],
        ["verify"],
        ["schema", "status"],
    ],
)
def test_readers_say_that_nothing_was_logged_and_make_nothing(tmp_path: Path, command: list[str]) -> None:
    """No directory, no lock file, no key: what a typing error in a path would leave behind."""
    done = subprocess.run(
        [sys.executable, "-m", "ldv_otel._internal.cli", *command],
        env=environ(tmp_path),
        input="123456782\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"Nothing was ever logged in chdb://{tmp_path}/nowhere/logboek" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "nowhere").exists()


def test_serve_on_an_empty_embedded_logboek_answers(tmp_path: Path) -> None:
    """Somebody looks before anything was logged: there are no records, and no error."""
    port = free_port()
    command = ["-m", "ldv_otel._internal.cli", "serve", "--without-authentication", "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(
        [sys.executable, *command],
        env={**environ(tmp_path), "LDV_LOGBOEK": f"chdb://{tmp_path}/logboek", "LDV_ORGANISATION": "Test"},
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            assert server.stdout.readline().startswith("Ready:")
            answer = httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=30)
            assert answer.status_code == 200, answer.text
        finally:
            server.terminate()
