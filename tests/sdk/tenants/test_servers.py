"""Real instrumentations of web servers say at the start of their spans what the rules need, in both vocabularies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sdk.tenants.conftest import PARTIES
from tests.support.tenants import write_logboeken

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("vocabulary", ["", "http"])
@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_a_request_is_its_tenants(tmp_path: Path, kind: str, vocabulary: str) -> None:
    """By host, by path, by a gateway's header; by nothing; and by two that contradict one another."""
    fields = {"0363": {"hosts": ["amsterdam.example"], "paths": ["/0363"]}, "0344": {"hosts": ["utrecht.example"]}}
    write_logboeken(tmp_path, ["0363", "0344", "0518"], fields=fields, rules={"header": "X-Tenant"}, default="0518")
    (tmp_path / "parties.yaml").write_text(PARTIES)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
    done = subprocess.run(
        [sys.executable, "-m", "tests.sdk.tenants.instrumented_service", str(tmp_path), kind],
        env={**environ, "OTEL_SEMCONV_STABILITY_OPT_IN": vocabulary},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "0363 0344 0363 0344 0518 nobody", done.stderr
