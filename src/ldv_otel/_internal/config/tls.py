"""TLS contexts from the files that settings name, with one sentence for a file that cannot be used."""

from __future__ import annotations

import ssl
from pathlib import Path

from ldv_otel._internal.config.secrets import logboek_client_certificate
from ldv_otel._internal.config.settings import Settings
from ldv_otel.errors import ConfigurationError

Files = tuple[str | Path, str | Path | None]


def tls_context(
    ca_file: str | Path | None,
    certificate: Files | None,
    *,
    named_by: str,
    consequence: str = "",
    purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH,
) -> ssl.SSLContext:
    """Return a context that checks the certificate of the other end.

    Args:
        ca_file: PEM file of the authority that signed it; None for the authorities of this machine.
        certificate: PEM files of our own certificate and its key; None for no certificate.
        named_by: The settings that name these files, for the error.
        consequence: What has not happened because of the error, as a sentence.
        purpose: Whom we check: servers, as a client does by default, or clients.

    Raises:
        ConfigurationError: A file cannot be used.
    """
    try:
        context = ssl.create_default_context(purpose, cafile=ca_file)
        if certificate is not None:
            context.load_cert_chain(*certificate)
    except OSError as error:  # of which ssl.SSLError is one
        reason = getattr(error, "reason", None) or error.strerror
        raise ConfigurationError(f"{named_by} cannot be used ({reason}). {consequence}".strip()) from error
    return context


def logboek_tls_context(settings: Settings) -> ssl.SSLContext:
    """Return the context for connections to a Logboek over HTTP, with our client certificate if there is one.

    Raises:
        ConfigurationError: A file cannot be used.
    """
    return tls_context(
        settings.ca_file,
        logboek_client_certificate(settings),
        named_by="LDV_LOGBOEK_CA_FILE, LDV_LOGBOEK_CLIENT_CERT_FILE or LDV_LOGBOEK_CLIENT_KEY_FILE",
        consequence="Logging did not start.",
    )
