"""`ldv init` on real applications: what it writes loads, and takes the requests of these applications."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ldv_otel._internal.cli.beginning.files import write_new
from ldv_otel._internal.cli.beginning.proposal import propose
from ldv_otel._internal.cli.beginning.routes import Application, Route
from ldv_otel._internal.cli.commands import init as init_command
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.register.source import load_register
from tests.cli.beginning.applications import DJANGO_SETTINGS, DJANGO_URLS, FASTAPI, FLASK, REQUESTS

BSN = "123456782"
PLACE = "https://register.example/activiteiten/"


def run(directory: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a directory, without any of our variables."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_", "DJANGO_"))}
    return subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=directory,
        env={**clean, "HOME": str(directory), "PYDANTIC_DISABLE_PLUGINS": "__all__", **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def init(directory: Path, *arguments: str, **environ: str) -> str:
    """Run `ldv init`, and return what it says."""
    done = run(directory, "-m", "ldv_otel._internal.cli", "init", *arguments, **environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


def records(directory: Path, kind: str, *requests: tuple[Any, ...], **environ: str) -> list[Any]:
    """Make requests of the application, and return status and records of each."""
    done = run(directory, "-c", REQUESTS, kind, json.dumps(requests), **environ)
    assert done.returncode == 0, done.stderr
    answer: list[Any] = json.loads(done.stdout)
    return answer


def test_fastapi(tmp_path: Path) -> None:
    """Path, query, header and body; what serves machines is left out; `install()` in the module sets up nothing."""
    (tmp_path / "application.py").write_text(FASTAPI, encoding="utf-8")
    said = init(tmp_path, "application:app")
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__", ".coverage"} == {
        "application.py", "rules.yaml", "register.yaml", "ldv.env",
    }  # fmt: skip
    assert "fastapi: 6 rules; routes left out: 5." in said
    assert "2 of 6 rules name no person: no parameter is clearly a person's number" in said
    assert "made up (delete the files and run this again with --activities)" in said
    assert "bsn (/api/v1/aanvragen)" in said
    assert "a person's, and of which kind: id" in said
    assert "CAPTURE_HEADERS_SERVER_REQUEST=x-bsn" in said
    told = records(
        tmp_path,
        "fastapi",
        ("GET", f"/api/v1/inwoners/{BSN}/vergunningen", {}, None),
        ("DELETE", f"/api/v1/inwoners/{BSN}/vergunningen", {}, None),
        ("GET", f"/api/v1/zoek?bsn={BSN}", {}, None),
        ("GET", "/api/v1/dossiers", {"X-BSN": BSN}, None),
        ("POST", "/api/v1/aanvragen", {}, {"bsn": BSN, "kenteken": "x"}),
        ("GET", "/api/v1/klanten/7", {}, None),
        ("GET", "/health", {}, None),
        OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST="x-bsn",
    )
    assert told == [
        [200, [[f"{PLACE}inwoners-vergunningen", "Vergunningen", True]]],
        [200, [[f"{PLACE}inwoners-vergunningen", "Verwijder", True]]],
        [200, [[f"{PLACE}zoek", "Zoek", True]]],
        [200, [[f"{PLACE}dossiers", "Dossiers", True]]],
        [200, [[f"{PLACE}aanvragen", "Aanvragen", False]]],
        [200, [[f"{PLACE}klanten", "Klant", False]]],
        [200, []],
    ]


def test_flask(tmp_path: Path) -> None:
    """Blueprints and converters, as Flask writes them."""
    (tmp_path / "application.py").write_text(FLASK, encoding="utf-8")
    said = init(tmp_path, "application:app")
    assert "flask: 2 rules; routes left out: 2." in said
    assert "flask does not say which there are" in said
    told = records(
        tmp_path,
        "flask",
        ("GET", f"/inwoners/{BSN}/vergunningen", {}, None),
        ("POST", f"/inwoners/{BSN}/vergunningen", {}, None),
        ("GET", "/kentekens/AB/1", {}, None),
        ("GET", "/health", {}, None),
    )
    assert told == [
        [200, [[f"{PLACE}inwoners-vergunningen", "Vergunningen", True]]],
        [200, [[f"{PLACE}inwoners-vergunningen", "Vergunningen", True]]],
        [200, [[f"{PLACE}kentekens", "Kenteken", False]]],
        [200, []],
    ]


def test_django(tmp_path: Path) -> None:
    """`path` and `re_path`, below one another."""
    (tmp_path / "project_settings.py").write_text(DJANGO_SETTINGS, encoding="utf-8")
    (tmp_path / "urls.py").write_text(DJANGO_URLS, encoding="utf-8")
    environ = {"DJANGO_SETTINGS_MODULE": "project_settings"}
    said = init(tmp_path, "--activities", "https://gemeente.example/a#", **environ)
    assert "django: 3 rules; routes left out: 1." in said
    assert "made up" not in said
    rules = (tmp_path / "rules.yaml").read_text(encoding="utf-8")
    assert re.findall(r'name: "(.+)"', rules) == ["Vergunningen", "Inwoner", "Inwoner"]
    told = records(
        tmp_path,
        "django",
        ("GET", f"/inwoners/{BSN}/vergunningen/", {}, None),
        ("GET", f"/inwoners/{BSN}/adres/", {}, None),
        ("GET", f"/oud/{BSN}/", {}, None),
        ("GET", "/health/", {}, None),
        **environ,
    )
    assert [[status, [(record[0], record[2]) for record in made]] for status, made in told] == [
        [200, [("https://gemeente.example/a#inwoners-vergunningen", True)]],
        [200, [("https://gemeente.example/a#inwoners-adres", True)]],
        [200, [("https://gemeente.example/a#oud", True)]],
        [200, []],
    ]


def test_what_it_writes_can_be_used_at_once(tmp_path: Path) -> None:
    """The variables and the Register load; `ldv doctor` has nothing against them but an embedded Logboek's place."""
    (tmp_path / "application.py").write_text(FLASK, encoding="utf-8")
    init(tmp_path, "application:app")
    lines = (tmp_path / "ldv.env").read_text(encoding="utf-8").splitlines()
    environ = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    settings = read_settings({**environ, "LDV_REGISTER": str(tmp_path / "register.yaml")})
    assert len(load_register(settings)) == 2
    checks = json.loads(run(tmp_path, "-m", "ldv_otel._internal.cli", "doctor", "--json", **environ).stdout)
    assert {check["check"] for check in checks if check["state"] == "wrong"} <= {"spool"}
    assert "rules.yaml has 2 rules." in next(check["finding"] for check in checks if check["check"] == "rules")


