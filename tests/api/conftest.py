"""A Logboek over HTTP with some records of two persons, and the application in front of it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from ldv_otel._internal.api.app import create_app
from ldv_otel._internal.api.auth.clients import Client, Scope
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import ServeSettings, Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.privacy.key_file import read_keys
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel.attributes import FSC_TRANSACTION_ID
from tests.support.key_ring import write_ring
from tests.support.logboek import LogboekProcess

BSN = "123456782"
OTHER_BSN = "111222333"
PARKING = "https://register.example/activiteiten/parkeren"
DEBTS = "https://register.example/activiteiten/schulden"
PARTY = "https://rdw.example/lezenapi/v1"
START = 1_767_225_600_000
TRACES = [bytes([number]) * 16 for number in range(1, 6)]
FSC_ID = str(uuid.UUID(f"{START:012x}7abc8def0123456789ab"))
NOBODY = b"\x99" * 16
FOREIGN = b"\xfa" * 16


@pytest.fixture(scope="session")
def served_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Where the Logboek of these tests is; filled once."""
    directory = tmp_path_factory.mktemp("api")
    keys = directory / "keys.json"
    write_ring(keys, "old", "new")
    with LogboekProcess(directory / "logboek") as process:
        address = LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=process.port, database="ldv")
        settings = Settings(
            logboek=address, keys=keys, organisation="Gemeente Voorbeeld", logboek_id="voorbeeld", serve=ServeSettings()
        )
        apply_schema(settings)
        sink = ClickHouseSink(settings)
        sink.open()
        sink.send(number_batch(new_writer_id(), 0, logregels(keys)))
        sink.close()
        yield settings


def logregels(keys: Path) -> list[Logregel]:
    """Five traces of five Acties: two persons, two activities, two keys, a calling and a called party."""
    ring = read_keys(keys)
    found = []
    for number in range(25):
        bsn = BSN if number % 2 else OTHER_BSN
        key_id = "old" if number < 10 else "new"
        found.append(
            Logregel(
                trace_id=TRACES[number // 5],
                span_id=(number + 1).to_bytes(8, "big"),
                parent_span_id=number.to_bytes(8, "big") if number % 5 else b"",
                status=Status(number % 3),
                name=f"Stap {number}",
                start_time_ms=START + number * 60_000,
                end_time_ms=START + number * 60_000 + 1_500,
                processing_activity_id=DEBTS if number % 5 == 4 else PARKING,
                data_subject_id=ring.pseudonym("BSN", bsn, key_id=key_id),
                data_subject_id_type="BSN",
                key_id=key_id,
                data_subject_sealed="siv1.secret",
                foreign_operation_trace_id=FOREIGN if number == 7 else b"",
                foreign_operation_span_id=b"\xfb" * 8 if number == 7 else b"",
                foreign_operation_processor="https://elders.example/app" if number == 7 else "",
                external_read_api_id=PARTY if number == 3 else "",
                outbound_span_ids=(b"\xee" * 8,) if number == 3 else (),
                attributes={"dpl.objects.dataset": "kentekens", "exception.message": f"for {bsn}"}
                | ({FSC_TRANSACTION_ID: FSC_ID} if number == 7 else {}),
                resource='{"ldv.left_out":"os.type","service.name":"parkeren"}',
            )
        )
    # One about nobody, which no question about somebody may find.
    nobody = Logregel(trace_id=NOBODY, span_id=b"\x01" * 8, name="Stap 99", start_time_ms=START, end_time_ms=START)
    return [*found, nobody]


@pytest.fixture(scope="session")
def pseudonymiser(served_settings: Settings) -> Pseudonymiser:
    """The Logboek's own."""
    assert served_settings.keys
    return Pseudonymiser(read_keys(served_settings.keys))


class Named:
    """Takes the header `X-Client` at its word: tests of anything but authentication."""

    def __init__(self, **clients: Client) -> None:
        self.clients = clients

    async def client(self, request: object) -> Client:
        """Return the client that the header names; without a header, the first."""
        name = request.headers.get("x-client", next(iter(self.clients)))  # type: ignore[attr-defined]
        if name not in self.clients:
            raise Problem(401, "unknown")  # type: ignore[arg-type]
        return self.clients[name]


AUDITOR = Client(id="auditor", scopes=frozenset(Scope), requests_per_minute=1_000_000)
PARTNER = Client(id="partner", scopes=frozenset({Scope.READ}), activities=(PARKING,), requests_per_minute=1_000_000)
ORDINARY = Client(id="ordinary", scopes=frozenset({Scope.READ, Scope.IDENTIFY}), requests_per_minute=1_000_000)
STRANGER = Client(id="stranger", scopes=frozenset(), requests_per_minute=1_000_000)

Opened = Callable[..., AbstractContextManager[TestClient]]


@pytest.fixture(scope="session")
def opened() -> Opened:
    """Open an application on settings, and close it afterwards."""

    @contextmanager
    def open_(settings: Settings, **clients: Client) -> Iterator[TestClient]:
        named = Named(
            **(clients or {"auditor": AUDITOR, "ordinary": ORDINARY, "partner": PARTNER, "stranger": STRANGER})
        )
        with TestClient(create_app(settings, named)) as client:
            yield client

    return open_


@pytest.fixture(scope="session")
def api(served_settings: Settings, opened: Opened) -> Iterator[TestClient]:
    """The application, in this process."""
    with opened(served_settings) as client:
        yield client
