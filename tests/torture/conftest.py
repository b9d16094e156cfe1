"""Every torture test says how to repeat it; most need a Logboek that lives through all of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.chance import SEED
from tests.support.logboek import LogboekProcess


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Shown by pytest when the test fails, and with `-s`."""
    print(f"\nrepeat with LDV_TEST_SEED={SEED}")


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogboekProcess]:
    """The engine in a process of its own: the one of this process may serve another directory already."""
    with LogboekProcess(tmp_path_factory.mktemp("served") / "logboek") as found:
        yield found
