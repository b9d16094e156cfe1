"""A service with an outbox, in SQLite and in a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine

from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel._internal.delivery.outbox.sender import OutboxSender
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser, new_key
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.sdk import _private
from ldv_otel._internal.sdk.attach import attach, detach
from ldv_otel._internal.sdk.outbox.contract import Outbox
from ldv_otel._internal.sdk.outbox.installed import InstalledOutboxes
from ldv_otel._internal.sdk.processor import LdvSpanProcessor
from ldv_otel.testing import InMemoryLogboek
from tests.support.postgresql import postgresql

__all__ = ["postgresql"]

Logged = list[tuple[str, str]]


class Service:
    """A service with these outboxes, whose senders run when a test asks, and a spool beside them."""

    def __init__(self, base: Path, *outboxes: Outbox) -> None:
        key = new_key("test")
        self._spooled = InMemoryLogboek()
        self._pseudonymiser = Pseudonymiser(KeyRing([key], active=key.id))
        self.outboxes = outboxes
        self.delivery = DurableDelivery(self._spooled, base / "spool")
        self.processor = LdvSpanProcessor(LogregelMaker(self._pseudonymiser.subject), self.delivery)
        self.installed = InstalledOutboxes(outboxes, self.delivery, self.processor.records_so_far, self._sink_of_nobody)
        for outbox in outboxes:
            store = outbox.store()
            store.apply()
            store.close()
        self.installed.open()
        self.processor.outboxes = self.installed
        provider = _private.current_provider()
        assert isinstance(provider, TracerProvider)
        self._provider = provider
        attach(provider, self.processor)
        self._sent = InMemoryLogboek()

    def _sink_of_nobody(self) -> InMemoryLogboek:
        raise AssertionError("these outboxes are sent by the test")

    def pseudonym(self, identifier: str) -> bytes:
        """What is on record for a person."""
        return self._pseudonymiser.subject(identifier, "BSN").pseudonym

    def waiting(self) -> int:
        """How many records are in the outboxes."""
        count = 0
        for outbox in self.outboxes:
            store = outbox.store()
            count += store.backlog().waiting
            store.close()
        return count

    def committed(self) -> list[Logregel]:
        """What the outboxes have brought to the Logboek, now that everything there is sent."""
        for outbox in self.outboxes:
            OutboxSender(self._sent, outbox.store()).run_once()
        return self._sent.logregels

    def spooled(self) -> list[Logregel]:
        """What came by the spool."""
        assert self.delivery.flush(30)
        return self._spooled.logregels

    def logged(self) -> tuple[Logged, Logged]:
        """Names and statuses: by the outbox, and by the spool."""
        return _named(self.committed()), _named(self.spooled())

    def close(self) -> None:
        """End it."""
        self.processor.shutdown()
        detach(self._provider, self.processor)


def _named(records: list[Logregel]) -> Logged:
    return sorted((record.name, record.status.label) for record in records)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where SQLAlchemy connects to, a fresh database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'application.db'}"
    server: Any = request.getfixturevalue("postgresql")
    return str(server.url(server.new_database()))


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """The application's own."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kenteken (nummer varchar(20))"))
    yield engine
    engine.dispose()
