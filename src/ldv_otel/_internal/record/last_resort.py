"""The bare record: what is stored of an Actie when its record cannot be made, for whatever reason.

A lost record is a broken legal duty, so an error that nobody foresaw costs the texts of a record and never the record:
ids, times, outcome, activity and the data subjects that were named stay, with the flag `record_failed` and the type of
the error (LDV-A8). Nothing else of the Actie is in it, because what failed may well be the search for identifiers.
"""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from ldv_otel._internal.config.error_places import type_and_places
from ldv_otel._internal.privacy.pseudonyms import DataSubject
from ldv_otel._internal.privacy.redaction import Redactor
from ldv_otel._internal.privacy.stray_numbers import StrayNumbers
from ldv_otel._internal.record.builder import LogregelBuilder
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.times.instants import ms_from_ns, now_ms
from ldv_otel.attributes import RECORD_ERROR, Flag

_logger = logging.getLogger(__name__)

_ERROR_MAX_CHARACTERS: Final = 100


def bare_record(  # noqa: PLR0913  (all that a record keeps when the facts it is made of cannot be relied upon)
    trace_id: bytes,
    span_id: bytes,
    times_ns: tuple[object, object],
    error: Exception,
    *,
    status: Status = Status.UNSET,
    activity: object = "",
    subject: DataSubject | None = None,
    redactor: Redactor | None = None,
    stray: StrayNumbers | None = None,
) -> Logregel:
    """Return the bare record of an Actie, and log the error without any value.

    Args:
        times_ns: Start and end; the present takes the place of one that is no whole number.
        error: The reason why its record could not be made.
    """
    _logger.error("A record could not be made; a bare one takes its place. %s", type_and_places(error))
    start_ms, end_ms = (ms_from_ns(time) if isinstance(time, int) else now_ms() for time in times_ns)
    # The search may be what fails: then nothing of a text is kept.
    for whole in (True, False):
        builder = LogregelBuilder(trace_id, span_id, redactor if whole else None, stray=stray if whole else None)
        builder.before([Flag.RECORD_FAILED], {})
        builder.computed(RECORD_ERROR, type(error).__name__[:_ERROR_MAX_CHARACTERS])
        builder.status(status)
        builder.period(start_ms, end_ms)
        try:
            builder.name("")
            if whole:
                builder.activities(activity if isinstance(activity, str) else "", "")
            else:
                builder.before([Flag.ACTIVITY_MISSING], {})
            if subject is not None:
                builder.subject(subject if whole else msgspec.structs.replace(subject, type="", sealed=""))
            break
        except Exception as another:
            _logger.error("A bare record was made without texts. %s", type_and_places(another))
    return builder.build()
