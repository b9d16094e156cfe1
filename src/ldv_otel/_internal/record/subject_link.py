"""The records that two numbers were linked as those of one person, or that such a link was ended.

Each is a Logregel of its own about each of the two, so that whoever asks about either finds it (LDV-A4), also when the
link was wrong and they are two people.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

import msgspec

from ldv_otel._internal.privacy.pseudonyms import DataSubject
from ldv_otel._internal.privacy.redaction import Redactor
from ldv_otel._internal.privacy.stray_numbers import StrayNumbers
from ldv_otel._internal.record.builder import LogregelBuilder, resource_of
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.times.instants import now_ms
from ldv_otel.attributes import LINK, REASON

LINKED: Final = "Nummers gekoppeld als van één persoon"
ENDED: Final = "Koppeling van nummers beëindigd"
REASON_CHARACTERS: Final = 500
_RESOURCE: Final = resource_of({"service.name": "ldv subject"})


class LinkRecords(msgspec.Struct, frozen=True):
    """What the records of a link have in common.

    Attributes:
        activity: URI of the processing activity under which numbers are linked.
        link_id: Of the link, a UUID.
        reason: Why, in the words of who did it.
        stray: What becomes of a BSN in the reason that is of neither number.
    """

    activity: str
    link_id: str
    reason: str
    stray: StrayNumbers

    def __repr__(self) -> str:
        """Leave the reason out: it may quote a number."""
        return f"LinkRecords({self.link_id!r})"

    def logregels(
        self, name: str, subjects: Sequence[DataSubject], identifiers: Sequence[tuple[str, str]] = ()
    ) -> list[Logregel]:
        """Return a record about each subject, in one trace; the first is the parent of the others.

        Args:
            name: `LINKED` or `ENDED`.
            identifiers: Those of the subjects with their types, where they are known: none is left in the reason.
        """
        moment_ms, trace_id = now_ms(), secrets.token_bytes(16)
        redactor = Redactor(identifiers)
        records: list[Logregel] = []
        for subject in subjects:
            builder = LogregelBuilder(trace_id, secrets.token_bytes(8), redactor, stray=self.stray)
            builder.name(name, of_code=True)
            builder.period(moment_ms, moment_ms)
            builder.activities(self.activity, "")
            builder.subject(subject)
            if records:
                builder.parent(records[0].span_id)
            # Cut after redaction: a part of a number would not be found.
            builder.attribute(REASON, builder.text(self.reason)[:REASON_CHARACTERS])
            builder.computed(LINK, self.link_id)
            builder.resource(_RESOURCE)
            records.append(builder.build())
        return records
