"""The example without code, by the commands of its README."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.loopback import free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "zero-code"
_START_SECONDS = 40


def commands(tmp_path: Path, port: int) -> tuple[dict[str, str], list[str]]:
    """The environment and the command that starts the service, with a place and a port of the test's own."""
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\$ (.*)$", readme, re.MULTILINE)
    words = [word for line in lines if line.startswith("export ") for word in shlex.split(line)[1:]]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
    environ = kept | dict(word.split("=", 1) for word in words)
    assert environ["LDV_LOGBOEK"] == "chdb:ldv-zero-code/logboek"
    environ["LDV_LOGBOEK"] = f"chdb://{tmp_path}/logboek"
    environ["LDV_SPOOL"] = str(tmp_path / "spool")
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    (start,) = (line for line in lines if line.startswith("ldv run "))
    return environ, [str(port) if word == "5055" else word for word in shlex.split(start)]


def get(url: str, service: subprocess.Popen[bytes]) -> bytes:
    """Ask the service, once it listens."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  (an address of our own)
                content: bytes = answer.read()
                return content
        except urllib.error.URLError:
            assert service.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.slow
def test_the_example_without_code(tmp_path: Path) -> None:
    """No code, one Logregel for the request about a person, none for the other, and the person finds it."""
    assert "ldv" not in (EXAMPLE / "app.py").read_text(encoding="utf-8")
    port = free_port()
    environ, start = commands(tmp_path, port)
    with subprocess.Popen(start, cwd=EXAMPLE, env=environ, stderr=subprocess.PIPE) as service:
        try:
            assert get(f"http://127.0.0.1:{port}/health", service) == b'{"ok":true}\n'
            assert b"AB-123-C" in get(f"http://127.0.0.1:{port}/inwoners/123456782/vergunningen", service)
        finally:
            service.send_signal(signal.SIGINT)
            service.wait(30)
    shown = subprocess.run(
        ["ldv", "inzage", "--type", "BSN", "--json"],
        env=environ,
        input="123456782\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.stdout.count("Parkeervergunningen inzien") == 1, shown.stderr
    assert "123456782" not in shown.stdout
