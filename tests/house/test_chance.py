"""What a property is tried with in `make test` is the same each time, whatever else the process did."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis.internal.conjecture import providers

from tests.support.chance import FUZZ

ROOT = Path(__file__).parents[2]
DRAW = """
import sys
{before}
import tests.conftest
from hypothesis import given, strategies as st

@given(st.text(), st.integers(), st.sets(st.text(max_size=3)))
def draw(a, b, c):
    print(*map(ascii, (a, b, sorted(c))))

draw()
"""


@pytest.mark.skipif(bool(FUZZ), reason="make fuzz draws something else each time")
def test_draws_depend_on_nothing_but_the_test(tmp_path: Path) -> None:
    """Not on modules that other tests imported, nor on the order of sets, which is another in each process."""
    drawn = set()
    for hash_seed, before in (("1", ""), ("2", "import tests.gemma.provider, tests.support.document")):
        script = tmp_path / "draw.py"
        script.write_text(DRAW.format(before=before), encoding="utf-8")
        environ = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        process = subprocess.run([sys.executable, script], env=environ, capture_output=True, text=True, check=True)
        drawn.add(process.stdout)
    assert len(drawn) == 1
    assert len(drawn.pop().splitlines()) >= 100


def test_the_private_name_of_hypothesis_is_there() -> None:
    """`tests/conftest.py` replaces it; under another name nothing would be replaced, and nobody would notice."""
    assert callable(vars(providers)["_get_local_constants"])
    assert "_local_constants" in vars(providers)
