"""The files of deploy/systemd: what systemd says of them, and that what they start is there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from ldv_otel._internal.cli.app import app

SYSTEMD = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = sorted(SYSTEMD.glob("*.service"))
ANALYZE = shutil.which("systemd-analyze")


def started(unit: Path) -> list[str]:
    """The command line of a unit."""
    (line,) = re.findall(r"^ExecStart=(.+)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    return shlex.split(line)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_what_it_starts_is_there(unit: Path) -> None:
    """The command and each of its options."""
    program, *arguments = started(unit)
    assert program == "/opt/ldv/bin/ldv"
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= options


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_takes_them(tmp_path: Path) -> None:
    """Without a warning, once the program is where they say."""
    ldv = Path(sys.executable).with_name("ldv")
    for unit in SYSTEMD.iterdir():
        text = unit.read_text(encoding="utf-8").replace("/opt/ldv/bin/ldv", str(ldv))
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    units = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run(
        [str(ANALYZE), "verify", "--man=no", *units], capture_output=True, text=True, check=False, timeout=60
    )
    ours = [line for line in done.stderr.splitlines() if "ldv" in line]
    assert (done.returncode, ours) == (0, [])


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_little_is_open_to_them(unit: Path) -> None:
    """The figure that docs/operate/deploy.md promises: 10 is everything, 0 nothing."""
    done = subprocess.run(
        [str(ANALYZE), "security", "--offline=yes", str(unit)], capture_output=True, text=True, check=False, timeout=60
    )
    figure = re.search(r"Overall exposure level for \S+: (\d+\.\d)", done.stdout)
    if figure is None:
        pytest.skip("this systemd judges running units only")
    assert float(figure[1]) <= 2.0
