"""Target 12: whatever an application hands over is stored as it was committed, or refused at the call; never later."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from opentelemetry import trace

import ldv_otel as ldv
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import BYTES_COLUMNS, SELECTED, logregel_of_row
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.variables import DeliveryLevel
from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser, new_key
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.record.logregel import Logregel, encode_logregel
from ldv_otel._internal.record.span_facts import SpanFacts
from ldv_otel.attributes import FIELDS, NAMESPACE, PROCESSING_ACTIVITY_ID
from tests.strategies import anything
from tests.support.chance import SEED, new_id
from tests.support.logboek import LogboekProcess, settings_at
from tests.torture.rig import log_through, record, size

ACTIVITY = "https://register.example/activiteiten/marteling"
_INT64 = 2**63

_texts = st.one_of(st.text(max_size=20), st.text(st.characters(categories=["Cs"]), max_size=3), st.just("\0"))
_names = st.one_of(st.sampled_from(sorted(FIELDS)), _texts.map(NAMESPACE.__add__))
_attributes = st.dictionaries(_names, anything, max_size=5)
_times = st.one_of(st.integers(-_INT64, _INT64), st.integers(0, 2**61))
#: What no part of this package makes: ids and times of any size, texts that are no UTF-8.
_impossible = st.builds(
    Logregel,
    trace_id=st.binary(max_size=20),
    span_id=st.binary(max_size=10),
    parent_span_id=st.binary(max_size=10),
    name=_texts,
    start_time_ms=_times,
    end_time_ms=_times,
    data_subject_id=st.binary(max_size=20),
    outbound_span_ids=st.lists(st.binary(max_size=10), max_size=2).map(tuple),
    attributes=st.dictionaries(_texts, _texts, max_size=3),
)


class Keeping(DurableDelivery):
    """Keeps what it committed."""

    committed: list[bytes]

    def submit_encoded(
        self, payloads: Sequence[bytes], level: DeliveryLevel | None = None, *, ended: bytes = b""
    ) -> None:
        """Commit, and keep."""
        super().submit_encoded(payloads, level, ended=ended)
        self.committed += payloads


def cyclic() -> list[Any]:
    """A list that holds itself."""
    found: list[Any] = []
    found.append(found)
    return found


def nested(depth: int) -> list[Any]:
    """Lists in lists."""
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


#: What is too large to be drawn by chance.
MONSTERS: dict[str, Callable[[], dict[str, Any]]] = {
    "10 MB of text": lambda: {"dpl.objects.x": "x" * 10_000_000},
    "17 Mi characters": lambda: {"dpl.objects.x": "\u00e9" * (17 << 20)},
    "1 MB of bytes": lambda: {"dpl.objects.x": bytes(1_000_000)},
    "1,000 attributes": lambda: {f"dpl.objects.{number}": number for number in range(1_000)},
    "deep": lambda: {"dpl.objects.x": nested(500)},
    "cyclic": lambda: {"dpl.objects.x": cyclic()},
    "5,001 digits": lambda: {"dpl.objects.x": 10**5_000},
    "no numbers": lambda: {"dpl.objects.x": [float("nan"), float("inf")]},
    "ids of other lengths": lambda: {
        "dpl.core.foreign_operation.trace_id": "0" * 31,
        "dpl.core.foreign_operation.span_id": "xyz",
    },
    "500 people": lambda: {"dpl.core.data_subject_id": [str(number) for number in range(500)]},
}


class Service:
    """Logs what it is given, each way there is."""

    def __init__(self, delivery: DurableDelivery) -> None:
        key = new_key("malformed")
        self._maker = LogregelMaker(Pseudonymiser(KeyRing([key], active=key.id)).subject)
        self._delivery = delivery
        self.issued: set[str] = set()

    def processing(self, name: Any, attributes: dict[str, Any], subject: Any, type_: Any) -> None:
        """As an application does that uses `processing`."""
        with ldv.processing(ACTIVITY, name=name) as actie:
            for attribute, value in attributes.items():
                with suppress(RecursionError):  # OpenTelemetry's own, at the call, of what is nested too deep
                    actie.set_attribute(attribute, value)
            actie.data_subject(subject, type=type_)
        self.issued.add(actie.span_id)

    def span(self, name: str, attributes: dict[str, Any], start: int, end: int) -> None:
        """As an application does that uses OpenTelemetry."""
        span = trace.get_tracer("malformed").start_span(name, start_time=start)
        span.set_attributes({PROCESSING_ACTIVITY_ID: ACTIVITY} | attributes)
        # OpenTelemetry itself may have refused the mark of an Actie, if its value was of no type that it knows.
        span.set_attribute(PROCESSING_ACTIVITY_ID, ACTIVITY)
        span.end(end)
        self.issued.add(trace.format_span_id(span.get_span_context().span_id))

    def facts(self, name: Any, attributes: dict[str, Any], start: int, end: int) -> None:
        """As importers and exporters do, which have values of any type."""
        span_id = new_id(8)
        facts = SpanFacts(
            trace_id=new_id(16),
            span_id=span_id,
            name=name,
            start_time_ns=start,
            end_time_ns=end,
            attributes=attributes,
        )
        self._delivery.submit_encoded(list(map(encode_logregel, self._maker.make(facts))))
        self.issued.add(span_id.hex())


@pytest.mark.slow
@pytest.mark.timeout(7_200)
def test_nothing_that_was_taken_is_dropped_later(
    process: LogboekProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each record read back has the bytes committed; what no table holds is quarantined, and nothing else."""
    monkeypatch.setattr(os, "fdatasync", lambda _: None)  # the disk is not what is tested here
    caplog.set_level(logging.CRITICAL)  # each thing that is normalised or quarantined is logged
    store = settings_at(process.port)
    apply_schema(store)
    delivery = Keeping(ClickHouseSink(store), tmp_path / "spools")
    delivery.committed = []
    processor = log_through(delivery)
    service = Service(delivery)
    poison: set[bytes] = set()
    refused: list[Logregel] = []

    def impossible(logregel: Logregel) -> None:
        try:
            delivery.submit(logregel)
        except (UnicodeEncodeError, OverflowError):
            refused.append(logregel)
        else:
            poison.add(encode_logregel(logregel))

    def garbage(payload: bytes) -> None:
        poison.add(payload)
        delivery.submit_encoded([payload])

    # One record out of thirty is one that no part of this package makes.
    usual = [
        st.builds(service.processing, anything, _attributes, anything, anything),
        st.builds(service.span, _texts, _attributes, _times, _times),
        st.builds(service.facts, anything, _attributes, _times, _times),
    ]
    never = st.one_of(st.builds(impossible, _impossible), st.builds(garbage, st.binary(min_size=1, max_size=50)))
    ways = st.sampled_from([*usual * 10, never]).flatmap(lambda way: way)

    @seed(SEED)
    @settings(
        max_examples=size(250, 100_000),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(ways)
    def log(done: None) -> None:
        del done

    log()
    delivery.flush(3_000)  # or what is quarantined would be found among hundreds of MB, each half sent anew
    for monster in MONSTERS.values():
        service.facts("monster", monster(), 0, 1)
        service.processing("monster", monster(), "123456782", "BSN")
        # Whatever its neighbours are.
        service.facts("neighbour", {PROCESSING_ACTIVITY_ID: ACTIVITY}, 0, 1)
        impossible(record(0, "\ud800"))
    delivery.flush(3_000)
    processor.flush_seconds = 60
    processor.shutdown()
    assert delivery.pending == 0
    assert processor.flags["failed"] == 0
    with LogboekClient(store) as client:
        found = Counter(
            encode_logregel(logregel_of_row(row).logregel)
            for row in client.rows(Sql.verbatim(f"SELECT {SELECTED} FROM logregel"), bytes_columns=BYTES_COLUMNS)
        )
        names = {str(name) for (name,) in client.rows(Sql("SELECT lower(hex(span_id)) FROM logregel"))}
    apart = Counter(each.payload for each in Quarantine(tmp_path / "spools" / QUARANTINE_NAME).records())
    print(
        f"{len(delivery.committed)} committed: {found.total()} stored, {apart.total()} quarantined; "
        f"{len(refused)} refused at the call"
    )
    committed = Counter(delivery.committed)
    assert found + apart == committed
    assert apart.keys() <= poison
    assert service.issued <= names
