"""A trace goes through a queue as it goes through a call."""

from __future__ import annotations

import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.traces import across_traces
from ldv_otel._internal.config.variables import UNKNOWN_CALLER_URL
from tests.processes.rig import Rig, wait_until

PARTIES = """
callers:
  - name: de balie
    processor: https://balie.example
    proven_by: [{claim: balie}]
claim: balie
"""


@pytest.mark.slow
@pytest.mark.parametrize("restarts", [False, True], ids=["continue", "restart"])
def test_the_actie_that_sent_a_message_is_the_parent(rig: Rig, *, restarts: bool) -> None:
    """PRODUCER and CONSUMER spans of Celery's instrumentation, two queues deep, in two processes."""
    files = rig.directory / "celery"
    for name in ("messages", "control"):
        (files / name).mkdir(parents=True)
    parties = rig.directory / "parties.yaml"
    parties.write_text(PARTIES.replace("claim: balie\n", "claim: iemand\n") if restarts else PARTIES, encoding="utf-8")
    environ = {"CELERY_FILES": str(files), "LDV_PARTIES": str(parties)}
    with rig.start("-m", "tests.across.messages", **environ) as desk:
        assert desk.end(60) == 0, desk.output
    options = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=INFO")
    with rig.start(
        "-m", "celery", "-A", "tests.across.messages", "worker", "--pool=solo", *options, **environ
    ) as worker:
        wait_until(lambda: bool(rig.acknowledged()), 60, lambda: worker.output[-4_000:])
        worker.stop()
    assert "Traceback" not in worker.output, worker.output
    with LogboekClient(rig.settings) as client:
        wait_until(lambda: len(read.in_period(client).records) >= 3, 30, rig.logs)
        records = {found.logregel.name: found.logregel for found in read.in_period(client).records}
        asked = across_traces(client, rig.acknowledged()[0])
    aanvraag, besluit, bericht = (records[name] for name in ("aanvraag", "besluit", "bericht"))
    for sender, receiver in ((aanvraag, besluit), (besluit, bericht)):
        assert receiver.foreign_operation_trace_id == sender.trace_id
        assert receiver.foreign_operation_span_id == sender.span_id
        assert len(sender.outbound_span_ids) == 1
        if restarts:
            assert receiver.trace_id != sender.trace_id
            assert receiver.parent_span_id == b""
            assert receiver.foreign_operation_processor == UNKNOWN_CALLER_URL
        else:
            assert receiver.trace_id == sender.trace_id
            assert receiver.parent_span_id == sender.span_id
            assert receiver.foreign_operation_processor == "https://balie.example"
    # Whoever asks about the last of them gets the whole story.
    assert {found.logregel.name for found in asked} == {"aanvraag", "besluit", "bericht"}
