"""Asking witnesses to cosign a checkpoint (https://c2sp.org/tlog-witness), and what each of them came to.

What a witness answers is believed as far as its key signed it. What it says without a signature, that it has seen more
or something else of this log, is a reason for a person to look, under its name. Anything else it may answer is as good
as no answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from ldv_otel._internal.config.tls import tls_context
from ldv_otel._internal.tamper.checkpoint import Checkpoint, number
from ldv_otel._internal.tamper.note import NoteError, NoteSignature, SignedNote
from ldv_otel._internal.tamper.tree import consistency_proof
from ldv_otel._internal.tamper.witness import SIZE_TYPE, WitnessRequest
from ldv_otel._internal.tamper.witness_files import KnownWitness
from ldv_otel.errors import ConfigurationError

if TYPE_CHECKING:
    import httpx

#: For all of them together, which are asked at the same time.
ASKING_SECONDS: Final = 10.0
_MOST_ANSWER_BYTES: Final = 16 * 1024
#: What a witness has seen, and what it has seen meanwhile by another process of ours.
_ATTEMPTS: Final = 3
_REFUSALS: Final = {
    HTTPStatus.NOT_FOUND: "it does not witness this log, or is not at this address; give it the key of the log",
    HTTPStatus.FORBIDDEN: "it knows another key of this log; give it the one that `ldv seal` shows",
}


class WitnessState(StrEnum):
    """What came of asking a witness."""

    COSIGNED = "cosigned"
    #: It has cosigned a larger log of this name: the one here was cut or rolled back.
    AHEAD = "ahead"
    #: It has cosigned a log of this name that is another one.
    FORKED = "forked"
    REFUSED = "refused"
    #: It does not answer, or not as a witness does.
    UNREACHABLE = "unreachable"


class WitnessOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking one witness.

    Attributes:
        witness: The name of its key.
        detail: Why it did not cosign; never anything of its answer but a number.
        size: How many entries it says it has seen, where it says so.
        cosignature: Checked.
    """

    witness: str
    state: WitnessState
    detail: str = ""
    size: int | None = None
    cosignature: NoteSignature | None = None

    @property
    def sentence(self) -> str:
        """What a person reads."""
        return f"{self.witness}: {self.state}" + (f" ({self.detail})" if self.detail else "")


class ShownLog(msgspec.Struct, frozen=True):
    """What witnesses are shown of a log.

    Attributes:
        note: Its checkpoint.
        leaves: Hashes of the entries that the checkpoint is of; None where they are not there, so that it can only be
            compared with what a witness has of this size.
        last_seen: By the names of witnesses, the size of the last checkpoint that each cosigned as far as is known.
    """

    note: SignedNote
    leaves: Sequence[bytes] | None
    last_seen: Mapping[str, int]

    @property
    def size(self) -> int:
        """The size of the checkpoint."""
        return Checkpoint.parse(self.note.text).size

    def first_size(self, witness: str) -> int:
        """Return the size from which a witness is shown that the log goes on."""
        return self.size if self.leaves is None else min(self.last_seen.get(witness, 0), self.size)

    def request(self, earlier: int) -> WitnessRequest:
        """Return what a witness is sent that has seen so many entries."""
        leaves = self.leaves
        path = () if leaves is None else tuple(consistency_proof(leaves[: self.size], earlier))
        return WitnessRequest(earlier, path, self.note)


def ask_witnesses(
    witnesses: Sequence[KnownWitness], shown: ShownLog, *, proxy: str = "", seconds: float = ASKING_SECONDS
) -> list[WitnessOutcome]:
    """Ask all of some witnesses at once to cosign a checkpoint, and wait so long for them.

    Raises:
        ConfigurationError: What asks is not installed, or a file that the list names cannot be used.
    """
    try:
        from ldv_otel._internal.http.outgoing import async_client
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"Asking witnesses needs {error.name}, which is not installed. Run `pip install 'ldv-otel[cli]'`."
        ) from error
    contexts = [
        tls_context(each.ca_file or None, None, named_by=f"LDV_WITNESSES: ca_file of {each.url}") for each in witnesses
    ]

    async def bounded(index: int) -> WitnessOutcome:
        witness = witnesses[index]
        try:
            async with (
                asyncio.timeout(seconds),
                async_client(witness.url, proxy, tls=contexts[index], timeout=seconds) as client,
            ):
                return WitnessOutcome(
                    witness=witness.note_key.name,
                    state=WitnessState.COSIGNED,
                    cosignature=await _cosignature(client, witness, shown),
                )
        except TimeoutError:
            refusal = _NotCosigned(WitnessState.UNREACHABLE, f"no answer within {seconds:g} s")
        except _NotCosigned as reason:
            refusal = reason
        return WitnessOutcome(
            witness=witness.note_key.name, state=refusal.state, detail=refusal.detail, size=refusal.size
        )

    async def all_of_them() -> list[WitnessOutcome]:
        return list(await asyncio.gather(*map(bounded, range(len(witnesses)))))

    return asyncio.run(all_of_them())


