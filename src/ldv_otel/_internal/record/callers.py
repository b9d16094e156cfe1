"""The caller of a record's Actie, as readers show it: a known application, an unknown one, or none (LDV-N10).

Where another application called, a record names one, so that a foreign parent can be told from an own one; where nobody
knows which, it has the address of `LDV_UNKNOWN_CALLER_URL`, which is no party. Records of before that have the caller's
ids alone.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from ldv_otel._internal.config.variables import UNKNOWN_CALLER_URL
from ldv_otel._internal.record.logregel import Logregel

#: No host with this ending ever exists (RFC 2606), so nobody is meant by one, whoever chose it.
_NO_HOST: Final = ".invalid"


def processor_of(record: Logregel) -> str:
    """Return the URL of the application that called, or of the unknown caller; empty where no other one called."""
    if record.foreign_operation_processor:
        return record.foreign_operation_processor
    return UNKNOWN_CALLER_URL if record.foreign_operation_span_id or record.foreign_operation_trace_id else ""


def is_unknown_caller(url: str, own: str = UNKNOWN_CALLER_URL) -> bool:
    """Return whether a processor stands for a caller that nobody knows.

    Args:
        url: As `processor_of` gives it.
        own: What `LDV_UNKNOWN_CALLER_URL` is here.
    """
    if url in {own, UNKNOWN_CALLER_URL}:
        return True
    try:
        return (urlsplit(url).hostname or "").endswith(_NO_HOST)
    except ValueError:
        return False


def restarted(record: Logregel) -> bool:
    """Return whether the caller has a trace of its own: else its ids say nothing that trace and parent do not say."""
    return record.foreign_operation_trace_id not in {b"", record.trace_id}
