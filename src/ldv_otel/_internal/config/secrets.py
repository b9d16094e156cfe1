"""Passwords, tokens and client certificates from files: read in this module only, with an error that names the file.

A secret in a file can be mounted, rotated and kept out of listings of a process's environment. Messages name the file
and the setting that names it, never what is in it.
"""

from __future__ import annotations

import os
from pathlib import Path

from ldv_otel._internal.config.settings import Settings
from ldv_otel.errors import ConfigurationError


def read_token(path: Path, named_by: str) -> str:
    """Return the token or shared secret in a file, without white space around it: tokens have none, editors add some.

    Args:
        named_by: The setting, or the file and field, that names the file; for the error.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    return _read(path, named_by).strip()


def logboek_password(settings: Settings) -> str:
    """Return the password for the Logboek, from its variable or its file; empty when there is none.

    Of a file only the end of the line is left out: a password may begin or end with a space.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    if settings.password_file is None:
        return settings.password
    return _read(settings.password_file, "LDV_LOGBOEK_PASSWORD_FILE").rstrip("\r\n")


def logboek_client_certificate(settings: Settings) -> tuple[str, str] | None:
    """Return the files of the certificate, and its key, that prove to a Logboek who this service is; None without one.

    They are opened later, by the library that makes the connection: checked here, a missing file stops the start with
    the name of its variable and not the first delivery with a traceback.

    Raises:
        ConfigurationError: One of them is missing or cannot be read.
    """
    if settings.client_cert_file is None and settings.client_key_file is None:
        return None
    if settings.client_cert_file is None or settings.client_key_file is None:
        raise ConfigurationError(
            "LDV_LOGBOEK_CLIENT_CERT_FILE and LDV_LOGBOEK_CLIENT_KEY_FILE go together, and one of them is not set."
        )
    for variable, path in (
        ("LDV_LOGBOEK_CLIENT_CERT_FILE", settings.client_cert_file),
        ("LDV_LOGBOEK_CLIENT_KEY_FILE", settings.client_key_file),
    ):
        if not os.access(path, os.R_OK):
            raise ConfigurationError(f"{variable}: {path} cannot be read.")
    return str(settings.client_cert_file), str(settings.client_key_file)


def _read(path: Path, named_by: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{named_by}: {path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError:
        # Without its cause, which has the bytes of the secret in it and would end up in a traceback.
        raise ConfigurationError(f"{named_by}: {path} cannot be read (it is not UTF-8).") from None
