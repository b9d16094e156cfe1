"""Target 2: the Logboek is killed during inserts, again and again."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest

from ldv_otel.delivery.durable import DurableDelivery
from ldv_otel.logboek.migrations import apply_schema
from ldv_otel.logboek.write import ClickHouseSink
from ldv_otel.settings import LogboekAddress, Settings
from tests.support import faults
from tests.support.logboek import LogboekProcess
from tests.torture.rig import Oracle, dice, hurry, record, size, span_ids


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_a_logboek_that_is_killed_has_everything_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever in an insert, a retry, a read-back or a repair it dies: nothing is lost, nothing is seen twice.

    Rows that were stored twice may be in the table as long as the view hides them; how many is said.
    """
    hurry(monkeypatch)
    chance = dice("store")
    oracle = Oracle()
    killed, stop = threading.Event(), threading.Event()
    with LogboekProcess(tmp_path / "logboek") as process:

        def kill() -> None:
            process.kill()
            killed.set()

        with faults.FaultFront(process.port, kill=kill) as front:
            direct = Settings(logboek=LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=process.port))
            apply_schema(direct)
            behind = Settings(logboek=LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=front.port))
            delivery = DurableDelivery(ClickHouseSink(behind), tmp_path / "spool")

            def log() -> None:
                for number in itertools.count():
                    if stop.wait(0.002):
                        return
                    logregel = record(number)
                    oracle.note(f"i {logregel.name}")
                    delivery.submit(logregel)
                    oracle.note(f"a {logregel.name}")

            logger = threading.Thread(target=log)
            logger.start()
            for number in range(size(100, 1_000)):
                killed.clear()
                # Every fourth kill comes with any request: those after a restart are retries and read-backs.
                when = faults.anything if number % 4 == 0 else faults.is_insert
                front.add(faults.kill_while(chance.uniform(0, 0.012)), when=when, times=1)
                assert killed.wait(60)
                process.start()
            stop.set()
            logger.join()
            assert delivery.shutdown(60)
        raw, shown = oracle.verdict(span_ids(direct, "logregel")), oracle.verdict(span_ids(direct, "logregels"))
    print(f"{len(oracle.acknowledged)} acknowledged; raw: {raw}; shown: {shown}")
    assert shown.clean, f"raw: {raw}; shown: {shown}"
