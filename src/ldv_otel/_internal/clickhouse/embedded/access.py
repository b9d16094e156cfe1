"""What the engine of `ldv logboek` lets anybody do: ClickHouse's own grants, profile and constraints, in a `users.xml`.

The engine decides by its own parser and its own checks, so no spelling of a statement gets around it. chDB opens a
directory as one user, `default`, with these rights; a setting that is not listed as harmless cannot be changed by a
URL, a SETTINGS clause or a SET. What the engine has no right for is in `permission.py`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

from ldv_otel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_DIRECTORY: Final = "ldv_access"

#: Reading, inserting, and what the schema does (`ldv schema apply`, `ldv retention apply`): nothing that reaches a
#: file, another machine or another program (READ and WRITE ON FILE, URL, REMOTE, S3, ...), no dictionary, function,
#: user or backup, and nothing that ends a query or the process.
_GRANTS: Final = (
    "GRANT SHOW, SELECT, INSERT ON *.*",
    "GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP VIEW ON *.*",
    "GRANT ALTER DELETE, ALTER COLUMN, ALTER INDEX, ALTER CONSTRAINT, ALTER SETTINGS, ALTER VIEW MODIFY QUERY ON *.*",
    "GRANT TABLE ENGINE ON MergeTree",
)

MAX_EXECUTION_SECONDS: Final = 3_600
#: Values that hold for every statement. Expressions in the data of an INSERT ... VALUES are calculated outside the
#: engine's rights, and would read any file (`file('/etc/passwd')`).
_PROFILE: Final = {
    "max_execution_time": "600",
    "max_query_size": str(64 << 20),
    "allow_python_table_function": "0",
    "input_format_values_interpret_expressions": "0",
    "input_format_values_deduce_templates_of_expressions": "0",
}

#: Settings that only steer how the engine calculates, reads and writes text. Texts are not among them but for these
#: few: many name a file or an address (`format_template_row`, `input_format_record_errors_file_path`).
_TEXT_SETTINGS: Final = frozenset(
    (
        *("insert_deduplication_token", "log_comment", "count_distinct_implementation", "format_csv_delimiter"),
        *("format_csv_null_representation", "format_tsv_null_representation", "bool_true_representation"),
        *("bool_false_representation", "ignore_data_skipping_indices", "force_data_skipping_indices", "compatibility"),
        *("database", "default_format", "format", "output_format"),
    )
)
_HARMLESS: Final = re.compile(
    r"(?:max_|min_|optimize_|query_plan_|input_format_|output_format_|format_csv_|date_time_|join_|group_by_|distinct_"
    r"|result_overflow_|read_overflow_|read_in_order_|timeout_|sort_overflow_|insert_|async_insert|wait_for_async_insert"
    r"|deduplicate_|deduplicate_blocks|merge_tree_|cast_|aggregate_functions_|lightweight_|mutations_|alter_sync|priority"
    r"|readonly|extremes|final|force_|join_use_nulls|any_join_|session_timezone|select_sequential|use_skip_indexes"
    r"|use_uncompressed_cache|use_query_cache|use_client_time_zone|use_variant_as_common_type|low_cardinality_|enable_analyzer"
    r"|enable_lightweight|enable_optimize|parallel_view_processing|materialized_views_|distributed_product_mode"
    r"|distributed_foreground_insert|type_json_|describe_|short_circuit_|transform_null_in|totals_|limit|offset|prefer_)"
    r"\w*"
)
_TABLE_SETTINGS: Final = ("disk", "table_disk", "storage_policy")
_PLACES: Final = re.compile(r"path|file|url|dir|host|credential|interpret_expr|deduce_templates|python")


def open_restricted(open_engine: Any, path: Path) -> tuple[Any, list[str]]:
    """Open the engine with these rights; return the handle that keeps it open, and the settings that stay as they are.

    Args:
        open_engine: chDB's `connect`.
        path: Directory of the engine, which is there. The configuration lies in it, where nobody else can replace it:
            the engine may read it again at any time.

    Raises:
        ConfigurationError: The engine does not keep to them; it was closed again.
        RuntimeError: It does not open.
    """
    directory = path / _DIRECTORY
    directory.mkdir(mode=0o700, exist_ok=True)
    config = directory / "config.xml"
    config.write_text(f"<clickhouse><users_config>{escape(str(directory / 'users.xml'))}</users_config></clickhouse>\n")
    target = f"{path}?config-file={config}"
    # The settings are those of this engine: one that a later version adds cannot be changed until it is listed here.
    (directory / "users.xml").write_text(_users_xml([]))
    engine = open_engine(target)
    try:
        fixed = [
            name for name, kind in _lines(engine, "SELECT name, type FROM system.settings") if not _free(name, kind)
        ]
    finally:
        engine.close()
    (directory / "users.xml").write_text(_users_xml(fixed))
    engine = open_engine(target)
    if not _is_restricted(engine, fixed):
        engine.close()
        raise ConfigurationError(
            f"The embedded engine does not take over the rights under which `ldv logboek` shares {path}. Nothing was "
            "started. This process may have opened the directory already, or chDB is of a version that this ldv_otel "
            "does not know."
        )
    return engine, fixed


def _free(name: str, kind: str) -> bool:
    """Return whether a client may change a setting."""
    if name in _TEXT_SETTINGS:
        return True
    return kind not in {"String", "Map", "URI"} and bool(_HARMLESS.fullmatch(name)) and not _PLACES.search(name)


def _is_restricted(engine: Any, fixed: list[str]) -> bool:
    changeable = {name for (name,) in _lines(engine, "SELECT name FROM system.settings WHERE NOT readonly")}
    rights = [engine.query(f"CHECK GRANT {right}", "TabSeparated").bytes() for right in ("READ ON FILE", "ALL ON *.*")]
    return not changeable & set(fixed) and rights == [b"0\n", b"0\n"]


def _lines(engine: Any, sql: str) -> list[list[str]]:
    return [line.split("\t") for line in engine.query(sql, "TabSeparated").bytes().decode().splitlines()]


def _users_xml(fixed: Iterable[str]) -> str:
    # `merge_tree_` before its name makes a constraint one of tables: a disk of its own would be a way out of the
    # directory (`SETTINGS disk = disk(type = object_storage, path = ...)`).
    constraints = [*fixed, *(f"merge_tree_{name}" for name in _TABLE_SETTINGS)]
    return "\n".join(
        (
            "<clickhouse><profiles><default>",
            *(f"<{name}>{value}</{name}>" for name, value in _PROFILE.items()),
            "<constraints>",
            f"<max_execution_time><min>0.001</min><max>{MAX_EXECUTION_SECONDS}</max></max_execution_time>",
            *(f"<{name}><const/></{name}>" for name in constraints),
            "</constraints></default></profiles>",
            "<users><default><password></password><networks><ip>::/0</ip></networks>",
            "<profile>default</profile><quota>default</quota><grants>",
            *(f"<query>{query}</query>" for query in _GRANTS),
            "</grants></default></users><quotas><default></default></quotas></clickhouse>\n",
        )
    )
