"""The file of a signing key: one line, as Go's `note` package has private keys, that only its owner may read."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import Final

from ldv_otel._internal.config.private_files import make_private_file, read_private_file
from ldv_otel._internal.tamper.note import ED25519, NoteError, NoteSigner, base64_of
from ldv_otel.errors import ConfigurationError

_MARK: Final = "PRIVATE+KEY+"


def read_signer(path: Path, named_by: str) -> NoteSigner:
    """Return the signing key of a file.

    Args:
        named_by: The variable that names the file, for messages.

    Raises:
        ConfigurationError: It cannot be read, is open to others, or has no key in it; with the way out.
    """
    try:
        content = read_private_file(path, named_by)
    except OSError as error:
        raise ConfigurationError(f"{named_by}: the signing key {path} cannot be read ({error.strerror}).") from error
    try:
        return _signer(content.decode().strip())
    except (NoteError, ValueError, binascii.Error):
        # Without the error's text, which may quote the key.
        raise ConfigurationError(
            f"{named_by}: {path} has no signing key in it. Put back the copy that you keep, or let {named_by} name a "
            "file that is not there yet: then a new key is made, which has to be made known to who verifies."
        ) from None


def make_signer(path: Path, name: str, named_by: str) -> NoteSigner:
    """Make a signing key in a file of mode 0600, unless another process was quicker, and return the one that is there.

    Raises:
        ConfigurationError: The file cannot be made.
    """
    private = os.urandom(32)
    key_id = NoteSigner(name, private).key.key_id
    line = f"{_MARK}{name}+{key_id.hex()}+{base64_of(bytes((ED25519,)) + private)}\n"
    try:
        make_private_file(path, line.encode())
    except OSError as error:
        raise ConfigurationError(
            f"{named_by}: the signing key {path} cannot be made ({error.strerror}). Let it name a place that this user "
            "may write."
        ) from error
    return read_signer(path, named_by)


def _signer(line: str) -> NoteSigner:
    mark, (name, key_id, encoded) = line[: len(_MARK)], line[len(_MARK) :].split("+", 2)
    content = base64.b64decode(encoded, validate=True)
    if mark != _MARK or not content or content[0] != ED25519:
        raise NoteError("it is no private key")
    signer = NoteSigner(name, content[1:])
    if signer.key.key_id.hex() != key_id:
        raise NoteError("the id of the key is not that of its bytes")
    return signer
