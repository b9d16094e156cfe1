"""A service with an outbox, and a sender by itself, for `test_outbox.py` to kill; run in a forge."""

from __future__ import annotations

import fcntl
import itertools
import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

import ldv_otel as ldv
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel._internal.delivery.outbox import sender as sending
from ldv_otel._internal.delivery.outbox import store as storing
from ldv_otel._internal.delivery.outbox.addresses import store_at
from ldv_otel._internal.sdk.outbox.installed import InstalledOutboxes
from tests.torture.rig import FileLogboek, log_through

ACTIVITY = "https://register.example/activiteiten/marteling"
CHANGE = text("INSERT INTO kenteken (nummer) VALUES (:nummer)")
_THREADS = 2


class Undone(Exception):
    """What the application rolls back for."""


class SharedFileLogboek(FileLogboek):
    """The file for several senders at a time: each looks at what the others have written before it writes."""

    def send(self, batch: Batch) -> None:
        """Append a batch in one write, unless its token is known."""
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.open()
            super().send(batch)

    def read_back(self, batch: Batch) -> frozenset[int]:
        """Return which places of its writer are there by now."""
        self.open()
        return super().read_back(batch)


def hurry_outbox() -> None:
    """Take the pauses out: a test of a hundred kills is not a test of patience."""
    vars(sending).update(_GATHER_SECONDS=0.003, _LOOK_SECONDS=0.02, _PAUSE_SECONDS=0.05, _MOST_ROWS=20)
    vars(storing).update(LEASE_SECONDS=0.4)


def service(tell: Callable[[str], object], url: str, logboek: str, spool: str, seed: str) -> None:
    """Change and log in several threads until it is killed, and send in another."""
    hurry_outbox()
    engine = create_engine(url)
    delivery = DurableDelivery(FileLogboek(Path(spool) / "unused"), Path(spool))
    processor = log_through(delivery)
    outbox = ldv.outbox.sqlalchemy(engine)
    processor.outboxes = InstalledOutboxes(
        [outbox], delivery, processor.records_so_far, lambda: SharedFileLogboek(Path(logboek))
    )
    processor.outboxes.open()
    chances = [random.Random(f"{seed} {number}") for number in range(_THREADS)]
    threads = [threading.Thread(target=_work, args=(engine, chance)) for chance in chances]
    for thread in threads:
        thread.start()
    tell("ready")
    threads[0].join()


def cycle(tell: Callable[[str], object], url: str, address: str, logboek: str, spool: str) -> None:
    """One full life in one thread, so that each system call has its number: commit, roll back, claim, send."""
    vars(storing).update(LEASE_SECONDS=0.05)
    engine = create_engine(url)
    delivery = DurableDelivery(FileLogboek(Path(spool) / "unused"), Path(spool))
    processor = log_through(delivery)
    outbox = ldv.outbox.sqlalchemy(engine, sends=False)
    processor.outboxes = InstalledOutboxes([outbox], delivery, processor.records_so_far, lambda: delivery._sink)
    processor.outboxes.open()
    with Session(engine) as session, session.begin():
        _change(session)
        _change(session)
        savepoint = session.begin_nested()
        _change(session)
        savepoint.rollback()
    with suppress(Undone), Session(engine) as session, session.begin():
        _change(session)
        raise Undone
    with Session(engine) as session, session.begin():
        _change(session)
    engine.dispose()
    sending.OutboxSender(SharedFileLogboek(Path(logboek)), store_at(address)).run_once()
    tell("ready")


def sender(tell: Callable[[str], object], address: str, logboek: str) -> None:
    """Send what is there until it is killed."""
    hurry_outbox()
    sending.OutboxSender(SharedFileLogboek(Path(logboek)), store_at(address)).start()
    tell("ready")
    while True:
        time.sleep(1)


def _work(engine: Engine, chance: random.Random) -> None:
    while True:
        # A server that restarts, and a lock that is not to be had, undo the transaction.
        with suppress(Exception), Session(engine) as session, session.begin():
            _transaction(session, chance)


def _transaction(session: Session, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 3)):
        _change(session)
    if chance.random() < 0.3:
        savepoint = session.begin_nested()
        _change(session)
        if chance.random() < 0.5:
            savepoint.rollback()
        else:
            savepoint.commit()
    if chance.random() < 0.2:
        raise Undone
    if chance.random() < 0.1:
        name = _name()
        with ldv.processing(ACTIVITY, name=name):
            session.execute(CHANGE, {"nummer": name})
            session.commit()


_numbers = itertools.count()


def _name() -> str:
    return f"{os.getpid()}-{time.monotonic_ns()}-{next(_numbers)}"


def _change(session: Session) -> None:
    name = _name()
    with ldv.processing(ACTIVITY, name=name):
        session.execute(CHANGE, {"nummer": name})
