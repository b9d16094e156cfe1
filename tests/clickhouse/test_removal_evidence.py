"""What a term removes of sealed batches is told from what somebody removed; what stays is still checked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.register_table import apply_register
from ldv_otel._internal.clickhouse.retention.apply import apply_retention
from ldv_otel._internal.clickhouse.retention.plan import plan_retention
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.verification.verify import Verification, verify
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.register.register import ProcessingActivity, Register
from ldv_otel._internal.tamper.manifest import SALT_BYTES
from ldv_otel._internal.tamper.note import NoteSigner
from ldv_otel._internal.tamper.signing_key import make_signer, read_signer
from ldv_otel.attributes import KEPT_UNTIL
from tests.clickhouse.conftest import sealed_store
from tests.support.chance import examples

DAY_MS: Final = 86_400_000
NOW_MS: Final = int(time.time() * 1_000)
SHORT, LONG, OWN = ("https://register.example/kort", "https://register.example/lang'", "https://register.example/eigen")


def register(short: str, long: str) -> Register:
    """Terms of two activities."""
    activities = [
        ProcessingActivity(id=SHORT, name="kort", retention=short),
        ProcessingActivity(id=LONG, name="lang", retention=long),
        ProcessingActivity(id=OWN, name="eigen", retention="P10Y"),
    ]
    return Register(activities, source="register.yaml")


def record(number: int, activity: str, age_days: float, *, kept_days: float | None = None) -> Logregel:
    """A record of some age; of the batches here each has rows of several ages and activities."""
    start = NOW_MS - int(age_days * DAY_MS)
    attributes = {} if kept_days is None else {KEPT_UNTIL: str(NOW_MS + int(kept_days * DAY_MS))}
    return Logregel(
        trace_id=b"t" * 16,
        span_id=(number + 1).to_bytes(8, "big"),
        name="x",
        start_time_ms=start,
        end_time_ms=start,
        processing_activity_id=activity,
        attributes=attributes,
    )


class Store:
    """A sealed Logboek with a Register."""

    def __init__(self, settings: Settings) -> None:
        assert settings.seal_key is not None
        self.sink = ClickHouseSink(settings)
        self.sink.open()
        self.client = LogboekClient(settings)
        self.signer: NoteSigner = read_signer(settings.seal_key, "LDV_SEAL_KEY")

    def send(self, *records: Logregel) -> None:
        """Store a batch of a writer of its own."""
        self.sink.send(number_batch(new_writer_id(), 0, records))

    def retain(self, short: str = "P1Y", long: str = "P4Y", *, signer: NoteSigner | None = None) -> int:
        """Remove what is past its term; return how many records."""
        apply_register(self.client, register(short, long), amend=True)
        plan = plan_retention(self.client)
        removed = apply_retention(self.client, plan, signer=signer or self.signer)
        return sum(each.logregels for each in removed)

    def check(self) -> Verification:
        """Verify, with the key of the Logboek."""
        return verify(self.client, keys=[self.signer.key.public])

    def kinds(self) -> list[tuple[str, int]]:
        """What is found."""
        return [(each.kind.value, each.records) for each in self.check().findings]

    def run(self, statement: str) -> None:
        """Run any SQL, and wait until it is done."""
        self.client.command(Sql.verbatim(f"{statement} SETTINGS mutations_sync = 1"))

    def salts(self) -> set[bytes]:
        """All salts that are stored."""
        stored = self.client.rows(
            Sql("SELECT hex(manifest_salts) FROM logregel UNION ALL SELECT hex(manifest_salts) FROM ldv_manifest")
        )
        texts = [bytes.fromhex(text) for (text,) in stored]
        return {text[at : at + SALT_BYTES] for text in texts for at in range(0, len(text), SALT_BYTES)}

    def close(self) -> None:
        """Close both connections."""
        self.client.close()
        self.sink.close()


@pytest.fixture(params=["chdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A sealed Logboek without records."""
    with sealed_store(request.param, request, tmp_path / "seal.key") as settings:
        sealed = opened(settings)
        yield sealed
        sealed.close()


def opened(settings: Settings) -> Store:
    """Open a store whose key is made."""
    sink = ClickHouseSink(settings)
    sink.open()
    sink.close()
    return Store(settings)


def test_a_term_is_no_tampering(store: Store) -> None:
    """Parts of a batch, whole batches, the row where a manifest stands, and again when the next term is over."""
    mixed = [record(0, SHORT, 400), record(1, LONG, 401), record(2, SHORT, 402), record(3, LONG, 10)]
    store.send(*mixed)
    store.send(record(4, SHORT, 400), record(5, SHORT, 401))
    store.send(record(6, LONG, 5), record(7, LONG, 6))
    assert store.kinds() == []
    assert store.retain() == 4
    found = store.check()
    assert (store.kinds(), found.removed, found.records) == ([], 4, 8)
    assert store.retain() == 0
    assert store.retain(long="P1Y") == 1
    assert (store.kinds(), store.check().removed) == ([], 5)
    assert store.retain(long="P1D") == 3
    assert (store.kinds(), store.check().removed) == ([], 8)
    assert store.client.rows(Sql("SELECT count() FROM logregel")) == [(0,)]
    assert store.salts() == {bytes(SALT_BYTES)}


