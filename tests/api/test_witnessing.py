"""The witness over HTTP, alone and in `ldv serve`, as the standard has it and as strangers meet it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.tamper.note import NoteKey, SignedNote, cosigner
from ldv_otel._internal.tamper.witness import MOST_BODY_BYTES
from tests.support.serving import ServeProcess, environ_of
from tests.tamper.test_witness import FORK, LOG, body, note


def logs_file(directory: Path) -> Path:
    """The list of logs that are witnessed."""
    path = directory / "logs.yaml"
    path.write_text(f"logs:\n  - key: {LOG.key}\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=["witness", "serve"])
def address(
    request: pytest.FixtureRequest, served_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, dict[str, str]]]:
    """Where checkpoints are taken, by a command that needs no Logboek and by one that has other work too."""
    directory = tmp_path_factory.mktemp(request.param)
    environ = {"LDV_WITNESS_LOGS": str(logs_file(directory)), "LDV_STATE": str(directory / "state")}
    options: tuple[str, ...] = ()
    if request.param == "serve":
        environ |= environ_of(served_settings)
        options = ("--without-authentication",)
    with ServeProcess(environ, *options, log=directory / "log", command=request.param) as process:
        yield f"{process.address}/witness/add-checkpoint", environ


def shown(environ: dict[str, str]) -> dict[str, object]:
    """What `ldv witness --show --json` says."""
    command = [sys.executable, "-m", "ldv_otel._internal.cli", "witness", "--show", "--json"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    content: dict[str, object] = json.loads(ended.stdout)
    return content


def test_a_log_gets_cosignatures(address: tuple[str, dict[str, str]]) -> None:
    """The statuses and types of tlog-witness, and a key that the witness shows."""
    url, environ = address
    first = httpx.post(url, content=body(0, 3), timeout=30)
    assert (first.status_code, first.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    key = NoteKey.parse(str(shown(environ)["key"]))
    assert SignedNote.parse(f"{note(3).text}\n{first.text}").signed_by([key]) == [key]
    assert httpx.post(url, content=body(3, 8), timeout=30).status_code == 200
    behind = httpx.post(url, content=body(3, 20), timeout=30)
    assert (behind.status_code, behind.headers["content-type"], behind.text) == (409, "text/x.tlog.size", "8\n")
    assert httpx.post(url, content=body(8, 20, FORK), timeout=30).status_code == 422
    assert shown(environ)["logs"] == [
        {"origin": LOG.key.name, "size": 8, "checkpoint": str(note(8)), "forked": False},
    ]


def test_strangers_get_a_status(address: tuple[str, dict[str, str]]) -> None:
    """Too long, no request, another method; and the figures are for this machine, with each log's size."""
    url, _ = address
    assert httpx.post(url, content=b"x" * (MOST_BODY_BYTES * 3), timeout=30).status_code == 413
    assert httpx.post(url, content=b"x" * (MOST_BODY_BYTES + 1), timeout=30).status_code in (400, 413)
    assert httpx.post(url, content=b"old 0\n", timeout=30).status_code == 400
    assert httpx.get(url, timeout=30).status_code == 405
    server = url.removesuffix("/witness/add-checkpoint")
    assert httpx.get(f"{server}/health/ready", timeout=30).status_code == 200


def test_figures_name_each_log(tmp_path: Path) -> None:
    """So that who keeps a witness sees which log stands still, or forked."""
    environ = {"LDV_WITNESS_LOGS": str(logs_file(tmp_path)), "LDV_WITNESS_STATE": str(tmp_path / "memory")}
    with ServeProcess(environ, log=tmp_path / "log", command="witness") as process:
        for content in (body(0, 4), body(4, 4, [*FORK[:3], FORK[5]])):
            httpx.post(f"{process.address}/witness/add-checkpoint", content=content, timeout=30)
        figures = httpx.get(f"{process.address}/metrics", timeout=30).text
    assert f'ldv_witnessed_log_size{{log="{LOG.key.name}"}} 4\n' in figures
    assert f'ldv_witnessed_log_forked{{log="{LOG.key.name}"}} 1\n' in figures
    assert "signed two checkpoints of 4 entries" in (tmp_path / "log").read_text(encoding="utf-8")


def test_a_memory_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    """The witness is not ready then, signs nothing for that log, and its other figures are there."""
    environ = {"LDV_WITNESS_LOGS": str(logs_file(tmp_path)), "LDV_WITNESS_STATE": str(tmp_path / "memory")}
    with ServeProcess(environ, log=tmp_path / "log", command="witness") as process:
        url = f"{process.address}/witness/add-checkpoint"
        assert httpx.post(url, content=body(0, 4), timeout=30).status_code == 200
        (memory,) = [path for path in (tmp_path / "memory").iterdir() if not path.suffix]
        memory.write_bytes(b"no note")
        assert httpx.post(url, content=body(4, 8), timeout=30).status_code == 503
        figures = httpx.get(f"{process.address}/metrics", timeout=30)
        assert (figures.status_code, "ldv_witnessed_log_size{" in figures.text) == (200, False)
        assert process.says("Nothing was signed")
        deadline = time.monotonic() + 30
        while httpx.get(f"{process.address}/health/ready", timeout=30).status_code != 503:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_figures_name_who_witnesses_this_logboek(served_settings: Settings, tmp_path: Path) -> None:
    """So that a witness that stays away is seen before anybody needs it."""
    file = tmp_path / "witnesses.yaml"
    key = cosigner(LOG.key)
    file.write_text(f"quorum: 1\nwitnesses: [{{key: {key}, url: 'http://127.0.0.1:1/witness'}}]", encoding="utf-8")
    environ = environ_of(served_settings) | {"LDV_WITNESSES": str(file)}
    with ServeProcess(environ, "--without-authentication", log=tmp_path / "log") as process:
        figures = httpx.get(f"{process.address}/metrics", timeout=30).text
    assert f'ldv_witness_cosigned{{witness="{key.name}"}} 0\n' in figures
    assert "ldv_checkpoint_witnessed 0\n" in figures


@pytest.mark.parametrize(
    ("environ", "options", "sentence"),
    [
        ({}, (), "LDV_WITNESS_LOGS is not set"),
        ({"LDV_WITNESS_LOGS": "/nowhere/logs.yaml"}, (), "cannot be read"),
        ({"LDV_WITNESS_LOGS": ""}, ("--listen", "8444"), "not set"),
    ],
)
def test_what_cannot_be_started_says_why(
    environ: dict[str, str], options: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    """One line, and exit code 1."""
    command = [sys.executable, "-m", "ldv_otel._internal.cli", "witness", *options]
    ended = subprocess.run(
        command, env=environ | {"LDV_STATE": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert sentence in ended.stderr


def test_others_are_served_with_tls_only(tmp_path: Path) -> None:
    """A cosignature is signed, but who listens in could hold checkpoints back."""
    environ = {"LDV_WITNESS_LOGS": str(logs_file(tmp_path)), "LDV_STATE": str(tmp_path)}
    for options, sentence in (
        (("--listen", "0.0.0.0:0"), "there is no TLS"),
        (("--listen", "8444"), "is not of the form"),
        (("--json",), "--show"),
    ):
        command = [sys.executable, "-m", "ldv_otel._internal.cli", "witness", *options]
        ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert (ended.returncode, sentence in ended.stderr) == (1, True), ended.stderr
