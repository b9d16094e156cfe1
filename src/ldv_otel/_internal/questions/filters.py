"""What is counted, by what a question is asked with."""

from __future__ import annotations

from ldv_otel._internal.clickhouse.queries.breakdowns import PeriodFilter
from ldv_otel._internal.questions.model import Asked


def period_filter(asked: Asked) -> PeriodFilter:
    """Return the period, activity and application of a question."""
    return PeriodFilter(
        since_ms=asked.since_ms,
        until_ms=asked.until_ms,
        activity=asked.activity,
        service=asked.service,
        confidential=asked.confidential,
    )


def party_name(asked: Asked, read_api: str, caller: str) -> str:
    """Return who was asked and who asked, by name; empty for neither."""
    names = []
    if read_api:
        names.append(f"→ {asked.parties.of_read_api(read_api)}")
    if caller:
        names.append(f"← {asked.parties.of_processor(caller)}")
    return ", ".join(names)
