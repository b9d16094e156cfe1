"""Settings for all tests."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

from tests.support.chance import FUZZ, SEED, examples

# The machine may be busy: a slow example is no failure.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("fixed", _PATIENT, derandomize=True, database=None)
settings.register_profile("random", _PATIENT, derandomize=False, max_examples=examples(100))
settings.load_profile("random" if FUZZ else "fixed")
if not FUZZ:
    # Hypothesis also draws constants from the source of every module that is imported by then. Which ones are depends
    # on what this process ran before, and hypothesis has no setting for it; `test_chance.py` watches the name.
    vars(providers)["_get_local_constants"] = lambda: vars(providers)["_local_constants"]


def pytest_report_header() -> str:
    """Say what repeats this run."""
    kind = f"LDV_FUZZ={FUZZ} --hypothesis-seed={SEED} " if FUZZ else ""
    return f"chance: {kind}LDV_TEST_SEED={SEED}"


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that all accounts can get to.

    It is not below pytest's own, which each run of pytest that begins meanwhile closes to others again.
    """
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Save what this process measured of the branches, which it would do at its exit.

    pytest-xdist kills a worker that has not exited after ten seconds, and on a busy machine one has not: what half of
    the tests took was missing then. Until this returns it waits.
    """
    if measured := coverage.Coverage.current():
        measured.stop()
        measured.save()


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell lets its background jobs ignore it, and so would every service that a test starts and stops with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
