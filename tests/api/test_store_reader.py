from __future__ import annotations

import asyncio

import pytest

from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.api.store_reader import StoreReader
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.models import PageLimits
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import Settings
from ldv_otel.errors import QueryError
from tests.api.conftest import PARKING, START

#: A minute, if nobody ends it.
SLOW = "SELECT sum(sleepEachRow(0.1)) FROM numbers(600) SETTINGS max_block_size = 1"


def one(client: LogboekClient) -> int:
    """The shortest query."""
    return int(client.rows(Sql("SELECT 1"))[0][0])


def slow(client: LogboekClient) -> None:
    """The longest."""
    client.rows(Sql.verbatim(SLOW))


def test_a_question_that_takes_too_long_is_ended_in_the_engine_too(served_settings: Settings) -> None:
    """With one thread: it could not answer the next question if the engine went on."""

    async def questions() -> int:
        reader = StoreReader(served_settings, seconds=3, threads=1)
        reader.open()
        try:
            with pytest.raises(Problem) as caught:
                await reader.ask(slow)
            assert caught.value.status == 503
            return await reader.ask(one)
        finally:
            reader.close()

    assert asyncio.run(questions()) == 1


def test_a_wrong_question_costs_no_connection(served_settings: Settings) -> None:
    """And its error is the one that the question raised."""

    async def questions() -> int:
        reader = StoreReader(served_settings, seconds=10, threads=1)
        reader.open()
        try:
            with pytest.raises(QueryError):
                await reader.ask(read.by_trace, "no trace id")
            return await reader.ask(one)
        finally:
            reader.close()

    assert asyncio.run(questions()) == 1


def test_pages_are_read_to_the_last(served_settings: Settings) -> None:
    """Each record once, from the first page that was asked for."""

    async def pages(limits: PageLimits) -> list[int]:
        reader = StoreReader(served_settings, seconds=10, threads=1)
        reader.open()
        try:
            # Of one activity: other tests add records of others to this Logboek.
            asked = reader.pages(read.by_activity, PARKING, limits=limits, confidential=True)
            return [len(page.records) async for page in asked]
        finally:
            reader.close()

    assert asyncio.run(pages(PageLimits(limit=8))) == [8, 8, 4]
    assert asyncio.run(pages(PageLimits(limit=20))) == [20]
    assert asyncio.run(pages(PageLimits(limit=10, since_ms=START + 20 * 60_000))) == [4]
    assert asyncio.run(pages(PageLimits(limit=10, until_ms=START))) == [0]
