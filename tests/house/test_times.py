from __future__ import annotations

import re
from pathlib import Path

import ldv_otel

SOURCE = Path(ldv_otel.__file__).parent
HOME = SOURCE / "_internal" / "times" / "instants.py"

#: What a module writes that converts a moment by itself: an epoch, floats of seconds, the clock in a unit of its own,
#: or a factor between units behind a name of a moment.
BY_HAND = re.compile(
    r"datetime\(1970|\bfromtimestamp\(|\.timestamp\(\)|\btime_ns\(\)"
    r"|\w_(?:ns|us|ms) (?://|/|\*) (?:_[A-Z_]+|1_000(?:_000)*\b)"
)
#: Lengths of time, which are no moments.
LENGTHS = re.compile(r"timeout_ms|elapsed|age_ms|rounding", re.IGNORECASE)


def test_moments_are_converted_in_one_place() -> None:
    """There were seven epochs and two ways to be a millisecond off; `times.instants` is the one home for times."""
    found = [
        f"{path.relative_to(SOURCE)}:{number}: {line.strip()}"
        for path in SOURCE.rglob("*.py")
        if path != HOME
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if BY_HAND.search(line) and not LENGTHS.search(line)
    ]
    assert found == []


def test_the_pattern_sees_what_was_there() -> None:
    """Each of the spellings that were in use."""
    for line in (
        "_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)",
        "datetime.fromtimestamp(time_ms / 1_000, UTC)",
        "round(moment.astimezone(UTC).timestamp() * 1_000)",
        "now_ms = time.time_ns() // 1_000_000",
        "facts.start_time_ns // _NS_PER_MS",
        "registered_us=record.end_time_ms * 1_000,",
    ):
        assert BY_HAND.search(line)
