"""Checks the rows of the Logboek against their manifests: reads them once, in bounded memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence

import msgspec

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.verification.check import Check, in_words, lists
from ldv_otel._internal.clickhouse.verification.findings import SHOWS_NOTHING, Finding, FindingKind
from ldv_otel._internal.clickhouse.verification.manifest_log import LogReport, check_log
from ldv_otel._internal.clickhouse.verification.selected import ListedRow
from ldv_otel._internal.clickhouse.verification.stored import StoredManifest
from ldv_otel._internal.clickhouse.verification.stored_log import LogEntry
from ldv_otel._internal.clickhouse.verification.verified_log import VerifiedLog, entries_passed
from ldv_otel._internal.clickhouse.verification.witnessed_log import Witnesses, check_witnesses
from ldv_otel._internal.tamper.place import SecondPlace


class Verification(msgspec.Struct, frozen=True):
    """What a check came to.

    Attributes:
        records: How many records manifests list.
        manifests: How many manifests have a good signature.
        keys: Public keys that signed them, with how many each, in hexadecimal digits.
        findings: What is wrong, or not known.
        removed: How many of the records were removed by a term since, as signed notes say.
        adopted: How many of the records were sealed after they were stored; of what was before, nothing shows.
        passed: How many of the records were verified by an earlier run, and not read again.
        log: What the log of manifests says; it is left out when only a part of the Logboek was checked.
    """

    records: int
    manifests: int
    keys: dict[str, int]
    findings: list[Finding]
    removed: int = 0
    adopted: int = 0
    passed: int = 0
    log: LogReport = LogReport()

    @property
    def ok(self) -> bool:
        """Whether nothing shows tampering. Neither unsealed records nor absent witnesses do."""
        return all(finding.kind in SHOWS_NOTHING for finding in self.findings)

    @property
    def complete(self) -> bool:
        """Whether all that was checked is sealed and whole."""
        return not self.findings


def verify(
    client: LogboekClient,
    *,
    since: int | VerifiedLog | None = None,
    keys: Collection[bytes] | None = None,
    places: Sequence[SecondPlace] = (),
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Verification:
    """Check all records, or those of some batches.

    Args:
        since: A moment, in ms since 1970-01-01 UTC: only batches with a record that started since then. Or what an
            earlier check came to: the records of batches that were in the log then are not read again.
        keys: Public keys of sealers; None takes any, so that only what changed after sealing shows.
        places: Where copies of the log are.
        progress: Called with how many of all records to be read were checked.
    """
    since_ms = since if isinstance(since, int) else None
    check = Check(client, since_ms, keys)
    check.collect()
    check.numbers()
    before = frozenset[LogEntry]()
    if isinstance(since, VerifiedLog):
        before, differing = entries_passed(client, check.good, since)
        check.findings += differing
    check.roots(progress, lambda stored: LogEntry(stored.manifest.sealer, stored.manifest.number) not in before)
    check.unlisted()
    outcome = _outcome(check, check.manifests)
    log, differing = LogReport(), list[Finding]()
    if since_ms is None:
        log, differing = check_log(client, check.good, None if keys is None else [*keys], places)
    return msgspec.structs.replace(
        outcome,
        findings=[*outcome.findings, *differing],
        passed=sum(
            each.manifest.count
            for each in check.manifests
            if LogEntry(each.manifest.sealer, each.manifest.number) in before
        ),
        log=log,
    )


def with_witnesses(client: LogboekClient, verification: Verification, witnesses: Witnesses) -> Verification:
    """Return a check with what the witnesses of the log have seen, who are asked now; as it is where there are none.

    Raises:
        ConfigurationError: They cannot be asked from here.
    """
    if witnesses.roster is None:
        return verification
    report, findings = check_witnesses(client, witnesses.roster, proxy=witnesses.proxy)
    return msgspec.structs.replace(
        verification,
        findings=[*verification.findings, *findings],
        log=msgspec.structs.replace(verification.log, witnesses=report),
    )


def verify_rows(
    client: LogboekClient,
    rows: Collection[ListedRow],
    *,
    keys: Collection[bytes] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Verification:
    """Check some records: those of a trace or a person, with the batches in which they are.

    A batch with all of its records, or its manifest, can be gone without a trace in the others: only a check of
    everything shows that.

    Args:
        keys: As for `verify`.
    """
    check = Check(client, None, keys)
    writers = {row.writer_id for row in rows}
    if writers:
        check.collect(writers)
    by_writer: dict[str, list[StoredManifest]] = defaultdict(list)
    for stored in check.manifests:
        by_writer[stored.manifest.writer_id].append(stored)
    listing = {row: [each for each in by_writer[row.writer_id] if _lists(each, row)] for row in rows}
    chosen = {each.key for manifests in listing.values() for each in manifests}
    check.roots(progress, lambda stored: stored.key in chosen)
    check.findings += _not_listed(row for row, manifests in listing.items() if not manifests)
    # What is wrong with manifests that cannot be read may be about these records.
    return _outcome(check, [stored for stored in check.manifests if stored.key in chosen])


def _lists(stored: StoredManifest, row: ListedRow) -> bool:
    manifest = stored.manifest
    within = manifest.first_start_ms <= row.start_ms <= manifest.last_start_ms
    return within and lists(manifest, row.number)


def _not_listed(rows: Iterator[ListedRow]) -> Iterator[Finding]:
    by_writer: dict[str, list[ListedRow]] = defaultdict(list)
    for row in rows:
        by_writer[row.writer_id].append(row)
    for writer, unlisted in sorted(by_writer.items()):
        yield Finding(
            kind=FindingKind.NOT_SEALED,
            records=len(unlisted),
            writer_id=writer,
            seqs=in_words([row.number for row in unlisted]),
            first_start_ms=min(row.start_ms for row in unlisted),
            last_start_ms=max(row.start_ms for row in unlisted),
            detail="No manifest lists them, or those that do are of records that started at another time.",
        )


def _outcome(check: Check, manifests: Sequence[StoredManifest]) -> Verification:
    used: dict[str, int] = defaultdict(int)
    for stored in manifests:
        used[stored.manifest.key.hex()] += 1
    return Verification(
        records=sum(each.manifest.count for each in manifests),
        manifests=len(manifests),
        keys=dict(used),
        findings=check.findings,
        removed=check.removed,
        adopted=sum(each.manifest.count for each in manifests if each.manifest.adopted),
    )
