"""Public keys of logs, sealers and witnesses, as options name them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ldv_otel._internal.clickhouse.seal_key import is_there
from ldv_otel._internal.clickhouse.verification.manifest_log import log_signer
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.tamper.key_place import VARIABLE, seal_key_file
from ldv_otel._internal.tamper.note import NoteError, NoteKey
from ldv_otel._internal.tamper.signing_key import read_signer
from ldv_otel._internal.tamper.witness_files import read_known_witnesses
from ldv_otel.errors import ConfigurationError


def keys_of_log(settings: Settings, named: Sequence[str]) -> list[NoteKey]:
    """Return the keys of this Logboek's log and of its witnesses: those that are named, or those of this machine.

    Raises:
        ConfigurationError: One is none, or a file cannot be read.
    """
    if named:
        return named_keys(named)
    witnesses = read_known_witnesses(settings)
    keys = [] if witnesses is None else [each.note_key for each in witnesses.witnesses]
    path = seal_key_file(settings)
    return keys if path is None or not is_there(path) else [log_signer(read_signer(path, VARIABLE)).key, *keys]


def named_keys(named: Sequence[str]) -> list[NoteKey]:
    """Return the public keys of `--key`: each a key, or a file with one a line.

    Raises:
        ConfigurationError: One is none, or a file cannot be read.
    """
    keys = []
    for text in named:
        lines = [text] if "+" in text else _lines(text)
        for line in lines:
            try:
                keys.append(NoteKey.parse(line))
            except NoteError as error:
                raise ConfigurationError(f"--key: {line!r} is no public key ({error}). Nothing was checked.") from None
    return keys


def _lines(path: str) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--key: the file {path} cannot be read ({error}). Nothing was checked.") from error
    return [line for line in text.splitlines() if line.strip()]
