"""Providers over an embedded Logboek and over one behind HTTP, each once for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.config.address import LogboekAddress
from tests.gemma.provider import Provider, provided
from tests.support.faults import FaultFront
from tests.support.logboek import LogboekProcess, settings_at


@pytest.fixture(scope="session")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultFront]:
    """A Logboek behind HTTP, that fails when a test says so."""
    with LogboekProcess(tmp_path_factory.mktemp("gemma") / "logboek") as process, FaultFront(process.port) as found:
        apply_schema(settings_at(found.port))
        yield found


def address_of(front: FaultFront) -> LogboekAddress:
    """Return where it is."""
    return LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=front.port, database="ldv")


@pytest.fixture(scope="session")
def over_http(front: FaultFront, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """A provider over it."""
    with provided(tmp_path_factory.mktemp("provider"), str(address_of(front))) as found:
        yield found


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """A provider with the engine in its own process."""
    directory: Path = tmp_path_factory.mktemp("embedded")
    apply = LogboekAddress(scheme="chdb", path=str(directory / "logboek"))
    with provided(directory, str(apply)) as found:
        yield found


@pytest.fixture(params=["over_http", "embedded"])
def provider(request: pytest.FixtureRequest) -> Provider:
    """Each of them."""
    found: Provider = request.getfixturevalue(request.param)
    return found
