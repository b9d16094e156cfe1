"""A party in another language, as caller and as called party: its links resolve, though it knows nothing of ours."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ldv_otel import Logregel
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import StoredLogregel
from ldv_otel._internal.clickhouse.queries import records as read
from tests.processes.rig import Rig

NODE = shutil.which("node")


@pytest.fixture
def node() -> Iterator[str]:
    """The Node party; its address."""
    if NODE is None:
        pytest.skip("node is not installed here, so links with a party in another language were not tried")
    script = Path(__file__).with_name("partner.mjs")
    with subprocess.Popen([NODE, str(script)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
        process.terminate()


@pytest.mark.slow
@pytest.mark.parametrize("unknown", ["continue", "restart"])
def test_links_with_another_language_resolve(rig: Rig, node: str, unknown: str) -> None:
    """Out, through it and back, and from it: each id that one side has finds the Actie at the other."""
    with rig.start("-m", "tests.across.partner", PARTNER=node, LDV_UNKNOWN_CALLERS=unknown) as service:
        assert service.end(60) == 0, service.output
    seen = json.loads(next(line for line in service.output.splitlines() if line.startswith("{")))
    with LogboekClient(rig.settings) as client:
        records = {found.logregel.name: found.logregel for found in read.in_period(client).records}

        def names(found: list[StoredLogregel]) -> list[str]:
            return [record.logregel.name for record in found]

        caller, middle, own = (records[name] for name in ("caller", "called /middle", "called /own"))
        # As called party, what Node got in `traceparent` is our technical span, and finds the Actie.
        assert names(read.by_outbound(client, seen["traceId"], seen["parentId"])) == ["caller"]
        assert seen["tracestate"] == f"ldv=a:{caller.span_id.hex()}"
        # Through Node, which passes `tracestate` on: the Actie at the other end of it, not Node's own span.
        assert middle.foreign_operation_trace_id == caller.trace_id
        assert middle.foreign_operation_span_id == caller.span_id
        assert names(read.by_foreign(client, caller.trace_id.hex(), caller.span_id.hex())) == ["called /middle"]
        # From Node: its ids are on the record, and a question with them finds it.
        assert own.foreign_operation_trace_id.hex() == seen["ownTrace"]
        assert own.foreign_operation_span_id.hex() == seen["own"]
        assert names(read.by_foreign(client, seen["ownTrace"], seen["own"])) == ["called /own"]
    check_trace(middle, caller.trace_id, caller.span_id, unknown)
    check_trace(own, bytes.fromhex(seen["ownTrace"]), bytes.fromhex(seen["own"]), unknown)


def check_trace(called: Logregel, trace_id: bytes, parent: bytes, unknown: str) -> None:
    """Check whose trace a call was served in."""
    if unknown == "continue":
        assert (called.trace_id, called.parent_span_id) == (trace_id, parent)
    else:
        assert called.trace_id != trace_id
        assert called.parent_span_id == b""
