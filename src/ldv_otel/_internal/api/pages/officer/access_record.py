"""The record of an officer's access to the records about a person: it is stored before anything is shown."""

from __future__ import annotations

import secrets
from typing import Final

import msgspec

from ldv_otel._internal.privacy.identifiers import passes_eleven_test
from ldv_otel._internal.privacy.pseudonyms import KNOWN_TYPES, DataSubject, Pseudonymiser, normalise_identifier
from ldv_otel._internal.privacy.redaction import Redactor
from ldv_otel._internal.privacy.stray_numbers import StrayNumbers
from ldv_otel._internal.record.builder import LogregelBuilder, resource_of
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.times.instants import now_ms
from ldv_otel.attributes import OFFICER, REASON

NAME: Final = "Gegevens bekeken door de privacyofficer"
REASON_CHARACTERS: Final = 500
REASON_LEAST: Final = 10
OFFICER_TYPE: Final = "personeelsnummer"


class OfficerAccess(msgspec.Struct, frozen=True):
    """An access that an officer asks for: to the records about one person, with a reason.

    Attributes:
        pseudonyms: The pseudonyms under which the person's records are stored, one for each live key.
        reason: As the officer wrote it; the record has it without the person's identifier.
        redactor: Searches for that identifier.
        stray: What becomes of BSNs of others in the reason.
    """

    subject: DataSubject
    pseudonyms: tuple[bytes, ...]
    reason: str
    redactor: Redactor
    stray: StrayNumbers

    def __repr__(self) -> str:
        """Show nothing: the reason may quote the identifier."""
        return "OfficerAccess()"

    def logregel(
        self, activity: str, person: str, pseudonymiser: Pseudonymiser, *, service: str = "ldv serve"
    ) -> Logregel:
        """Return the record of the access, with data subject and officer as pseudonyms.

        Args:
            activity: URI of the processing activity under which officers look at records.
            person: Who looks, as the organisation knows them.
            service: With what.
        """
        moment_ms = now_ms()
        # A Logregel names no employee (LDV-A9); the key leads from the pseudonym back to this one.
        officer = pseudonymiser.subject(person, OFFICER_TYPE)
        builder = LogregelBuilder(secrets.token_bytes(16), secrets.token_bytes(8), self.redactor, stray=self.stray)
        builder.name(NAME)
        builder.period(moment_ms, moment_ms)
        builder.activities(activity, "")
        builder.subject(self.subject)
        # Cut after redaction: a part of a number would not be found.
        builder.attribute(REASON, builder.text(self.reason)[:REASON_CHARACTERS])
        builder.computed(OFFICER, officer.pseudonym.hex())
        builder.resource(resource_of({"service.name": service}))
        return builder.build()


def officer_access(
    form: dict[str, str], pseudonymiser: Pseudonymiser, stray: StrayNumbers | None = None
) -> OfficerAccess | dict[str, str]:
    """Return the access that a form asks for, or what is wrong with each of its fields; never a value of the form.

    A BSN that fails its test (elfproef) is a slip as a rule, and the access would be to nobody's records: it needs
    `toch=ja` beside it.
    """
    number, type_ = form.get("nummer", ""), form.get("soort", "")
    reason = " ".join(form.get("reden", "").split())
    wrong = {}
    if type_ not in KNOWN_TYPES:
        wrong["soort"] = "Kies wat voor nummer het is."
    subject = pseudonymiser.subject(number, type_)
    if not subject.pseudonym:
        wrong["nummer"] = "Vul het nummer van de persoon in."
    # What does not have the form of its type finds nobody, and would log an access to nobody's records.
    elif subject.flags:
        wrong["nummer"] = "Dit nummer kan niet kloppen. Kijk het na."
    # A service may have logged it like this, so that whoever insists is served.
    elif type_ == "BSN" and form.get("toch") != "ja" and not passes_eleven_test(normalise_identifier(type_, number)[0]):
        wrong["nummer"] = "Dit BSN kan niet kloppen. Kijk het na."
        wrong["toch"] = "Wilt u toch met dit BSN zoeken? Zet dan een vinkje."
    if len(reason) < REASON_LEAST:
        wrong["reden"] = f"Schrijf op waarom u dit wilt zien. Gebruik ten minste {REASON_LEAST} tekens."
    redactor, stray = Redactor([(number, type_)]), stray or StrayNumbers()
    if stray.policy == "refuse" and stray.finds(redactor.text(reason)):
        wrong["reden"] = "Haal het BSN uit deze tekst: het hoort niet bij de persoon van uw vraag."
    if wrong:
        return wrong
    return OfficerAccess(subject, tuple(pseudonymiser.candidates(number, type_)), reason, redactor, stray)
