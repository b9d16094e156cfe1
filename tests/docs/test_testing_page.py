"""`docs/start/testing.md`: its tests are run, by pytest, with the plugin."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.plugin_runs import run_tests_of_user

PAGE = Path(__file__).parents[2] / "docs" / "start" / "testing.md"
APPLICATION = """
import ldv_otel as ldv
ldv.install()

def change_number_plate(bsn, plate):
    with ldv.processing("https://register.example/a", name="Wijzig kenteken"):
        ldv.data_subject(bsn, type="BSN")

class client:
    @staticmethod
    def get(path):
        from opentelemetry import trace
        attributes = {"http.route": "/inwoners/{bsn}", "http.target": path}
        with trace.get_tracer("web").start_as_current_span(path, kind=trace.SpanKind.SERVER, attributes=attributes):
            pass
"""
RULES = """
rules:
  - rule: inwoner
    match: {kind: server, attributes: {http.route: "/inwoners/{bsn}"}}
    activity: https://register.example/b
    subject: {path: bsn, type: BSN}
"""


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    """As they stand there, on an application that calls `install()` when it is imported."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    (tmp_path / "application.py").write_text(APPLICATION, encoding="utf-8")
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    (tmp_path / "test_page.py").write_text(
        "from application import change_number_plate, client\n" + "\n".join(blocks), encoding="utf-8"
    )
    done = run_tests_of_user(tmp_path)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
