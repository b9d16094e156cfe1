"""Letters and evidence about a person, as files that a command makes after the access is on record."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

from ldv_otel._internal.cli.answer_output import write_new_file
from ldv_otel._internal.cli.recording import record_access
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.keys import records_under_other_keys
from ldv_otel._internal.clickhouse.queries.subject_links import person_of
from ldv_otel._internal.clickhouse.register_table import stored_versions
from ldv_otel._internal.clickhouse.schema.migrations import checked
from ldv_otel._internal.config.house_style import read_house_style
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.parties.parties import parties_for
from ldv_otel._internal.parties.party_names import PartyNames
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from ldv_otel._internal.questions.asking import Choices, asked_of
from ldv_otel._internal.questions.complaint import COMPLAINT, proofs_of_records
from ldv_otel._internal.questions.person import person_records
from ldv_otel.errors import ConfigurationError


def write_letter(
    settings: Settings,
    pseudonymiser: Pseudonymiser,
    choices: Choices,
    path: Path,
    *,
    who: tuple[str, str],
    reason: str | None,
    evidence: bool = False,
) -> None:
    """Write the letter to a person, or the evidence for a complaint, into a new file; the access is on record first.

    Args:
        choices: The period.
        who: Identifier and its type.
        reason: Why somebody looks.
        evidence: Whether it is the evidence, with the letter in it.

    Raises:
        ConfigurationError: The file is there already, or the extra `api` is missing; nothing was read.
        LdvError: The access is not on record, so nothing was read.
    """
    if path.exists():
        raise ConfigurationError(f"{path} is there already. Nothing was read or written. Name a new file.")
    try:
        from ldv_otel._internal.api.pages.evidence_file import evidence_file  # jinja2, which only letters need here
        from ldv_otel._internal.api.pages.letter import LetterContent, letter
        from ldv_otel._internal.api.pages.view import DutchTexts
    except ImportError:
        raise ConfigurationError(
            "Letters need the extra `api` (`pip install 'ldv-otel[api]'`). Nothing was read or written."
        ) from None
    parties, house = parties_for(settings), read_house_style(settings.house_style)
    pseudonyms, reference = record_access(settings, pseudonymiser, *who, reason)
    with checked(LogboekClient(settings)) as client:
        chosen = Choices(
            since_ms=choices.since_ms, until_ms=choices.until_ms, pseudonyms=pseudonyms, confidential=False
        )
        asked = asked_of(COMPLAINT, settings, client, chosen, PartyNames(parties.read_apis))
        records, complete = person_records(client, asked)
        whole = not records_under_other_keys(client, pseudonymiser.keys.keys)
        whole = whole and not person_of(client, pseudonyms).lacking(pseudonymiser.keys.keys)
        proofs = proofs_of_records(client, records) if evidence else []
        register = stored_versions(client)
    content = LetterContent(
        records=records,
        asked=asked,
        complete=complete and whole,
        reference=reference,
        language="en" if settings.language == "en" else "nl",
    )
    if not evidence:
        write_new_file(path, letter(content, settings, house).encode(), "--brief")
        return
    texts = DutchTexts(
        register,
        {api.url: api for api in parties.read_apis},
        ZoneInfo(settings.inzage.timezone),
        unknown_caller=settings.unknown_caller_url,
    )
    write_new_file(path, evidence_file(content, texts, proofs, house), "--evidence")
