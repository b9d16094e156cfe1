"""The pytest plugin: a fixture with a Logboek in memory, and no test that writes into a real one.

It stands outside of the package, so that a run of pytest that never asks for it imports nothing. From the start of
pytest on `ldv_otel.install()` sets up no Logboek in this process, also where a module of the application calls it when
it is imported. Programs that a test starts are left alone. `pytest -p no:ldv_otel` leaves all of it out.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ldv_otel.testing import InMemoryLogboek


def pytest_configure() -> None:
    """Hold `install()` off in this process; `ldv_otel._internal.sdk.takeover` reads it."""
    os.environ["_LDV_OTEL_TEST_PROCESS"] = str(os.getpid())


def log_into_memory() -> None:
    """Log what no test looks at into memory, from the first call of `install()` on; that calls this."""
    from ldv_otel import testing

    testing.log_in_background()


@pytest.fixture
def ldv_logboek_settings() -> dict[str, Any]:
    """Arguments of `ldv_otel.testing.logboek` for `ldv_logboek`; a project overrides it, as `{"rules": Path(...)}`."""
    return {}


@pytest.fixture
def ldv_logboek(ldv_logboek_settings: dict[str, Any]) -> "Iterator[InMemoryLogboek]":
    """Log into memory for the length of a test."""
    from ldv_otel import testing

    with testing.logboek(**ldv_logboek_settings) as logboek:
        yield logboek
