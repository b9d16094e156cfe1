"""Target 2: the Logboek is killed during inserts, again and again."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.delivery.durable import DurableDelivery
from tests.support import faults
from tests.support.chance import dice
from tests.support.logboek import LogboekProcess, settings_at
from tests.support.sealing import not_whole, with_seal_key
from tests.support.sending import deliver_whole
from tests.torture.rig import Oracle, hurry, record, size, span_ids, strace


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
            direct = settings_at(process.port)
            apply_schema(direct)
            behind = with_seal_key(settings_at(front.port), tmp_path)
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
        assert not_whole(msgspec.structs.replace(behind, logboek=direct.logboek)) == []
        raw, shown = oracle.verdict(span_ids(direct, "logregel")), oracle.verdict(span_ids(direct, "logregels"))
    print(f"{len(oracle.acknowledged)} acknowledged; raw: {raw}; shown: {shown}")
    assert shown.clean, f"raw: {raw}; shown: {shown}"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_logboek_that_dies_between_token_and_rows_gets_them_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed at the rename of the part: the engine has noted the token, says so to the retry, and has no rows."""
    oracle = Oracle()
    with LogboekProcess(tmp_path / "logboek") as process:
        store = with_seal_key(settings_at(process.port), tmp_path)
        apply_schema(store)
        sink, reader, writer_id = ClickHouseSink(store), ClickHouseSink(store), new_writer_id()

        def send(place: int, wait: Callable[[float], bool]) -> int:
            """Send a batch until it is confirmed; return how many of its rows cannot be read then."""
            batch = number_batch(writer_id, place, [record(number) for number in range(place, place + 5)])
            oracle.acknowledged.update(logregel.name for logregel in batch.logregels)
            deliver_whole(batch, sink, wait=wait)
            return len(set(batch.seqs) - reader.read_back(batch))

        false_ok = send(0, pause)
        for number in range(1, size(5, 50) + 1):
            renames = "rename,renameat,renameat2"
            tracer = strace(process.pid, "-f", "-e", f"trace={renames}", "-e", f"inject={renames}:signal=KILL:when=1")

            def restart(_: float) -> bool:
                if process.killed:
                    tracer.communicate()  # noqa: B023  (used within this turn only)
                    process.kill()
                    process.start()
                else:
                    time.sleep(0.01)
                return False

            false_ok += send(number * 10, restart)
            assert tracer.returncode is not None, "no rename was seen, and so nothing was killed"
        oracle.issued |= oracle.acknowledged
        shown = oracle.verdict(span_ids(store, "logregels"))
        assert not_whole(store) == []
    repaired = sum("records are missing" in said.getMessage() for said in caplog.records)
    print(f"{number} kills, {repaired} repaired; shown: {shown}")
    assert false_ok == 0
    assert shown.clean, shown


def pause(seconds: float) -> bool:
    """Wait as delivery does."""
    time.sleep(seconds)
    return False
