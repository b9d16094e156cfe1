"""Known subjects: the identifiers of data subjects that the privacy shield and the record search for in texts.

They stay in this process's memory as long as one of the spans of their trace does, whoever its parent is: a span that a
queue or a thread starts from ids alone quotes the same people. A trace keeps the last few only, so that a job about a
million people does not keep a million; from then on its spans are closed to other exporters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from opentelemetry.util.types import AttributeValue

from ldv_otel._internal.privacy.identifier_forms import SHORT
from ldv_otel._internal.privacy.pseudonyms import normalise_identifier
from ldv_otel._internal.privacy.redaction import REDACT_ALL, Redactor, RedactorPair
from ldv_otel._internal.record.actie import identifiers_in
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.sdk.span_rules import SpanSnapshot
from ldv_otel.attributes import DATA_SUBJECT_ID, DATA_SUBJECT_ID_TYPE

SUBJECT_ATTRIBUTES: Final = frozenset({DATA_SUBJECT_ID, DATA_SUBJECT_ID_TYPE})
#: How many identifiers are searched for in the spans of a trace that other exporters get.
MAX_IDENTIFIERS: Final = 64
#: How many are searched for in the record of the span that they were named for.
MAX_OWN_IDENTIFIERS: Final = 1_024

#: An identifier as it was named, as text, with its type.
KnownSubject = tuple[str, str | None]


class TraceSubjects(dict[KnownSubject, None]):
    """The last identifiers that were named in a trace; all its spans in this process share it.

    Attributes:
        version: Goes up with each identifier.
        redactor: The redactor for all of them, and the version that it was made at.
        closed: More were named than are searched for, or the trace hangs below a span that cannot be told from another:
            it may quote others as well, so of its spans others get ids and times only.
    """

    version = 0
    closed = False
    redactor: tuple[int, Redactor] | None = None

    def add(self, subject: KnownSubject) -> None:
        """Add an identifier; the oldest goes when there are too many."""
        if subject in self:
            return
        self[subject] = None
        self.version += 1
        if len(self) > MAX_IDENTIFIERS:
            self.closed = True
            self.pop(next(iter(self)), None)

    def long(self) -> list[KnownSubject]:
        """Return the identifiers that are searched for in any span of the trace.

        Short ones are searched for in their own span only: elsewhere a `7` is something else.
        """
        # A copy first: another thread may add one meanwhile.
        return [subject for subject in tuple(self) if len(subject[0]) >= SHORT]


class _ForgottenSubjects(TraceSubjects):
    """What a span that was collected refers to: nobody is kept here, and so nothing is shown that asks it."""

    closed = True

    def add(self, subject: KnownSubject) -> None:
        """Keep nobody."""


FORGOTTEN: Final = _ForgottenSubjects()


class KnownSubjects(msgspec.Struct):
    """What the shield knows of one span.

    Attributes:
        trace: The identifiers known for its trace.
        own: The identifiers of this span, in the order in which they were named; None for none.
        on_span: Whether one of them stands on the span itself.
        too_many: Whether more stand on the span than are kept, or they could not be found out: then no text of the
            span is shown to others.
        redactor: The span's own redactor, where that of its trace does not serve, as `TraceSubjects.redactor`.
        hidden: Names of attributes from which a mapping rule takes a data subject.
        exposed: Attributes that other exporters see instead, with `LDV_EXPOSE_SUBJECT=pseudonym`.
    """

    trace: TraceSubjects
    own: dict[KnownSubject, None] | None = None
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
        subject = (text, type_ if isinstance(type_, str) else None)
        if self.own is None:
            self.own = {subject: None}
        elif len(self.own) < MAX_OWN_IDENTIFIERS:
            self.own[subject] = None
        elif on_span and subject not in self.own:
            self.too_many = True
        self.trace.add(subject)

    @property
    def full(self) -> bool:
        """Whether another identifier would be kept neither for the span nor for its trace."""
        return self.trace.closed and self.own is not None and len(self.own) >= MAX_OWN_IDENTIFIERS

    def learn(self, snapshot: SpanSnapshot) -> None:
        """Keep the identifiers that a snapshot of the span holds: in its own attributes, and by its mapping rule."""
        if DATA_SUBJECT_ID in snapshot.attributes:
            for subject in identifiers_in(snapshot.attributes):
                self.add_once(subject)
        rule = snapshot.rule
        if rule is not None and rule.subjects:
            for value, type_ in snapshot.identifiers:
                self.add_once((normalise_identifier("", value)[0], type_))
            self.hidden = frozenset(source.attribute for source in rule.subjects if source.attribute)

    def shield_redactor(self) -> Redactor | None:
        """Return the redactor for what other exporters see of the span; None when nobody is known."""
        if self.too_many or self.trace.closed:
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
        version = trace.version
        if version == 1:
            # One person, as in most traces; whom the span named is that one.
            if trace.redactor is not None and trace.redactor[0] == 1:
                return trace.redactor[1]
            identifiers = tuple(trace)
            if len(identifiers[0][0]) >= SHORT:
                redactor = Redactor(identifiers)
                trace.redactor = (1, redactor)
                return redactor
        # Making one costs as much as its use for one span; as a rule, all spans of a trace can share it.
        shared = version <= MAX_IDENTIFIERS and all(len(text) >= SHORT for text, _ in own)
        holder: TraceSubjects | KnownSubjects = trace if shared else self
        if holder.redactor is None or holder.redactor[0] != version:
            holder.redactor = (version, Redactor(dict.fromkeys((*own, *trace.long()))))
        return holder.redactor[1]

    def may_be_quoted(self) -> bool:
        """Return whether the span may quote anybody, so that others need not get it as it is."""
        trace = self.trace
        return bool(trace or trace.closed or self.too_many or self.exposed)

    def add_once(self, subject: KnownSubject) -> None:
        """Keep an identifier that stands on the span itself, unless it is kept already."""
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
