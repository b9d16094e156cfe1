"""The public modules: the list of names that each one promises, and what those names say of where they come from."""

from __future__ import annotations

import ast
import importlib
import inspect
import pickle
import pydoc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, get_type_hints

import msgspec
import pytest

import ldv_otel
from ldv_otel import attributes, errors, plugins, testing

ASKING = {"getattr", "hasattr"}
SRC = Path(ldv_otel.__file__).parent

#: What is promised. After a release a name that is taken out, or that changes its meaning, breaks users.
DOORS: dict[ModuleType, list[str]] = {
    ldv_otel: [
        "Actie",
        "BatchRefused",
        "ClickHouseSpanExporter",
        "ConfigurationError",
        "Health",
        "LdvError",
        "LdvPropagator",
        "LdvSampler",
        "LdvSpanProcessor",
        "LogboekUnavailable",
        "Logregel",
        "QueryError",
        "SchemaError",
        "Settings",
        "Status",
        "SubjectShieldingSpanProcessor",
        "UnknownTenant",
        "UnreadableInput",
        "__version__",
        "called_by",
        "data_subject",
        "data_subjects",
        "extract",
        "force_flush",
        "foreign_read_api",
        "health",
        "install",
        "next_logbook",
        "ok",
        "outbox",
        "processing",
        "read_settings",
        "reject",
        "tenant",
    ],
    attributes: [
        "ACTIE_MARKS",
        "ACTIE_PREFIXES",
        "BARE_FOREIGN_OPERATION",
        "CONFIDENTIAL",
        "DATA_SUBJECT_ID",
        "DATA_SUBJECT_ID_TYPE",
        "EXCEPTION_MESSAGE",
        "EXCEPTION_STACKTRACE",
        "EXCEPTION_TYPE",
        "FIELDS",
        "FLAGS",
        "FOREIGN_OPERATION_PROCESSOR",
        "FOREIGN_OPERATION_SPAN_ID",
        "FOREIGN_OPERATION_TRACE_ID",
        "FSC_TRANSACTION_ID",
        "INTERRUPTED",
        "JSON_VALUES",
        "KEPT_UNTIL",
        "LEFT_OUT",
        "LINK",
        "MOVED_TO",
        "NAMESPACE",
        "NEXT_LOGBOOK_ID",
        "NEXT_LOGBOOK_NAMES",
        "OBJECTS_PROCESSING_ACTIVITY_ID",
        "OBJECTS_PROCESSING_ACTIVITY_NAMES",
        "OFFICER",
        "ORIGINAL_PREFIX",
        "OUTCOME_OF",
        "PARENT_PROCESSING_ACTIVITY_ID",
        "PROCESSING_ACTIVITY_ID",
        "REASON",
        "ROLLED_BACK",
        "VERSION",
        "VERSION_OF",
        "WITHDRAWN",
        "Flag",
    ],
    errors: [
        "BatchRefused",
        "BatchTooLarge",
        "ConfigurationError",
        "LdvError",
        "LogboekSetupError",
        "LogboekUnavailable",
        "NotProven",
        "QueryError",
        "SchemaError",
        "UnknownTenant",
        "UnreadableInput",
    ],
    plugins: [
        "Batch",
        "Certificate",
        "Extension",
        "ForeignOperation",
        "LogboekAddress",
        "Logregel",
        "OutboundCall",
        "ReadHeader",
        "Settings",
        "Sink",
        "SinkTraits",
        "Status",
        "logboek_client_certificate",
        "logboek_password",
    ],
    testing: ["InMemoryLogboek", "ManualClock", "check_sink", "logboek"],
}
doors = pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)


def exported(door: ModuleType) -> Iterator[tuple[str, Any]]:
    """The classes and functions of a public module."""
    for name in DOORS[door]:
        value = getattr(door, name)
        if isinstance(value, type | FunctionType):
            yield name, value


@doors
def test_a_door_exports_what_is_promised(door: ModuleType) -> None:
    """A change to this list is a change of the API, and is made on purpose."""
    assert door.__all__ == DOORS[door]
    assert [name for name in DOORS[door] if not hasattr(door, name)] == []


def test_there_are_five_doors() -> None:
    """Whatever else can be imported is below `_internal` and promises nothing."""
    modules = {path.stem for path in SRC.glob("*.py")} | {path.parent.name for path in SRC.glob("*/__init__.py")}
    doors_ = {door.__name__.removeprefix("ldv_otel").removeprefix(".") or "__init__" for door in DOORS}
    assert modules == doors_ | {"_internal", "_version"}


@doors
def test_classes_and_functions_say_the_door_they_come_from(door: ModuleType) -> None:
    """In tracebacks, help and pickles: an inner module may move, a public one may not."""
    for name, value in exported(door):
        assert "_internal" not in value.__module__, name
        assert getattr(importlib.import_module(value.__module__), value.__name__) is value, name
        assert pickle.loads(pickle.dumps(value)) is value  # our own, just made
        assert value.__module__ in pydoc.plain(pydoc.render_doc(value)), name
        assert "ldv_otel._internal" not in repr(value), name


@doors
def test_annotations_of_structs_still_resolve(door: ModuleType) -> None:
    """Msgspec and others evaluate them in the module that a class says it is of, where their names are not."""
    for name, value in exported(door):
        if issubclass(value, msgspec.Struct) if isinstance(value, type) else False:
            assert set(get_type_hints(value)) == set(value.__struct_fields__), name


def test_values_survive_pickle_and_repr() -> None:
    """Of structs, enums and errors alike."""
    health = ldv_otel.health()
    error = errors.LogboekUnavailable("away", in_doubt=False, retry_after_seconds=3.0)
    for value in (health, plugins.SinkTraits(batch_records=7), ldv_otel.Status.ERROR):
        assert pickle.loads(pickle.dumps(value)) == value  # our own, just made
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (errors.LogboekUnavailable, "away")
    assert repr(health).startswith("Health(")
    assert msgspec.json.decode(msgspec.json.encode(health), type=ldv_otel.Health) == health


@pytest.mark.parametrize("door", ["ldv_otel.plugins", "ldv_otel.testing", "ldv_otel.errors", "ldv_otel.attributes"])
def test_a_door_can_be_imported_first(door: str) -> None:
    """In a fresh interpreter, and with the same module named for each class whichever door is opened first."""
    program = f"import {door} as door; import ldv_otel.plugins as p; print(p.Settings.__module__, p.Sink.__module__)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    assert result.stdout.split() == ["ldv_otel", "ldv_otel.plugins"]


def test_no_trait_of_a_sink_or_extension_is_asked_by_getattr() -> None:
    """They are typed in the contracts; a `getattr` with a default takes a slip of the pen for a no."""
    asked = []
    for path in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ASKING:
                target = ast.unparse(node.args[0]).lower()
                if "sink" in target or "extension" in target:
                    asked.append(f"{path.relative_to(SRC)}:{node.lineno}: {ast.unparse(node)}")
    assert asked == []


@doors
def test_public_names_have_docstrings(door: ModuleType) -> None:
    """What is promised is explained where `help()` finds it."""
    assert door.__doc__
    assert [name for name, value in exported(door) if not inspect.getdoc(value)] == []
