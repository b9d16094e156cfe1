"""The pages of `docs/start`: each as it is printed, in an environment of its own, with the result that it promises."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.support.loopback import free_port

START = Path(__file__).parents[2] / "docs" / "start"
BSN = "123456782"


def block(page: str, language: str) -> str:
    """The one block of a page in a language."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", (START / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return str(text)


def environ(tmp_path: Path, **more: str) -> dict[str, str]:
    """An environment without any variable of ours."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
    state = {"LDV_STATE": str(tmp_path / "state"), "PYDANTIC_DISABLE_PLUGINS": "__all__"}
    return {**clean, **state, **more}


def exported(page: str) -> dict[str, str]:
    """The variables that a page exports."""
    lines = re.findall(r"^\$ export (.*)$", block(page, "console"), re.MULTILINE)
    return dict(word.split("=", 1) for line in lines for word in line.split())


def ldv(tmp_path: Path, variables: dict[str, str], *arguments: str, asked: str = "") -> str:
    """What a command of ours prints."""
    done = subprocess.run(
        [sys.executable, "-m", "ldv_otel._internal.cli", *arguments],
        cwd=tmp_path,
        env=variables,
        input=asked,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.parametrize(
    ("page", "name", "service"),
    [
        ("in-code.md", "Wijzig kenteken", "parkeren"),
        ("from-nothing.md", "Wijzig kenteken", "parkeren"),
        ("scripts.md", "Herinnering sturen", "herinneringen"),
    ],
)
def test_a_page_in_code(tmp_path: Path, page: str, name: str, service: str) -> None:
    """The block runs with the variables of the page, and the person is found; no output has the number."""
    (tmp_path / "service.py").write_text(block(page, "python"), encoding="utf-8")
    variables = environ(tmp_path, **exported(page))
    done = subprocess.run(
        [sys.executable, "service.py"],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert BSN not in done.stdout + done.stderr
    shown = ldv(tmp_path, variables, "inzage", "--type", "BSN", asked=f"{BSN}\n")
    assert name in shown
    assert service in shown
    if page == "in-code.md":
        assert f'"name": "{name}"' in done.stdout


_FASTAPI_REQUESTS = f"""
import json
from fastapi.testclient import TestClient
from ldv_otel import testing
with testing.logboek() as logboek:
    from service import app
    client = TestClient(app)
    assert client.post("/aanvragen", json={{"bsn": "{BSN}", "kenteken": "x"}}).json() == "ontvangen"
    assert len(client.get("/lijst").json()) == 2
    assert client.get("/bestand").text == "AB-123-C\\n"
about = logboek.about("{BSN}") + logboek.about("999990019")
traces = {{each.name: each.trace_id.hex() for each in logboek.logregels}}
print(json.dumps([sorted(each.name for each in about), traces]))
"""


def test_the_page_of_fastapi(tmp_path: Path) -> None:
    """A body, a list of people, a stream and a task after the answer: each is a record about whom it should be."""
    (tmp_path / "service.py").write_text(block("fastapi.md", "python"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FASTAPI_REQUESTS],
        cwd=tmp_path,
        env=environ(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    names, traces = json.loads(done.stdout)
    once = ["Bestand maken", "Bevestiging sturen", "Vergunning aanvragen"]
    assert names == sorted([*once, "Lijst bekijken", "Lijst bekijken"])
    assert traces["Bevestiging sturen"] == traces["Vergunning aanvragen"] != traces["Bestand maken"]


def test_the_page_without_code(tmp_path: Path) -> None:
    """`ldv init`, the variables that it wrote, `ldv run` and a request."""
    page = "by-environment.md"
    (tmp_path / "service.py").write_text(block(page, "python"), encoding="utf-8")
    variables = environ(tmp_path)
    ldv(tmp_path, variables, "init", "service:app")
    assert block(page, "yaml").partition("rules:\n")[2] in (tmp_path / "rules.yaml").read_text(encoding="utf-8")
    lines = (tmp_path / "ldv.env").read_text(encoding="utf-8").splitlines()
    variables |= dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert "ldv run flask --app service run --port 5055" in (START / page).read_text(encoding="utf-8")
    port = free_port()
    command = [sys.executable, "-m", "ldv_otel._internal.cli", "run", str(Path(sys.executable).with_name("flask"))]
    with subprocess.Popen(
        [*command, "--app", "service", "run", "--port", str(port)], cwd=tmp_path, env=variables
    ) as service:
        try:
            assert _answer(f"http://127.0.0.1:{port}/inwoners/{BSN}/vergunningen") == ["AB-123-C"]
        finally:
            service.send_signal(signal.SIGINT)
    assert "Vergunningen" in ldv(tmp_path, variables, "inzage", "--type", "BSN", asked=f"{BSN}\n")


def _answer(url: str) -> object:
    deadline = time.monotonic() + 60
    while True:
        try:
            return httpx.get(url, timeout=30).json()
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
