"""What `ldv verify` prints of a check, for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ldv_otel._internal.cli.output import console
from ldv_otel._internal.clickhouse.verification.verify import Verification
from ldv_otel._internal.clickhouse.verification.witnessed_log import WitnessReport
from ldv_otel._internal.times.instants import rfc3339_from_ms


def verification_json(
    verification: Verification, *, keys_known: bool, missing_keys: Mapping[str, int]
) -> dict[str, Any]:
    """Return a check as JSON has it.

    Args:
        keys_known: Whether it was said which keys are those of services.
        missing_keys: How many records are under keys of pseudonyms that are missing here, where a person was asked for.
    """
    return {
        "ok": verification.ok,
        "complete": verification.complete and not missing_keys,
        "missingKeys": dict(missing_keys),
        "keysKnown": keys_known,
        "records": verification.records,
        "manifests": verification.manifests,
        "removedByTerm": verification.removed,
        "adopted": verification.adopted,
        "notReadAgain": verification.passed,
        "keys": verification.keys,
        "log": msgspec.to_builtins(verification.log),
        "findings": [{**msgspec.to_builtins(each), "sentence": each.sentence} for each in verification.findings],
    }


def print_verification(verification: Verification, *, keys_known: bool, whole: bool) -> None:
    """Print a check for people.

    Args:
        keys_known: Whether it was said which keys are those of services.
        whole: Whether all records were asked for, and not only some.
    """
    out = console()
    for finding in verification.findings:
        out.print(finding.sentence, markup=False, soft_wrap=True)
    verdict = "all are as they were sealed" if verification.ok else "see above"
    if verification.ok and not verification.records:
        verdict = "nothing is sealed, so nothing was compared"
    if verification.removed:
        out.print(f"removed   {verification.removed} of them by a term since, as signed notes say", soft_wrap=True)
    if verification.adopted:
        out.print(
            f"adopted   {verification.adopted} of them were sealed after they were stored; nothing shows what was then",
            soft_wrap=True,
        )
    if verification.passed:
        out.print(
            f"passed    {verification.passed} of them were verified by an earlier run, and not read again",
            soft_wrap=True,
        )
    out.print(
        f"checked   {verification.records} Logregels in {verification.manifests} manifests; {verdict}", soft_wrap=True
    )
    for public, manifests in verification.keys.items():
        out.print(f"key       {public}: {manifests} manifests", soft_wrap=True)
    _print_log(verification)
    if not keys_known:
        out.print(
            "Nobody said which keys are those of your services (--key): whoever can write to the Logboek can seal with "
            "a key of their own. Compare the keys above with those that your services showed when they were made.",
            soft_wrap=True,
        )
    if not whole:
        out.print(
            "A batch that went with all its records, or its manifest, shows in a check of everything only.",
            soft_wrap=True,
        )
    elif not verification.log.places and verification.log.witnesses is None:
        out.print(
            "Whoever holds the database and the keys can change records and seal them anew, or cut off the last. Only "
            "a copy of the log elsewhere, or another organisation that witnesses it, shows that: `ldv seal --to` and "
            "`ldv verify --against`, or LDV_WITNESSES.",
            soft_wrap=True,
        )


def _print_log(verification: Verification) -> None:
    log, out = verification.log, console()
    if not log.origin:
        return
    seen = "" if log.seen_seconds is None else f", made at {rfc3339_from_ms(log.seen_seconds * 1_000)}"
    out.print(
        f"log       {log.origin}: {log.size} manifests{seen}; {log.unlogged} came after; compared with "
        f"{log.places} other places",
        soft_wrap=True,
    )
    if log.witnesses is not None:
        _print_witnesses(log.witnesses)


def _print_witnesses(report: WitnessReport) -> None:
    out = console()
    seen = "" if report.seen_seconds is None else f", at {rfc3339_from_ms(report.seen_seconds * 1_000)}"
    names = f": {', '.join(report.cosigned)}" if report.cosigned else ""
    out.print(
        f"witnessed {len(report.cosigned)} of {len(report.cosigned) + len(report.missing)} known witnesses cosigned "
        f"the last checkpoint, and {report.quorum} are enough{seen}{names}",
        markup=False,
        soft_wrap=True,
    )
    for sentence in report.missing:
        out.print(f"witness   {sentence}", markup=False, soft_wrap=True)
    for sentence in report.silent:
        out.print(
            f"witness   {sentence}. It cosigned this checkpoint, and whether it has seen more since is not known.",
            markup=False,
            soft_wrap=True,
        )
