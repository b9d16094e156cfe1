"""Rules on the spans that real instrumentations write, with each setting of `OTEL_SEMCONV_STABILITY_OPT_IN`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from ldv_otel._internal.config.yaml_file import parse_yaml
from ldv_otel._internal.rules.rule_file import RuleFile
from ldv_otel._internal.rules.rules import Rules
from tests.rules.test_conventions import Span, rule_by, takes
from tests.support.loopback import free_port

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("instrumented_requests.py")
VOCABULARIES: Final = ("", "http", "http/dup")
#: What spans of the other vocabulary do not have in any form.
NO_COUNTERPART: Final = {
    "requests": {"network.peer.address", "network.peer.port", "network.protocol.version", "http.flavor"},
    "httpx": {"network.peer.address", "network.peer.port", "network.protocol.version", "http.flavor"},
    # With today's names this instrumentation writes nothing of the host.
    "django": {"http.server_name", "http.url", "http.host", "net.host.name"},
}


@pytest.fixture(scope="module")
def spans() -> dict[str, dict[str, Span]]:
    """The spans of the same requests: by vocabulary, and in it by instrumentation."""
    port = str(free_port())
    return {vocabulary: _spans(vocabulary, port) for vocabulary in VOCABULARIES}


def _spans(vocabulary: str, port: str) -> dict[str, Span]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "LDV_"))}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", SCRIPT, port],
        env={**environ, "OTEL_SEMCONV_STABILITY_OPT_IN": vocabulary, "PYDANTIC_DISABLE_PLUGINS": "__all__"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {span["scope"].rpartition(".")[2]: span for span in json.loads(done.stdout)}


@pytest.mark.parametrize("instrumentation", ["requests", "httpx", "flask", "fastapi", "django"])
def test_a_rule_by_either_vocabulary_takes_the_spans_of_both(
    spans: dict[str, dict[str, Span]], instrumentation: str
) -> None:
    """Each attribute that the instrumentation writes in one, as a rule for what it writes in the others."""
    tried = 0
    for written in VOCABULARIES:
        for name, value in spans[written][instrumentation]["attributes"].items():
            if name in NO_COUNTERPART.get(instrumentation, ()):
                continue
            for vocabulary in VOCABULARIES:
                span = spans[vocabulary][instrumentation]
                assert takes(rule_by(name, value), span), (written, name, value, vocabulary, span)
                assert not takes(rule_by(name, f"not {value}"), span)
                tried += 1
    assert tried > 20


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize("client", ["requests", "httpx"])
def test_the_client_rule_of_the_page_takes_spans_of_real_clients(
    spans: dict[str, dict[str, Span]], client: str, vocabulary: str
) -> None:
    """As it stands on docs/rules.md, with the host of the test in place of RDW's."""
    block = re.search(r"```yaml\n(rules:.*?)```", (ROOT / "docs/rules.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block
    text = block[1].replace('"*.rdw.example"', '"*localhos?"')
    assert text != block[1]
    rules = Rules(parse_yaml(text, "docs/rules.md", RuleFile).rules)
    span = spans[vocabulary][client]
    rule = rules.find(span["name"], span["kind"], span["scope"], span["attributes"])
    assert rule is not None
    assert rule.rule == "kentekens bij het RDW"
