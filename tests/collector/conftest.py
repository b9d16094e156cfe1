"""A Collector between clients and `ldv logboek`, with a front that can break what is between the two."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from tests.support import collector
from tests.support.collector import CollectorProcess, HttpRecorder
from tests.support.faults import FaultFront
from tests.support.logboek import SECRET, LogboekProcess


@pytest.fixture(scope="session")
def program() -> Path:
    """The Collector's binary; where it is not built the tests are skipped, but not in CI."""
    found = collector.binary()
    if found is None:
        reason = "the Collector is not built: run `make collector`, which needs Go 1.26"
        if os.environ.get("CI", "") not in ("", "false", "0"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class Line:
    """Everything from a Collector's port to a reader's connection."""

    def __init__(self, process: CollectorProcess, front: FaultFront, settings: Settings, tracing: HttpRecorder) -> None:
        self.collector = process
        self.front = front
        self.settings = settings
        self.tracing = tracing

    def client(self) -> LogboekClient:
        """A reader that does not go through the front."""
        return LogboekClient(self.settings)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogboekProcess]:
    """`ldv logboek` in a process of its own."""
    with LogboekProcess(tmp_path_factory.mktemp("served") / "logboek") as process:
        yield process


@pytest.fixture(scope="module")
def front(served: LogboekProcess) -> Iterator[FaultFront]:
    """A front before the served Logboek."""
    with FaultFront(served.port, kill=served.kill) as found:
        yield found


@pytest.fixture(scope="module")
def tracing() -> Iterator[HttpRecorder]:
    """A tracing backend that keeps what it is sent."""
    with HttpRecorder() as found:
        yield found


NewLine = Callable[..., Line]


@pytest.fixture(scope="module")
def new_line(program: Path, served: LogboekProcess, front: FaultFront, tracing: HttpRecorder) -> NewLine:
    """Starts a Collector on tables of its own: by its configuration, a directory, and what its environment adds."""

    def start(config: str, directory: Path, **environ: str) -> Line:
        database = f"line_{config.partition('.')[0]}_{directory.name.replace('-', '_')}"
        address = LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=served.port, database=database)
        settings = Settings(logboek=address)
        apply_schema(settings, collector=True)
        process = CollectorProcess(
            program,
            [config],
            directory,
            {
                "LDV_CLICKHOUSE_ENDPOINT": f"http://127.0.0.1:{front.port}",
                "LDV_CLICKHOUSE_PASSWORD": SECRET,
                "LDV_CLICKHOUSE_DATABASE": database,
                "LDV_TRACING_ENDPOINT": f"http://127.0.0.1:{tracing.port}",
                **environ,
            },
        )
        return Line(process, front, settings, tracing)

    return start


@pytest.fixture(scope="module")
def confirmed(new_line: NewLine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """The line with confirmed.yaml."""
    found = new_line("confirmed.yaml", tmp_path_factory.mktemp("confirmed"), LDV_CLICKHOUSE_TIMEOUT="3s")
    with found.collector:
        yield found


@pytest.fixture(scope="module")
def buffered(new_line: NewLine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """The line with buffered.yaml."""
    found = new_line("buffered.yaml", tmp_path_factory.mktemp("buffered"))
    with found.collector:
        yield found


@pytest.fixture(autouse=True)
def _no_faults_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "front" in request.fixturenames:
        request.getfixturevalue("front").clear()