class _NotCosigned(Exception):  # never leaves this module
    """A witness does not cosign, or there is none at its address."""

    def __init__(self, state: WitnessState, detail: str, size: int | None = None) -> None:
        super().__init__(detail)
        self.state = state
        self.detail = detail
        self.size = size


class _WitnessResponse(NamedTuple):
    status: int
    content_type: str
    content: bytes


async def _cosignature(client: httpx.AsyncClient, witness: KnownWitness, shown: ShownLog) -> NoteSignature:
    """Return the cosignature of a witness, showing it what it has not seen.

    Raises:
        _NotCosigned: It gives none.
    """
    earlier = shown.first_size(witness.note_key.name)
    for _ in range(_ATTEMPTS):
        answer = await _exchange(client, witness, str(shown.request(earlier)))
        if answer.status == HTTPStatus.OK:
            return _checked(witness, shown.note, answer.content)
        held = _held(answer, shown.size, earlier)
        if shown.leaves is None and held != shown.size:
            detail = f"it has cosigned {held} entries, and the log here is not whole, so nothing can be shown to it"
            raise _NotCosigned(WitnessState.REFUSED, detail)
        earlier = held
    raise _NotCosigned(WitnessState.UNREACHABLE, "it names another size each time")


def _held(answer: _WitnessResponse, size: int, earlier: int) -> int:
    """Return which size a witness has, where it can be shown that the log goes on from there.

    Raises:
        _NotCosigned: It cannot, or the witness does not say.
    """
    if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY and earlier:
        detail = f"it has cosigned a log whose first {earlier} entries are others"
        raise _NotCosigned(WitnessState.FORKED, detail, earlier)
    if answer.status in _REFUSALS:
        raise _NotCosigned(WitnessState.REFUSED, _REFUSALS[HTTPStatus(answer.status)])
    if answer.status != HTTPStatus.CONFLICT or answer.content_type != SIZE_TYPE:
        raise _NotCosigned(WitnessState.UNREACHABLE, f"HTTP status {answer.status}")
    try:
        held = number(answer.content.decode("ascii").removesuffix("\n"))
    except (NoteError, UnicodeDecodeError):
        raise _NotCosigned(WitnessState.UNREACHABLE, "it names no size") from None
    if held > size:
        detail = f"it has cosigned {held} entries of this log, and here are {size}"
        raise _NotCosigned(WitnessState.AHEAD, detail, held)
    if held == earlier == size:
        detail = f"it has cosigned another log of {held} entries under this name"
        raise _NotCosigned(WitnessState.FORKED, detail, held)
    return held


async def _exchange(client: httpx.AsyncClient, witness: KnownWitness, body: str) -> _WitnessResponse:
    import httpx

    from ldv_otel._internal.http.bounded_answers import UnreadableAnswerError, content_of

    try:
        async with client.stream("POST", f"{witness.url.rstrip('/')}/add-checkpoint", content=body.encode()) as answer:
            content = await content_of(answer, _MOST_ANSWER_BYTES)
            return _WitnessResponse(answer.status_code, answer.headers.get("content-type", ""), content)
    except UnreadableAnswerError:
        raise _NotCosigned(WitnessState.UNREACHABLE, "its answer is too long, or packed") from None
    except httpx.HTTPError as error:
        raise _NotCosigned(WitnessState.UNREACHABLE, type(error).__name__) from None


def _checked(witness: KnownWitness, note: SignedNote, content: bytes) -> NoteSignature:
    """Return the cosignature in an answer.

    Raises:
        _NotCosigned: There is none of the witness's key, or it is wrong.
    """
    key = witness.note_key
    try:
        answer = SignedNote.parse(f"{note.text}\n".encode() + content)
        signature = answer.signature_of(key)
        if signature is not None and answer.signed_by([key]):
            return signature
    except NoteError:
        raise _NotCosigned(WitnessState.UNREACHABLE, "its cosignature is wrong") from None
    raise _NotCosigned(WitnessState.UNREACHABLE, "its answer has no cosignature of its key")
