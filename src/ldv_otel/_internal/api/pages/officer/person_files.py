"""What an officer gets of one person beside the page: a letter, a table, or evidence as a file."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.auth.clients import Client
from ldv_otel._internal.api.envelope import log_records
from ldv_otel._internal.api.pages.evidence_file import evidence_file
from ldv_otel._internal.api.pages.letter import STYLE_SOURCE, LetterContent, letter
from ldv_otel._internal.api.pages.officer.access import sees_confidential
from ldv_otel._internal.api.pages.officer.answer_files import FileForm, answer_file, offered_forms
from ldv_otel._internal.api.pages.page import PAGE_HEADERS
from ldv_otel._internal.api.pages.requests import texts_of
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.api.services import services_of
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import StoredLogregel
from ldv_otel._internal.clickhouse.queries.subject_links import person_of
from ldv_otel._internal.parties.party_names import PartyNames
from ldv_otel._internal.questions.asking import Choices, answer_question, asked_of
from ldv_otel._internal.questions.complaint import COMPLAINT, proofs_of_records
from ldv_otel._internal.questions.model import Asked
from ldv_otel._internal.questions.person import PERSON, person_records
from ldv_otel._internal.tamper.proof import RecordProof


class PersonForm(StrEnum):
    """In what form an officer gets what is recorded about a person."""

    SCREEN = "scherm"
    LETTER = "brief"
    ENGLISH_LETTER = "brief-en"
    CSV = "csv"
    XLSX = "xlsx"
    JSON = "json"
    EVIDENCE = "bewijs"


_FILES: Final = {PersonForm.CSV: FileForm.CSV, PersonForm.XLSX: FileForm.XLSX, PersonForm.JSON: FileForm.JSON}
_WORDS: Final = {
    PersonForm.SCREEN: "Op het scherm",
    PersonForm.LETTER: "Als brief aan de persoon",
    PersonForm.ENGLISH_LETTER: "Als brief in het Engels",
    PersonForm.EVIDENCE: "Als bewijs voor een klacht (zip)",
}


def offered_person_forms() -> dict[PersonForm, str]:
    """Return the forms that there are, in words."""
    files = offered_forms()
    return _WORDS | {form: files[file] for form, file in _FILES.items() if file in files}


def person_form_of(form: Mapping[str, str]) -> PersonForm:
    """Return the form that is asked for.

    Raises:
        Problem: 404, there is no such form.
    """
    try:
        return PersonForm(form.get("vorm", PersonForm.SCREEN))
    except ValueError:
        raise Problem(HTTPStatus.NOT_FOUND, "") from None


async def person_file(request: Request, form: PersonForm, choices: Choices, client: Client, reference: str) -> Response:
    """Return what is recorded about a person in a form; the access has to be on record.

    Args:
        choices: The person, and the period.
        reference: The trace of the record of the access.
    """
    services = services_of(request)
    settings, parties = services.settings, PartyNames(services.remotes.apis.values())
    if form in _FILES:
        choices = msgspec.structs.replace(choices, confidential=sees_confidential(client))
        asked, answer = await services.reader.ask(answer_question, PERSON, settings, choices, parties)
        log_records(request, sum(len(table.rows) for table in answer.tables))
        return answer_file(_FILES[form], PERSON, answer, asked)
    # What goes to the person, or to who judges a complaint, has nothing that is confidential.
    choices = msgspec.structs.replace(choices, confidential=False)
    missing = await services.missing_keys.counts()
    linked = await services.reader.ask(person_of, choices.pseudonyms)
    whole = not missing and not linked.lacking(services.pseudonymiser.keys.keys)
    asked, records, complete = await services.reader.ask(_records, choices, request)
    log_records(request, len(records))
    content = LetterContent(
        records=records,
        asked=asked,
        complete=complete and whole,
        reference=reference,
        language="en" if form is PersonForm.ENGLISH_LETTER else "nl",
    )
    if form is PersonForm.EVIDENCE:
        proofs: list[RecordProof | None] = await services.reader.ask(proofs_of_records, records)
        packed = evidence_file(content, await texts_of(request, confidential=False), proofs, services.house)
        headers = PAGE_HEADERS | {"Content-Disposition": 'attachment; filename="bewijs.zip"'}
        return Response(packed, headers=headers, media_type="application/zip")
    policy = f"default-src 'none'; style-src {STYLE_SOURCE}; img-src data:; base-uri 'none'; frame-ancestors 'none'"
    headers = PAGE_HEADERS | {"Content-Security-Policy": policy}
    return Response(letter(content, settings, services.house), headers=headers, media_type="text/html")


def _records(client: LogboekClient, choices: Choices, request: Request) -> tuple[Asked, list[StoredLogregel], bool]:
    services = services_of(request)
    parties = PartyNames(services.remotes.apis.values())
    asked = asked_of(COMPLAINT, services.settings, client, choices, parties)
    records, complete = person_records(client, asked)
    return asked, records, complete