def test_a_provider_set_in_code_is_seen(tmp_path: Path) -> None:
    """`ldv run` would set another before it, and the tracing backend would get nothing."""
    provider = (
        "from opentelemetry import trace\nfrom opentelemetry.sdk.trace import TracerProvider\n"
        "trace.set_tracer_provider(TracerProvider())\n"
    )
    (tmp_path / "application.py").write_text(FLASK, encoding="utf-8")
    assert "and `ldv run` before the usual command of the service." in init(tmp_path, "application:app")
    (tmp_path / "application.py").write_text(provider + FLASK, encoding="utf-8")
    assert "call ldv_otel.install() where the code sets its tracer provider" in init(tmp_path, "application:app")


def test_no_file_is_written_over(tmp_path: Path) -> None:
    """What somebody has worked on stays; the others are written."""
    (tmp_path / "rules.yaml").write_text("mine", encoding="utf-8")
    assert write_new(tmp_path, {"rules.yaml": "a", "register.yaml": "b"}) == ["register.yaml"]
    assert (tmp_path / "rules.yaml").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "set DJANGO_SETTINGS_MODULE"),
        (["nowhere:app"], "nowhere:app cannot be imported (ModuleNotFoundError"),
        (["json:dumps"], "json:dumps is a function, and no application of"),
    ],
)
def test_what_cannot_be_looked_at_is_said_in_a_sentence(tmp_path: Path, arguments: list[str], says: str) -> None:
    """And nothing is written."""
    done = run(tmp_path, "-m", "ldv_otel._internal.cli", "init", *arguments)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*.yaml"))


@pytest.mark.parametrize(
    "path", ["/health", "/metrics/", "/static/<path:filename>", "^healthz/$", "/docs", "/openapi.json"]
)
def test_what_serves_machines_is_left_out(path: str) -> None:
    """As it is called in most services."""
    assert not propose(Application("flask", (Route(path=path),), says_all=False)).rules


@pytest.mark.parametrize("path", ["/statusmeldingen", "/documenten", "/readers/{id}", "/"])
def test_what_only_begins_like_that_is_not(path: str) -> None:
    """A rule too many can be taken out; one too few is not seen."""
    assert propose(Application("flask", (Route(path=path),), says_all=False)).rules


@pytest.mark.parametrize("sets", [True, False])
def test_a_distribution_is_for_services_that_set_up_nothing(sets: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code with a provider of its own cannot be started by what reads a distribution, so nothing is to be installed."""
    monkeypatch.setattr(init_command, "is_installed", lambda _: False)
    monkeypatch.setattr(init_command, "not_instrumented", dict)
    monkeypatch.setattr(init_command, "sets_provider", lambda: sets)
    application = Application("flask", (), says_all=False)
    (question,) = [
        each for each in init_command.open_questions(application, propose(application), PLACE) if "pip install" in each
    ]
    assert ("opentelemetry-distro" in question) is not sets
