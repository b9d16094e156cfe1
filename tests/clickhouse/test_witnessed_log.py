"""A log with witnesses: cosignatures in checkpoints and proofs, and what they show that nothing else does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from threading import Event

import pytest

from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.verification.findings import FindingKind
from ldv_otel._internal.clickhouse.verification.manifest_log import SealResult, seal
from ldv_otel._internal.clickhouse.verification.prove import RecordId, prove_records
from ldv_otel._internal.clickhouse.verification.stored_log import read_current_log, read_log, read_tree
from ldv_otel._internal.clickhouse.verification.verify import Verification, verify, with_witnesses
from ldv_otel._internal.clickhouse.verification.witnessed_log import Witnesses, shown_log, stored_report
from ldv_otel._internal.tamper.checkpoint import Checkpoint
from ldv_otel._internal.tamper.note import NoteSigner, SignedNote
from ldv_otel._internal.tamper.place import DirectoryPlace
from ldv_otel._internal.tamper.proof import check_proof, encode_proof
from ldv_otel._internal.tamper.tree import EMPTY_ROOT
from ldv_otel._internal.tamper.witness import SIZE_TYPE, WitnessAnswer
from ldv_otel._internal.tamper.witness_client import WitnessState, ask_witnesses
from ldv_otel._internal.tamper.witness_files import KnownWitnesses
from tests.clickhouse.conftest import sealed_store
from tests.clickhouse.test_manifest_log import LoggedStore
from tests.support.witness_server import WitnessServer

_TABLES = ("logregel", "ldv_checkpoint")


class WitnessedStore(LoggedStore):
    """A Logboek whose log three others witness, of whom two are enough."""

    witnesses: list[WitnessServer]

    @property
    def known(self) -> KnownWitnesses:
        """The file of its witnesses."""
        return KnownWitnesses(witnesses=[each.known for each in self.witnesses], quorum=2)

    def sealed(self) -> SealResult:
        """Make a checkpoint, and have it witnessed."""
        return seal(self.client, self.signer(), [self.place], witnesses=Witnesses(self.known))

    def witnessed(self) -> Verification:
        """Verify, and ask the witnesses."""
        return with_witnesses(self.client, self.alone(), Witnesses(self.known))

    def alone(self) -> Verification:
        """Verify without asking anybody else."""
        return verify(self.client, keys=[self.signer().key.public])

    def keep(self) -> None:
        """Keep a copy of the tables, as a backup has it."""
        for table in _TABLES:
            self.run(f"CREATE TABLE {table}_kept AS {table}")
            self.run(f"INSERT INTO {table}_kept SELECT * FROM {table}")

    def put_back(self) -> None:
        """Make the tables what they were."""
        for table in _TABLES:
            self.run(f"TRUNCATE TABLE {table}")
            self.run(f"INSERT INTO {table} SELECT * FROM {table}_kept")


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WitnessedStore]:
    """A sealed Logboek with three batches, and its witnesses."""
    with sealed_store("chdb", request, tmp_path / "seal.key") as settings, ExitStack() as stack:
        sealed = WitnessedStore(settings)
        sealed.place = DirectoryPlace(tmp_path / "place")
        sealed.witnesses = [
            stack.enter_context(WitnessServer(tmp_path / f"witness-{number}", sealed.signer().key))
            for number in range(3)
        ]
        sealed.fill(3)
        yield sealed
        sealed.client.close()
        sealed.sink.close()


def states(result: SealResult) -> list[WitnessState]:
    """What came of asking each witness."""
    return [each.state for each in result.witnesses]


def refusal(_body: bytes) -> WitnessAnswer:
    """What a witness answers that does not know the log."""
    return WitnessAnswer(HTTPStatus.NOT_FOUND, "This log is not witnessed here.\n")


def test_checkpoints_carry_the_cosignatures_of_their_witnesses(store: WitnessedStore) -> None:
    """In the Logboek and in the second place; a later check asks them again, and says when they saw it."""
    assert states(store.sealed()) == [WitnessState.COSIGNED] * 3
    keys = [each.witness.key for each in store.witnesses]
    last, there = read_log(store.client).last, store.place.checkpoint()
    assert last is not None
    assert there is not None
    assert last.signed_by(keys) == there.signed_by(keys) == keys
    store.fill(2)
    assert states(store.sealed()) == [WitnessState.COSIGNED] * 3
    checked = store.witnessed()
    assert checked.complete
    report = checked.log.witnesses
    assert report is not None
    assert (report.cosigned, report.missing, report.quorum) == (tuple(key.name for key in keys), (), 2)
    assert report.seen_seconds is not None
    assert (len(read_log(store.client).entries), checked.log.size) == (5, 5)
    assert stored_report(read_log(store.client), store.known).enough


def test_a_proof_carries_them_too(store: WitnessedStore) -> None:
    """Who trusts a witness needs no word of the Logboek; what counts is the last checkpoint that is witnessed."""
    store.sealed()
    row = store.client.rows(
        Sql("SELECT trace_id, span_id, toString(writer_id), seq FROM logregel LIMIT 1"),
        bytes_columns=("trace_id", "span_id"),
    )[0]
    record = RecordId(bytes(row[0]), bytes(row[1]), row[2], row[3])
    store.fill(1)
    store.seal()
    for each in store.witnesses:
        proof = prove_records(store.client, [record])[record]
        assert proof is not None
        proven = check_proof(encode_proof(proof), [each.witness.key])
        assert [key.name for key in proven.signers] == [each.witness.key.name]
        assert proven.seen_seconds is not None
        assert proven.checkpoint is not None
        assert proven.checkpoint.size == 3


def test_the_end_of_a_log_is_the_end_of_the_whole(store: WitnessedStore) -> None:
    """With all entries, and the last checkpoint that is witnessed however many came after it."""
    store.sealed()
    store.fill(1)
    store.seal()
    store.run("INSERT INTO ldv_checkpoint (size, note) SELECT 4, 'no note' FROM numbers(600)")
    whole, end = read_log(store.client), read_current_log(store.client, witnessed=True)
    assert end.entries == whole.entries
    assert end.witnessed is not None
    assert end.witnessed == whole.witnessed
    assert read_current_log(store.client).witnessed is None


def test_a_log_that_was_rolled_back_is_found(store: WitnessedStore) -> None:
    """With the database, the key and the second place in one hand nothing else shows it."""
    store.sealed()
    store.keep()
    store.fill(2)
    store.sealed()
    store.put_back()
    assert store.alone().complete
    findings = store.witnessed().findings
    assert [each.kind for each in findings] == [FindingKind.LOG_CHANGED] * 3
    assert "it has cosigned 5 entries of this log, and here are 3" in findings[0].sentence
    # And so is the next checkpoint that the stolen key makes of it.
    result = seal(store.client, store.signer(), witnesses=Witnesses(store.known))
    assert states(result) == [WitnessState.AHEAD] * 3


def test_a_log_that_was_forked_to_two_readers_is_found(store: WitnessedStore) -> None:
    """Each reader has a whole Logboek, sealed with the right keys; the witnesses have seen one of the two."""
    store.sealed()
    store.keep()
    store.fill(2)
    store.sealed()
    assert store.witnessed().complete
    store.put_back()
    store.reopen()
    store.fill(2)
    result = seal(store.client, store.signer(), witnesses=Witnesses(store.known))
    assert states(result) == [WitnessState.FORKED] * 3
    assert store.alone().complete
    checked = store.witnessed()
    assert {each.kind for each in checked.findings} == {FindingKind.LOG_CHANGED, FindingKind.NOT_WITNESSED}
    assert not checked.ok
    # It grows beyond what they have seen, and is another one all the same.
    store.fill(3)
    assert states(seal(store.client, store.signer(), witnesses=Witnesses(store.known))) == [WitnessState.FORKED] * 3


def test_too_few_witnesses_are_no_tampering(store: WitnessedStore) -> None:
    """It is said what is missing, and of whom; with enough of them the others may be away."""
    store.witnesses[0].answer = refusal
    assert states(store.sealed()) == [WitnessState.REFUSED, WitnessState.COSIGNED, WitnessState.COSIGNED]
    checked = store.witnessed()
    assert checked.complete
    assert checked.log.witnesses is not None
    assert "it does not witness this log" in checked.log.witnesses.missing[0]
    store.witnesses[1].answer = refusal
    checked = store.witnessed()
    assert checked.complete, "what it cosigned is stored"
    assert checked.log.witnesses is not None
    assert len(checked.log.witnesses.silent) == 1
    store.fill(1)
    store.sealed()
    checked = store.witnessed()
    assert (checked.ok, [each.kind for each in checked.findings]) == (True, [FindingKind.NOT_WITNESSED])
    assert "1 of the 2 witnesses that it takes" in checked.findings[0].sentence


def test_without_a_checkpoint_nothing_is_witnessed(store: WitnessedStore) -> None:
    """Also where somebody took the log away."""
    store.sealed()
    store.run("TRUNCATE TABLE ldv_checkpoint")
    checked = store.witnessed()
    assert [each.kind for each in checked.findings] == [FindingKind.NOT_WITNESSED]
    assert "There is no checkpoint" in checked.findings[0].sentence
    assert not stored_report(read_log(store.client), store.known).enough


def test_a_seal_beside_the_check_is_no_alarm(store: WitnessedStore) -> None:
    """The witnesses have then seen more than the check read, and the log has it by now."""
    store.sealed()
    first = store.witnesses[0].witness.add_checkpoint
    sealed_beside: list[int] = []

    def slow(body: bytes) -> WitnessAnswer:
        if not sealed_beside:
            sealed_beside.append(1)
            store.witnesses[0].answer = first
            store.fill(1)
            store.sealed()
        return first(body)

    store.witnesses[0].answer = slow
    assert store.witnessed().complete
    assert len(read_log(store.client).entries) == 4


def nonsense(store: WitnessedStore) -> dict[str, WitnessAnswer]:
    """Answers that are none of a witness."""
    last = read_log(store.client).last
    assert last is not None
    stranger = NoteSigner("stranger", bytes(32))
    own = store.witnesses[0].witness.key
    forged = str(stranger.cosign(last.text, 5)).replace("stranger", own.name)
    other = Checkpoint(store.signer().key.name, 3, EMPTY_ROOT).text
    return {
        "empty": WitnessAnswer(200, ""),
        "html": WitnessAnswer(200, "<html>Log in</html>\n", "text/html"),
        "of another key": WitnessAnswer(200, f"{stranger.cosign(last.text, 5)}\n"),
        "under its name": WitnessAnswer(200, f"{forged}\n"),
        "of another checkpoint": WitnessAnswer(200, f"{stranger.cosign(other, 5)}\n"),
        "too long": WitnessAnswer(200, "x" * 100_000),
        "no size": WitnessAnswer(409, "many\n", SIZE_TYPE),
        "size of another type": WitnessAnswer(409, "3\n"),
        "negative": WitnessAnswer(409, "-3\n", SIZE_TYPE),
        "error": WitnessAnswer(500, "oops"),
        "elsewhere": WitnessAnswer(302, ""),
    }


def always(answer: WitnessAnswer) -> Callable[[bytes], WitnessAnswer]:
    """What gives one answer to everything."""
    return lambda _body: answer


def test_what_answers_nonsense_is_unreachable(store: WitnessedStore) -> None:
    """It counts for nothing, and no word of its answer is repeated."""
    store.seal()
    log = read_log(store.client)
    tree = read_tree(store.client, log)
    assert tree is not None
    assert log.last is not None
    shown = shown_log(log, log.last, tree.leaves, store.known)
    for name, answer in nonsense(store).items():
        store.witnesses[0].answer = always(answer)
        outcome = ask_witnesses([store.witnesses[0].known], shown)[0]
        assert (name, outcome.state, outcome.cosignature) == (name, WitnessState.UNREACHABLE, None)
        # A size alone may stand in the name of its key too.
        assert len(answer.content) < 4 or answer.content.strip() not in outcome.sentence
    sizes = iter("012012012")
    store.witnesses[0].answer = lambda _body: WitnessAnswer(409, f"{next(sizes)}\n", SIZE_TYPE)
    assert "another size each time" in ask_witnesses([store.witnesses[0].known], shown)[0].detail


def test_a_witness_that_hangs_holds_nothing_up(store: WitnessedStore) -> None:
    """All are asked at once, within one bound; the others' cosignatures count."""
    store.seal()
    let_go = Event()

    def hang(_body: bytes) -> WitnessAnswer:
        let_go.wait(60)
        return refusal(b"")

    store.witnesses[0].answer = hang
    log = read_log(store.client)
    tree = read_tree(store.client, log)
    assert tree is not None
    assert log.last is not None
    outcomes = ask_witnesses(store.known.witnesses, shown_log(log, log.last, tree.leaves, store.known), seconds=2)
    let_go.set()
    assert [each.state for each in outcomes] == [WitnessState.UNREACHABLE, WitnessState.COSIGNED, WitnessState.COSIGNED]
    assert "no answer within 2 s" in outcomes[0].sentence


def test_a_forged_cosignature_in_the_logboek_counts_for_nothing(store: WitnessedStore) -> None:
    """Whoever may write to the table can put any line there."""
    store.seal()
    last = read_log(store.client).last
    assert last is not None
    stranger = NoteSigner("stranger", bytes(32))
    forged = [str(stranger.cosign(last.text, 5)).replace("stranger", each.witness.key.name) for each in store.witnesses]
    note = str(SignedNote(last.text, last.signatures)) + "".join(f"{line}\n" for line in forged)
    store.run(f"INSERT INTO ldv_checkpoint (size, note) SELECT 3, '{note}'")
    assert not stored_report(read_log(store.client), store.known).enough


def test_a_log_that_is_not_whole_is_compared_where_it_can_be(store: WitnessedStore) -> None:
    """Its entries are missing here, so it can only be asked about what the witness has of this very size."""
    store.sealed()
    store.run("ALTER TABLE logregel DELETE WHERE manifest != ''")
    checked = store.witnessed()
    assert FindingKind.MANIFEST_REMOVED in {each.kind for each in checked.findings}
    assert checked.log.witnesses is not None
    assert len(checked.log.witnesses.cosigned) == 3
