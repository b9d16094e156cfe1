"""What this package logs of an error is its type and places: a traceback ends in a message that quotes values."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from opentelemetry import trace

import ldv_otel as ldv
from ldv_otel import testing
from ldv_otel._internal.config.error_places import type_and_places
from ldv_otel._internal.sdk.extensions import Extensions
from tests.record.test_last_resort import failing

PACKAGE: Final = Path(ldv.__file__).parent
BSN: Final = "123456782"
#: Calls that put a message or source lines into a text, and the only place that may: what a record keeps on request.
TRACEBACKS: Final = {"format_exc", "format_exception", "print_exc", "print_exception", "format_tb", "format_stack"}
ALLOWED: Final = {"_internal/sdk/span_status.py"}


def logged_tracebacks(source: str) -> Iterator[int]:
    """The lines of a module that log a traceback, or make a text of one."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        keywords = {keyword.arg for keyword in node.keywords}
        # With arguments: `Future.exception()` has none.
        logs = (node.func.attr == "exception" and node.args) or keywords & {"exc_info", "stack_info"}
        if logs or node.func.attr in TRACEBACKS:
            yield node.lineno


def test_no_log_line_has_a_traceback() -> None:
    """In all modules; a message of our own errors is a sentence of ours (`errors.py`)."""
    found = {
        f"{place}:{line}"
        for path in PACKAGE.rglob("*.py")
        if (place := path.relative_to(PACKAGE).as_posix()) not in ALLOWED
        for line in logged_tracebacks(path.read_text(encoding="utf-8"))
    }
    assert not found


@pytest.mark.parametrize(
    "line",
    ["_logger.exception('x')", "log.error('x', exc_info=True)", "traceback.print_exc()", "l.info('', exc_info=error)"],
)
def test_the_guard_sees_them(line: str) -> None:
    """Under any name of the logger."""
    assert list(logged_tracebacks(line))


def test_type_and_places_have_no_values() -> None:
    """Neither of the message, nor of its causes, nor of a line of source."""
    try:
        try:
            int(f"bsn {BSN}")
        except ValueError as error:
            raise LookupError(BSN) from error
    except LookupError as error:
        error.add_note(BSN)
        told = type_and_places(error)
    assert told.startswith("LookupError in test_type_and_places_have_no_values (test_log_lines.py:")
    assert BSN not in told
    assert type_and_places(LookupError(BSN)) == "LookupError in unknown code"


class FailingExtension:
    """An extension with a mistake in it."""

    attributes = frozenset({"dpl.odd.x"})
    inherited: frozenset[str] = frozenset()
    record_attributes = call_headers = read_headers = failing


@pytest.mark.parametrize(
    "broken",
    [
        "ldv_otel._internal.sdk.span_state.LiveSpan.look",
        "ldv_otel._internal.sdk.span_state.LiveSpan.look_upwards",
        "ldv_otel._internal.record.builder.LogregelBuilder.text",
        "ldv_otel._internal.sdk.shield.copy_of",
        "ldv_otel._internal.sdk.processor.facts_of",
        "ldv_otel._internal.record.actie.encode_logregel",
        "ldv_otel.testing._AtOnce.submit",
        "ldv_otel._internal.sdk.propagator.LdvPropagator._with_actie",
    ],
)
def test_whatever_fails_says_no_value(
    broken: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each place where the application has to go on logs what went wrong there, and quotes nothing."""
    caplog.set_level(logging.DEBUG)
    with testing.logboek(), trace.get_tracer("test").start_as_current_span("outside"):
        with ldv.processing("https://register.example/a") as actie:
            ldv.data_subject(BSN, type="BSN")
            actie.set_attribute("dpl.core.zaak", BSN)
            monkeypatch.setattr(broken, failing)
            from opentelemetry import propagate

            propagate.inject({})
        monkeypatch.undo()
    assert BSN not in caplog.text


def test_an_extension_that_fails_says_no_value(caplog: pytest.LogCaptureFixture) -> None:
    """Its errors quote attributes and headers."""
    extensions = Extensions({"dpl.odd": FailingExtension()})
    assert extensions.record_attributes({"dpl.odd.x": BSN}, 0) == {"dpl.odd.x": BSN}
    assert extensions.call_headers(["dpl.odd"], None) == {}  # type: ignore[arg-type]  # not looked at
    assert caplog.text.count("OddError in failing") == 2
    assert BSN not in caplog.text
