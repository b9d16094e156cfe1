"""Two readers verify a Logboek while a service writes to it: what is under way is no finding, and nothing is missed."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Final

import msgspec
import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.verification.findings import Finding
from ldv_otel._internal.clickhouse.verification.verify import verify
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import number_batch
from ldv_otel._internal.tamper.key_place import seal_key_file
from ldv_otel._internal.tamper.signing_key import read_signer
from tests.support.logboek import LogboekProcess, settings_at
from tests.support.sealing import with_seal_key
from tests.torture.rig import record, size

BATCH: Final = 1_000
RATE: Final = 5_000


class Writer:
    """Writes sealed batches at a pace, as a service does, until it has written so many."""

    def __init__(self, settings: Settings, records: int) -> None:
        self._settings, self._records = settings, records
        self.thread = threading.Thread(target=self._write)
        self.seconds = 0.0

    def _write(self) -> None:
        sink = ClickHouseSink(self._settings)
        sink.open()
        begun = time.monotonic()
        for first in range(0, self._records, BATCH):
            sink.send(number_batch("writer", first, [record(first + number) for number in range(BATCH)]))
            time.sleep(max(0.0, begun + (first + BATCH) / RATE - time.monotonic()))
        self.seconds = time.monotonic() - begun
        sink.close()


class Reader:
    """Verifies again and again until the writer is done, and keeps what it found."""

    def __init__(self, settings: Settings, writer: Writer, key: bytes) -> None:
        self._settings, self._writer, self._key = settings, writer, key
        self.thread = threading.Thread(target=self._read)
        self.findings: list[Finding] = []
        self.looks: list[int] = []

    def _read(self) -> None:
        with LogboekClient(self._settings) as client:
            while self._writer.thread.is_alive():
                verification = verify(client, keys=[self._key])
                self.findings += verification.findings
                self.looks.append(verification.records)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_what_is_written_meanwhile_is_no_finding(tmp_path: Path) -> None:
    """A batch is in the table as a whole or not at all, and so is its manifest; the last look sees all of them.

    A record that is changed after that is found, so that the readers did look.
    """
    records = size(40_000, 3_000_000) // BATCH * BATCH
    with LogboekProcess(tmp_path / "logboek") as process:
        settings = with_seal_key(settings_at(process.port), tmp_path)
        apply_schema(settings)
        path = seal_key_file(settings)
        assert path is not None
        key = read_signer(path, "LDV_SEAL_KEY").key.public
        writer = Writer(settings, records)
        readers = [Reader(msgspec.structs.replace(settings), writer, key) for _ in range(2)]
        for thread in (writer.thread, *(reader.thread for reader in readers)):
            thread.start()
        for thread in (writer.thread, *(reader.thread for reader in readers)):
            thread.join()
        looks = [len(reader.looks) for reader in readers]
        print(f"{records} records in {writer.seconds:.1f} s; verified {looks} times meanwhile")
        assert [reader.findings for reader in readers] == [[], []]
        assert min(looks) > 1
        with LogboekClient(settings) as client:
            after = verify(client, keys=[key])
            assert (after.findings, after.records) == ([], records)
            client.command(
                Sql("ALTER TABLE logregel DELETE WHERE seq = {seq:UInt64} SETTINGS mutations_sync = 2"), {"seq": 7}
            )
            assert verify(client, keys=[key]).findings
