"""Proofs on the page for citizens: of what this person sees, of nothing else, and checked without the server."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from pathlib import Path

import httpx
import msgspec
import pytest

from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.privacy.key_file import add_key, read_keys
from ldv_otel._internal.tamper.proof import check_proof, proofs_in
from ldv_otel._internal.tamper.verifier_page import verifier_page
from ldv_otel.attributes import EXCEPTION_MESSAGE
from tests.pages.conftest import HIDDEN, ONE, PERMIT, ROBIN, WATCHED, World, actie
from tests.support.logboek import LogboekProcess
from tests.support.serving import ServeProcess

pytestmark = pytest.mark.slow


def test_a_citizen_takes_proofs_home(world: World) -> None:
    """Of the steps of a trace and of all records; each is of the row beside it, and all are of this person."""
    with closing(world.signed_in(ROBIN)) as robin:
        page = robin.get(f"/inzage/handelingen/{PERMIT.hex()}").text
        address = f"/inzage/handelingen/{PERMIT.hex()}/bewijs.json"
        assert f'href="{address}"' in page
        of_trace, everything = robin.get(address), robin.get("/inzage/mijn-gegevens-met-bewijs.json")
    plain = robin_rows = json.loads(of_trace.content)["regels"]
    assert len(plain) >= 2
    subjects = set()
    for answer in (of_trace, everything):
        assert answer.headers["content-disposition"].startswith("attachment")
        rows = json.loads(answer.content)["regels"]
        assert len(rows) >= len(robin_rows)
        for row, proof in zip(rows, proofs_in(answer.content), strict=True):
            proven = check_proof(proof)
            assert (proven.logregel.name, proven.logregel.trace_id.hex()) == (row["handeling"], row["kenmerk"])
            subjects.add(proven.logregel.data_subject_id)
    assert len(subjects) == 1


def test_nobody_gets_a_proof_of_what_they_may_not_see(world: World) -> None:
    """One answer for a trace of somebody else, one that is confidential, one that is not there, and signed out."""
    with closing(world.signed_in(ONE)) as one, closing(world.signed_in(WATCHED)) as watched:
        answers = [
            one.get(f"/inzage/handelingen/{PERMIT.hex()}/bewijs.json"),
            watched.get(f"/inzage/handelingen/{HIDDEN.hex()}/bewijs.json"),
            one.get(f"/inzage/handelingen/{'9' * 32}/bewijs.json"),
        ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(404, answers[0].content)}
    assert httpx.get(f"{world.page}/mijn-gegevens-met-bewijs.json").status_code == 401


def test_the_page_that_checks_is_a_file(world: World) -> None:
    """So that it runs without us, and with no rights of this page."""
    with closing(world.signed_in(ROBIN)) as robin:
        answer = robin.get("/inzage/bewijs-controleren.html")
        assert "/inzage/bewijs-controleren.html" in robin.get("/inzage/downloaden").text
    assert answer.content == verifier_page()
    assert answer.headers["content-disposition"] == 'attachment; filename="bewijs-controleren.html"'


def test_some_records_have_no_proof_and_proofs_can_be_switched_off(tmp_path: Path) -> None:
    """Without a seal, or with what the page never shows: `bewijs` is null. `LDV_INZAGE_PROOF=0` leaves no button."""
    keys = tmp_path / "keys.json"
    add_key(keys)
    with LogboekProcess(tmp_path / "logboek") as process:
        address = LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=process.port, database="ldv")
        settings = Settings(logboek=address, keys=keys, seal=False)
        apply_schema(settings)
        sink = ClickHouseSink(settings)
        sink.open()
        ring = read_keys(keys)
        sink.send(number_batch(new_writer_id(), 0, [actie(ring, ROBIN, 1, "Ongezegeld")]))
        sink.close()
        sealing = ClickHouseSink(msgspec.structs.replace(settings, seal=True))
        sealing.open()
        quoting = {EXCEPTION_MESSAGE: "a message that may quote anybody"}
        records = [actie(ring, ROBIN, 2, "Gezegeld"), actie(ring, ROBIN, 3, "Met meer", attributes=quoting)]
        sealing.send(number_batch(new_writer_id(), 0, records))
        sealing.close()
    environ = {"LDV_LOGBOEK": f"chdb://{tmp_path / 'logboek'}", "LDV_KEYS": str(keys)}
    path = f"/inzage/handelingen/{PERMIT.hex()}"
    found = {}
    for proof in ("1", "0"):
        with (
            ServeProcess(environ | {"LDV_INZAGE_PROOF": proof}, "--demo", log=tmp_path / f"{proof}.log") as served,
            closing(World(served, tmp_path / f"{proof}.log").signed_in(ROBIN)) as robin,
        ):
            found[proof] = [robin.get(each) for each in (f"{path}/bewijs.json", path, "/inzage/downloaden")]
    rows = found["1"][0].json()["regels"]
    assert {row["handeling"]: row["bewijs"] is not None for row in rows} == {
        "Ongezegeld": False, "Gezegeld": True, "Met meer": False,
    }  # fmt: skip
    assert b"may quote" not in base64.b64decode("".join(row["bewijs"]["record"] for row in rows if row["bewijs"]))
    assert [answer.status_code for answer in found["0"]] == [404, 200, 200]
    assert ["bewijs" in answer.text for answer in found["1"][1:] + found["0"][1:]] == [True, True, False, False]
