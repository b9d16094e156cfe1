"""A disk that stays full for days: each record is refused, and nothing of it is kept."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.delivery import test_refusals_leave_nothing as alone
from tests.torture.rig import size


@pytest.mark.slow
@pytest.mark.timeout(4 * 3_600)
def test_memory_is_flat_over_a_million_refusals() -> None:
    """In a process of its own, with every allocation of ours counted: their bytes do not grow with refusals."""
    count = size(3_000, 1_000_000)
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", alone.__file__]
    command += ["-k", "alone_memory_is_flat", "-o", "timeout=14400"]
    environment = {**os.environ, alone.ALONE: str(count)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    (result,) = re.findall(rf"{count} refusals, -?\d+ bytes more", done.stdout)
    print(result)
