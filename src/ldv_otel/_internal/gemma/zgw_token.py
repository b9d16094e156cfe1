"""Tokens of the ZGW standards: an application signs its own, with a secret that both sides have (HS256)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import msgspec
from joserfc import jwt
from joserfc.jwk import OctKey

from ldv_otel._internal.config.secrets import read_token
from ldv_otel.errors import ConfigurationError

#: RFC 7518 section 3.2: a key for HS256 is no shorter than its hash.
MINIMUM_SECRET_BYTES: Final = 32


class SecretHolder(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a file of settings that names a secret.

    Attributes:
        secret_file: File with the secret; relative to the file that names it.
    """

    secret_file: str = ""


def read_secret(holder: SecretHolder, named_in: Path) -> str:
    """Return the secret that a file of settings names.

    Raises:
        ConfigurationError: Its file cannot be read, or it is too short to sign with.
    """
    path = named_in.parent / holder.secret_file
    secret = read_token(path, f"{named_in}: secret_file")
    check_secret(secret, str(path))
    return secret


def check_secret(secret: str, where: str) -> None:
    """Check that a secret is long enough.

    Raises:
        ConfigurationError: It is not.
    """
    if len(secret.encode()) < MINIMUM_SECRET_BYTES:
        raise ConfigurationError(
            f"The secret in {where} has under {MINIMUM_SECRET_BYTES} bytes, too few to sign tokens with (RFC 7518). "
            "Make one with `openssl rand -hex 32`, and give it to both sides."
        )


def zgw_token(client_id: str, secret: str) -> str:
    """Return a token of an application, valid from now for as long as its receiver decides."""
    # Receivers expect these two claims; an application that acts for no user leaves them empty.
    no_user = {"user_id": "", "user_representation": ""}
    claims = {"iss": client_id, "client_id": client_id, "iat": int(time.time()), **no_user}
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(secret))
