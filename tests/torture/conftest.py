"""Every torture test says how to repeat it."""

from __future__ import annotations

import pytest

from tests.torture.rig import SEED


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Shown by pytest when the test fails, and with `-s`."""
    print(f"\nrepeat with LDV_TORTURE_SEED={SEED}")
