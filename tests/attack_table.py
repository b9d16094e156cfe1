"""`make attack`: attack the product in full size, and print what was tried and what got through."""

from __future__ import annotations

import sys

from tests.attack.tally import RESULTS
from tests.support.result_table import run_and_print


def main() -> int:
    """Run all attacks; return 0 when none got through."""
    failed, rows = run_and_print(
        ["--dist", "loadfile", "-o", "timeout=14400", "tests/attack"],
        RESULTS,
        ("kind", "against", "tried", "got through"),
        {"LDV_ATTACK": "full"},
        width=120,
    )
    print(f"{sum(row[2] for row in rows)} tried, {sum(row[3] for row in rows)} got through")
    return failed


if __name__ == "__main__":
    sys.exit(main())
