"""Nothing lies about unused: what is needed no more is deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from vulture import Vulture  # type: ignore[import-untyped]  # no stubs

ROOT: Final = Path(__file__).parents[2]
#: Names that others use, by where: no code of ours needs to.
BY_OTHERS: Final = {
    "FastAPI, which calls the functions of routes": {
        "stylesheet", "icon", "timeline", "downloads", "json_file", "csv_file", "overview", "sequences",
        "records_about", "not_found", "openapi_json", "foreign_operations", "list_", "processing_activities",
        "json_ld_context", "proven_trace", "proven_file", "verifications", "question_page", "question_file",
    },
    "templates of the pages": {
        "closes", "opens", "part_of", "unexplained", "correction", "letter_closing", "letter_en",
        "letter_closing_en",
    },
    "JSON that is written or read": {
        "file_bytes", "uitvoerder", "gegevensbron", "verwerkingsactiviteit_id_afnemer",
        "verwerkingsactiviteit_url_afnemer",
    },
    "entry points": {"TracesExporter", "ldv_logboek", "pytest_configure"},
    "Python's protocols": {"__getattr__", "__annotations__", "error_type", "memo"},
    "settings of libraries' objects": {"http_retries", "should_exit", "log_errors"},
}  # fmt: skip


def test_all_code_is_used() -> None:
    """By the package, its tests, benchmarks or examples, or by others in a way that is named here."""
    vulture = Vulture()
    vulture.scavenge([ROOT / folder for folder in ("src", "tests", "benchmarks", "examples")])
    unused = {
        (item.filename.relative_to(ROOT).as_posix(), item.name)
        for item in vulture.get_unused_code(min_confidence=60)
        if item.filename.is_relative_to(ROOT / "src")
        # Members stand for the tables and views of the *.sql files, and `test_sql_text.py` compares them with those.
        and item.filename.name != "tables.py"
    }
    allowed = set().union(*BY_OTHERS.values())
    assert not {(file, name) for file, name in unused if name not in allowed}
    assert allowed <= {name for _, name in unused}, "used now, or gone"
