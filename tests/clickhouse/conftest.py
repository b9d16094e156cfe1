"""Stores for tests: the engine in this process, and the same over HTTP with the real driver."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from tests.support.logboek import LogboekProcess


@pytest.fixture(scope="session")
def chdb_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The engine can open one directory in a process, so all tests of this process share it; it stays running."""
    path = tmp_path_factory.mktemp("chdb") / "logboek"
    with LogboekClient(Settings(logboek=LogboekAddress(scheme="chdb", path=str(path))), database="default"):
        yield path


@pytest.fixture(scope="session")
def logboek_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogboekProcess]:
    """`ldv logboek` in a process of its own."""
    with LogboekProcess(tmp_path_factory.mktemp("served") / "logboek") as process:
        yield process


@contextmanager
def empty_store(kind: str, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """A Logboek without tables, in a database of its own: `chdb` in this process, or `http` to one that is served."""
    database = f"test_{next(_numbers)}"
    if kind == "chdb":
        path = request.getfixturevalue("chdb_directory")
        address = LogboekAddress(scheme="chdb", path=str(path), database=database)
    else:
        process: LogboekProcess = request.getfixturevalue("logboek_process")
        address = LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=process.port, database=database)
    found = Settings(logboek=address)
    yield found
    if kind == "chdb":  # over HTTP nothing can be dropped
        with LogboekClient(found, database="default") as client:
            client.command(Sql.verbatim(f"DROP DATABASE IF EXISTS {database}"))


@contextmanager
def sealed_store(kind: str, request: pytest.FixtureRequest, key: Path) -> Iterator[Settings]:
    """The same with tables, and with a key that seals what is stored."""
    with empty_store(kind, request) as unsealed:
        apply_schema(unsealed)
        yield msgspec.structs.replace(unsealed, seal_key=key)


_numbers = itertools.count()


@pytest.fixture(params=["chdb", "http"])
def settings(request: pytest.FixtureRequest) -> Iterator[Settings]:
    """A Logboek without tables, embedded and over HTTP."""
    with empty_store(request.param, request) as found:
        yield found


@pytest.fixture
def sink(settings: Settings) -> Iterator[ClickHouseSink]:
    """An open sink on tables of the newest version."""
    apply_schema(settings)
    found = ClickHouseSink(settings)
    found.open()
    yield found
    found.close()


@pytest.fixture
def client(settings: Settings, sink: ClickHouseSink) -> Iterator[LogboekClient]:
    """A reader beside the sink."""
    del sink
    with LogboekClient(settings) as found:
        yield found
