"""Target 14: under mixed faults, what was said at the moment of a return is true at that moment."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

import ldv_otel as ldv
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.durable import DurableDelivery, drain
from ldv_otel.errors import LogboekUnavailable
from tests.support import faults
from tests.support.chance import dice
from tests.support.logboek import LogboekProcess, settings_at
from tests.torture.rig import Oracle, hurry, log_through, size, span_ids
from tests.torture.test_ambiguous_answers import CLASSES, through

ACTIVITY = "https://register.example/activiteiten/marteling"
_THREADS = 4
_CONFIRM_SECONDS = 0.5
_TIMEOUT_SECONDS = 0.25


class Mine(Exception):  # the application's own
    """What an application raises."""


class Witness:
    """Looks into the table itself, past every fault; one for a thread."""

    def __init__(self, settings: Settings) -> None:
        self._client = LogboekClient(settings)

    def missing(self, told: set[str]) -> set[str]:
        """Return which of these span ids no reader would find now."""
        rows = self._client.rows(
            Sql("SELECT span_id FROM logregels WHERE has({told:Array(String)}, span_id)"), {"told": sorted(told)}
        )
        return told - {str(span_id) for (span_id,) in rows}

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()


def unsteady() -> faults.Action:
    """Every other insert meets a fault of any class; so does a question now and then."""
    chance = dice("true answers")

    async def act(exchange: faults.Exchange) -> None:
        if chance.random() < (0.5 if faults.is_insert(exchange.request) else 0.05):
            kind = chance.choice(sorted(CLASSES))
            await chance.choice(CLASSES[kind])(chance)(exchange)
        else:
            await faults.pass_on()(exchange)

    return act


class Trial:
    """Calls, and what was said of them that is not so."""

    def __init__(self, direct: Settings, delivery: DurableDelivery) -> None:
        self._direct = direct
        self._delivery = delivery
        self.oracle = Oracle()
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.late_seconds = 0.0

    def call(self, numbers: Iterable[int]) -> None:
        """Log an Actie for each number, and look at once whether what was said of it is so."""
        witness = Witness(self._direct)
        for number in numbers:
            began = time.monotonic()
            span_id, said = self._log(own=number % 7 == 0)
            self.late_seconds = max(self.late_seconds, time.monotonic() - began - _CONFIRM_SECONDS)
            self.counts[said] += 1
            if said == "returned" and witness.missing({span_id}):
                self.wrong.append(f"{number} returned, and cannot be read")
            # Either way it was promised, for now or for later.
            self.oracle.acknowledged.add(span_id)
        witness.close()

    def _log(self, *, own: bool) -> tuple[str, str]:
        """Log one Actie; return its span id, and whether its end returned or raised."""
        told = ""
        try:
            with ldv.processing(ACTIVITY) as actie:
                told = actie.span_id
                actie.set_attribute("dpl.told", told)
                self.oracle.issued.add(told)
                fail(own)
        except Mine as error:
            return told, "raised" if getattr(error, "__notes__", []) else "returned"
        except LogboekUnavailable as error:
            if own:
                self.wrong.append("the application's own exception was replaced")
            if "in the spool and will be sent" not in str(error):
                self.wrong.append(f"it does not say what becomes of the record: {error}")
            return told, "raised"
        if own:
            self.wrong.append("the application's own exception was swallowed")
        return told, "returned"

    def ask(self, done: threading.Event) -> None:
        """Flush again and again, and look whether it is so."""
        witness = Witness(self._direct)
        while not done.wait(0.05):
            told = set(self.oracle.acknowledged)
            flushed = self._delivery.flush(0.2)
            self.counts["flushed" if flushed else "not flushed"] += 1
            if flushed and (missing := witness.missing(told)):
                self.wrong.append(f"flush said True, and {len(missing)} cannot be read")
        witness.close()


def fail(own: bool) -> None:  # whether it does
    """Fail, as an application does."""
    if own:
        raise Mine


@pytest.mark.slow
@pytest.mark.timeout(7_200)
def test_what_is_said_is_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that returned can be read; one that raised says what becomes of it; `flush` is True when it is true.

    An exception of the application's own comes out whatever the Logboek does.
    """
    hurry(monkeypatch)
    calls = size(80, 10_000)
    with LogboekProcess(tmp_path / "logboek") as process, faults.FaultFront(process.port) as front:
        direct = settings_at(process.port)
        apply_schema(direct)
        sink = through(direct, front, _TIMEOUT_SECONDS)
        front.add(unsteady())
        delivery = DurableDelivery(sink, tmp_path / "spools", level="confirmed", confirm_seconds=_CONFIRM_SECONDS)
        processor = log_through(delivery)
        trial, done = Trial(direct, delivery), threading.Event()
        threads = [
            threading.Thread(target=trial.call, args=(range(thread, calls, _THREADS),)) for thread in range(_THREADS)
        ]
        asking = threading.Thread(target=trial.ask, args=(done,))
        for each in (*threads, asking):
            each.start()
        for each in threads:
            each.join()
        done.set()
        asking.join()
        # Whatever chance and the machine made of it: once without any answer, and once with nothing but good ones.
        front.close_listener()
        trial.call([1])
        assert trial.counts["raised"]
        front.open_listener()
        front.clear()
        assert delivery.flush(60)
        witness = Witness(direct)
        assert not witness.missing(trial.oracle.acknowledged)
        witness.close()
        while not trial.counts["returned"]:
            trial.call([1])
        if delivery.shutdown(0.3):
            assert delivery.pending == 0
        processor.shutdown()
        drain(ClickHouseSink(direct), tmp_path / "spools")
        verdict = trial.oracle.verdict(span_ids(direct, "logregels"))
    print(f"{dict(trial.counts)}, at most {trial.late_seconds * 1_000:.0f} ms over the time; {verdict}")
    assert not trial.wrong, trial.wrong[:5]
    assert verdict.clean, verdict
    assert trial.counts["returned"] + trial.counts["raised"] > calls
