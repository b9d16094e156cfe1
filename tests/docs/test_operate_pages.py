"""docs/operate: every command that a page shows is one that there is, with its options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from ldv_otel._internal.cli.app import app

OPERATE = Path(__file__).parents[2] / "docs" / "operate"
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each line of a terminal that runs `ldv`, with its page."""
    for page in sorted(OPERATE.glob("*.md")):
        for block in BLOCK.findall(page.read_text(encoding="utf-8")):
            for line in re.findall(r"^\$ (.+)$", block.replace("\\\n", " "), re.MULTILINE):
                for part in re.split(r"&&|\|", line.split(" #")[0]):
                    words = shlex.split(part)
                    if words[:1] == ["sudo"]:
                        words = words[1:]
                    if words and words[0].rpartition("/")[2] == "ldv":
                        yield page.name, words[1:]


@pytest.mark.parametrize(("page", "words"), list(commands()))
def test_it_is_there(page: str, words: list[str]) -> None:
    """With every option."""
    del page
    command: Any = typer.main.get_command(app)
    words = list(words)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_there_is_a_page_for_each_part_of_the_work() -> None:
    """Short enough to be read, and each led to by another one."""
    pages = {page.stem for page in OPERATE.glob("*.md")}
    assert pages == {"deploy", "watch", "backup", "upgrade", "size", "remove"}
    text = "".join(page.read_text(encoding="utf-8") for page in OPERATE.parent.rglob("*.md")) + (
        OPERATE.parents[1] / "README.md"
    ).read_text(encoding="utf-8")
    for page in OPERATE.glob("*.md"):
        assert f"{page.name}" in text
        assert len(page.read_text(encoding="utf-8").split()) < 1_400
    assert len(list(commands())) > 10
