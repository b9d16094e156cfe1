"""Whether the records of a chain are proven: by proofs of each party that hold for the very records that it showed.

A proof shows a record whole. So what it shows is put in the form of the read API and read as the answer was read, and
has to be equal to what stands in the chain. The keys come from the file of parties: a key that a party names itself
would prove nothing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

import msgspec

from ldv_otel._internal.chain.answers import read_answer
from ldv_otel._internal.chain.model import Chain, PartyState
from ldv_otel._internal.chain.remote import Remotes
from ldv_otel._internal.chain.source import PartyFailed
from ldv_otel._internal.parties.read_api_paths import api_base
from ldv_otel._internal.record.identity import content_key
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.record.read_form import data_processing_operation, processing_activity
from ldv_otel._internal.tamper.note import NoteError, NoteKey
from ldv_otel._internal.tamper.proof import BadProof, ProvenRecord, check_proof
from ldv_otel.errors import ConfigurationError

#: Traces of one party whose proofs are asked for: as many as a chain can have questions.
_MOST_TRACES: Final = 100


class ProofState(StrEnum):
    """Whether what a party showed is proven."""

    #: All of it, by a key that is known as the party's or as a witness's.
    PROVEN = "proven"
    UNPROVEN = "unproven"
    #: It gave something as a proof that does not hold.
    CONTRADICTED = "contradicted"
    #: It could not be asked for proofs, or not for records.
    UNREACHABLE = "unreachable"


class PartyProofs(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one party's part of a chain is proven.

    Attributes:
        party: Its index in `Chain.parties`.
        records: How many records it showed.
        proven: Of how many of them there is a proof that holds.
        signers: Names of known keys that signed the checkpoints of all of these.
        seen_seconds: When the last of these checkpoints was signed, in s since 1970-01-01 UTC; None when none says so.
        detail: Why not all is proven, for people.
    """

    party: int
    state: ProofState
    records: int
    proven: int = 0
    signers: tuple[str, ...] = ()
    seen_seconds: int | None = None
    detail: str = ""


class ProofSource(Protocol):
    """One party's proofs."""

    async def proofs_of(self, trace_id: bytes) -> list[bytes]:
        """Return the proofs of the records of a trace that it gives.

        Raises:
            PartyFailed: It could not be asked; with `NO_API` it gives none.
        """
        ...


class ProvingParty(NamedTuple):
    """Where a party's proofs come from, and the keys that are known as its own or its witnesses'."""

    source: ProofSource
    keys: Sequence[NoteKey]


def proving_parties(chain: Chain, remotes: Remotes, own: ProvingParty) -> dict[int, ProvingParty]:
    """Return where proofs come from, by the indexes of parties: this Logboek, and those with a read API.

    Raises:
        ConfigurationError: A key in the file of parties is none.
    """
    parties = {}
    for index, party in enumerate(chain.parties):
        api = remotes.apis.get(api_base(party.url))
        if party.state is PartyState.THIS_LOGBOEK:
            parties[index] = own
        elif api is not None and api.offered:
            keys = note_keys(api.log_keys, f"LDV_PARTIES: log_keys of {party.url}")
            parties[index] = ProvingParty(remotes.open(api_base(party.url)), keys)
    return parties


async def prove_chain(chain: Chain, parties: Mapping[int, ProvingParty], *, seconds: float = 20.0) -> list[PartyProofs]:
    """Return of each party that showed records, or could not be asked, whether its part is proven.

    Args:
        parties: By index in `Chain.parties`; those that are not in it cannot be asked for proofs.
        seconds: The most time for each party; they are asked at the same time.
    """
    shown: dict[int, list[Logregel]] = defaultdict(list)
    for item in chain.logregels:
        shown[item.party].append(item.logregel)
    asked = [index for index, party in enumerate(chain.parties) if shown[index] or not party.complete]

    async def bounded(index: int) -> PartyProofs:
        party = parties.get(index)
        records = shown[index]
        if not records or party is None:
            state, words = chain.parties[index].state, chain.parties[index].detail
            return PartyProofs(party=index, state=ProofState.UNREACHABLE, records=len(records), detail=words or state)
        try:
            async with asyncio.timeout(seconds):
                return await _proofs_of(index, records, party)
        except TimeoutError:
            detail = f"no proofs within {seconds:g} s"
            return PartyProofs(party=index, state=ProofState.UNREACHABLE, records=len(records), detail=detail)

    return list(await asyncio.gather(*map(bounded, asked)))


def note_keys(texts: Collection[str], named_by: str) -> list[NoteKey]:
    """Return public keys as a file names them.

    Raises:
        ConfigurationError: One is none.
    """
    try:
        return [NoteKey.parse(text) for text in texts]
    except NoteError as error:
        raise ConfigurationError(f"{named_by}: a text is no public key ({error}). Nothing was checked.") from error


async def _proofs_of(index: int, records: Sequence[Logregel], party: ProvingParty) -> PartyProofs:
    traces = sorted({record.trace_id for record in records})
    contents: list[bytes] = []
    try:
        for trace_id in traces[:_MOST_TRACES]:
            contents += await party.source.proofs_of(trace_id)
    except PartyFailed as failure:
        state = ProofState.UNPROVEN if failure.state is PartyState.NO_API else ProofState.UNREACHABLE
        return PartyProofs(party=index, state=state, records=len(records), detail=failure.detail)
    try:
        proofs = await asyncio.to_thread(lambda: [check_proof(content, party.keys) for content in contents])
    except BadProof as error:
        return PartyProofs(party=index, state=ProofState.CONTRADICTED, records=len(records), detail=str(error))
    return _compared(index, records, proofs, has_keys=bool(party.keys))


def _compared(
    index: int, records: Sequence[Logregel], proofs: Sequence[ProvenRecord], *, has_keys: bool
) -> PartyProofs:
    by_form: dict[bytes, ProvenRecord] = {}
    unlogged = 0
    for proof in proofs:
        if proof.checkpoint is None:
            unlogged += 1
            continue
        for key in _shown_forms(proof.logregel):
            by_form[key] = proof
    proven = [by_form[key] for key in map(content_key, records) if key in by_form]
    complete = PartyProofs(party=index, state=ProofState.PROVEN, records=len(records), proven=len(proven))
    if not has_keys:
        detail = "nobody said which key its log has: give log_keys in LDV_PARTIES, or --key for this Logboek"
        return msgspec.structs.replace(complete, state=ProofState.UNPROVEN, proven=0, detail=detail)
    if len(proven) < len(records):
        detail = f"of {len(records) - len(proven)} records there is no proof of what it showed"
        if unlogged:
            detail += f"; {unlogged} proofs are in no checkpoint yet"
        return msgspec.structs.replace(complete, state=ProofState.UNPROVEN, detail=detail)
    signers = set.intersection(*({key.name for key in proof.signers} for proof in proven))
    seen = [proof.seen_seconds for proof in proven if proof.seen_seconds is not None]
    return msgspec.structs.replace(complete, signers=tuple(sorted(signers)), seen_seconds=max(seen, default=None))


def _shown_forms(record: Logregel) -> set[bytes]:
    """Return what an answer with this record says, in each form of the read API, and the record as it is."""
    answers = (
        {"dataProcessingOperations": [data_processing_operation(record)]},
        {"processingActivities": [processing_activity(record)]},
    )
    read = [each for answer in answers for each in read_answer(msgspec.json.encode(answer)).logregels]
    return {content_key(each) for each in (record, *read)}
