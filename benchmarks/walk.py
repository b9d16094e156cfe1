"""How often one Actie goes from file to file: calls of our own code whose file is not that of the call before.

Run: `python -m benchmarks.walk [--show]`. It prints one number, with `--show` after the calls that were counted.

One `processing` with a data subject runs as `install()` leaves a service: level `durable`, no other exporter. The count
is of the application's thread, from `sys.setprofile`; what the drainer does in its own thread is not in it. The Logboek
is an address where nobody answers, because none of it is in the count. Only the public API is used, so that the script
measures any tree it is run in, older ones too.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple

import ldv_otel as ldv

PACKAGE: Final = str(Path(ldv.__file__).parent)
GOAL: Final = 30
_WARM_UP: Final = 5
_KEYS: Final = {"active": "k1", "keys": [{"id": "k1", "secret": "for this benchmark only: not a secret"}]}


class Call(NamedTuple):
    """A call of our own code."""

    file: str
    function: str


def processing_with_a_subject() -> None:
    """Do what an application does."""
    with ldv.processing(
        "https://register.example/activiteiten/kenteken-wijzigen",
        name="Wijzig kenteken",
        attributes={"parkeren.zone": "centrum", "parkeren.vergunning": "bewoner"},
    ):
        ldv.data_subject("100000000", type="BSN")


def calls_of_one_actie() -> list[Call]:
    """Return the calls of our own code for one Actie, in order."""
    for _ in range(_WARM_UP):
        processing_with_a_subject()
    calls: list[Call] = []

    def profile(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE):
            calls.append(Call(code.co_filename.removeprefix(PACKAGE).lstrip(os.sep), code.co_qualname))

    sys.setprofile(profile)
    try:
        processing_with_a_subject()
    finally:
        sys.setprofile(None)
    return calls


def file_changes(calls: list[Call]) -> int:
    """Return how often a call is in another file than the call before it."""
    return sum(before.file != after.file for before, after in pairwise(calls))


@contextmanager
def installed(directory: Path) -> Iterator[None]:
    """Keep a Logboek, with its spool in a directory."""
    keys = directory / "keys.json"
    keys.touch(0o600)
    keys.write_text(json.dumps(_KEYS))
    environ = {
        "LDV_LOGBOEK": "clickhouse+http://127.0.0.1:9/ldv",
        "LDV_ALLOW_INSECURE": "1",
        "LDV_KEYS": str(keys),
        "LDV_STATE": str(directory / "state"),
        "LDV_FLUSH_SECONDS": "0",
    }
    ldv.install(ldv.read_settings(environ))
    yield


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How often one Actie goes from file to file.")
    parser.add_argument("--show", action="store_true", help="also the calls, one a line")
    options = parser.parse_args()
    directory = tempfile.mkdtemp()
    with installed(Path(directory)):
        calls = calls_of_one_actie()
    if options.show:
        for number, call in enumerate(calls):
            print("  " if number and calls[number - 1].file == call.file else "->", call.file, call.function)
    print(file_changes(calls))


if __name__ == "__main__":
    main()
