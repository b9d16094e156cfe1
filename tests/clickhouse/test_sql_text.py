from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import ldv_otel
from ldv_otel._internal import clickhouse
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.export import _page_query
from ldv_otel._internal.clickhouse.queries.lookups import Lookup
from ldv_otel._internal.clickhouse.queries.oversight import OversightKind, latest_query
from ldv_otel._internal.clickhouse.queries.sql import CONDITIONS, search_query
from ldv_otel._internal.clickhouse.retention.apply import _ENDED_BEFORE
from ldv_otel._internal.clickhouse.retention.sql import deletion
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sql_text import Sql, all_of, identifier, listed, literal, number
from ldv_otel._internal.clickhouse.tables import Table, View
from tests.clickhouse.conftest import empty_store
from tests.support.chance import examples

SOURCE = Path(ldv_otel.__file__).parent
TESTS = Path(__file__).parents[1]
#: Modules that may take a text as it is: the one that quotes and checks, those that read our *.sql files, and the one
#: for a prompt, whose texts are a person's own and only read.
VERBATIM = {"sql_text.py", "migrations.py", "roles.py", "prompt.py"}


#: Texts that a careless quotation would let out, and some more.
TEXTS = [
    "",
    "'",
    "''",
    "\\",
    "\\'",
    "' OR 1 = 1 --",
    "'; DROP TABLE logregel; --",
    "\\' OR 1 = 1 --",
    "{a:String}",
    "$a $$",
    "%s",
]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00")), max_size=20))
@example(TEXTS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(30))
def test_a_literal_is_its_text(client: LogboekClient, texts: list[str]) -> None:
    """Whatever is in it: the engine reads back what was quoted, and nothing after it."""
    query = Sql("SELECT [$texts]::Array(String)", texts=listed(map(literal, texts)))
    assert client.rows(query) == [(texts,)]


@given(st.text())
@example("logregel; DROP TABLE logregel")
@example("logregel\n")
def test_an_identifier_is_a_name_or_an_error(name: str) -> None:
    """What is neither letter, digit nor `_` could end the name."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII):
        assert identifier(name).text == name
    else:
        with pytest.raises(ValueError, match="is not the name"):
            identifier(name)


def test_parts_go_where_the_template_has_them() -> None:
    """Each by its name; braces stay ClickHouse's."""
    where = all_of([Sql("a = {a:String}"), Sql("b = $b OR c", b=number(-3))])
    sql = Sql("SELECT $columns FROM t WHERE $where", columns=listed(map(identifier, ("a", "b"))), where=where)
    assert str(sql) == "SELECT a, b FROM t WHERE (a = {a:String}) AND (b = -3 OR c)"


@pytest.mark.parametrize("parts", [{}, {"a": Sql("x"), "b": Sql("y")}, {"b": Sql("y")}])
def test_parts_that_do_not_match_are_an_error(parts: dict[str, Sql]) -> None:
    """Found when the module is imported, and not when somebody asks."""
    with pytest.raises(ValueError, match="not those of the template"):
        Sql("SELECT $a", **parts)


def calls_in(directory: Path) -> Iterator[tuple[Path, ast.Call]]:
    """Every call in the modules of a directory."""
    for path in directory.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield path, node


def test_every_statement_begins_as_a_literal() -> None:
    """No f-string, no `+`, no variable: so no value that somebody gave can be in a template."""
    calls = [*calls_in(SOURCE), *calls_in(TESTS)]
    templates = [(path, call) for path, call in calls if ast.unparse(call.func) == "Sql"]
    assert len(templates) > 150
    for path, call in templates:
        assert isinstance(call.args[0], ast.Constant), f"{path}:{call.lineno}"


def test_only_our_own_files_are_taken_verbatim() -> None:
    """Everything else is a template, or quoted, or checked."""
    used = {path.name for path, call in calls_in(SOURCE) if ast.unparse(call.func).endswith("Sql.verbatim")}
    assert used == VERBATIM


def statements() -> Iterator[tuple[str, Sql]]:
    """Every statement of the package that is not in a file, by the name of its module."""
    for info in pkgutil.walk_packages(clickhouse.__path__, clickhouse.__name__ + "."):
        if "embedded" not in info.name:
            values = vars(importlib.import_module(info.name)).items()
            yield from ((f"{info.name}.{name}", value) for name, value in values if isinstance(value, Sql))
            for name, lookup in values:
                if isinstance(lookup, Lookup):
                    yield from (
                        (f"{info.name}.{name}.{step}", text) for step, text in msgspec.structs.asdict(lookup).items()
                    )
    yield from (("latest_query", latest_query(kind, of_activity=True)) for kind in OversightKind)
    yield "search_query", search_query(CONDITIONS, restricted=False)
    yield "search_query, restricted", search_query(CONDITIONS, restricted=True)
    yield "export", _page_query(as_text=True)
    yield "deletion", deletion(_ENDED_BEFORE, cluster="")
    yield "deletion on a cluster", deletion(_ENDED_BEFORE, cluster="cluster")


def test_statements_name_no_other_tables_and_views() -> None:
    """Those of the lists, the engine's own, and what a statement names itself."""
    names = {*Table, *View, "way", "listed", "of_version"}
    for where, statement in statements():
        found = re.findall(r"\b(?:FROM|JOIN|INTO|TABLE) (?!system\.)([a-z]\w*)", statement.text)
        assert set(found) <= names, where


def test_the_lists_are_what_the_schema_makes(request: pytest.FixtureRequest) -> None:
    """Every table and view has a name here, and no name is without one. The local table is there on clusters."""
    with empty_store("chdb", request) as store:
        apply_schema(store, collector=True)
        with LogboekClient(store) as client:
            made = client.rows(
                Sql("SELECT name, engine LIKE '%View' FROM system.tables WHERE database = currentDatabase()")
            )
    assert {name for name, is_view in made if is_view} == set(View)
    assert {name for name, is_view in made if not is_view} == set(Table) - {Table.LOGREGEL_LOCAL}
