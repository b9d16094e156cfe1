"""A raw identifier reaches nothing: no span, exporter, disk, database, log line or exception message."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BSN = "123456782"
ENCODED = "".join(f"%3{digit}" for digit in BSN)
FULL_WIDTH = "".join(chr(0xFF10 + int(digit)) for digit in BSN)
STRAY = "999990019"
SPELLINGS = (BSN, "123.456.782", "123 456 782", ENCODED, FULL_WIDTH, ",".join(BSN), "1.23456782e+08", "12345678")

RULES = """
rules:
  - match: {kind: server, attributes: {http.route: "/inwoners/{bsn}"}}
    activity: https://register.example/b
    subject: [{path: bsn, type: BSN}, {query: partner, type: BSN}]
"""

SERVICE = """
import logging, os, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor

import ldv_otel as ldv

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
ldv.install()
provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(out=sys.stderr)))
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))

bsn = "".join(["1234", "56782"])
with ldv.processing("https://register.example/a") as actie:
    ldv.data_subject(bsn, type="BSN")
    actie.data_subject("123.456.782", type="BSN")
for odd in (f" {bsn} ", int(bsn), [bsn], {"bsn": bsn}, bsn.encode()):
    with ldv.processing("https://register.example/a"):
        ldv.data_subject(odd, type="BSN")
        ldv.data_subject(odd)
        ldv.data_subject(odd, type=odd if isinstance(odd, bytes) else "KVK")
try:
    with ldv.processing("https://register.example/a"):
        raise LookupError(f"no such person: {bsn}") from ValueError(bsn)
except LookupError:
    pass
ldv.data_subject(bsn, type="BSN")

# In every text of a record, in all kinds of spellings; and a number that nobody named.
full_width = "".join(chr(0xFF10 + int(digit)) for digit in bsn)
stray = "".join(["99999", "0019"])
with ldv.processing("https://register.example/a/" + bsn, name="Vergunning van 123.456.782") as actie:
    ldv.data_subject(float(bsn), type="BSN")
    actie.set_attribute("dpl.core.zaak", "Z-2026-" + bsn)
    actie.set_attribute("dpl.core.waarden", [int(bsn), float(bsn), ",".join(bsn), {full_width: f"{int(bsn):e}"}])
    actie.set_attribute("dpl.core." + full_width, f"1.23456782e+08 {bsn[:-1]}")
    actie.foreign_read_api(f"https://elders.example/{bsn}")
with ldv.processing("https://register.example/a", name=f"Aanslag {full_width}"):
    ldv.data_subjects([bsn, "111222333"], type="BSN")
    with trace.get_tracer("somebody's").start_as_current_span(f"GET /{bsn}"):
        pass
with ldv.processing("https://register.example/a/" + stray, name=f"Zoek {stray}") as actie:
    actie.set_attribute("dpl.core.zaak", int(stray))

# What others wrote on spans: by hand, by instrumentation, with a call and an exception inside.
tracer = trace.get_tracer("somebody's instrumentation")
by_hand = {"dpl.core.data_subject_id": bsn, "dpl.core.data_subject_id_type": "BSN", "note": f"for {bsn}"}
with tracer.start_as_current_span(f"by hand {bsn}", attributes=by_hand):
    logging.getLogger("app").info("working")
encoded = "".join(f"%3{digit}" for digit in bsn)
request = {"http.route": "/inwoners/{bsn}", "http.target": f"/inwoners/{encoded}?partner={bsn}"}
try:
    with tracer.start_as_current_span(f"GET /inwoners/{bsn}", kind=trace.SpanKind.SERVER, attributes=request):
        with tracer.start_as_current_span(f"GET https://brp.example/{encoded}", kind=trace.SpanKind.CLIENT):
            raise LookupError(f"no such person: {bsn}")
except LookupError:
    pass
provider.force_flush()
assert ldv.force_flush(), ldv.health()

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.sql_text import Sql, identifier, listed
with LogboekClient(ldv.read_settings(os.environ)) as client:
    columns = [name for (name,) in client.rows(Sql("SELECT name FROM system.columns WHERE table = 'logregel'"))]
    everything = listed(map(identifier, columns))
    shown = client.command(Sql("SELECT groupArray(toString(tuple($columns))) FROM logregel", columns=everything))
    assert "register.example" in str(shown)
    print(shown)
    client.command(Sql("OPTIMIZE TABLE logregel FINAL"))
"""


def test_the_number_is_nowhere(tmp_path: Path) -> None:
    """Everything the service printed, logged, exported and stored, and every byte on disk, is searched."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES, encoding="utf-8")
    environ |= {"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek", "LDV_STATE": str(tmp_path / "state")}
    environ |= {"LDV_RULES": str(rules), "LDV_SPOOL": str(tmp_path / "spool")}
    done = subprocess.run(
        [sys.executable, "-c", SERVICE], env=environ, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "BSN" in done.stdout
    assert '"name": "A"' in done.stdout, "the console exporter shows the spans"
    assert '"name": "GET https://brp.example/REDACTED"' in done.stdout
    assert "no such person: REDACTED" in done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert "*********" in done.stdout
    for spelling in SPELLINGS:
        assert spelling not in done.stdout
        assert spelling not in done.stderr
        assert [path for path in files if spelling.encode() in path.read_bytes()] == []
    # Nobody named it, so other exporters show it; the Logboek does not have it.
    assert [path for path in files if STRAY.encode() in path.read_bytes()] == []
