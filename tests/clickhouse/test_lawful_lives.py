"""What happens lawfully to a Logboek over the years raises no alarm, whatever the order.

In `make test` some of these lives; `make histories` lives 10,000.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto
from pathlib import Path
from typing import Final

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.register_table import apply_register
from ldv_otel._internal.clickhouse.retention.apply import apply_retention
from ldv_otel._internal.clickhouse.retention.plan import plan_retention
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema, migrations
from ldv_otel._internal.clickhouse.seal_key import new_signer
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.verification.adopt import adopt
from ldv_otel._internal.clickhouse.verification.findings import FindingKind
from ldv_otel._internal.clickhouse.verification.manifest_log import log_signer, seal
from ldv_otel._internal.clickhouse.verification.verified_log import VerifiedLog
from ldv_otel._internal.clickhouse.verification.verify import verify, with_witnesses
from ldv_otel._internal.clickhouse.verification.witnessed_log import Witnesses
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import Batch, new_writer_id
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.tamper.manifest import UNNUMBERED
from ldv_otel._internal.tamper.witness_client import WitnessState
from ldv_otel._internal.tamper.witness_files import KnownWitnesses
from ldv_otel.attributes import VERSION_OF
from tests.clickhouse.conftest import sealed_store
from tests.clickhouse.test_removal_evidence import LONG, SHORT, record, register
from tests.support.chance import examples, new_id
from tests.support.witness_server import WitnessServer

TABLES: Final = ("logregel", "ldv_manifest", "ldv_removal_note", "ldv_removal", "ldv_checkpoint")


class Step(Enum):
    """Something lawful."""

    STORE = auto()
    CORRECT = auto()  # a version of a record, as GEMMA's register has them
    HOLD_BACK = auto()  # a refused record is quarantined, and the others of its batch are stored
    RELEASE = auto()  # a quarantined record is stored under the number that it had
    WITHOUT_KEY = auto()
    THROUGH_COLLECTOR = auto()
    STORE_TWICE = auto()
    NEW_KEY = auto()
    NEW_PROCESS = auto()
    ADOPT = auto()
    CHECKPOINT = auto()
    RETENTION = auto()
    MERGE = auto()
    MIGRATE = auto()  # the tables of an earlier version, on which later migrations run (again)
    VERIFY = auto()


class Life:
    """A Logboek from its first record on, and how many of its records are not sealed."""

    def __init__(self, settings: Settings, directory: Path, witness: WitnessServer) -> None:
        self._settings = settings
        self._witnesses = Witnesses(KnownWitnesses(witnesses=[witness.known], quorum=1))
        self._directory = directory
        self.client = LogboekClient(settings)
        for table in TABLES:
            self.client.command(Sql.verbatim(f"TRUNCATE TABLE {table}"))
        self._keys = 0
        self._signers = [new_signer(self._of_key())]
        self._log = log_signer(self._signers[0])
        witness.admit(self._log.key)
        self._writer, self._next = new_writer_id(), 0
        self._held: list[tuple[str, int, Logregel]] = []
        #: Those of before a term, and those of after it.
        self._unsealed = {SHORT: 0, LONG: 0}
        self._passed: VerifiedLog | None = None
        self._sink = self._opened()

    def close(self) -> None:
        """Close connections, and forget the keys."""
        self._sink.close()
        self.client.close()
        for path in self._directory.iterdir():
            path.unlink()

    def live(self, steps: list[tuple[Step, int]]) -> None:
        """Let things happen, and check at the end."""
        for step, count in steps:
            getattr(self, f"_{step.name.lower()}")(count)
        self._verify(0)

    def _of_key(self) -> Settings:
        return msgspec.structs.replace(self._settings, seal_key=self._directory / f"{self._keys}.key")

    def _opened(self, *, sealing: bool = True) -> ClickHouseSink:
        sink = ClickHouseSink(msgspec.structs.replace(self._of_key(), seal=sealing))
        sink.open()
        return sink

    def _records(self, count: int) -> list[Logregel]:
        """As many records, by turns past their term and not."""
        return [
            msgspec.structs.replace(
                record(number, SHORT, 400) if number % 2 else record(number, LONG, 10),
                trace_id=new_id(16), span_id=new_id(8),
            )
            for number in range(count)
        ]  # fmt: skip

    def _send(self, sink: ClickHouseSink, writer: str, seqs: list[int], records: list[Logregel]) -> None:
        sink.send(Batch(writer_id=writer, seqs=tuple(seqs), logregels=tuple(records), token=new_id(16).hex()))

    def _numbers(self, count: int) -> list[int]:
        first, self._next = self._next, self._next + count
        return list(range(first, self._next))

    def _store(self, count: int) -> None:
        self._send(self._sink, self._writer, self._numbers(count), self._records(count))

    def _correct(self, count: int) -> None:
        records = [
            msgspec.structs.replace(each, attributes={VERSION_OF: new_id(16).hex()}) for each in self._records(count)
        ]
        self._send(self._sink, self._writer, self._numbers(count), records)

    def _hold_back(self, count: int) -> None:
        seqs, records = self._numbers(count + 1), self._records(count + 1)
        at = count // 2
        self._held.append((self._writer, seqs.pop(at), records.pop(at)))
        self._send(self._sink, self._writer, seqs, records)

    def _release(self, count: int) -> None:
        for writer, seq, held in self._held[:count]:
            self._send(self._sink, writer, [seq], [held])
        del self._held[:count]

    def _without_key(self, count: int) -> None:
        sink = self._opened(sealing=False)
        records = self._records(count)
        self._send(sink, new_writer_id(), list(range(count)), records)
        sink.close()
        self._count_unsealed(records)

    def _through_collector(self, count: int) -> None:
        sink, trace_id = self._opened(sealing=False), new_id(16)
        for each in (records := self._records(count)):
            self._send(sink, UNNUMBERED, [77], [msgspec.structs.replace(each, trace_id=trace_id)])
        sink.close()
        self._count_unsealed(records)

    def _count_unsealed(self, records: list[Logregel]) -> None:
        for each in records:
            self._unsealed[each.processing_activity_id] += 1

    def _store_twice(self, count: int) -> None:
        del count
        self.client.command(Sql("INSERT INTO logregel SELECT * FROM logregel LIMIT 50"))

    def _new_key(self, count: int) -> None:
        self._keys += 1
        self._signers.append(new_signer(self._of_key()))
        self._new_process(count)

    def _new_process(self, count: int) -> None:
        del count
        self._sink.close()
        self._sink = self._opened()
        self._writer, self._next = new_writer_id(), 0

    def _adopt(self, count: int) -> None:
        del count
        adoption = adopt(self.client, self._signers[-1])
        assert (adoption.records, adoption.left) == (sum(self._unsealed.values()), 0)
        self._unsealed = {SHORT: 0, LONG: 0}

    def _checkpoint(self, count: int) -> None:
        del count
        result = seal(self.client, self._log, witnesses=self._witnesses)
        assert [each.state for each in result.witnesses] == [WitnessState.COSIGNED]

    def _retention(self, count: int) -> None:
        del count
        apply_retention(self.client, plan_retention(self.client), signer=self._signers[-1])
        self._unsealed[SHORT] = 0

    def _merge(self, count: int) -> None:
        del count
        self.client.command(Sql("OPTIMIZE TABLE logregel FINAL"))

    def _migrate(self, count: int) -> None:
        self._sink.close()
        before = migrations()[-1].version - count
        self.client.command(
            Sql("ALTER TABLE ldv_schema DELETE WHERE version > {before:UInt32} SETTINGS mutations_sync = 1"),
            {"before": before},
        )
        # What that version had not; the other tables of later ones hold what was sealed.
        self.client.command(Sql("DROP TABLE ldv_verification"))
        applied = apply_schema(self._settings)
        assert [each.version for each in applied][-1] == migrations()[-1].version
        self._new_process(count)

    def _verify(self, count: int) -> None:
        keys = [signer.key.public for signer in self._signers]
        found = verify(self.client, since=self._passed if count % 2 else None, keys=keys)
        if found.log.origin:
            found = with_witnesses(self.client, found, self._witnesses)
        alarms = [each.sentence for each in found.findings if each.kind is not FindingKind.NOT_SEALED]
        assert alarms == []
        # A row that was stored twice counts twice there.
        unsealed = sum(each.records for each in found.findings)
        assert unsealed >= sum(self._unsealed.values())
        assert (unsealed == 0) == (sum(self._unsealed.values()) == 0)
        if found.log.origin:
            self._passed = VerifiedLog(size=found.log.size, root=found.log.root, at_ms=1)


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A Logboek with a Register, for one life after the other."""
    with sealed_store("chdb", request, tmp_path_factory.mktemp("lives") / "0.key") as settings:
        with LogboekClient(settings) as client:
            apply_register(client, register("P1Y", "P4Y"))
        yield settings


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WitnessServer]:
    """Another organisation, which witnesses the log of every life."""
    with WitnessServer(tmp_path_factory.mktemp("witness")) as server:
        yield server


@hypothesis_settings(
    max_examples=examples(10), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.tuples(st.sampled_from(Step), st.integers(1, 5)), max_size=12))
def test_no_lawful_life_raises_an_alarm(place: Settings, witness: WitnessServer, steps: list[tuple[Step, int]]) -> None:
    """Keys, quarantine, versions, adoption, a Collector, terms, migrations, checkpoints and witnesses, in any order."""
    assert place.seal_key is not None
    life = Life(place, place.seal_key.parent, witness)
    try:
        life.live(steps)
    finally:
        life.close()
