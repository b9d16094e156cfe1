"""A Logboek with a little of everything that the ten questions are about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.register_table import apply_register
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser, new_key
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.register.source import parse_register
from tests.clickhouse import conftest as stores
from tests.clickhouse.conftest import empty_store

logboek_process = stores.logboek_process

ACTIVITIES: Final = "https://register.gemeente.example/activiteiten/"
PERMITS: Final = f"{ACTIVITIES}vergunningen"
NO_GROUND: Final = f"{ACTIVITIES}zonder-grondslag"
SECRET: Final = f"{ACTIVITIES}onderzoek"
UNKNOWN: Final = f"{ACTIVITIES}nergens-beschreven"
REGISTER: Final = f"""
activities:
  - id: {PERMITS}
    name: Vergunningen
    purpose: Parkeren regelen
    legal_ground: Parkeerverordening, art. 3
    retention: P5Y
  - id: {NO_GROUND}
    name: Zonder grondslag
    purpose: Iets
    retention: P1Y
  - id: {SECRET}
    name: Onderzoek
    purpose: Misbruik
    legal_ground: Wet, art. 1
    retention: P7Y
    confidential: true
"""
START: Final = 1_790_000_000_000  # 2026-09-21
DAY_MS: Final = 86_400_000
BSN: Final = "123456782"
OTHER_BSN: Final = "999990019"


def ring(*sealing: bool) -> KeyRing:
    """Keys, of which the last is the active one; each says whether it seals."""
    keys = [new_key(f"key-{number}", sealing=seals) for number, seals in enumerate(sealing)]
    return KeyRing(keys, active=keys[-1].id)


class Store:
    """A Logboek that tests fill and ask."""

    def __init__(self, settings: Settings, sink: ClickHouseSink, client: LogboekClient) -> None:
        self.settings = settings
        self.client = client
        self._sink = sink
        self._span = 0

    def actie(self, bsn: str = "", keys: KeyRing | None = None, *, type: str = "BSN", **more: Any) -> Logregel:
        """A record that is not stored yet."""
        self._span += 1
        subject = Pseudonymiser(keys).subject(bsn, type) if keys is not None else None
        fields: dict[str, Any] = {
            "trace_id": self._span.to_bytes(16, "big"),
            "span_id": self._span.to_bytes(8, "big"),
            "name": "Handeling",
            "start_time_ms": START + self._span,
            "processing_activity_id": PERMITS,
            "resource": '{"service.name":"balie"}',
            **(
                {}
                if subject is None
                else {
                    "data_subject_id": subject.pseudonym,
                    "data_subject_id_type": subject.type,
                    "key_id": subject.key_id,
                    "data_subject_sealed": subject.sealed,
                }
            ),
        } | more
        fields.setdefault("end_time_ms", fields["start_time_ms"] + 5)
        return Logregel(**fields)

    def write(self, *records: Logregel, first_seq: int = 0) -> None:
        """Store records as one writer's."""
        self._sink.send(number_batch(new_writer_id(), first_seq, list(records)))


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A Logboek with a Register, served: a process has one embedded engine, and other tests have theirs."""
    with empty_store("http", request) as place:
        settings = msgspec.structs.replace(place, seal_key=tmp_path / "seal.key")
        apply_schema(settings)
        sink = ClickHouseSink(settings)
        sink.open()
        with LogboekClient(settings) as client:
            apply_register(client, parse_register(REGISTER, source="register"))
            yield Store(settings, sink, client)
        sink.close()


FAILED_ACTIE: Final[dict[str, Any]] = {"status": Status.ERROR, "attributes": {"exception.type": "TimeoutError"}}
