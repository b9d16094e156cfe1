"""Checks of the Logboek itself: the version of its tables, and its clock beside ours."""

from __future__ import annotations

from typing import Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import schema_status
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.checks import CheckOutcome
from ldv_otel._internal.times.instants import now_ms

_NOW: Final = Sql("SELECT toUnixTimestamp64Milli(now64(3))")
#: Beyond this, records of two services stand in an order that did not happen.
_SKEW_MS: Final = 2_000


def check_tables(client: LogboekClient) -> CheckOutcome:
    """Check that the tables are of the version of this package."""
    status = schema_status(client)
    if problem := status.problem():
        finding, _, advice = problem.partition(". ")
        return CheckOutcome("tables", "wrong", f"{finding}.", advice)
    return CheckOutcome("tables", "ok", f"The tables are of version {status.current}, which this ldv_otel needs.")


def check_clock(client: LogboekClient) -> CheckOutcome:
    """Compare the clock of the Logboek's server with the one of this machine; half of the way there is taken off."""
    before = now_ms()
    theirs = int(client.command(_NOW))
    after = now_ms()
    return clock_check(theirs, before, after)


def clock_check(theirs_ms: int, before_ms: int, after_ms: int) -> CheckOutcome:
    """Judge a clock that was read between two moments of ours, all in ms since 1970-01-01 UTC."""
    skew_ms = max(before_ms - theirs_ms, theirs_ms - after_ms, 0)
    if skew_ms <= _SKEW_MS:
        return CheckOutcome("clock", "ok", "The clocks of the Logboek and of this machine agree.")
    direction = "behind" if theirs_ms < before_ms else "ahead of"
    return CheckOutcome(
        "clock",
        "wrong",
        f"The clock of the Logboek is {skew_ms} ms {direction} the one of this machine.",
        "Set both by NTP: times of records come from the machine of the service, and terms are counted on the server.",
    )
