"""A witness for logs of others (https://c2sp.org/tlog-witness): it cosigns what continues the last that it cosigned.

For each log it remembers one checkpoint, on disk before it signs, and never goes back behind that. So whoever has the
database and every key of a Logboek cannot show two histories that both carry a cosignature of one witness.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec

from ldv_otel._internal.config.home_directories import NoHomeDirectory, home_directory
from ldv_otel._internal.config.private_directories import make_directory, sync_directory
from ldv_otel._internal.config.private_files import make_private_file, read_private_file, replace_private_file
from ldv_otel._internal.tamper.checkpoint import Checkpoint, hash_of, number
from ldv_otel._internal.tamper.note import NoteError, NoteKey, NoteSigner, SignedNote, base64_of, cosigner
from ldv_otel._internal.tamper.signing_key import make_signer, read_signer
from ldv_otel._internal.tamper.tree import EMPTY_ROOT, ProofError, check_consistency
from ldv_otel._internal.tamper.witness_files import read_witnessed_logs
from ldv_otel.errors import ConfigurationError

_logger = logging.getLogger(__name__)

VARIABLE: Final = "LDV_WITNESS_STATE"
SIZE_TYPE: Final = "text/x.tlog.size"
#: A checkpoint with some signatures and the longest proof is a tenth of this.
MOST_BODY_BYTES: Final = 32 * 1024

_TEXT_TYPE: Final = "text/plain; charset=utf-8"
_KEY_NAME: Final = "ldv-witness"
_KEY_FILE: Final = "witness.key"
_LONGEST_PROOF: Final = 63


class WitnessRequest(msgspec.Struct, frozen=True):
    """What a log sends to a witness.

    Attributes:
        earlier: The size of the checkpoint that the proof begins at.
        path: That the checkpoint of the note continues that one.
    """

    earlier: int
    path: tuple[bytes, ...]
    note: SignedNote

    def __str__(self) -> str:
        """The body of the request."""
        lines = "".join(f"{base64_of(node)}\n" for node in self.path)
        return f"old {self.earlier}\n{lines}\n{self.note}"

    @classmethod
    def parse(cls, body: bytes) -> WitnessRequest:
        """Return the parts of a request.

        Raises:
            NoteError: It is none.
        """
        if len(body) > MOST_BODY_BYTES:
            raise NoteError("it is too long")
        head, separator, note = body.partition(b"\n\n")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            raise NoteError("it has something else than a size and hashes before the checkpoint") from None
        first = lines.pop(0)
        if not separator or not first.startswith("old ") or len(lines) > _LONGEST_PROOF:
            raise NoteError("it is no size, proof and checkpoint with an empty line between")
        return cls(number(first.removeprefix("old ")), tuple(map(hash_of, lines)), SignedNote.parse(note))


class WitnessAnswer(msgspec.Struct, frozen=True):
    """What a witness answers.

    Attributes:
        status: Of HTTP.
    """

    status: int
    content: str
    content_type: str = _TEXT_TYPE


class SeenCheckpoint(msgspec.Struct, frozen=True):
    """The last checkpoint of a log that a witness cosigned.

    Attributes:
        note: As the log signed it.
        forked: Whether the log also signed another checkpoint of one size; that one is kept as evidence.
    """

    checkpoint: Checkpoint
    note: SignedNote
    forked: bool


class Witness:
    """A witness with what it remembers, in a directory of its own; several processes may share it.

    Args:
        signer: Made by `witness_signer`.
        logs: The keys of each log that is witnessed, by its origin.
        directory: Where its memory is. Its key is there too, so that who loses the memory loses the key with it, and
            no witness that has forgotten signs under the old name.
        now_seconds: Since 1970-01-01 UTC.
    """

    def __init__(
        self,
        signer: NoteSigner,
        logs: Mapping[str, Sequence[NoteKey]],
        directory: Path,
        *,
        now_seconds: Callable[[], float] = time.time,
    ) -> None:
        self._signer = signer
        self._directory = directory
        self._now_seconds = now_seconds
        self.logs = logs

    @property
    def key(self) -> NoteKey:
        """The public key with which it cosigns."""
        return cosigner(self._signer.key)

    def add_checkpoint(self, body: bytes) -> WitnessAnswer:
        """Cosign a checkpoint that continues the last one of its log, or say why not; it is on disk before that.

        Args:
            body: As the standard has it.

        Raises:
            ConfigurationError: The memory cannot be read or written; nothing was signed.
        """
        try:
            request = WitnessRequest.parse(body)
            checkpoint = Checkpoint.parse(request.note.text)
        except NoteError as error:
            return _refusal(HTTPStatus.BAD_REQUEST, f"The request cannot be read: {error}.")
        keys = self.logs.get(checkpoint.origin)
        if keys is None:
            return _refusal(HTTPStatus.NOT_FOUND, "This log is not witnessed here.")
        try:
            signers = request.note.signed_by(keys)
        except NoteError:
            signers = []
        if not signers:
            return _refusal(HTTPStatus.FORBIDDEN, "No key of this log signed the checkpoint.")
        if request.earlier > checkpoint.size:
            return _refusal(HTTPStatus.BAD_REQUEST, "The old size is larger than the checkpoint.")
        try:
            return self._continue(request, checkpoint)
        except OSError as error:
            raise ConfigurationError(
                f"{VARIABLE}: what this witness remembers in {self._directory} cannot be written ({error.strerror}). "
                "Nothing was signed. Make room there, or let it belong to this user."
            ) from error

    def _continue(self, request: WitnessRequest, checkpoint: Checkpoint) -> WitnessAnswer:
        with self._alone(checkpoint.origin):
            seen = self.seen(checkpoint.origin)
            before = Checkpoint(checkpoint.origin, 0, EMPTY_ROOT) if seen is None else seen.checkpoint
            if request.earlier != before.size:
                return WitnessAnswer(HTTPStatus.CONFLICT, f"{before.size}\n", SIZE_TYPE)
            if checkpoint.size == before.size and checkpoint.root != before.root:
                self._keep_fork(request.note, checkpoint)
                return WitnessAnswer(HTTPStatus.CONFLICT, f"{before.size}\n", SIZE_TYPE)
            try:
                check_consistency(before.size, before.root, checkpoint.size, checkpoint.root, request.path)
            except ProofError as error:
                return _refusal(
                    HTTPStatus.UNPROCESSABLE_ENTITY, f"It is not shown to continue the last checkpoint: {error}."
                )
            path = self._file(checkpoint.origin)
            replace_private_file(path, str(request.note).encode())
            # Only now: what a power cut could take back must not have been signed.
            sync_directory(path.parent)
            return WitnessAnswer(HTTPStatus.OK, f"{self._signer.cosign(request.note.text, int(self._now_seconds()))}\n")

    def _keep_fork(self, note: SignedNote, checkpoint: Checkpoint) -> None:
        """Keep the first checkpoint that the log's own key signed beside the one that was cosigned: two histories."""
        if make_private_file(self._file(checkpoint.origin, ".fork"), str(note).encode()):
            _logger.error(
                "The log %s signed two checkpoints of %d entries with different roots. The second was not cosigned, "
                "and is kept in %s. Tell who keeps that Logboek, and who reads it.",
                checkpoint.origin,
                checkpoint.size,
                self._file(checkpoint.origin, ".fork"),
            )

    def seen(self, origin: str) -> SeenCheckpoint | None:
        """Return the last checkpoint of a log that was cosigned; None when there was none.

        Raises:
            ConfigurationError: What is there cannot be read, or is none.
        """
        path = self._file(origin)
        try:
            note = SignedNote.parse(read_private_file(path, VARIABLE))
            checkpoint = Checkpoint.parse(note.text)
        except FileNotFoundError:
            return None
        except (OSError, NoteError) as error:
            raise ConfigurationError(
                f"{VARIABLE}: {path}, the last checkpoint of the log {origin}, cannot be read ({error}). Nothing was "
                "signed. Put it back from where the log or its readers have it; without it this witness cannot tell "
                "whether the log goes on."
            ) from error
        return SeenCheckpoint(checkpoint, note, self._file(origin, ".fork").exists())

    def _file(self, origin: str, ending: str = "") -> Path:
        # A hash: an origin may have anything in it.
        return self._directory / f"{hashlib.sha256(origin.encode()).hexdigest()}{ending}"

    @contextmanager
    def _alone(self, origin: str) -> Iterator[None]:
        """Keep other threads and processes from the memory of a log."""
        make_directory(self._directory)
        # By descriptor and not by process, so that two threads wait for one another too.
        descriptor = os.open(self._file(origin, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def witness_signer(directory: Path) -> NoteSigner:
    """Return the key of the witness of a directory, made when there is none; its name is made of it.

    Raises:
        ConfigurationError: It cannot be made or read.
    """
    path = directory / _KEY_FILE
    signer = read_signer(path, VARIABLE) if path.exists() else make_signer(path, _KEY_NAME, VARIABLE)
    return signer.renamed(f"{_KEY_NAME}/{signer.key.public.hex()[:16]}")


def open_witness(logs: Path, directory: Path | None, state: Path | None) -> Witness:
    """Return the witness of this machine.

    Args:
        logs: `LDV_WITNESS_LOGS`.
        directory: `LDV_WITNESS_STATE`; None for one in `LDV_STATE`.
        state: `LDV_STATE`; None for that of this user.

    Raises:
        ConfigurationError: There is no place for its memory, or a file cannot be used.
    """
    if directory is None:
        try:
            directory = (state or home_directory("state")) / "witness"
        except NoHomeDirectory as error:
            raise ConfigurationError(
                f"{VARIABLE} is not set, and {error.strerror}. Let it name a directory that this user may write."
            ) from None
    return Witness(witness_signer(directory), read_witnessed_logs(logs), directory)


def _refusal(status: HTTPStatus, sentence: str) -> WitnessAnswer:
    return WitnessAnswer(status, f"{sentence}\n")
