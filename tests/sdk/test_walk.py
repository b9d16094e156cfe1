from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_an_actie_goes_through_few_files() -> None:
    """Who follows one Actie through the code changes file fewer than 30 times; it was 53 times once."""
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.walk"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert 0 < int(answer.stdout) < 30
