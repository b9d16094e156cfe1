"""zstd of the standard library, or before Python 3.14 its backport, which comes with the driver of ClickHouse."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any


def zstd_module() -> Any:
    """Return the module; both have the same names.

    Raises:
        ImportError: The backport is not installed.
    """
    return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
