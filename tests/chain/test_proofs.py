"""`ldv chain --verify`: each organisation's part proven by itself, for the very records that it showed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from ldv_otel._internal.chain.model import Chain, ChainLogregel, Party, PartyState
from ldv_otel._internal.chain.proofs import PartyProofs, ProofState, ProvingParty, prove_chain
from ldv_otel._internal.chain.source import PartyFailed
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.verification.manifest_log import log_signer, seal
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.privacy.key_file import add_key
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.tamper.checkpoint import Checkpoint, LogProof
from ldv_otel._internal.tamper.manifest import SEALER_NAME, Sealer, leaf_of, nonce_of
from ldv_otel._internal.tamper.note import NoteKey, NoteSigner
from ldv_otel._internal.tamper.proof import FORMAT, RecordProof, encode_proof
from ldv_otel._internal.tamper.record_bytes import record_bytes
from ldv_otel._internal.tamper.signing_key import read_signer
from ldv_otel._internal.tamper.tree import leaf_hash
from tests.support.logboek import LogboekProcess
from tests.support.sealing import with_seal_key
from tests.support.serving import Issuer, ServeProcess, environ_of

TRACE = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
START = 1_788_343_190_000
LOG = NoteSigner("logboek.example/log", bytes(range(32)))
SHOWN = Logregel(
    trace_id=TRACE,
    span_id=b"\x01" * 8,
    parent_span_id=b"\x02" * 8,
    status=Status.OK,
    name="zoekt kenteken",
    start_time_ms=START,
    end_time_ms=START + 5,
    processing_activity_id="https://register.example/kentekens",
    external_read_api_id="https://elders.example/lezenapi/v1",
    resource='{"service.name":"kentekens"}',
)


def proof_of(record: Logregel, *, signer: NoteSigner = LOG, logged: bool = True) -> bytes:
    """The proof of a record that is alone in its batch and in its log."""
    writer = "0123456789abcdef"
    sealed = Sealer(NoteSigner(SEALER_NAME, bytes(32))).seal(writer, (0,), [record], START)
    content, nonce = record_bytes(record, writer, 0), nonce_of(sealed.salts, 0)
    assert sealed.manifest.root == leaf_of(nonce, content)
    note = signer.sign(Checkpoint(signer.key.name, 1, leaf_hash(sealed.manifest.text.encode())).text)
    log = str(LogProof(0, (), note)) if logged else ""
    proof = RecordProof(format=FORMAT, record=content, nonce=nonce, index=0, path=(), manifest=sealed.note, log=log)
    return encode_proof(proof)


class Proofs:
    """A party that gives these proofs, or none."""

    def __init__(self, *contents: bytes, failure: PartyFailed | None = None, seconds: float = 0) -> None:
        self._contents = contents
        self._failure = failure
        self._seconds = seconds

    async def proofs_of(self, trace_id: bytes) -> list[bytes]:
        """Answer for the one trace."""
        await asyncio.sleep(self._seconds)
        if self._failure is not None:
            raise self._failure
        return list(self._contents) if trace_id == TRACE else []


def proven(source: Proofs, *shown: Logregel, keys: tuple[NoteKey, ...] = (LOG.key,)) -> PartyProofs:
    """What comes of the part of a party that showed these records."""
    chain = Chain(
        trace_id=TRACE,
        parties=[Party(url="https://rdw.example/v1", state=PartyState.REACHED)],
        logregels=[ChainLogregel(party=0, logregel=record) for record in shown],
        complete=True,
    )
    return asyncio.run(prove_chain(chain, {0: ProvingParty(source, keys)}, seconds=2))[0]


def test_what_was_shown_is_proven_by_an_equal_record() -> None:
    """With what the read API leaves out beside it: that is in the proof, and not in the answer."""
    whole = msgspec.structs.replace(SHOWN, data_subject_id=b"d" * 16, data_subject_id_type="BSN", key_id="2026")
    outcome = proven(Proofs(proof_of(whole)), SHOWN)
    assert (outcome.state, outcome.records, outcome.proven) == (ProofState.PROVEN, 1, 1)
    assert outcome.signers == (LOG.key.name,)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "zoekt adres"},
        {"status": Status.ERROR},
        {"start_time_ms": START + 1},
        {"end_time_ms": START + 6},
        {"span_id": b"\x03" * 8},
        {"parent_span_id": b""},
        {"processing_activity_id": "https://register.example/adressen"},
        {"external_read_api_id": ""},
        {"resource": '{"service.name":"adressen"}'},
        {"outbound_span_ids": (b"\x04" * 8,)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_proof_of_another_record_proves_nothing(change: dict[str, Any]) -> None:
    """It holds, and is about a record that differs in one value from what was shown."""
    outcome = proven(Proofs(proof_of(SHOWN)), msgspec.structs.replace(SHOWN, **change))
    assert (outcome.state, outcome.proven) == (ProofState.UNPROVEN, 0)
    assert "of 1 records there is no proof of what it showed" in outcome.detail


def test_each_record_needs_its_own_proof() -> None:
    """One that is proven says nothing of the others."""
    other = msgspec.structs.replace(SHOWN, span_id=b"\x05" * 8)
    outcome = proven(Proofs(proof_of(SHOWN)), SHOWN, other)
    assert (outcome.state, outcome.records, outcome.proven) == (ProofState.UNPROVEN, 2, 1)
    assert proven(Proofs(proof_of(SHOWN), proof_of(other)), SHOWN, other).state is ProofState.PROVEN


def test_keys_come_from_the_reader_alone() -> None:
    """Without one nothing is proven, and what another key signed is of somebody else."""
    stranger = NoteSigner("elsewhere", bytes(range(1, 33)))
    assert "log_keys" in proven(Proofs(proof_of(SHOWN)), SHOWN, keys=()).detail
    contradicted = proven(Proofs(proof_of(SHOWN, signer=stranger)), SHOWN)
    assert (contradicted.state, contradicted.proven) == (ProofState.CONTRADICTED, 0)
    assert proven(Proofs(b"{}"), SHOWN).state is ProofState.CONTRADICTED
    assert proven(Proofs(proof_of(SHOWN).replace(b'"index": 0', b'"index": 1')), SHOWN).state is ProofState.CONTRADICTED


def test_what_is_in_no_checkpoint_is_not_proven() -> None:
    """Only the sealer's own key speaks for it, which no reader has."""
    outcome = proven(Proofs(proof_of(SHOWN, logged=False)), SHOWN)
    assert outcome.state is ProofState.UNPROVEN
    assert "1 proofs are in no checkpoint yet" in outcome.detail


