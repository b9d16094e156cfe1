"""Docs and code say the same: every setting, every command, every option."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from ldv_otel._internal.cli.app import app
from ldv_otel._internal.config.variables import VARIABLES

DOCS = Path(__file__).parents[2] / "docs"
CLI = "\n".join(page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("cli*.md")))


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its whole name."""
    yield from below(typer.main.get_command(app), ())


def below(group: Any, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Commands of a group, and of the groups in it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from below(command, (*names, name))
        else:
            yield " ".join((*names, name)), command


@pytest.mark.parametrize(
    ("name", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_and_option_is_documented(name: str, command: Any) -> None:
    """A section for each command, and each of its options in it."""
    match = re.search(rf"^##+ `ldv {name}\b[^\n]*\n(.*?)(?=^##|\Z)", CLI, re.MULTILINE | re.DOTALL)
    assert match, f"no section for {name}"
    for parameter in command.params:
        for option in parameter.opts:
            if option.startswith("--") and option != "--help":
                assert f"`{option}`" in match[1] or f"`{option} " in match[1], f"{name} {option}"
    assert command.help


def test_no_command_is_documented_that_is_not_there() -> None:
    """A section for something that was taken away misleads."""
    documented = set(re.findall(r"^##+ `ldv ([a-z ]+?)(?: [A-Z\[].*)?`$", CLI, re.MULTILINE))
    assert documented == {name for name, _ in commands()}


def test_the_table_of_settings_is_the_one_in_the_code() -> None:
    """docs/settings.md is equal to `VARIABLES`, row by row."""
    rows = re.findall(r"^\| `(LDV_\w+)` \| (.*?) \| (.*) \|$", (DOCS / "settings.md").read_text("utf-8"), re.MULTILINE)
    found = [(name, default.strip("`"), meaning) for name, default, meaning in rows]
    assert found == [(variable.name, variable.default, variable.meaning) for variable in VARIABLES]
