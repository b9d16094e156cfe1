"""Second places as options name them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from ldv_otel._internal.tamper.bucket import LockedBucket
from ldv_otel._internal.tamper.place import DirectoryPlace, SecondPlace
from ldv_otel.errors import ConfigurationError


def second_place(text: str, option: str, *, proxy: str = "") -> SecondPlace:
    """Return the place of an option.

    Args:
        proxy: `LDV_PROXY`.

    Raises:
        ConfigurationError: It is none that can be used.
    """
    parts = urlsplit(text)
    if parts.scheme == "s3" and parts.netloc:
        return LockedBucket(text, option, proxy=proxy)
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise ConfigurationError(
            f"{option} {text!r} is no second place; give a directory as file:///DIR, or a bucket as "
            "s3://BUCKET/PREFIX?days=3650."
        )
    return DirectoryPlace(Path(unquote(parts.path)))
