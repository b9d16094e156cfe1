"""Tests of applications: no record of a test reaches a real Logboek, whenever `install()` is called."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

import ldv_otel as ldv
from ldv_otel import testing
from tests.sdk.test_install import output
from tests.support.plugin_runs import run_tests_of_user

ACTIVITY = "https://register.example/a"
BSN = "123456782"


def test_what_was_installed_before_steps_aside_and_comes_back(tmp_path: Path) -> None:
    """Before, during and after a test: only the first and the last are in the real Logboek."""
    logged = output(
        tmp_path,
        """
        from ldv_otel import testing
        provider, _ = provider_with_backend()
        trace.set_tracer_provider(provider)
        ldv.install()
        with ldv.processing(A, name="before"):
            pass
        with testing.logboek() as logboek:
            ldv.install()
            with ldv.processing(A, name="test"):
                pass
            assert ldv.force_flush()
            assert ldv.health().logboek == "memory (ldv_otel.testing)"
            with testing.logboek() as inner, ldv.processing(A, name="inner"):
                pass
            with ldv.processing(A, name="test again"):
                pass
        assert [each.name for each in logboek.logregels] == ["test", "test again"], logboek
        assert [each.name for each in inner.logregels] == ["inner"], inner
        with ldv.processing(A, name="after"):
            pass
        assert ldv.health().ok
        print(json.dumps(logged()))
        """,
    )
    assert logged == ["after", "before"]


def test_install_meanwhile_needs_no_variable_and_sets_up_nothing(tmp_path: Path) -> None:
    """An application that calls it when it is imported, in a test: with a provider that it sets afterwards."""
    told = output(
        tmp_path,
        """
        from ldv_otel import testing
        with testing.logboek() as logboek:
            ldv.install()
            provider, backend = provider_with_backend()
            trace.set_tracer_provider(provider)
            with ldv.processing(A, name="test"):
                pass
        assert trace.get_tracer_provider() is provider
        try:
            with ldv.processing(A, name="nowhere"):
                pass
        except ldv.ConfigurationError as error:
            assert "ldv_otel.testing.logboek()" in str(error)
        else:
            raise AssertionError("an Actie that nobody logs passed in silence")
        assert not ldv.health().installed
        print(json.dumps([[each.name for each in logboek.logregels], os.listdir(os.environ["HERE"])]))
        """,
        LDV_LOGBOEK="",
        HERE=str(tmp_path),
    )
    assert told == [["test"], []]


def test_a_provider_set_in_a_test_is_listened_to_afterwards(tmp_path: Path) -> None:
    """What was installed before the test logs from it once the test is over."""
    logged = output(
        tmp_path,
        """
        from ldv_otel import testing
        ldv.install()
        with testing.logboek() as logboek:
            trace.set_tracer_provider(provider_with_backend()[0])
            with ldv.processing(A, name="test"):
                pass
        with ldv.processing(A, name="after"):
            pass
        assert len(logboek.logregels) == 1
        print(json.dumps(logged()))
        """,
    )
    assert logged == ["after"]


_APPLICATION = """
import ldv_otel as ldv
ldv.install()

def change(bsn):
    with ldv.processing("https://register.example/a", name="Wijzig"):
        ldv.data_subject(bsn, type="BSN")
"""
_TESTS = """
from application import change
import ldv_otel as ldv
import os, subprocess, sys

def test_logged(ldv_logboek):
    change("123456782")
    ldv_logboek.assert_logged("Wijzig", about="123456782")

def test_between():
    change("123456782")
    assert ldv.force_flush()
    assert ldv.health().ok

def test_a_program_of_a_test_is_left_alone():
    code = "import ldv_otel as ldv\\ntry:\\n ldv.install()\\nexcept ldv.ConfigurationError: print('asked')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "asked\\n"
"""


def test_the_plugin_holds_install_off_from_the_start_of_pytest(tmp_path: Path) -> None:
    """Also while modules are collected, without any variable; fresh for each test."""
    (tmp_path / "application.py").write_text(_APPLICATION, encoding="utf-8")
    (tmp_path / "test_it.py").write_text(textwrap.dedent(_TESTS), encoding="utf-8")
    done = run_tests_of_user(tmp_path)
    assert "3 passed" in done.stdout, done.stdout + done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"application.py", "test_it.py", "__pycache__", ".coverage"}


RULES = f"""
rules:
  - rule: inwoner
    match: {{kind: server, attributes: {{http.route: "/inwoners/{{bsn}}"}}}}
    activity: {ACTIVITY}
"""


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        (
            {"http.route": "/burgers/{bsn}"},
            "rule 1 (inwoner) does not take it: it (server, of `app`) has `http.route` ",
        ),
        ({"dpl.core.processing_activity": "x"}, "did you mean `dpl.core.processing_activity_id`?"),
    ],
)
def test_a_failing_assertion_says_why_the_nearest_span_is_no_actie(
    tmp_path: Path, attributes: dict[str, str], says: str
) -> None:
    """With the spans that were seen, and nobody's number."""
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    with testing.logboek(rules=tmp_path / "rules.yaml") as logboek:
        trace.get_tracer("other").start_span("SELECT", kind=SpanKind.CLIENT).end()
        trace.get_tracer("app").start_span(f"GET /{BSN}", kind=SpanKind.SERVER, attributes=attributes).end()
        with ldv.processing(ACTIVITY, name="Toon"):
            pass
    with pytest.raises(AssertionError) as failed:
        logboek.assert_logged("Wijzig")
    text = str(failed.value)
    assert "Spans that are no Actie: 'SELECT' (client), 'GET /*' (server)." in text
    assert f"The nearest is 'GET /*': {says if says[0] == 'r' else ''}" in text
    assert says in text
    assert BSN not in text


def test_without_rules_it_says_what_makes_an_actie() -> None:
    """The first thing that somebody forgets."""
    with testing.logboek() as logboek:
        trace.get_tracer("app").start_span("GET").end()
    with pytest.raises(
        AssertionError,
        match=r"it has no `dpl\.core\.processing_activity_id`, and there are no mapping rules .*`ldv_logboek_settings`",
    ):
        logboek.assert_logged()
