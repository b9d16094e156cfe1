"""The record of an officer's access to the records about a person: it is stored before anything is shown."""

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
    """An access that an officer asks for: to the records about one person, with a reason.

    Attributes:
        pseudonyms: The pseudonyms under which the person's records are stored, one for each live key.
        reason: Without the person's identifier.
    """

    subject: DataSubject
    pseudonyms: tuple[bytes, ...]
    reason: str

    def logregel(self, activity: str, client: Client, pseudonymiser: Pseudonymiser) -> Logregel:
        """Return the record of the access, with data subject and officer as pseudonyms.

        Args:
            activity: URI of the processing activity under which officers look at records.
        """
        moment_ms = now_ms()
        # A Logregel names no employee (LDV-A9); the key leads from the pseudonym back to this one.
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


def officer_access(form: dict[str, str], pseudonymiser: Pseudonymiser) -> OfficerAccess | dict[str, str]:
    """Return the access that a form asks for, or what is wrong with each of its fields; never a value of the form."""
    number, type_ = form.get("nummer", ""), form.get("soort", "")
    # On one line, as it is shown; cut, because a record should not hold a whole file.
    reason = " ".join(form.get("reden", "").split())[:REASON_CHARACTERS]
    wrong = {}
    if type_ not in KNOWN_TYPES:
        wrong["soort"] = "Kies wat voor nummer het is."
    subject = pseudonymiser.subject(number, type_)
    if not subject.pseudonym:
        wrong["nummer"] = "Vul het nummer van de persoon in."
    # What does not have the form of its type finds nobody, and would log an access to nobody's records.
    elif subject.flags:
        wrong["nummer"] = "Dit nummer kan niet kloppen. Kijk het na."
    if len(reason) < _REASON_LEAST:
        wrong["reden"] = f"Schrijf op waarom u dit wilt zien. Gebruik ten minste {_REASON_LEAST} tekens."
    if wrong:
        return wrong
    # The reason is stored in the clear, so an identifier that was typed there is taken out.
    redactor = Redactor([identifier(number, type_)])
    return OfficerAccess(subject, tuple(pseudonymiser.candidates(number, type_)), redactor.text(reason))
