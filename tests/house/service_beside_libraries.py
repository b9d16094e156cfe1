"""A service that has settings of its own in all libraries that we use, and looks for what becomes of them.

Prints, as JSON, the paths of what differs after `install()`, an Actie and a flush.
"""

from __future__ import annotations

import importlib
import json
import logging
import pkgutil
import sys
import warnings
from contextlib import suppress
from typing import Any

import clickhouse_connect
import httpx
import opentelemetry.exporter.otlp.proto.http
import urllib3
from clickhouse_connect import common
from opentelemetry.sdk.trace import TracerProvider

import ldv_otel
from tests.support.library_state import LibraryState, changes


class WatchedFilters(list[Any]):
    """The filters of a library's logger, which tell when somebody changes them, if only for a while."""

    def append(self, _: object) -> None:
        """Refuse."""
        raise AssertionError("a filter was added to the logger of a library")

    def remove(self, _: object) -> None:
        """Refuse."""
        raise AssertionError("a filter was taken from the logger of a library")


def load_libraries() -> None:
    """Import what is imported late, so that it has a before."""
    for package in (clickhouse_connect, httpx, opentelemetry.exporter.otlp.proto.http, urllib3):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not any(part in module.name for part in ("contrib", "cc_sqlalchemy", "http2", "._cli", "_main")):
                with suppress(ImportError):  # of what needs a package that is not here
                    importlib.import_module(module.name)
    for name in ("chdb.state", "lz4.frame", "yaml", "cryptography.hazmat.primitives.hmac", "platformdirs", "requests"):
        importlib.import_module(name)
    # The SDK silences a warning of its own the first time a tracer is made.
    TracerProvider(shutdown_on_exit=False).get_tracer("service")


def main() -> None:
    """Look before and after."""
    warnings.filterwarnings("error", message="ours")
    load_libraries()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    common.set_setting("product_name", "service")
    for name in ("httpx", "httpcore", "urllib3", "clickhouse_connect", "opentelemetry", "requests"):
        logging.getLogger(name).setLevel(logging.INFO)
    for name in list(logging.root.manager.loggerDict):
        if not name.startswith("ldv_otel"):
            logging.getLogger(name).filters = WatchedFilters()

    state = LibraryState()
    before = state.picture()
    ldv_otel.install()
    with ldv_otel.processing("https://register.example/a"):
        ldv_otel.data_subject("123456782", type="BSN")
    if not ldv_otel.force_flush(60):
        raise SystemExit("nothing was delivered")
    after = state.picture()

    print(json.dumps({path: [before.get(path, ""), after.get(path, "")] for path in changes(before, after)}))


if __name__ == "__main__":
    main()
