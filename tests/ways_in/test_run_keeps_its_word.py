"""`ldv run`: with a Logboek, or not at all; what OpenTelemetry leaves out is said, and the application is as it was."""

from __future__ import annotations

import os
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from ldv_otel._internal.cli import program_python
from ldv_otel._internal.sdk import autostart
from tests.processes.rig import ROOT, Rig
from tests.ways_in.starting import APPLICATION, Ended, instrumented, ldv_run, run, run_code

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def other_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment without this package."""
    directory = tmp_path_factory.mktemp("other") / "venv"
    venv.create(directory, symlinks=True, with_pip=False)
    return directory / "bin" / "python"


def script(directory: Path, first_line: str) -> str:
    """A program as installers make them: its first line names its Python."""
    path = directory / "service"
    path.write_text(f"{first_line}\nimport runpy\nrunpy.run_path({APPLICATION!r}, run_name='__main__')\n", "utf-8")
    path.chmod(0o700)
    return str(path)


def run_program(rig: Rig, *command: str, **environ: str) -> Ended:
    """Run a program as `ldv run`."""
    quiet = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    return run(rig, "-m", "ldv_otel._internal.cli", "run", *command, **{**quiet, **environ})


def refused(ended: Ended, says: str) -> None:
    """The service did not start, and the last line says why."""
    assert ended.status == 1, ended
    assert "ran" not in ended.said.split()
    last = ended.said.splitlines()[-1]
    assert last.startswith(("ldv: ", "ldv_otel: ")), ended
    assert says in last


@pytest.mark.parametrize("options", [["-E"], ["-I"], ["-S"], ["-sE"], ["-u", "-W", "ignore", "-I"]], ids=" ".join)
def test_a_python_that_would_not_look_at_us(rig: Rig, options: list[str]) -> None:
    """These have Python disregard what `ldv run` puts before the program."""
    refused(ldv_run(rig, *options, APPLICATION), f"{' '.join(options)}, which runs")
    assert not rig.stored()


@pytest.mark.parametrize(
    "first_line",
    [
        f"#!{sys.executable} -E",
        f"#!/usr/bin/env -S {sys.executable} -sI",
        f"#!/bin/sh\n'''exec' \"{sys.executable}\" -I \"$0\" \"$@\"\n' '''",
    ],
    ids=["options", "env", "long path"],
)
def test_a_script_whose_python_would_not_look_at_us(rig: Rig, first_line: str) -> None:
    """As distributions and installers write the first line of a program."""
    refused(run_program(rig, script(rig.directory, first_line)), "does not load what sets the Logboek up")
    assert not rig.stored()


@pytest.mark.parametrize(
    "first_line",
    [f"#!{sys.executable}", f"#!{sys.executable} -su", f"#!/usr/bin/env -S {sys.executable} -P"],
    ids=["plain", "options", "env"],
)
def test_a_script_whose_python_does(rig: Rig, first_line: str) -> None:
    """Nothing is asked of it that it cannot do."""
    assert run_program(rig, script(rig.directory, first_line)) == (0, "ran sampled\n")
    assert dict(rig.stored()) == {"the-id": 1}


def test_a_python_without_the_package(rig: Rig, other_python: Path) -> None:
    """Started itself, or by the first line of a script, or by a shell that nobody can look into."""
    says = f"{other_python} cannot import ldv_otel (ModuleNotFoundError: "
    refused(run_program(rig, str(other_python), APPLICATION), says)
    refused(run_program(rig, script(rig.directory, f"#!{other_python}")), says)
    refused(run_program(rig, "sh", "-c", f"{other_python} {APPLICATION}"), says)
    assert not rig.stored()


def test_a_program_that_cannot_be_looked_into(rig: Rig) -> None:
    """A line says so, and its Python keeps the Logboek."""
    ended = run_program(rig, "sh", "-c", f"{sys.executable} {APPLICATION}")
    assert ended.status == 0
    first, last = ended.said.splitlines()
    assert first.startswith("ldv run: sh is no Python program that can be looked into.")
    assert last == "ran sampled"
    assert dict(rig.stored()) == {"the-id": 1}


def test_a_tool_of_another_environment_still_runs(rig: Rig, other_python: Path) -> None:
    """What a service starts beside itself is no service; it says that it keeps no Logboek."""
    code = f"""
        import subprocess
        subprocess.run([{str(other_python)!r}, "-c", "print('tool')"], check=True)
    """
    ended = ldv_run(rig, "-c", "\n".join(line.strip() for line in code.splitlines()))
    assert ended.status == 0, ended
    assert "so this process of the service keeps no Logboek.\ntool\n" in ended.said


def broken_package(directory: Path) -> dict[str, str]:
    """An environment in which something that the package needs cannot be imported."""
    (directory / "broken").mkdir()
    (directory / "broken" / "msgspec.py").write_text("raise ImportError('libmsgspec.so: no such file')\n", "utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(directory / "broken"), *_own_path()])}


def _own_path() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def test_an_import_of_ours_that_fails(rig: Rig) -> None:
    """OpenTelemetry logs it and goes on; with a Logboek to keep there is no service."""
    broken = broken_package(rig.directory)
    refused(instrumented(rig, APPLICATION, **broken), "(ImportError: libmsgspec.so: no such file)")
    no_logboek = dict.fromkeys(
        ("LDV_LOGBOEK", "LDV_KEYS", "LDV_DELIVERY", "LDV_SPOOL", "LDV_STATE", "LDV_SEAL_KEY"), ""
    )
    assert instrumented(rig, APPLICATION, **broken, **no_logboek).said.splitlines()[-1] == "ran sampled"
    assert not rig.stored()


def fake_version(directory: Path, name: str, version: str) -> dict[str, str]:
    """An environment in which another version of a library is installed, by its metadata."""
    info = directory / "older" / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(directory / "older"), *_own_path()])}


@pytest.mark.parametrize("by", [instrumented, ldv_run])
def test_what_is_left_out_is_said(rig: Rig, by: Callable[..., Ended]) -> None:
    """A version that does not fit, what is switched off, and addresses that are excluded: a line for each."""
    ended = by(
        rig,
        APPLICATION,
        **fake_version(rig.directory, "flask", "0.1"),
        OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="requests , celery",
        OTEL_PYTHON_FASTAPI_EXCLUDED_URLS="inwoners/.*",
        OTEL_PYTHON_EXCLUDED_URLS="health",
        OTEL_PYTHON_GRPC_EXCLUDED_SERVICES="register.V",
        OTEL_PYTHON_DJANGO_INSTRUMENT="False",
    )
    assert ended.status == 0, ended
    lines = ended.said.splitlines()
    assert [line for line in lines if line.startswith("The instrumentation `flask` is skipped: ")]
    assert "0.1" in next(line for line in lines if line.startswith("The instrumentation `flask`"))
    for beginning in (
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS switches the instrumentation `requests` off.",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS switches the instrumentation `celery` off.",
        "OTEL_PYTHON_FASTAPI_EXCLUDED_URLS=inwoners/.* leaves requests out",
        "OTEL_PYTHON_EXCLUDED_URLS=health leaves requests out",
        "OTEL_PYTHON_GRPC_EXCLUDED_SERVICES=register.V leaves requests out",
        "OTEL_PYTHON_DJANGO_INSTRUMENT=False switches",
    ):
        assert sum(line.startswith(beginning) for line in lines) == 1, (beginning, ended.said)
    assert dict(rig.stored()) == {"the-id": 1}


def with_sitecustomize(rig: Rig, text: str) -> Ended:
    """Run the application with a `sitecustomize` of its own."""
    own = rig.directory / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text(text, "utf-8")
    return ldv_run(rig, APPLICATION, PYTHONPATH=os.pathsep.join([str(own), *_own_path()]))


def test_the_sitecustomize_of_the_application(rig: Rig) -> None:
    """Python loads one; ours has the application's loaded after it, as it would have been without us."""
    ended = with_sitecustomize(rig, "print('own', __name__, __file__)\n")
    # The first is that of `ldv` itself.
    said = f"own sitecustomize {rig.directory / 'own' / 'sitecustomize.py'}\n"
    assert ended == (0, f"{said}{said}ran sampled\n")
    assert dict(rig.stored()) == {"the-id": 1}


