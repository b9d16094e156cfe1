"""What an Actie costs that commits with its change, beside the spool and beside no Logboek at all, in one run.

    python -m benchmarks.outbox [--seconds 3] [--database postgresql+psycopg://...]

Each turn is a transaction with one change. Without `--database` it is SQLite in a file, in WAL. The Logboek takes what
it gets and forgets it, for the spool and for the outbox alike. The ways take turns of a tenth of a second, so that the
machine is the same for all.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.sinks import Forgetful
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.orm import Session

import ldv_otel as ldv
from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser, new_key
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.sdk.outbox.installed import InstalledOutboxes
from ldv_otel._internal.sdk.processor import LdvSpanProcessor
from ldv_otel._internal.sdk.sampler import LdvSampler

ACTIVITY = "https://register.example/activiteiten/parkeren"
CHANGE = text("INSERT INTO kenteken (nummer) VALUES (:nummer)")
TURN_SECONDS = 0.1


def set_up(engine: Engine, directory: Path) -> tuple[LdvSpanProcessor, InstalledOutboxes]:
    """Install a spool and an outbox in this process."""
    key = new_key("benchmark")
    provider = TracerProvider(sampler=LdvSampler())
    delivery = DurableDelivery(Forgetful(), directory / "spool")
    processor = LdvSpanProcessor(LogregelMaker(Pseudonymiser(KeyRing([key], active=key.id)).subject), delivery)
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    outbox = ldv.outbox.sqlalchemy(engine)
    store = outbox.store()
    store.apply()
    store.close()
    installed = InstalledOutboxes([outbox], delivery, processor.records_so_far, Forgetful)
    installed.open()
    processor.outboxes = installed
    return processor, installed


def ways(engine: Engine) -> dict[str, Callable[[], None]]:
    """The ways to make one change."""

    def nothing() -> None:
        with Session(engine) as session, session.begin():
            session.execute(CHANGE, {"nummer": "AB-12-CD"})

    def spool() -> None:
        with Session(engine) as session, session.begin(), ldv.processing(ACTIVITY, outbox=False):
            ldv.data_subject("123456782", type="BSN")
            session.execute(CHANGE, {"nummer": "AB-12-CD"})

    def outbox() -> None:
        with Session(engine) as session, session.begin(), ldv.processing(ACTIVITY):
            ldv.data_subject("123456782", type="BSN")
            session.execute(CHANGE, {"nummer": "AB-12-CD"})

    return {"nothing logged": nothing, "spool (durable)": spool, "outbox": outbox}


def measure(work: dict[str, Callable[[], None]], seconds: float) -> dict[str, list[float]]:
    """Return how long each took, in ms, in turns."""
    took: dict[str, list[float]] = {name: [] for name in work}
    for do in work.values():
        do()
    end = time.monotonic() + seconds * len(work)
    while time.monotonic() < end:
        for name, do in work.items():
            turn = time.monotonic() + TURN_SECONDS
            while time.monotonic() < turn:
                begin = time.perf_counter()
                do()
                took[name].append((time.perf_counter() - begin) * 1_000)
    return took


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--database", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        engine = create_engine(options.database or f"sqlite:///{directory / 'application.db'}")
        if not options.database:
            event.listen(engine, "connect", lambda driver, _: driver.execute("PRAGMA journal_mode=WAL"))
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE IF NOT EXISTS kenteken (nummer varchar(20))"))
        processor, outboxes = set_up(engine, directory)
        took = measure(ways(engine), options.seconds)
        outboxes.close()
        processor.shutdown()
        engine.dispose()
    base = statistics.median(took["nothing logged"])
    print(f"{engine.dialect.name}, a transaction with one change, one thread\n")
    print("| | p50 ms | p99 ms | beside nothing logged | transactions |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for way, times in took.items():
        p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
        print(f"| {way} | {p50:.2f} | {p99:.2f} | {p50 / base:.2f} | {len(times):,} |")


if __name__ == "__main__":
    main()
