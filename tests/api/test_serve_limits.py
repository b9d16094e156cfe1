"""How much one answer may be: of records, of bytes, of parties and of time."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from pathlib import Path
from typing import Any

import msgspec
from starlette.testclient import TestClient

from ldv_otel._internal.api.read_api.paging import MAX_ANSWER_BYTES
from ldv_otel._internal.chain.follow import MAX_LOGREGELS, MAX_PARTIES, follow
from ldv_otel._internal.chain.model import PartyState
from ldv_otel._internal.chain.remote import Remotes
from ldv_otel._internal.chain.source import MAX_RECORDS, SourceAnswer
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.settings import ServeSettings, Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.parties.parties import ReadApi
from ldv_otel._internal.record.logregel import Logregel
from tests.api.conftest import START, Opened
from tests.support.chance import new_id

PATH = "/lezenapi/v1/data-processing-operations"


def record(trace_id: bytes, number: int, **more: Any) -> Logregel:
    """One of many of a trace."""
    span_id = (number + 1).to_bytes(8, "big")
    return Logregel(trace_id=trace_id, span_id=span_id, name="Veel", start_time_ms=START, end_time_ms=START, **more)


def stored(settings: Settings, records: list[Logregel]) -> None:
    """Store them."""
    sink = ClickHouseSink(settings)
    sink.open()
    sink.send(number_batch(new_writer_id(), 0, records))
    sink.close()


def pages_of(api: TestClient, trace_id: bytes) -> list[Any]:
    """All answers to one query, by the addresses in `Link`."""
    answers, address = [], ""
    while True:
        answers.append(api.post(f"{PATH}{address}", json={"traceId": trace_id.hex()}))
        assert answers[-1].status_code == 200
        link = re.fullmatch(r'<(\?.*)>; rel="next"', answers[-1].headers["link"])
        if link is None:
            return answers
        address = link[1]


def test_an_answer_has_at_most_the_records_of_the_setting(served_settings: Settings, opened: Opened) -> None:
    """Whatever is asked for; and all of them together are the whole."""
    trace_id = new_id(16)
    stored(served_settings, [record(trace_id, number) for number in range(12)])
    settings = msgspec.structs.replace(served_settings, serve=ServeSettings(records=5))
    with opened(settings) as api:
        counts = [len(answer.json()["dataProcessingOperations"]) for answer in pages_of(api, trace_id)]
        assert counts == [5, 5, 2]
        asked = api.post(f"{PATH}?limit=1000", json={"traceId": trace_id.hex()})
        assert len(asked.json()["dataProcessingOperations"]) == 5


def test_an_answer_has_at_most_4_mib(served_settings: Settings, opened: Opened) -> None:
    """Records that are large come in several answers, each in one."""
    trace_id = new_id(16)
    large = {"dpl.core.zaak": "x" * 1_500_000}
    stored(served_settings, [record(trace_id, number, attributes=large) for number in range(7)])
    with opened(served_settings) as api:
        answers = pages_of(api, trace_id)
        assert all(len(answer.content) <= MAX_ANSWER_BYTES + 1_000 for answer in answers)
        spans = [each["spanId"] for answer in answers for each in answer.json()["dataProcessingOperations"]]
        assert len(spans) == len(set(spans)) == 7
        assert len(answers) == 4


def test_a_chain_has_at_most_1000_records_of_a_party(served_settings: Settings, opened: Opened) -> None:
    """And says that it is not complete."""
    trace_id = new_id(16)
    stored(served_settings, [record(trace_id, number) for number in range(MAX_RECORDS + 1)])
    with opened(served_settings) as api:
        chain = api.get(f"/lezenapi/v1/chains/{trace_id.hex()}").json()
    assert len(chain["processingActivities"]) == MAX_RECORDS == 1_000
    assert not chain["complete"]


class _Many:
    """A Logboek with very many records, each of which calls a party of its own."""

    def __init__(self, records: list[Logregel]) -> None:
        self._records = records

    async def of_trace(self, trace_id: bytes) -> SourceAnswer:
        """All of them."""
        return SourceAnswer([one for one in self._records if one.trace_id == trace_id])

    async def for_foreign_trace(self, trace_id: bytes) -> SourceAnswer:
        """None."""
        del trace_id
        return SourceAnswer([])


def test_a_chain_has_at_most_25_parties_and_5000_records() -> None:
    """Parties of others decide how far it goes; what was left out is said."""
    trace_id = new_id(16)
    apis = [ReadApi(url=f"http://127.0.0.1:9/{number}") for number in range(40)]
    calling = [record(trace_id, number, external_read_api_id=api.url) for number, api in enumerate(apis)]
    further = [record(trace_id, 100 + number) for number in range(MAX_LOGREGELS)]

    async def followed(records: list[Logregel]) -> Any:
        async with Remotes(apis) as remotes:
            return await follow(trace_id, _Many(records), remotes)

    chain = asyncio.run(followed(calling))
    too_many = [party for party in chain.parties if party.detail == "too many parties"]
    assert len(chain.parties) - 1 - len(too_many) == MAX_PARTIES == 25
    assert {party.state for party in too_many} == {PartyState.UNREACHABLE}
    assert not chain.complete
    chain = asyncio.run(followed(further + calling[:1]))
    assert len(chain.logregels) == MAX_LOGREGELS == 5_000
    assert not chain.complete


def test_a_party_that_hangs_leaves_time_for_the_answer(
    served_settings: Settings, opened: Opened, tmp_path: Path
) -> None:
    """Others get a part of the request's time: what this Logboek has is answered, with that party as unreachable."""
    trace_id = new_id(16)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        parties = tmp_path / "parties.yaml"
        parties.write_text(json.dumps({"read_apis": [{"url": url, "name": "Stil"}]}))
        stored(served_settings, [record(trace_id, 1, external_read_api_id=url)])
        settings = msgspec.structs.replace(served_settings, parties=parties, serve=ServeSettings(seconds=4))
        with opened(settings) as api:
            answer = api.get(f"/lezenapi/v1/chains/{trace_id.hex()}")
    assert answer.status_code == 200
    assert [party["state"] for party in answer.json()["parties"]] == ["here", "unreachable"]
    assert len(answer.json()["processingActivities"]) == 1
