"""Forks the processes that torture tests kill; see `rig.Forge`."""

from __future__ import annotations

import itertools
import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import clickhouse_connect.driver.httpclient  # noqa: F401  (imported once here, and not by each forked process)

import ldv_otel as ldv
from ldv_otel._internal.delivery import drainer as draining
from ldv_otel._internal.delivery.durable import DurableDelivery
from tests.torture import outbox_service
from tests.torture.rig import FileLogboek, record

_THREADS = 8
_tell: Callable[[str], object]


def application() -> None:
    """A service that logs from all its threads until it is killed."""
    ldv.install()
    _tell("ready")

    def work() -> None:
        while True:
            with ldv.processing("https://register.example/activiteiten/marteling", name="Marteling") as actie:
                actie.set_attribute("dpl.told", actie.span_id)
                _tell(f"i {actie.span_id}")
            _tell(f"a {actie.span_id}")

    threads = [threading.Thread(target=work) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    threads[0].join()


def ahead() -> None:
    """A service whose Acties, one in another, are told of when they have begun and when they have ended."""
    ldv.install()

    def actie_ahead() -> ldv.processing:
        return ldv.processing("https://register.example/activiteiten/marteling", delivery="write-ahead")

    def within() -> None:
        with actie_ahead() as actie:
            _tell(f"i {actie.span_id}")
            ldv.data_subject("123456782", type="BSN")
        _tell(f"a {actie.span_id}")

    def work() -> None:
        while True:
            with actie_ahead() as actie:
                _tell(f"i {actie.span_id}")
                within()
                within()
            _tell(f"a {actie.span_id}")

    def linger() -> None:
        with actie_ahead() as actie:
            _tell(f"i {actie.span_id}")
            threading.Event().wait()

    threads = [threading.Thread(target=each) for each in (*[work] * (_THREADS // 2), linger)]
    for thread in threads:
        thread.start()
    _tell("ready")
    threads[0].join()


def driver(base: str, store: str, first: str) -> None:
    """Delivery without the SDK side, into a file: many records, sends and adoptions in a short life."""
    draining.__dict__["_GATHER_SECONDS"] = 0.002
    numbers = itertools.count(int(first))
    delivery = DurableDelivery(FileLogboek(Path(store)), Path(base), segment_bytes=65_536)
    delivery.start_draining()
    _tell("ready")

    def work() -> None:
        while True:
            logregel = record(next(numbers))
            _tell(f"i {logregel.name}")
            delivery.submit(logregel)
            _tell(f"a {logregel.name}")

    threads = [threading.Thread(target=work) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    threads[0].join()


def cycle(base: str, store: str, first: str) -> None:
    """One full life in one thread, so that every system call has its number: adopt, commit, freeze, send, confirm."""
    delivery = DurableDelivery(FileLogboek(Path(store)), Path(base), segment_bytes=1_024)
    delivery.__dict__["start_draining"] = lambda: None
    for number in range(int(first), int(first) + 12):
        logregel = record(number)
        _tell(f"i {logregel.name}")
        delivery.submit(logregel)
        _tell(f"a {logregel.name}")
    drainer = delivery._drainer
    assert drainer
    delivery._sink.open()
    for _ in drainer.adopt():
        continue
    drainer._stopping.set()
    drainer._work()
    delivery.shutdown(1)


def _child(gate: int, workload: str, arguments: list[str]) -> None:
    os.read(gate, 1)
    workloads: dict[str, Callable[..., None]] = {
        "application": application,
        "ahead": ahead,
        "driver": driver,
        "cycle": cycle,
        "outbox": lambda *values: outbox_service.service(_tell, *values),
        "outbox_cycle": lambda *values: outbox_service.cycle(_tell, *values),
        "outbox_sender": lambda *values: outbox_service.sender(_tell, *values),
    }
    workloads[workload](*arguments)


def main() -> None:
    """Fork as told on standard input; say the process id, and later the status it ended with."""
    global _tell  # noqa: PLW0603  (the one pipe of this process)
    logging.disable()
    gate, oracle = int(sys.argv[1]), int(sys.argv[2])

    def tell(line: str) -> None:
        os.write(oracle, line.encode() + b"\n")

    _tell = tell
    for line in sys.stdin:
        workload, *arguments = json.loads(line)
        pid = os.fork()
        if not pid:
            status = 1
            try:
                _child(gate, workload, arguments)
                status = 0
            finally:
                os._exit(status)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
