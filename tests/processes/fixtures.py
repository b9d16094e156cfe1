"""The fixtures of every package that starts services; each `conftest.py` there takes them over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.rig import Rig
from tests.support.logboek import LogboekProcess


@pytest.fixture(scope="package")
def logboek(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogboekProcess]:
    """The engine in a process of its own, one for a package."""
    with LogboekProcess(tmp_path_factory.mktemp("served") / "logboek") as process:
        yield process


@pytest.fixture
def rig(logboek: LogboekProcess, tmp_path: Path) -> Rig:
    """A database, a spool and keys of its own."""
    return Rig(logboek, tmp_path)
