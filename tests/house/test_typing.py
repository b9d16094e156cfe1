"""The public API as a consumer's type checker sees it.

mypy reads this file strictly, where each `type: ignore` marks a slip that it must see: strict mode also reports an
ignore that has nothing to ignore. pytest then runs it in an interpreter of its own, because a process sets its tracer
provider once and other tests have theirs.
"""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, assert_type

import pytest

import ldv_otel as ldv
from ldv_otel import testing

T_co = TypeVar("T_co", covariant=True)

ACTIVITY = "https://register.example/activiteiten/inzien"


@ldv.processing(ACTIVITY)
def find(kenteken: str, *, zone: int = 1) -> list[str]:
    """An ordinary function."""
    return [kenteken] * zone


@ldv.processing(ACTIVITY, name="Zoek", attributes={"dpl.objects.algorithm_id": "zoeken"})
async def find_async(kenteken: str, *, zone: int = 1) -> list[str]:
    """A coroutine."""
    return [kenteken] * zone


@ldv.processing(ACTIVITY)
def each(kenteken: str, *, zone: int = 1) -> Iterator[str]:
    """A generator."""
    for _ in range(zone):
        yield kenteken


@ldv.processing(ACTIVITY)
async def each_async(kenteken: str, *, zone: int = 1) -> AsyncIterator[str]:
    """An asynchronous generator."""
    for _ in range(zone):
        yield kenteken


class Desk:
    """A class with a logged method."""

    @ldv.processing(ACTIVITY)
    def length(self, kenteken: str) -> int:
        """A method."""
        return len(kenteken)


class Signature(Protocol[T_co]):
    """The parameters that all four functions were written with, their names and kinds included."""

    def __call__(self, kenteken: str, *, zone: int = 1) -> T_co: ...  # noqa: D102  (pyright wants no other body)


def decorated() -> None:
    """A decorated function is to its callers what it was."""
    kept: Signature[list[str]] = find
    kept_async: Signature[Coroutine[Any, Any, list[str]]] = find_async
    kept_each: Signature[Iterator[str]] = each
    kept_each_async: Signature[AsyncIterator[str]] = each_async
    del kept, kept_async, kept_each, kept_each_async
    assert_type(find("AB-123-C", zone=2), list[str])
    assert_type(list(each("AB-123-C")), list[str])
    assert_type(Desk().length("AB-123-C"), int)

    async def consume() -> None:
        assert_type(await find_async("AB-123-C", zone=2), list[str])
        assert_type([kenteken async for kenteken in each_async("AB-123-C")], list[str])

    asyncio.run(consume())


def within_a_block() -> None:
    """Both kinds of `with` give an Actie."""
    with ldv.processing(ACTIVITY) as actie:
        assert_type(actie, ldv.Actie)
        assert_type(actie.trace_id, str)
        assert_type(actie.span_id, str)
        ldv.data_subject(123456782, type="BSN")
        ldv.next_logbook("https://rdw.example/ldv/v1")
        actie.data_subject("123456782", type="BSN")
        actie.set_attribute("dpl.objects.algorithm_id", "zoeken")
        actie.ok()

    async def consume() -> None:
        async with ldv.processing(ACTIVITY, name="Inzien") as inner:
            assert_type(inner, ldv.Actie)
            inner.reject()

    asyncio.run(consume())


def an_error_passes() -> str:
    """A `with` block swallows nothing, so mypy wants no `return` after it."""
    with ldv.processing(ACTIVITY):
        return "found"


def what_was_logged() -> None:
    """A record's fields have the types of the standard."""
    with testing.logboek() as logboek:
        assert_type(logboek, testing.InMemoryLogboek)
        decorated()
        within_a_block()
        an_error_passes()
    (record, *others) = logboek.logregels
    assert_type(record, ldv.Logregel)
    assert_type(record.trace_id, bytes)
    assert_type(record.start_time_ms, int)
    assert_type(record.attributes, dict[str, str])
    assert_type(record.status, ldv.Status)
    assert_type(ldv.health(), ldv.Health)
    assert len(others) == 7


if TYPE_CHECKING:
    settings = ldv.read_settings({"LDV_LOGBOEK": "chdb:///var/lib/ldv/logboek"})
    assert_type(settings, ldv.Settings)
    assert_type(ldv.LdvSpanProcessor.from_settings(settings), ldv.LdvSpanProcessor)
    assert_type(ldv.ClickHouseSpanExporter.from_settings(settings), ldv.ClickHouseSpanExporter)
    assert_type(ldv.force_flush(timeout_seconds=5), bool)
    ldv.install()
    ldv.install(settings)

    find(1)  # type: ignore[arg-type]
    find("AB-123-C", 2)  # type: ignore[call-arg]
    find("AB-123-C", zone="2")  # type: ignore[arg-type]
    Desk().length()  # type: ignore[call-arg]
    ldv.processing()  # type: ignore[call-arg]
    ldv.data_subject("123456782", "BSN")  # type: ignore[call-arg]


def test_the_types_hold_when_run() -> None:
    """What mypy is told above is what happens."""
    result = subprocess.run(
        [sys.executable, "-W", "error", __file__], capture_output=True, text=True, check=False, timeout=60
    )
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("function", [find, find_async, each, each_async])
def test_a_decorated_function_shows_its_signature(function: Callable[..., object]) -> None:
    """Frameworks that look at parameters, as FastAPI and pytest do, find those of the function itself."""
    assert [*inspect.signature(function).parameters] == ["kenteken", "zone"]


if __name__ == "__main__":
    what_was_logged()
