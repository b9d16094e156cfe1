"""Processes that fork, spawn, are killed and leave without a word; run as `python -m tests.processes.children NAME`.

Each id is written down once its `processing` block has ended: with level `durable` it is then on disk for good.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
import warnings
from typing import Any, Final

import ldv_otel as ldv

ACTIVITY: Final = "https://register.example/processes"
_FORKS: Final = 20


def log(oracle_id: str) -> None:
    """Log one Actie, and then acknowledge it: one short write in append mode is never torn."""
    with ldv.processing(ACTIVITY, name=oracle_id):
        ldv.data_subject("123456782", type="BSN")
    descriptor = os.open(os.environ["ACKNOWLEDGEMENTS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, f"{oracle_id}\n".encode())
    os.close(descriptor)


def child(oracle_id: str, *, leave: bool) -> None:
    """Log in a child process, which may have inherited an installation or not."""
    ldv.install()
    log(oracle_id)
    if leave:
        os._exit(0)


def processes(method: str) -> None:
    """Children of multiprocessing, a few at a time; every other one leaves through `os._exit`."""
    ldv.install()
    log("id-parent")
    # typeshed gives `Process` to each context by name, and not to their common base.
    context: Any = multiprocessing.get_context(method)
    for start in range(0, 8, 4):
        some = [
            context.Process(target=child, args=(f"id-{number:04d}",), kwargs={"leave": number % 2 == 0})
            for number in range(start, start + 4)
        ]
        for process in some:
            process.start()
        for process in some:
            process.join()
            if process.exitcode:
                sys.exit(f"a child ended with {process.exitcode}")
    log("id-parent-after")


def fork_under_load() -> None:
    """Fork again and again while threads are inside `submit`; each child logs once and leaves."""
    ldv.install()
    done = threading.Event()

    def loop(thread: int) -> None:
        number = 0
        while not done.is_set():
            log(f"id-thread-{thread}-{number}")
            number += 1

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(_FORKS):
            pid = os.fork()
            if not pid:
                child(f"id-child-{number}", leave=True)
            _, status = os.waitpid(pid, 0)
            if status:
                sys.exit(f"a child ended with status {status}")
    finally:
        done.set()
        for thread in threads:
            thread.join()


def forever() -> None:
    """Log in four threads until somebody ends this process."""
    ldv.install()

    def loop(thread: int) -> None:
        number = 0
        while True:
            log(f"id-thread-{thread}-{number}")
            number += 1

    for number in range(4):
        threading.Thread(target=loop, args=(number,), daemon=True).start()
    while True:
        time.sleep(0.1)


def main(name: str) -> None:
    """Run one of the above."""
    # Forking with threads is what is tested here.
    warnings.simplefilter("ignore", DeprecationWarning)
    if name == "fork-under-load":
        fork_under_load()
    elif name == "forever":
        forever()
    else:
        processes(name)


if __name__ == "__main__":
    main(sys.argv[1])
