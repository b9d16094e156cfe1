"""That a check was made, by whom and with what outcome: written to the Logboek, and read by who watches over it."""

from __future__ import annotations

import getpass
import os
import socket
from collections import Counter
from typing import Final

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.tables import Table
from ldv_otel._internal.clickhouse.verification.findings import FindingKind
from ldv_otel._internal.clickhouse.verification.verify import Verification

_INSERTED: Final = {"async_insert": 0}
_LATEST: Final = Sql("""
SELECT toUnixTimestamp64Milli(at), account, verified_by, everything, keys_named, places, records, adopted, removed,
    not_sealed, tampering
FROM controles ORDER BY at DESC LIMIT {limit:UInt32}
""")


class VerificationMade(msgspec.Struct, frozen=True):
    """A check as who made it says.

    Attributes:
        at_ms: In ms since 1970-01-01 UTC.
        account: Of the database.
        verified_by: User and machine.
        everything: Whether all records were read.
        keys_named: Whether it was said which keys are those of services.
        places: How many copies of the log it was compared with.
        records: How many records are sealed.
        adopted: How many of these were sealed after they were stored.
        removed: How many of them were removed by a term.
        not_sealed: How many records no manifest lists.
        tampering: How many findings show tampering.
    """

    at_ms: int
    account: str
    verified_by: str
    everything: bool
    keys_named: bool
    places: int
    records: int
    adopted: int
    removed: int
    not_sealed: int
    tampering: int


def write_verification(client: LogboekClient, verification: Verification, *, keys_named: bool) -> None:
    """Write down that everything was checked just now, and what came out.

    Raises:
        LdvError: This account may not, or the Logboek does not answer.
    """
    findings = Counter(finding.kind for finding in verification.findings)
    unsealed = sum(each.records for each in verification.findings if each.kind is FindingKind.NOT_SEALED)
    client.insert(
        Table.LDV_VERIFICATION,
        {
            "verified_by": ("String", [_verifier()]),
            "everything": ("Bool", [not verification.passed]),
            "keys_named": ("Bool", [keys_named]),
            "places": ("UInt32", [verification.log.places]),
            "records": ("UInt64", [verification.records]),
            "manifests": ("UInt64", [verification.manifests]),
            "adopted": ("UInt64", [verification.adopted]),
            "removed": ("UInt64", [verification.removed]),
            "not_read": ("UInt64", [verification.passed]),
            "not_sealed": ("UInt64", [unsealed]),
            "log_size": ("UInt64", [verification.log.size]),
            "findings": (
                "Map(LowCardinality(String), UInt64)",
                [{kind.value: count for kind, count in findings.items()}],
            ),
        },
        _INSERTED,
    )


def latest_verifications(client: LogboekClient, *, limit: int = 20) -> list[VerificationMade]:
    """Return the last checks that were written down, the newest first."""
    return [VerificationMade(*row) for row in client.rows(_LATEST, {"limit": limit})]


def _verifier() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container may have no name for its user
        user = f"user {os.geteuid()}"
    return f"{user}@{socket.gethostname()}"
