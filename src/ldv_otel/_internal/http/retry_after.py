"""What a server asks for when it asks to be left alone."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_seconds(value: str) -> float:
    """Return how long a `Retry-After` header asks to wait: seconds, or a date; 0 for what is neither or is past.

    Source: RFC 9110 section 10.2.3.
    """
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())
