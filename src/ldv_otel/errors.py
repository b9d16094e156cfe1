"""Errors, arranged by what the caller does next.

    LdvError
    ├── ConfigurationError      change a setting, then start again
    │   ├── UnknownTenant       add the tenant to the file of `LDV_LOGBOEKEN`, or refuse the request
    │   └── LogboekSetupError   change rights, tables or a gateway where the Logboek is; a service waits for that
    │       └── SchemaError     bring the Logboek's tables and this version together (`ldv schema apply`)
    ├── LogboekUnavailable      wait and try again; nothing is known to be wrong with the data
    │   └── NotProven           read back at once: the Logboek may have confirmed, and nothing shows it
    ├── BatchRefused            the Logboek refuses these records as data; quarantine them
    │   └── BatchTooLarge       send less at a time
    ├── QueryError              change the query
    └── UnreadableInput         the input holds nothing that can be stored

A message says what happened, what state that leaves, and what to do. It never holds a data subject's identifier.
"""

from __future__ import annotations

__all__ = [
    "BatchRefused",
    "BatchTooLarge",
    "ConfigurationError",
    "LdvError",
    "LogboekSetupError",
    "LogboekUnavailable",
    "NotProven",
    "QueryError",
    "SchemaError",
    "UnknownTenant",
    "UnreadableInput",
]


class LdvError(Exception):
    """Root of everything this package raises on purpose."""


class ConfigurationError(LdvError):
    """A setting is missing or wrong; the message names it and the way out."""


class UnknownTenant(ConfigurationError):  # reads as a state, as `LogboekUnavailable`
    """Nothing says whose an Actie is, or says so in a way that can be followed; so nothing was begun or logged."""


class LogboekSetupError(ConfigurationError):
    """The Logboek, or something before it, answered that this service cannot use it as it is set up there.

    An administrator can change that there while the service runs, so it starts all the same, and its records wait.
    """


class SchemaError(LogboekSetupError):
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


class NotProven(LogboekUnavailable):  # as its root
    """The answer to a batch was one of success, and nothing shows that the Logboek gave it to this batch.

    Delivery reads the batch back then before it counts as confirmed; a sink raises it only where it can read back.
    """


class BatchRefused(LdvError):
    """The Logboek answered that it will never take this batch as it is.

    Attributes:
        code: ClickHouse's numeric error code, where one was given.
        certain: Whether a record of it is at fault beyond doubt. Where it is not, tables that somebody altered may be,
            and a record is quarantined only when others pass.
    """

    def __init__(self, message: str, *, code: int | None = None, certain: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.certain = certain


class BatchTooLarge(BatchRefused):
    """The batch is larger than the Logboek, or something on the way there, lets through at a time; less may pass."""


class QueryError(LdvError):
    """A query was malformed, for example an id of the wrong length."""


class UnreadableInput(LdvError):
    """The input has content but nothing in it can be stored."""
