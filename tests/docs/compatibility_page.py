"""docs/compatibility.md, from tests/compatibility.yaml; `make pages` writes it.

What runs of a client that is fetched by a file of the project has the version that this file pins. A Python package is
resolved anew for each environment: `tried` is one it passed with, and a test refuses an older one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = ROOT / "tests" / "compatibility.yaml"
PAGE: Final = ROOT / "docs" / "compatibility.md"

HEAD: Final = """\
# What it was tried with

Each row is a client, server, library or kind of file that people use, run by a test of this repository against the
product: the real one, from its own registry, on one machine. **Not so** says what stays a limit. `make test` runs them
all; where a language is missing its tests are skipped with a reason. A version with *or newer* is that of a Python
package, of which each installation takes the newest.

This page is made of [compatibility.yaml](../tests/compatibility.yaml) by `make pages`; a test checks that the tests
exist and the versions are true.
"""


class Version(msgspec.Struct, forbid_unknown_fields=True):
    """How the version is had; one of these.

    Attributes:
        python: Name of a distribution, with `tried`.
        file: The project's own file that pins it: go.mod, package.json, pom.xml or a manifest, with `name`.
        command: A program of the system, in whatever version that has.
        text: Where none of these fits, such as the text of a format.
    """

    python: str = ""
    tried: str = ""
    file: str = ""
    name: str = ""
    command: str = ""
    text: str = ""

    def shown(self) -> str:
        """Return it as the page has it.

        Raises:
            ValueError: The file does not pin that name.
        """
        if self.python:
            return f"{self.tried} or newer"
        if self.file:
            return pinned(ROOT / self.file, self.name)
        return f"that of the system's `{self.command}`" if self.command else self.text


class Trial(msgspec.Struct, forbid_unknown_fields=True):
    """What was tried, and what came out.

    Attributes:
        limit: What does not work, or is refused; empty for nothing.
    """

    what: str
    version: Version
    result: str
    shown: list[str]
    limit: str = ""


class Area(msgspec.Struct, forbid_unknown_fields=True):
    """A heading of the page."""

    title: str
    trials: list[Trial]


def read_areas() -> list[Area]:
    """Return what the file says."""
    content: Any = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    return msgspec.convert(content, list[Area])


def pinned(file: Path, name: str) -> str:
    """Return the version of a module, package or artifact that a file names.

    Raises:
        ValueError: It does not name it.
    """
    text = file.read_text(encoding="utf-8")
    version: str | None
    if file.name == "package.json":
        packages = json.loads(text)
        version = {**packages.get("dependencies", {}), **packages.get("devDependencies", {})}.get(name)
    else:
        escaped = re.escape(name)
        pattern = (
            rf"<artifactId>{escaped}</artifactId>\s*<version>([^<]+)</version>"
            if file.suffix == ".xml"
            else rf"(?:^|\s){escaped}(?:==| v)(\S+)"
        )
        # The last: what replaces another version stands behind it.
        version = ([None, *re.findall(pattern, text)])[-1]
    if version is None:
        raise ValueError(f"{file} pins no {name}")
    return version


def compatibility_page(areas: list[Area]) -> str:
    """Return docs/compatibility.md."""
    parts = [HEAD]
    for area in areas:
        parts.append(
            f"\n## {area.title}\n\n| tried | version | what came out | shown by |\n| --- | --- | --- | --- |\n"
        )
        for trial in area.trials:
            limit = f" **Not so**: {trial.limit}" if trial.limit else ""
            shown = ", ".join(f"`{test}`" for test in trial.shown)
            parts.append(f"| {trial.what} | {trial.version.shown()} | {trial.result}{limit} | {shown} |\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(compatibility_page(read_areas()), encoding="utf-8")