def test_a_party_without_proofs_is_named_with_its_reason() -> None:
    """One that has none, one that refuses, one that hangs, and one that could not be asked for records either."""
    none = Proofs(failure=PartyFailed(PartyState.NO_API, "it gives no proofs"))
    assert proven(none, SHOWN) == PartyProofs(
        party=0, state=ProofState.UNPROVEN, records=1, detail="it gives no proofs"
    )
    refused = Proofs(failure=PartyFailed(PartyState.REFUSED, "no proofs for us"))
    assert proven(refused, SHOWN).state is ProofState.UNREACHABLE
    assert "no proofs within 2 s" in proven(Proofs(seconds=60), SHOWN).detail
    away = Party(url="https://rdw.example/v1", state=PartyState.UNREACHABLE, detail="no answer", complete=False)
    chain = Chain(trace_id=TRACE, parties=[away], logregels=[], complete=False)
    assert asyncio.run(prove_chain(chain, {})) == [
        PartyProofs(party=0, state=ProofState.UNREACHABLE, records=0, detail="no answer")
    ]


class Organisations:
    """Two organisations with a sealed Logboek each; the second is asked by the first."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.issuer = Issuer(directory)
        self.directory = directory
        self.settings: dict[str, Settings] = {}
        self.processes: dict[str, LogboekProcess] = {}
        for name in ("gemeente", "rdw"):
            process = self.processes[name] = stack.enter_context(LogboekProcess(directory / name))
            add_key(directory / f"{name}.keys.json")
            address = LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=process.port, database="ldv")
            (directory / f"{name}.key").mkdir(mode=0o700)
            made = Settings(logboek=address, keys=directory / f"{name}.keys.json")
            self.settings[name] = with_seal_key(made, directory / f"{name}.key")
            apply_schema(self.settings[name])
        self.rdw = stack.enter_context(
            ServeProcess(environ_of(self.settings["rdw"]) | self.issuer.environ, log=directory / "rdw.log")
        )
        self.log("gemeente", "vraagt kenteken", 1, external_read_api_id=self.rdw.base)
        self.log("rdw", "zoekt kenteken", 2, parent_span_id=b"\x01" * 8)

    def log(self, name: str, what: str, number: int, **fields: Any) -> None:
        """Store a record, and make a checkpoint."""
        settings = self.settings[name]
        record = Logregel(
            trace_id=TRACE, span_id=bytes([number] * 8), name=what, start_time_ms=START + number,
            end_time_ms=START + number + 5, processing_activity_id="https://register.example/kentekens", **fields,
        )  # fmt: skip
        sink = ClickHouseSink(settings)
        sink.open()
        sink.send(number_batch(new_writer_id(), 0, [record]))
        sink.close()
        with LogboekClient(settings) as client:
            seal(client, self.signer(name))

    def signer(self, name: str) -> NoteSigner:
        """The key of an organisation's log."""
        path = self.settings[name].seal_key
        assert path is not None
        return log_signer(read_signer(path, "LDV_SEAL_KEY"))

    def chain(self, scope: str, *options: str, log_keys: bool = True) -> tuple[int, dict[str, Any], str]:
        """What `ldv chain --verify` of the first organisation says, as JSON and for people."""
        (self.directory / "token").write_text(self.issuer.token(scope))
        party = {"url": self.rdw.base, "name": "RDW", "token_file": str(self.directory / "token")}
        keys = {"log_keys": [str(self.signer("rdw").key)]} if log_keys else {}
        file = self.directory / "parties.json"
        file.write_text(json.dumps({"read_apis": [party | keys]}))
        key = str(self.settings["gemeente"].seal_key)
        environ = environ_of(self.settings["gemeente"]) | {"LDV_PARTIES": str(file), "LDV_SEAL_KEY": key}
        command = [sys.executable, "-m", "ldv_otel._internal.cli", "chain", TRACE.hex(), "--verify", *options]
        as_json, shown = (
            subprocess.run([*command, *more], env=environ, capture_output=True, text=True, check=False)
            for more in (["--json"], [])
        )
        return as_json.returncode, json.loads(as_json.stdout), shown.stdout


