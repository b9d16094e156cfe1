"""A command imports what it needs, and all of them together are what each name says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from ldv_otel._internal.cli import commands
from ldv_otel._internal.cli.application import COMMANDS, application

#: What takes long to import, and `ldv --version` has no use for.
HEAVY = ("chdb", "clickhouse_connect", "fastapi", "uvicorn", "rich", "httpx", "pyarrow", "rdflib", "jinja2")
LDV = [sys.executable, "-m", "ldv_otel._internal.cli"]
LOADED = """
import sys
sys.argv = ["ldv", *sys.argv[1:]]
from ldv_otel._internal.cli import main
try:
    main()
except SystemExit:
    pass
print(" ".join(sorted(sys.modules)), file=sys.stderr)
"""


def test_every_name_is_that_of_its_module() -> None:
    """Loaded alone, a command is there, and so are only those of its module."""
    every: Any = typer.main.get_command(application())
    assert set(every.commands) == set(COMMANDS)
    modules = {path.stem for path in Path(commands.__path__[0]).glob("*.py")} - {"__init__"}
    assert modules == set(COMMANDS.values())
    for name, module in COMMANDS.items():
        alone: Any = typer.main.get_command(application(name))
        assert set(alone.commands) == {each for each, other in COMMANDS.items() if other == module}


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (["--version"], HEAVY),
        (["key", "list", "--file", "/nonexistent"], ("chdb", "fastapi", "uvicorn")),
    ],
)
def test_what_is_not_needed_is_not_imported(arguments: list[str], unneeded: tuple[str, ...]) -> None:
    """It is what start time is made of; a figure of seconds would be that of the machine."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stderr.split())
    assert not loaded & set(unneeded)


def test_the_version_is_the_same_with_and_without_typer() -> None:
    """One way is quick, the other knows options around it."""
    shown = [
        subprocess.run([*LDV, *arguments], capture_output=True, check=True).stdout
        for arguments in (["--version"], ["--version", "--help"])
    ]
    assert shown[0] == shown[1]
