"""Packages with entry points, as pip leaves them: a directory on the path with what it wrote about a package."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path


def installed(site: Path, project: Path) -> None:
    """Write what pip writes about a project into a directory, with the entry points of its pyproject.toml.

    The package itself has to be on the path. So no build backend and no registry is needed.
    """
    content = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    write_package(site, content["name"], content["entry-points"], version=content["version"])


def write_package(site: Path, name: str, groups: Mapping[str, Mapping[str, str]], *, version: str = "1.0") -> None:
    """Write what is known of a package with these entry points."""
    directory = site / f"{name.replace('-', '_')}-{version}.dist-info"
    directory.mkdir(parents=True)
    (directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    lines = [
        line for group, points in groups.items() for line in (f"[{group}]", *(f"{k} = {v}" for k, v in points.items()))
    ]
    (directory / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
