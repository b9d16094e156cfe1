"""Known subjects: the identifiers of data subjects that the privacy shield and the record search for in texts.

They stay in this process's memory, in the live spans where they were named, and go with them. A trace keeps the last
few only, so that a job about a million people does not keep a million.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from opentelemetry.util.types import AttributeValue

from ldv_otel._internal.privacy.pseudonyms import normalise_identifier
from ldv_otel._internal.privacy.redaction import REDACT_ALL, SHORT, Redactor, RedactorPair
from ldv_otel._internal.record.actie import identifiers_in
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.sdk.span_rules import SpanSnapshot
from ldv_otel.attributes import DATA_SUBJECT_ID, DATA_SUBJECT_ID_TYPE

SUBJECT_ATTRIBUTES: Final = frozenset({DATA_SUBJECT_ID, DATA_SUBJECT_ID_TYPE})
#: How many identifiers a trace keeps, and how many a span.
MAX_IDENTIFIERS: Final = 64

#: An identifier as it was named, as text, with its type.
KnownSubject = tuple[str, str | None]


class TraceSubjects(list[KnownSubject]):
    """The last identifiers that were named in a trace; all its live spans here share it.

    Attributes:
        version: Goes up with each identifier.
        redactor: The redactor for all of them, and the version that it was made at.
        incomplete: The trace hangs below a span that cannot be told from another, so it may quote others as well.
    """

    version = 0
    incomplete = False
    redactor: tuple[int, Redactor] | None = None

    def add(self, subject: KnownSubject) -> None:
        """Add an identifier; the oldest goes when there are too many."""
        self.append(subject)
        del self[:-MAX_IDENTIFIERS]
        self.version += 1


class KnownSubjects(msgspec.Struct):
    """What the shield knows of one span.

    Attributes:
        trace: The identifiers known for its trace.
        own: The identifiers of this span; None for none.
        on_span: Whether one of them stands on the span itself.
        too_many: Whether more stand on the span than are kept, or they could not be found out: then no text of the
            span is shown to others.
        redactor: The span's own redactor, where that of its trace does not serve, as `TraceSubjects.redactor`.
        hidden: Names of attributes from which a mapping rule takes a data subject.
        exposed: Attributes that other exporters see instead, with `LDV_EXPOSE_SUBJECT=pseudonym`.
    """

    trace: TraceSubjects
    own: list[KnownSubject] | None = None
    on_span: bool = False
    too_many: bool = False
    redactor: tuple[int, Redactor] | None = None
    hidden: frozenset[str] = frozenset()
    exposed: Mapping[str, AttributeValue] = {}

    def add(self, value: object, type_: object, *, on_span: bool = False) -> None:
        """Keep an identifier of the span, and so of its trace.

        Args:
            on_span: It stands on the span itself; beyond the limit no text of the span may then be shown.
        """
        text = value if type(value) is str else normalise_identifier("", value)[0]
        if not text:
            return
        self.on_span = self.on_span or on_span
        if self.own is None:
            self.own = []
        subject = (text, type_ if isinstance(type_, str) else None)
        if len(self.own) < MAX_IDENTIFIERS:
            self.own.append(subject)
        elif on_span:
            self.too_many = True
        self.trace.add(subject)

    def learn(self, snapshot: SpanSnapshot) -> None:
        """Keep the identifiers that a snapshot of the span holds: in its own attributes, and by its mapping rule."""
        if DATA_SUBJECT_ID in snapshot.attributes:
            for subject in identifiers_in(snapshot.attributes):
                self._add_once(subject)
        rule = snapshot.rule
        if rule is not None and rule.subjects:
            for value, type_ in snapshot.identifiers:
                self._add_once((normalise_identifier("", value)[0], type_))
            self.hidden = frozenset(source.attribute for source in rule.subjects if source.attribute)

    def shield_redactor(self) -> Redactor | None:
        """Return the redactor for what other exporters see of the span; None when nobody is known."""
        if self.too_many or self.trace.incomplete:
            return REDACT_ALL
        return self.known_redactor() if self.trace else None

    def record_redactor(self, snapshot: SpanSnapshot) -> Redactor | None:
        """Return the redactor for the record of the span; None when nobody is known."""
        if not self.trace:
            return None
        if not self.too_many:
            return self.known_redactor()
        # More than are kept: those that stand on the span now are searched for, so that the record keeps its texts.
        on_span = Redactor([*identifiers_in(snapshot.attributes), *snapshot.identifiers])
        return RedactorPair(on_span, self.known_redactor())

    def known_redactor(self) -> Redactor:
        """Return the redactor for the identifiers known of the span and of its trace."""
        trace, own = self.trace, self.own or ()
        # Making one costs as much as its use for one span; as a rule, all spans of a trace can share it.
        shared = trace.version <= MAX_IDENTIFIERS and all(len(text) >= SHORT for text, _ in own)
        holder: TraceSubjects | KnownSubjects = trace if shared else self
        if holder.redactor is None or holder.redactor[0] != trace.version:
            identifiers = dict.fromkeys((*own, *self.of_trace()))
            holder.redactor = (trace.version, Redactor(identifiers))
        return holder.redactor[1]

    def of_trace(self) -> list[KnownSubject]:
        """Return the identifiers of the trace that are searched for in any of its spans.

        Short ones are searched for in their own span only: elsewhere a `7` is something else.
        """
        # A copy first: another thread may add one meanwhile.
        return [subject for subject in tuple(self.trace) if len(subject[0]) >= SHORT]

    def may_be_quoted(self) -> bool:
        """Return whether the span may quote anybody, so that others need not get it as it is."""
        trace = self.trace
        return bool(trace or trace.incomplete or self.too_many or self.exposed)

    def _add_once(self, subject: KnownSubject) -> None:
        if subject[0] and not self.too_many and (self.own is None or subject not in self.own):
            self.add(*subject, on_span=True)


def exposed_attributes(records: Sequence[Logregel]) -> Mapping[str, AttributeValue]:
    """Return the attributes that show other exporters the data subjects of some records by pseudonym."""
    about_somebody = [record for record in records if record.data_subject_id]
    if not about_somebody:
        return {}
    pseudonyms = tuple(record.data_subject_id.hex() for record in about_somebody)
    return {
        DATA_SUBJECT_ID: pseudonyms if len(pseudonyms) > 1 else pseudonyms[0],
        DATA_SUBJECT_ID_TYPE: about_somebody[0].data_subject_id_type,
    }
