"""What the record of a span will hold beyond the span itself: it is set while the span runs, and read at its end."""

from __future__ import annotations

import msgspec

from ldv_otel._internal.config.variables import DeliveryLevel
from ldv_otel._internal.privacy.pseudonyms import DataSubject
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.record.span_facts import ExceptionFacts


class Refusal(msgspec.Struct, frozen=True):
    """Why delivery refused a record: what its error said, and not the error.

    A span may be kept for long, and an error keeps all frames that it passed, with what the application had in them.
    """

    message: str
    in_doubt: bool


class SpanRecord(msgspec.Struct):
    """The part of a span's record that never touches the span, because other exporters would see it there.

    Attributes:
        activity: The activity that `processing` was given; None for a span that was not started with `processing`.
        level: The level of delivery that `processing` asked for; None for the configured one.
        subjects: Data subjects that were named with `data_subject`.
        exception: The exception that ended the Actie, with everything that only the record may keep.
        start: The record that stands if the Actie is never ended, once it is on disk (level `write-ahead`).
        refusal: Why delivery refused the record, if it did.
        said: What the application said of how it went: `OK`, or `UNSET` where it refused the input; None for nothing.
        outcome_of: Span id of the Actie that the record says the outcome of (LDV-N18); empty for other records.
        transaction: The database transaction that the record commits with (`outbox/`); None for the ordinary way.
        committed_before_end: That transaction committed, with a record of the Actie, while the Actie ran on.
        left_by_error: An exception left the block.
    """

    activity: str | None = None
    level: DeliveryLevel | None = None
    subjects: list[DataSubject] = []
    exception: ExceptionFacts | None = None
    start: Logregel | None = None
    refusal: Refusal | None = None
    said: Status | None = None
    outcome_of: str = ""
    transaction: object = None
    committed_before_end: bool = False
    left_by_error: bool = False