@pytest.fixture(scope="module")
def organisations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Organisations]:
    """Both, for the tests below, the last of which changes a record."""
    with ExitStack() as stack:
        yield Organisations(tmp_path_factory.mktemp("proofs"), stack)


def test_a_chain_over_two_organisations_is_proven(organisations: Organisations) -> None:
    """Each by its own log, with the key that the reader has of it."""
    code, content, shown = organisations.chain("ldv:read ldv:proof")
    assert code == 0, content
    assert [(each["state"], each["records"], each["proven"]) for each in content["proofs"]] == [("proven", 1, 1)] * 2
    assert content["proofs"][1]["signers"] == [organisations.signer("rdw").key.name]
    assert "RDW: bewezen, 1 van 1 logregels, getekend door ldv-logboek/" in shown


def test_proofs_take_a_right_and_a_key(organisations: Organisations) -> None:
    """Without the first the other party refuses, without the second nothing is believed."""
    code, content, shown = organisations.chain("ldv:read")
    assert (code, content["proofs"][1]["state"]) == (3, "unreachable")
    assert "it takes ldv:proof" in shown
    code, content, _ = organisations.chain("ldv:read ldv:proof", log_keys=False)
    assert (code, content["proofs"][1]["state"], content["proofs"][0]["state"]) == (3, "unproven", "proven")
    other = str(NoteSigner("elsewhere", bytes(range(1, 33))).key)
    code, content, shown = organisations.chain("ldv:read ldv:proof", "--key", other)
    assert (code, content["proofs"][0]["state"]) == (1, "contradicted")
    assert "dit Logboek: BEWIJS KLOPT NIET" in shown


def test_the_server_gives_proofs_of_what_the_client_may_see(organisations: Organisations) -> None:
    """Of one trace, in pages, and of no other shape of question."""
    url = f"{organisations.rdw.base}/proofs"
    headers = {"Authorization": f"Bearer {organisations.issuer.token('ldv:read ldv:proof')}"}
    answer = httpx.get(url, params={"traceId": TRACE.hex()}, headers=headers, timeout=30)
    assert (answer.status_code, len(answer.json()["proofs"])) == (200, 1)
    assert 'rel="last"' in answer.headers["link"]
    assert httpx.get(url, params={"traceId": "11" * 16}, headers=headers, timeout=30).json() == {"proofs": []}
    for parameters in ({}, {"traceId": "x"}, {"traceId": TRACE.hex(), "all": "1"}):
        assert httpx.get(url, params=parameters, headers=headers, timeout=30).status_code == 400
    reading = {"Authorization": f"Bearer {organisations.issuer.token('ldv:read')}"}
    assert httpx.get(url, params={"traceId": TRACE.hex()}, headers=reading, timeout=30).status_code == 403


def test_a_record_that_was_changed_at_another_organisation_is_not_proven(organisations: Organisations) -> None:
    """It shows the changed one, and has no proof of that."""
    change = "ALTER TABLE ldv.logregel UPDATE name = 'zoekt niets' WHERE 1 SETTINGS mutations_sync = 1"
    organisations.processes["rdw"].directly(change)
    code, content, shown = organisations.chain("ldv:read ldv:proof")
    assert "zoekt niets" in shown
    assert (code, content["proofs"][1]["state"], content["proofs"][1]["proven"]) == (3, "unproven", 0)
    assert content["proofs"][0]["state"] == "proven"
