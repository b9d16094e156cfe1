"""Every section of docs/frameworks.md as it stands there: the service, its rules, and one request from a client."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.privacy.key_file import read_keys
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from ldv_otel._internal.record.logregel import Logregel
from tests.processes.rig import Rig
from tests.ways_in.starting import instrumented

DOCS: Final = (Path(__file__).parents[2] / "docs" / "frameworks.md").read_text(encoding="utf-8")
BSN: Final = "123456782"
_DJANGO_SETTINGS: Final = "ROOT_URLCONF = 'service'\nALLOWED_HOSTS = ['*']\nSECRET_KEY = 'none'\n"


class Client(NamedTuple):
    """What sends one request to a service, and what the record of it is called."""

    code: str
    name: str = "Vergunningen inzien"


CLIENTS: Final = {
    "Flask": Client(f"print(app.test_client().get('/inwoners/{BSN}/vergunningen').json)"),
    "FastAPI": Client(
        f"""
from fastapi.testclient import TestClient
print(TestClient(app).get("/vergunningen", params={{"bsn": {BSN!r}}}).json())
"""
    ),
    "Django": Client(
        f"""
import django
django.setup()
from django.test import Client
print(Client().get("/vergunningen/", headers={{"X-BSN": {BSN!r}}}).json())
"""
    ),
    "gRPC": Client(
        f"""
from concurrent.futures import ThreadPoolExecutor
server = grpc.server(ThreadPoolExecutor(1))
handlers = {{"Toon": grpc.unary_unary_rpc_method_handler(toon)}}
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("register.Vergunningen", handlers)])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
with grpc.insecure_channel(f"127.0.0.1:{{port}}") as channel:
    answer = channel.unary_unary("/register.Vergunningen/Toon")(b"", metadata=[("x-bsn", {BSN!r})])
print([answer.decode()])
server.stop(None).wait()
"""
    ),
    "Celery": Client(
        f"""
from celery.contrib.testing.worker import start_worker
app.conf.update(broker_url="memory://", result_backend="cache+memory://")
with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20):
    verleng.delay({BSN!r}).get(timeout=20)
print(["AB-123-C"])
""",
        name="Vergunning verlengen",
    ),
}


def section(framework: str) -> tuple[str, str]:
    """The service and the rules of a framework."""
    (text,) = re.findall(rf"^## {framework}\n(.*?)(?=^## |\Z)", DOCS, re.MULTILINE | re.DOTALL)
    (service,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (rules,) = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return service, rules


def logged(rig: Rig) -> list[Logregel]:
    """Everything in the Logboek."""
    with LogboekClient(rig.settings) as client:
        return [found.logregel for found in read.in_period(client).records]


def test_every_section_is_tried() -> None:
    """None is left out."""
    *frameworks, last = re.findall(r"^## (.+)", DOCS, re.MULTILINE)
    assert frameworks == list(CLIENTS)
    # It has no rules; `tests/sdk/test_contexts.py` runs what it prints.
    assert last == "Where the work goes on elsewhere"


@pytest.mark.parametrize("framework", CLIENTS)
def test_a_framework(rig: Rig, framework: str) -> None:
    """One request is one Logregel, with the person's pseudonym; the number is in no other exporter's output."""
    service, rules = section(framework)
    client = CLIENTS[framework]
    (rig.directory / "rules.yaml").write_text(rules)
    (rig.directory / "service.py").write_text(service)
    (rig.directory / "settings.py").write_text(_DJANGO_SETTINGS)
    (rig.directory / "client.py").write_text(f"from service import *\n{client.code}")
    ended = instrumented(
        rig,
        str(rig.directory / "client.py"),
        LDV_RULES=str(rig.directory / "rules.yaml"),
        OTEL_TRACES_EXPORTER="console",
        # A test client calls through `httpx`, whose span is the caller's, and none of this service.
        OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="httpx",
        OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST="X-BSN",
        DJANGO_SETTINGS_MODULE="settings" if framework == "Django" else "",
        PYTHONPATH=str(rig.directory),
    )
    assert ended.status == 0, ended.said
    assert "['AB-123-C']" in ended.said
    (logregel,) = logged(rig)
    assert logregel.name == client.name
    assert logregel.processing_activity_id.startswith("https://register.example/activiteiten/vergunning")
    pseudonymiser = Pseudonymiser(read_keys(Path(rig.environ["LDV_KEYS"])))
    assert logregel.data_subject_id == pseudonymiser.subject(BSN, "BSN").pseudonym
    assert "ldv.flags" not in logregel.attributes
    assert '"trace_id"' in ended.said
    assert BSN not in ended.said
