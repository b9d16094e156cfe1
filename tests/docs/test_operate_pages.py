"""docs/operate: every command that a page shows is there with its options, and runs where a Logboek is all it needs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from ldv_otel._internal.cli.app import app
from tests.cli.test_cli import ldv

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
    assert pages == {"deploy", "watch", "alerts", "backup", "upgrade", "size", "remove"}
    text = "".join(page.read_text(encoding="utf-8") for page in OPERATE.parent.rglob("*.md")) + (
        OPERATE.parents[1] / "README.md"
    ).read_text(encoding="utf-8")
    for page in OPERATE.glob("*.md"):
        assert f"{page.name}" in text
        assert len(page.read_text(encoding="utf-8").split()) < 1_400
    assert len(list(commands())) > 10


SERVICE = """
import ldv_otel as ldv
ldv.install()
with ldv.processing("https://register.example/a", name="Stap"):
    ldv.data_subject("123456782", type="BSN")
assert ldv.force_flush(30)
"""
KEY = re.compile(r"ldv-sealer\+\S+")


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An embedded Logboek with a record, and a key file."""
    home = tmp_path_factory.mktemp("operate")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
    variables = clean | {
        "LDV_LOGBOEK": f"chdb://{home}/logboek",
        "LDV_KEYS": str(home / "keys.json"),
        "LDV_STATE": str(home / "state"),
        "OPERATE": str(home),
    }
    assert ldv(variables, "key", "new").returncode == 0
    subprocess.run([sys.executable, "-c", SERVICE], env=variables, check=True, capture_output=True)
    return variables


@pytest.mark.parametrize("page", ["backup.md", "upgrade.md", "size.md", "remove.md"])
def test_a_page_runs_as_it_stands(page: str, environ: dict[str, str]) -> None:
    """Line after line, with places of its own, and the key that is really there."""
    home = environ["OPERATE"]
    text = (OPERATE / page).read_text(encoding="utf-8")
    for line in [line for block in BLOCK.findall(text) for line in re.findall(r"^\$ (.+)$", block, re.MULTILINE)]:
        words = shlex.split(line.split(" #")[0].replace("/backup", home).replace("/var/lib/ldv", home))
        if words[0] == "export":
            changed = dict(word.split("=", 1) for word in words[1:])
            environ = environ | changed | {"LDV_KEYS": environ["LDV_KEYS"]}
            continue
        assert words.pop(0) == "ldv"
        if "--key" in words:
            shown = ldv(environ, "backup", f"{home}/again", "--json").stdout
            match = KEY.search(shown)
            assert match
            words[-1] = match[0].rstrip('",')
        done = ldv(environ, *words)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
