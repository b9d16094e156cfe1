"""Looking into the records about somebody: itself an Actie, on record before anything is seen."""

from __future__ import annotations

import secrets
from typing import Final

import msgspec

from ldv_otel._internal.api.auth.clients import Client
from ldv_otel._internal.privacy.pseudonyms import KNOWN_TYPES, DataSubject, Pseudonymiser
from ldv_otel._internal.privacy.redaction import Redactor, identifier
from ldv_otel._internal.record.builder import resource_text
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.times.instants import now_ms
from ldv_otel.attributes import OFFICER, REASON

NAME: Final = "Gegevens bekeken door de privacyofficer"
REASON_CHARACTERS: Final = 500
_REASON_LEAST: Final = 10
_OFFICER_TYPE: Final = "personeelsnummer"
_RESOURCE: Final = resource_text({"service.name": "ldv serve"})


class OfficerAccess(msgspec.Struct, frozen=True):
    """What somebody asks to see, and why.

    Attributes:
        subject: Whose records.
        pseudonyms: What those are found by, one for each live key.
        reason: Without the person's identifier.
    """

    subject: DataSubject
    pseudonyms: tuple[bytes, ...]
    reason: str

    def logregel(self, activity: str, client: Client, pseudonymiser: Pseudonymiser) -> Logregel:
        """Return the record of it: about whom, why, and by whom, all as pseudonyms.

        Args:
            activity: URI of the processing activity under which it is done.
        """
        moment_ms = now_ms()
        officer = pseudonymiser.subject(client.person or client.id, _OFFICER_TYPE)
        return Logregel(
            trace_id=secrets.token_bytes(16),
            span_id=secrets.token_bytes(8),
            name=NAME,
            start_time_ms=moment_ms,
            end_time_ms=moment_ms,
            processing_activity_id=activity,
            data_subject_id=self.subject.pseudonym,
            data_subject_id_type=self.subject.type,
            key_id=self.subject.key_id,
            data_subject_sealed=self.subject.sealed,
            attributes={REASON: self.reason, OFFICER: officer.pseudonym.hex()},
            resource=_RESOURCE,
        )


def officer_access(given: dict[str, str], pseudonymiser: Pseudonymiser) -> OfficerAccess | dict[str, str]:
    """Return what a form asks for, or what is wrong with each of its fields; never what was typed there."""
    number, type_ = given.get("nummer", ""), given.get("soort", "")
    reason = " ".join(given.get("reden", "").split())[:REASON_CHARACTERS]
    wrong = {}
    if type_ not in KNOWN_TYPES:
        wrong["soort"] = "Kies wat voor nummer het is."
    subject = pseudonymiser.subject(number, type_)
    if not subject.pseudonym:
        wrong["nummer"] = "Vul het nummer van de persoon in."
    elif subject.flags:
        wrong["nummer"] = "Dit nummer kan niet kloppen. Kijk het na."
    if len(reason) < _REASON_LEAST:
        wrong["reden"] = f"Schrijf op waarom u dit wilt zien. Gebruik ten minste {_REASON_LEAST} tekens."
    if wrong:
        return wrong
    redactor = Redactor([identifier(number, type_)])
    return OfficerAccess(subject, tuple(pseudonymiser.candidates(number, type_)), redactor.text(reason))
