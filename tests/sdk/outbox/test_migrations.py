"""The tables of an outbox, made by the migrations of Alembic and Django that the example has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect, text

import ldv_otel as ldv
from tests.support.postgresql import PostgresqlServer

MIGRATIONS: Final = Path(__file__).parents[3] / "examples" / "outbox" / "migrations"
TABLES: Final = {"ldv_outbox", "ldv_outbox_batch", "ldv_outbox_refused", "ldv_outbox_format"}
_ENV: Final = """
from alembic import context
from sqlalchemy import create_engine, pool
with create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
_PROJECT: Final = """
import os, sys
from urllib.parse import urlsplit
from django.conf import settings
from django.core.management import execute_from_command_line
url = sys.argv.pop(1)
parts = urlsplit(url)
if parts.scheme == "sqlite":
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": parts.path[1:]}
else:
    database = {"ENGINE": "django.db.backends.postgresql", "NAME": parts.path[1:], "USER": "ldv",
                "HOST": os.environ["PGHOST"]}
settings.configure(SECRET_KEY="none", DATABASES={"default": database}, INSTALLED_APPS=["zaken"],
                   DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
execute_from_command_line(["manage.py", *sys.argv[1:]])
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a fresh database, as SQLAlchemy has it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/application.db"
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    monkeypatch.setenv("PGHOST", server.host)
    return f"postgresql+psycopg://ldv@/{server.new_database()}?host={server.host}"


@pytest.fixture(params=["alembic", "django"])
def migrate(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Callable[[bool], None]:
    """Migrates the database forwards or back, as an application of either kind does."""
    if request.param == "alembic":
        versions = tmp_path / "alembic" / "versions"
        versions.mkdir(parents=True)
        shutil.copy(MIGRATIONS / "alembic" / "0001_ldv_outbox.py", versions)
        (tmp_path / "alembic" / "env.py").write_text(_ENV)
        config = Config()
        config.set_main_option("script_location", str(tmp_path / "alembic"))
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        return lambda forwards: command.upgrade(config, "head") if forwards else command.downgrade(config, "base")
    app = tmp_path / "zaken"
    (app / "migrations").mkdir(parents=True)
    for package in (app, app / "migrations"):
        (package / "__init__.py").touch()
    shutil.copy(MIGRATIONS / "django" / "0001_ldv_outbox.py", app / "migrations")

    def run(forwards: bool) -> None:
        target = [] if forwards else ["zero"]
        subprocess.run(
            [sys.executable, "-c", _PROJECT, url, "migrate", "zaken", *target],
            check=True,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            timeout=300,
        )

    return run


def tables(url: str) -> set[str]:
    """Return the outbox's tables in a database."""
    engine = create_engine(url)
    try:
        return set(inspect(engine).get_table_names()) & TABLES
    finally:
        engine.dispose()


def test_a_migration_makes_the_tables_and_takes_them_away(url: str, migrate: Callable[[bool], None]) -> None:
    """The same as `ldv outbox apply` makes: an outbox opens on them."""
    migrate(True)
    assert tables(url) == TABLES
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in ldv.outbox.statements(engine.dialect.name):
            connection.exec_driver_sql(statement)  # nothing is left to make
        assert connection.execute(text("SELECT format FROM ldv_outbox_format")).scalars().all() == [1]
    engine.dispose()
    migrate(False)
    assert tables(url) == set()


def test_a_migration_is_not_undone_while_records_wait(url: str, migrate: Callable[[bool], None]) -> None:
    """They are in no Logboek yet."""
    migrate(True)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO ldv_outbox (format, records, payload) VALUES (1, 1, :it)"), {"it": b"x"})
    engine.dispose()
    with pytest.raises((RuntimeError, subprocess.CalledProcessError)):
        migrate(False)
    assert tables(url) == TABLES
