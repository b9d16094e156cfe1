"""The `ldv` command: it parses, calls and prints; the work is done in the rooms below this one."""

from __future__ import annotations

import sys

_MISSING = "The ldv command needs its extra: pip install 'ldv-otel[cli]'."


def main() -> None:
    """Run the command; the entry point."""
    try:
        from ldv_otel._internal.cli.application import main as run  # the extra may be missing
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"typer", "rich", "click", "stdnum"}:
            raise
        sys.exit(_MISSING)
    run()
