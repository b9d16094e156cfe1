"""Where a command listens, as `--listen` says it."""

from __future__ import annotations

from ldv_otel.errors import ConfigurationError


def parse_listen(text: str, example: str) -> tuple[str, int]:
    """Return the host, as it was written, and the port.

    Args:
        example: What it looks like, for the message.

    Raises:
        ConfigurationError: It is not of that form.
    """
    host, _, port = text.rpartition(":")
    if not port.isdigit() or not host:
        raise ConfigurationError(f"--listen {text!r} is not of the form {example}.")
    return host, int(port)
