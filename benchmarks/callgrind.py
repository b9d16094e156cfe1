"""Counts the instructions of a stretch of a Python program that runs under callgrind, thread by thread.

Callgrind makes a program 50 times as slow where it counts, and 5 times where it does not. A service imports for
seconds, so counting starts where the program says so: by valgrind's client request, which is a sequence of machine code
that does nothing outside valgrind. Python has no call for it; the few bytes below are that sequence for x86-64.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

#: `valgrind.h`: rax has the address of the request, rdx the answer outside valgrind; four rotations and an exchange,
#: which together change nothing, are what valgrind looks for.
_MACHINE_CODE: Final = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
_CALLGRIND: Final = ord("C") << 24 | ord("T") << 16
_DUMP: Final = _CALLGRIND
_START: Final = _CALLGRIND + 4
_STOP: Final = _CALLGRIND + 5
_ARGUMENTS: Final = 6
_TOTAL: Final = re.compile(r"^totals: (\d+)", re.MULTILINE)
#: What is written at the end has no number of a part.
_PART_AND_THREAD: Final = re.compile(r"out(?:\.(\d+))?-(\d+)$")


class Instructions(NamedTuple):
    """What a stretch of a program took.

    Attributes:
        caller: Of the main thread, up to `dump`.
        process: Of all threads, up to `stop`.
    """

    caller: int
    process: int


class Counter:
    """Tells callgrind when to count; outside valgrind it does nothing."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._memory.write(_MACHINE_CODE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._request = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(address)

    def start(self) -> None:
        """Count from here."""
        self._ask(_START)

    def dump(self) -> None:
        """End what is counted as the caller's."""
        self._ask(_DUMP)

    def stop(self) -> None:
        """Count no more."""
        self._ask(_STOP)

    def _ask(self, request: int) -> None:
        arguments = (ctypes.c_uint64 * _ARGUMENTS)(request)
        self._request(ctypes.addressof(arguments))


def why_not() -> str:
    """Return why instructions cannot be counted on this machine; empty where they can."""
    if shutil.which("valgrind") is None:
        return "valgrind is not on this machine"
    if platform.machine() != "x86_64" or sys.platform != "linux":
        return f"it is known how to ask callgrind on Linux and x86_64 only, and this is {platform.machine()}"
    return ""


def instructions_of(arguments: list[str]) -> Instructions:
    """Return what Python took between `Counter.start` and `Counter.stop`.

    Args:
        arguments: Of Python.

    Raises:
        RuntimeError: The program did not end well, or did not count.
    """
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory, "out")
        command = [
            *("valgrind", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes"),
            *(f"--callgrind-out-file={out}", sys.executable, *arguments),
        ]
        # Hashes, ids and the name of the instance are the same in each run: they change how long dicts are searched.
        environment = {
            **os.environ,
            "PYTHONHASHSEED": "0",
            "OTEL_RESOURCE_ATTRIBUTES": "service.name=benchmark,service.instance.id=0001",
        }
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        totals = {}
        for file in Path(directory).iterdir():
            part, total = _PART_AND_THREAD.search(file.name), _TOTAL.search(file.read_text(encoding="utf-8"))
            if part is not None and total is not None:
                totals[int(part[1] or 0), int(part[2])] = int(total[1])
    if done.returncode or not totals.get((1, 1)):
        raise RuntimeError(f"The run under valgrind ended with {done.returncode}:\n{done.stderr[-2_000:]}")
    return Instructions(totals[1, 1], sum(totals.values()))
