"""`ldv doctor`: each check sees its trouble, and nothing that is not there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ldv_otel._internal.cli.app import app
from ldv_otel._internal.cli.doctor_checks import OF_ENVIRONMENT, OF_LOGBOEK, OF_PROCESS, OF_SETTINGS, all_checks
from ldv_otel._internal.clickhouse.checks import clock_check
from ldv_otel._internal.privacy.key_file import add_key

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing is wrong."""
    return {"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek", "LDV_SPOOL": f"{tmp_path}/spool", "LDV_STATE": f"{tmp_path}"}


def states(environ: dict[str, str]) -> dict[str, str]:
    """State of each check by its name."""
    return {check.check: check.state for check in all_checks(environ)}


def test_nothing_is_wrong_where_nothing_is_wrong_and_nothing_is_made(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking changes nothing: no directory, no key."""
    monkeypatch.setattr("ldv_otel._internal.cli.doctor_checks.warning_about_place", lambda *_: "")
    assert "wrong" not in states(environ).values()
    assert list(states(environ)) == ["settings", *OF_ENVIRONMENT, *OF_SETTINGS, *OF_LOGBOEK, OF_PROCESS.check]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("more", "check", "says"),
    [
        ({"LDV_LOGBOEK": ""}, "settings", "LDV_LOGBOEK is not set"),
        ({"LDV_RULE": "x"}, "variables", "was LDV_RULES meant?"),
        ({"LDV_RULES": "/nowhere.yaml"}, "rules", "/nowhere.yaml"),
        ({"LDV_KEYS": "/nowhere.json"}, "keys", "/nowhere.json"),
        ({"LDV_SPOOL": "/dev/shm/spool"}, "spool", "in memory"),  # noqa: S108  (that it is no good place is the point)
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "trace exporter", "opentelemetry-exporter-otlp-proto-grpc is not installed"),
        ({"OTEL_TRACES_EXPORTER": "jeager"}, "trace exporter", "'jeager'"),
        (
            {
                "OTEL_TRACES_EXPORTER": "otlp",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:secret@collector:4317",
            },
            "trace exporter",
            "port 4317",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "trace exporter", "grpc"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
            "trace exporter",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        ),
    ],
)
def test_each_trouble_is_seen_and_has_a_way_out(
    environ: dict[str, str], more: dict[str, str], check: str, says: str
) -> None:
    """What is wrong is said with its variable, and without a password."""
    outcome = next(each for each in all_checks({**environ, **more}) if each.check == check)
    assert outcome.state == "wrong"
    assert says in outcome.finding
    assert "secret" not in outcome.finding + outcome.advice


@pytest.mark.parametrize(
    ("more", "check"),
    [
        ({"OTEL_SEMCONV_STABILITY_OPT_IN": "htpp"}, "semantic conventions"),
        ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "flask"}, "instrumentations"),
        ({"LDV_DELIVERY": "memory"}, "spool"),
        ({"LDV_SOMETHING_ELSE_ALTOGETHER": "1"}, "variables"),
    ],
)
def test_what_may_be_meant_so_is_no_error(environ: dict[str, str], more: dict[str, str], check: str) -> None:
    """It is shown, and the exit code stays 0."""
    assert states({**environ, **more})[check] == "look"


def test_nothing_that_reads_the_variables(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_TRACES_EXPORTER=ldv` alone does nothing: without a distribution, nobody reads it."""
    more = {**environ, "OTEL_TRACES_EXPORTER": "ldv"}
    assert states(more)["started by environment"] == "ok"
    monkeypatch.setattr("ldv_otel._internal.sdk.environment_checks.entry_points", lambda **_: [])
    assert states(more)["started by environment"] == "wrong"
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert states(more)["started by environment"] == "wrong"
    assert states(environ)["started by environment"] == "ok"


def test_keys_are_named_and_a_file_that_others_read_is_wrong(environ: dict[str, str], tmp_path: Path) -> None:
    """Mode and fingerprints: with them two machines can be compared."""
    path = tmp_path / "keys.json"
    key = add_key(path)
    environ["LDV_KEYS"] = str(path)
    outcome = next(each for each in all_checks(environ) if each.check == "keys")
    assert outcome.state == "ok"
    assert f"mode 0600: {key.id} (active)" in outcome.finding
    assert key.secret not in outcome.finding
    path.chmod(0o644)
    assert states(environ)["keys"] == "wrong"


@pytest.mark.parametrize(
    ("theirs", "state", "says"),
    [
        (11_000, "ok", "agree"),
        (14_500, "ok", "agree"),
        (14_501, "wrong", "2001 ms ahead of"),
        (7_000, "wrong", "3000 ms behind"),
    ],
)
def test_a_clock_is_wrong_beyond_what_the_question_took(theirs: int, state: str, says: str) -> None:
    """The time that asking took is nobody's error; exactly two seconds are allowed."""
    outcome = clock_check(theirs, 10_000, 12_500)
    assert outcome.state == state
    assert says in outcome.finding


def test_the_command_prints_both_ways(environ: dict[str, str]) -> None:
    """Exit code 1 when something is wrong; JSON has the same checks."""
    environ = {**environ, "LDV_RULE": "x"}
    text = CliRunner().invoke(app, ["doctor"], env=environ)
    outcome = CliRunner().invoke(app, ["doctor", "--json"], env=environ)
    assert text.exit_code == outcome.exit_code == 1
    checks: list[dict[str, Any]] = json.loads(outcome.stdout)
    assert {check["check"] for check in checks} == set(states(environ))
    assert "WRONG variables" in text.stdout


def test_every_check_is_on_the_page() -> None:
    """Whoever sees a name finds what it is about."""
    page = (DOCS / "start" / "doctor.md").read_text(encoding="utf-8")
    names = [
        "settings",
        *OF_ENVIRONMENT,
        *OF_SETTINGS,
        *OF_LOGBOEK,
        "logging",
        "provider",
        "propagator",
        "rules matched",
    ]
    assert not [name for name in names if f"| `{name}` |" not in page]


_ASKED = """
from service import app, ldv
ldv.install()
import json
import os
import re
import subprocess
import sys
print(json.dumps(app.test_client().get("/intern/logboek").json))
"""


def test_the_page_of_a_service_says_what_only_it_knows(tmp_path: Path) -> None:
    """As the documentation prints it: a rule that took no span, in a process of its own."""
    (code,) = re.findall(
        r"^```python\n(.*?)^```", (DOCS / "start" / "doctor.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    (tmp_path / "service.py").write_text(code, encoding="utf-8")
    (tmp_path / "rules.yaml").write_text(
        "rules: [{match: {kind: server}, activity: 'https://register.example/a'}]", encoding="utf-8"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
    done = subprocess.run(
        [sys.executable, "-c", _ASKED],
        cwd=tmp_path,
        env={**clean, "LDV_LOGBOEK": "chdb:logboek", "LDV_RULES": "rules.yaml", "LDV_STATE": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    checks = json.loads(done.stdout)
    assert sorted(checks) == ["propagator", "provider", "rules matched"]
    assert checks["provider"].startswith("ok: ")
    assert checks["rules matched"].startswith("look: Rule 1 took no span so far.")
