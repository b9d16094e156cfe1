"""What the record of a span will hold beyond the span itself: it is set while the span runs, and read at its end."""

from __future__ import annotations

import msgspec

from ldv_otel._internal.config.variables import DeliveryLevel
from ldv_otel._internal.privacy.pseudonyms import DataSubject
from ldv_otel._internal.record.actie import ExceptionFacts
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import LdvError


class SpanRecord(msgspec.Struct):
    """The part of a span's record that never touches the span, because other exporters would see it there.

    Attributes:
        activity: The activity that `processing` was given; None for a span that was not started with `processing`.
        level: The level of delivery that `processing` asked for; None for the configured one.
        subjects: Data subjects that were named with `data_subject`.
        exception: The exception that ended the Actie, with everything that only the record may keep.
        start: The record that stands if the Actie is never ended, once it is on disk (level `write-ahead`).
        refused: The error with which delivery refused the record, if it did.
    """

    activity: str | None = None
    level: DeliveryLevel | None = None
    subjects: list[DataSubject] = []
    exception: ExceptionFacts | None = None
    start: Logregel | None = None
    refused: LdvError | None = None
