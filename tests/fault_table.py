"""`make faults`: run the fault table, and print what became of the records under each fault."""

from __future__ import annotations

import sys

from tests.support.result_table import run_and_print
from tests.torture.test_fault_table import ROWS


def main() -> int:
    """Run all cases; return 0 when each of them lost, doubled and stalled nothing."""
    failed, rows = run_and_print(
        ["--dist", "load", "--show-capture=no", "tests/torture/test_fault_table.py"],
        ROWS,
        ("fault", "lost", "doubled", "stored twice", "recovers by itself", "what the operator sees"),
        {"LDV_TORTURE": "0.1"},
        width=200,
    )
    print(f"{len(rows)} faults; those that are not in the table failed")
    return failed


if __name__ == "__main__":
    sys.exit(main())
