"""Errors, arranged by what the caller does next.

    LdvError
    ├── ConfigurationError      change a setting, then start again
    │   └── SchemaError         bring the Logboek's tables and this version together (`ldv schema apply`)
    ├── LogboekUnavailable      wait and try again; nothing is known to be wrong with the data
    ├── BatchRefused            the Logboek refuses these records as data; quarantine them
    ├── QueryError              change the query
    └── UnreadableInput         the input holds nothing that can be stored

A message says what happened, what state that leaves, and what to do. It never holds a data subject's identifier.
"""

from __future__ import annotations

__all__ = [
    "BatchRefused",
    "ConfigurationError",
    "LdvError",
    "LogboekUnavailable",
    "QueryError",
    "SchemaError",
    "UnreadableInput",
]


class LdvError(Exception):
    """Root of everything this package raises on purpose."""


class ConfigurationError(LdvError):
    """A setting is missing or wrong; the message names it and the way out."""


class SchemaError(ConfigurationError):
    """The Logboek's tables are missing, older or newer than this version, or lack a setting it relies on."""


class LogboekUnavailable(LdvError):  # the name the design gives it; it reads as a state, not a mistake
    """The Logboek cannot be reached, or did not answer so that the outcome is known.

    Attributes:
        in_doubt: True when the request may have taken effect, so that only reading back can tell.
        retry_after_seconds: How long the Logboek asks to be left alone; 0 when it does not say.
    """

    def __init__(self, message: str, *, in_doubt: bool = True, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt
        self.retry_after_seconds = retry_after_seconds


class BatchRefused(LdvError):
    """The Logboek answered that it will never take this batch as it is.

    Attributes:
        code: ClickHouse's numeric error code, where one was given.
    """

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class QueryError(LdvError):
    """A query was malformed, for example an id of the wrong length."""


class UnreadableInput(LdvError):
    """The input has content but nothing in it can be stored."""
