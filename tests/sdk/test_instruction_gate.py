"""The gate on instructions: it counts what it is asked to, and fails where a path takes more than was written down."""

from __future__ import annotations

import subprocess
import sys

import pytest
from benchmarks import callgrind, instructions
from benchmarks.callgrind import Counter, Instructions

#: Two loops, the second of twice the length; only the first is the caller's.
_PROGRAM = """
from benchmarks.callgrind import Counter
def loop(times):
    for _ in range(times): pass
counter = Counter()
loop(10)
counter.start()
loop(20_000)
counter.dump()
loop(40_000)
counter.stop()
loop(80_000)
"""


def test_only_what_is_between_start_and_stop_is_counted() -> None:
    """Imports and the end of a process would hide what a span costs."""
    if reason := callgrind.why_not():
        pytest.skip(reason)
    once, again = (callgrind.instructions_of(["-c", _PROGRAM]) for _ in range(2))
    assert 2.9 < once.process / once.caller < 3.1
    assert abs(again.caller / once.caller - 1) < 0.005


def test_outside_valgrind_counting_does_nothing() -> None:
    """The same program runs as it is."""
    if sys.platform != "linux":
        pytest.skip("the bytes are for Linux on x86-64")
    counter = Counter()
    counter.start()
    counter.dump()
    counter.stop()


def test_a_program_that_fails_has_no_count() -> None:
    """A count of a part would look like a gain."""
    if reason := callgrind.why_not():
        pytest.skip(reason)
    with pytest.raises(RuntimeError, match="ended with 3"):
        callgrind.instructions_of(["-c", "raise SystemExit(3)"])


def test_what_grew_by_more_than_is_allowed_fails() -> None:
    """Less is a gain, and a path that nobody wrote down yet has nothing to be compared with."""
    measured = {path: Instructions(count, count) for path, count in [("a", 1_031), ("b", 1_029), ("c", 1), ("d", 9)]}
    assert instructions.grown(measured, {"a": 1_000, "b": 1_000, "c": 1_000}) == ["a"]


def test_the_gate_looks_at_five_paths_that_there_are() -> None:
    """And says what it may be asked."""
    assert len(instructions.GATED) == 5
    assert set(instructions.GATED) <= set(instructions.PATHS)
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.instructions", "--help"], capture_output=True, text=True, check=True
    )
    assert "--gate" in answer.stdout
