"""Whether the engine of `ldv logboek` answers, and has the tables of this version."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from ldv_otel._internal.clickhouse.embedded.body import RequestBody
from ldv_otel._internal.clickhouse.embedded.engine import EngineQuery
from ldv_otel._internal.clickhouse.embedded.errors import EngineError
from ldv_otel._internal.clickhouse.schema.migrations import migrations
from ldv_otel._internal.http.readiness import ANSWER_SECONDS

if TYPE_CHECKING:
    from ldv_otel._internal.clickhouse.embedded.engine import Engine


class EngineCheck:
    """Asks the engine a question that only it can answer now.

    Args:
        engine: Stays the caller's.
        database: Where the tables are; empty where it does not matter whether there are any.
    """

    def __init__(self, engine: Engine, database: str) -> None:
        self._engine = engine
        self._database = database

    def __call__(self) -> str:
        """Return why it is not ready; empty text if it is."""
        proof = secrets.randbits(63)
        source = " FROM ldv_schema" if self._database else ""
        query = EngineQuery(
            sql=f"SELECT {'max(version)' if source else '0'}, {{proof:UInt64}}{source}".encode(),
            body=RequestBody(),
            database=self._database,
            settings={"max_execution_time": str(ANSWER_SECONDS)},
            parameters={"proof": str(proof)},
            read_only=True,
            at_once=True,
        )
        try:
            version, answered = self._engine.answer(query).content.split()
        except EngineError as error:
            return error.text
        if int(answered) != proof:
            return "the engine answered another question"
        latest = migrations()[-1].version
        if source and int(version) != latest:
            return f"the tables are of version {int(version)}, and this ldv_otel needs {latest}"
        return ""
