"""The database of an outbox by its address, for commands and senders that have no connection of the application."""

from __future__ import annotations

import re
import sqlite3
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from ldv_otel._internal.delivery.outbox.dialects import POSTGRESQL, SQLITE
from ldv_otel._internal.delivery.outbox.store import OutboxStore
from ldv_otel.errors import ConfigurationError

#: As in SQLAlchemy's addresses too, where the driver stands behind the plus.
_POSTGRESQL: Final = re.compile(r"postgres(ql)?(\+\w+)?://")
_SQLITE: Final = re.compile(r"sqlite(\+\w+)?:///")

_BUSY_SECONDS: Final = 10.0


def sqlite_path(address: str) -> Path | None:
    """Return the file of an address of SQLite; None for other addresses."""
    match = _SQLITE.match(address)
    return Path(address[match.end() :].partition("?")[0]).resolve() if match else None


def store_at(address: str) -> OutboxStore:
    """Return the outbox at an address: `postgresql://...` as libpq knows it, or `sqlite:///PATH`.

    Raises:
        ConfigurationError: It is none of these, its driver is not installed, or the file is not there.
    """
    if match := _POSTGRESQL.match(address):
        conninfo = f"postgresql://{address[match.end() :]}"
        try:
            psycopg = import_module("psycopg")
        except ImportError as error:
            raise ConfigurationError(
                f"An outbox in PostgreSQL needs psycopg ({error}). Install 'ldv-otel[outbox]'."
            ) from error

        def connect_postgresql() -> Any:
            return psycopg.connect(conninfo, autocommit=True, application_name="ldv outbox")

        return OutboxStore(POSTGRESQL, connect_postgresql)
    path = sqlite_path(address)
    if path is not None:
        if not path.is_file():
            raise ConfigurationError(f"There is no SQLite database at {path}. Nothing was done.")

        def connect_sqlite() -> Any:
            # Read and write, and never make a database where the application's was moved away.
            return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS)

        return OutboxStore(SQLITE, connect_sqlite)
    raise ConfigurationError(
        "The address of an outbox's database is to be postgresql://... or sqlite:///PATH. Nothing was done."
    )
