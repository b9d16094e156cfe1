"""How far a long question is: at a terminal only, and in figures of the engine only."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from collections.abc import Iterator
from typing import Self

import msgspec
import pytest

from ldv_otel._internal.cli import progress
from ldv_otel._internal.cli.progress import question_progress
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.running import RowsRead, rows_read
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import Settings
from ldv_otel.errors import LogboekSetupError
from tests.clickhouse.conftest import empty_store

#: Takes some seconds, and its number of rows is in the text.
SLOW = Sql("SELECT count(), max(cityHash64(number, toString(number), sipHash128(number))) FROM numbers(60000000)")


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[Settings]:
    """An embedded Logboek: it counts for every query of its process."""
    with empty_store("chdb", request) as settings:
        with LogboekClient(settings, database="default") as client:
            client.command(Sql.verbatim(f"CREATE DATABASE {settings.logboek.database}"))
        yield settings


class Screen:
    """A terminal for standard error: a pseudo-terminal, which somebody has to read all the time."""

    def __init__(self) -> None:
        self._ours, self.theirs = os.openpty()
        self._read: list[bytes] = []
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        with contextlib.suppress(OSError):  # the other end was closed
            while content := os.read(self._ours, 65_536):
                self._read.append(content)

    def __enter__(self) -> Self:
        """Write standard error to it."""
        self._stderr, sys.stderr = sys.stderr, os.fdopen(self.theirs, "w")
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        sys.stderr.close()
        sys.stderr = self._stderr
        self._thread.join()
        os.close(self._ours)

    def text(self) -> str:
        """All that was written, without what moves the cursor, once it is closed."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(self._read).decode())


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """A terminal that knows colours."""
    monkeypatch.setenv("TERM", "xterm-256color")
    return Screen()


def test_the_engine_says_how_many_rows_it_has_read(store: Settings) -> None:
    """Of all rows that there are to read; and nothing of a query that does not run any more."""
    with LogboekClient(store) as asking, LogboekClient(store) as watching:
        thread = threading.Thread(target=asking.rows, args=(SLOW,))
        thread.start()
        looks = []
        while thread.is_alive():
            looks.append(rows_read(watching, asking))
        thread.join()
        assert rows_read(watching, asking) is None
    counted = [rows for rows in looks if rows is not None]
    assert counted
    assert {rows.total for rows in counted} == {60_000_000}
    assert [rows.done for rows in counted] == sorted(rows.done for rows in counted)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("nl", r"is bezig, \d+ s .* van 60\.000\.000 regels"),
        ("en", r"working, \d+ s .* of 60,000,000 rows"),
    ],
)
def test_a_terminal_shows_them(store: Settings, screen: Screen, language: str, words: str) -> None:
    """With the time, in one language."""
    settings = msgspec.structs.replace(store, language=language)
    with screen, LogboekClient(settings) as client, question_progress(client, settings, after_seconds=0):
        client.rows(SLOW)
    assert re.search(words, screen.text())


def test_without_figures_only_the_time_is_told(
    store: Settings, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account that may not see what runs gets no bar that somebody made up."""
    refused = threading.Event()

    def refuse(*_: object) -> RowsRead:
        refused.set()
        raise LogboekSetupError("not granted")

    monkeypatch.setattr(progress, "rows_read", refuse)
    with screen, LogboekClient(store) as client, question_progress(client, store, after_seconds=0):
        client.rows(SLOW)
    assert refused.is_set()
    text = screen.text()
    assert re.search(r"(is bezig|working), \d+ s", text)
    assert "60" not in text


def test_elsewhere_nothing_is_written(store: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    """A file, a pipe and a log get the answer alone."""
    with LogboekClient(store) as client, question_progress(client, store, after_seconds=0):
        client.rows(Sql("SELECT sleep(1)"))
    assert capfd.readouterr() == ("", "")


def test_what_is_answered_at_once_shows_nothing(store: Settings, screen: Screen) -> None:
    """A bar that flashes tells nobody anything."""
    with screen, LogboekClient(store) as client, question_progress(client, store, after_seconds=60):
        client.rows(Sql("SELECT 1"))
    assert screen.text() == ""