def test_a_sitecustomize_of_the_application_that_fails(rig: Rig) -> None:
    """Python says so and goes on, as it does without us, and the Logboek is kept."""
    ended = with_sitecustomize(rig, "raise KeyError('own')\n")
    assert ended.status == 0
    assert "Error in sitecustomize" in ended.said
    assert dict(rig.stored()) == {"the-id": 1}


def test_asking_cannot_be_a_way_to_run_unlogged(rig: Rig) -> None:
    """Whoever sets the variable by which `ldv run` asks a Python gets no service at all."""
    ended = run(rig, APPLICATION, PYTHONPATH=os.pathsep.join([*_autostart(), *_own_path()]), _LDV_OTEL_PROBE="1")
    assert ended == (0, "_LDV_OTEL_PROBE\n")
    assert program_python.PROBE == "_LDV_OTEL_PROBE"


def _autostart() -> list[str]:
    return [str(Path(autostart.__file__).parent)]


def test_a_propagator_that_is_replaced_shows(rig: Rig) -> None:
    """Records would not name callers any more; one that has ours among its parts is none the worse."""
    ended = run_code(
        rig,
        """
        import ldv_otel as ldv
        from opentelemetry import propagate
        from opentelemetry.propagators.composite import CompositePropagator
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        ldv.install()
        ours = propagate.get_global_textmap()
        print(ldv.health().propagator_replaced, ldv.health().ok)
        propagate.set_global_textmap(TraceContextTextMapPropagator())
        print(ldv.health().propagator_replaced, ldv.health().ok)
        propagate.set_global_textmap(CompositePropagator([TraceContextTextMapPropagator(), ours]))
        print(ldv.health().propagator_replaced, ldv.health().ok)
        """,
    )
    assert ended == (0, "False True\nTrue False\nFalse True\n")


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["-u", "app.py", "-I"], ["-u"]),
        (["-Ic", "code"], ["-I"]),
        (["-c", "code"], []),
        (["-um", "module", "-E"], ["-u"]),
        (["-W", "ignore", "-X", "dev", "-E", "app.py"], ["-W", "ignore", "-X", "dev", "-E"]),
        (["-bbWignore", "-I"], ["-bbWignore", "-I"]),
        (["--check-hash-based-pycs", "always", "-I", "-"], ["--check-hash-based-pycs", "always", "-I"]),
        (["-", "-I"], []),
        (["--", "-I"], []),
    ],
)
def test_the_options_of_python_itself(arguments: list[str], options: list[str]) -> None:
    """What comes after the program is the program's."""
    assert program_python.python_of(Path("/x/python3.12"), arguments) == ["/x/python3.12", *options]


def test_what_is_no_python(tmp_path: Path) -> None:
    """It names no Python, or cannot be read."""
    (tmp_path / "node").write_text("#!/usr/bin/env node\n", "utf-8")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "binary").write_bytes(b"\x7fELF\x00")
    (tmp_path / "odd").write_text("#!\n", "utf-8")
    for name in ("node", "empty", "binary", "odd", "missing"):
        assert program_python.python_of(tmp_path / name, ["-E"]) is None
    assert (ROOT / APPLICATION).exists()