def test_a_term_of_a_record_itself_is_no_tampering(store: Store) -> None:
    """The record says until when it is kept."""
    store.send(record(0, OWN, 400, kept_days=-1), record(1, OWN, 401), record(2, SHORT, 1))
    assert store.retain() == 1
    assert (store.kinds(), store.check().removed) == ([], 1)


def test_salts_of_what_went_are_destroyed(store: Store) -> None:
    """With the row in which the manifest stands; those of activities of which records stay are needed for checking."""
    store.send(record(0, SHORT, 400), record(1, LONG, 401))
    before = store.salts() - {b""}
    store.retain()
    after = store.salts() - {b""}
    assert len(before) == 2
    assert bytes(SALT_BYTES) in after
    assert len(after & before) == 1


def test_salts_beside_a_row_that_stays_go_with_it(store: Store) -> None:
    """Nobody has the right to change a row, so they are there as long as it is."""
    store.send(record(0, LONG, 401), record(1, SHORT, 400))
    before = store.salts() - {b""}
    store.retain()
    assert store.kinds() == []
    assert before <= store.salts()
    store.retain(long="P1D")
    assert store.kinds() == []
    assert store.salts() - {b""} == {bytes(SALT_BYTES)}


def test_what_stays_of_a_batch_is_still_checked(store: Store) -> None:
    """A change, a removal and an addition show beside a lawful removal."""
    for _ in range(3):
        store.send(record(0, SHORT, 400), record(1, LONG, 401), record(2, LONG, 402))
    store.retain()
    assert store.kinds() == []
    writers = [writer for (writer,) in store.client.rows(Sql("SELECT DISTINCT toString(writer_id) FROM logregel"))]
    store.run(f"ALTER TABLE logregel UPDATE name = 'y' WHERE writer_id = '{writers[0]}' AND seq = 1")
    store.run(f"ALTER TABLE logregel DELETE WHERE writer_id = '{writers[1]}' AND seq = 1")
    store.client.command(
        Sql.verbatim(
            "INSERT INTO logregel SELECT * REPLACE ('z' AS name) FROM logregel "
            f"WHERE writer_id = '{writers[2]}' AND seq = 1"
        )
    )
    assert sorted(store.kinds()) == [("changed", 2), ("changed", 3), ("removed", 1)]


def test_a_removal_that_only_looks_lawful_is_found(store: Store, tmp_path: Path) -> None:
    """With a key of somebody else, without one, and of records that were not past their term."""
    other = make_signer(tmp_path / "other.key", "ldv-sealer", "LDV_SEAL_KEY")
    store.send(record(0, SHORT, 400), record(1, LONG, 401))
    store.retain(signer=other)
    assert store.kinds() == [("removed", 1)]
    assert "which is no key that is known" in store.check().findings[0].sentence


def test_a_removal_without_a_key_shows_as_removal(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """It goes on, as the term is a duty; an error says what to do."""
    store.send(record(0, LONG, 1), record(1, SHORT, 401))
    apply_register(store.client, register("P1Y", "P4Y"))
    apply_retention(store.client, plan_retention(store.client))
    assert "LDV_SEAL_KEY" in caplog.text
    assert store.kinds() == [("removed", 1)]


def test_a_batch_that_was_changed_is_not_made_good_by_a_term(store: Store) -> None:
    """A removal leaves nothing behind for a batch that is not what was sealed."""
    store.send(record(0, LONG, 399), record(1, SHORT, 401), record(2, LONG, 401))
    store.run("ALTER TABLE logregel UPDATE name = 'y' WHERE seq = 2")
    store.retain()
    assert [kind for kind, _ in store.kinds()] == ["removed"]


batches = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from([SHORT, LONG, OWN]),
            st.sampled_from([1.0, 100.0, 364.0, 400.0, 800.0, 1_500.0]),
            st.sampled_from([None, None, None, -1.0, 50.0]),
        ),
        min_size=1,
        max_size=9,
    ),
    max_size=4,
)


@hypothesis_settings(
    max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=batches, terms=st.lists(st.tuples(*[st.sampled_from(["P1D", "P99D", "P1Y", "P2Y"])] * 2), max_size=3))
def test_no_order_of_terms_is_tampering(
    store: Store,
    history: list[list[tuple[str, float, float | None]]],
    terms: list[tuple[str, str]],
) -> None:
    """Whatever is stored between removals, in whatever parts batches go."""
    numbers = iter(range(10_000))
    for batch in history:
        store.send(*(record(next(numbers), activity, age, kept_days=kept) for activity, age, kept in batch))
        if terms:
            store.retain(*terms.pop())
        assert store.kinds() == []
