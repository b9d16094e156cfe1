"""The builder: the one place where a Logregel is made, for every way in.

Spans of the SDK, many people at once, the exporter, imported files, GEMMA's API, the officer's page and the answers of
other parties: each gives its values to a `LogregelBuilder`, which makes them storable, redacts them, and flags what it
changed. A test holds that no other module makes a record; `record/logregel.py` decodes them and
`clickhouse/columns.py` reads them from rows, which were made here before.

Nothing here raises on odd input: a value that does not fit is normalised in one documented way, named in `ldv.flags`,
and where something would be lost the original is kept whole in `ldv.original.<field>` (LDV-A8).

| input | outcome |
| --- | --- |
| empty or missing name | `(naamloos)`, flag `name_missing` |
| name over 1,024, activity over 2,048 characters | cut, whole in `ldv.original.*`, flag `name_cut`, `activity_cut` |
| an activity that is no URI | kept, flag `activity_not_uri` |
| an activity that the Register does not have, where that is checked (LDV-N15) | kept, flag `activity_unknown` |
| lone surrogates and NUL in any text | U+FFFD, flag `text_repaired` |
| text over 16 Mi characters | cut there, flag `value_cut` |
| booleans, integers, floats | `true`, decimal digits, shortest decimal text (`NaN`, `Infinity`, `-Infinity`) |
| lists and mappings, nested | compact JSON; a NaN inside becomes its text |
| bytes, None, other objects | base64, empty text, `str()`; flag `value_converted` |
| an end before the start | end = start, whole in `ldv.original.end_time`, flag `end_before_start` |
| times before 1970 or after 2261 | moved to that limit, whole in `ldv.original.*`, flag `time_out_of_range` |
| a known identifier of a data subject in any text | `REDACTED` in its place, flag `subject_redacted` |
| a BSN that nobody named, in any text (LDV-N14) | by `LDV_STRAY_BSN`: `*********` in its place, flag `stray_bsn` |
| whatever makes this fail all the same | the bare record (`last_resort.py`), flag `record_failed` |
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

import ldv_otel.attributes as names
from ldv_otel._internal.privacy.pseudonyms import SEALED_PREFIX, DataSubject
from ldv_otel._internal.privacy.redaction import REDACTED, Redactor
from ldv_otel._internal.privacy.stray_numbers import MASK, StrayNumbers
from ldv_otel._internal.record.logregel import (
    ACTIVITY_MAX_CHARACTERS,
    NAME_MAX_CHARACTERS,
    NAME_MISSING_TEXT,
    TEXT_MAX_CHARACTERS,
    Logregel,
    Status,
    is_uri,
)
from ldv_otel._internal.record.ordinary import TYPES, is_storable
from ldv_otel._internal.record.resource_choice import USUAL_CHOICE, RecordResource, ResourceChoice
from ldv_otel._internal.times.instants import TIME_MAX_MS, within_record_time
from ldv_otel.attributes import FLAGS, LEFT_OUT, ORIGINAL_PREFIX, Flag

_JSON_MAX_DEPTH: Final = 64
_JSON_MAX_NODES: Final = 1_000_000
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")

#: Attributes whose values this package computes. They are not redacted: readers calculate with them, and a time or an
#: id may have somebody's number in it by chance.
COMPUTED: Final = frozenset(
    {
        names.CONFIDENTIAL,
        names.FLAGS,
        names.INTERRUPTED,
        names.KEPT_UNTIL,
        names.MOVED_TO,
        names.OFFICER,
        names.OUTCOME_OF,
        names.VERSION,
        names.VERSION_OF,
        names.WITHDRAWN,
    }
)
#: Attributes of a record that come from no extension, and those of them that hold for all data subjects of its Actie.
_NOT_OF_EXTENSIONS: Final = (names.NAMESPACE, "exception.", "ldv.")
_FOR_ALL: Final = frozenset({names.CONFIDENTIAL, names.KEPT_UNTIL, names.OUTCOME_OF})
#: The fields of a record that name something of an organisation; see `LogregelBuilder.label`.
_LABELS: Final = (
    "processing_activity_id",
    "parent_processing_activity_id",
    "foreign_operation_processor",
    "external_read_api_id",
)
#: What is stored as its JSON, but for what takes the place of numbers that JSON does not have, or that are somebody's.
_JSON_TYPES: Final = (bool, int, float, list, tuple, Mapping)
_NO_JSON: Final = frozenset({REDACTED, MASK, "NaN", "Infinity", "-Infinity", ""})
#: With or without its dashes.
_UUID: Final = re.compile(r"([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})", re.IGNORECASE)
#: Flags of an Actie that may be about a text which the records of its further data subjects share.
_FLAGS_FOR_ALL: Final = frozenset({Flag.ACTIVITY_UNKNOWN, Flag.STRAY_BSN, Flag.SUBJECT_REDACTED, Flag.TEXT_REPAIRED})
#: The attributes that name the fields in which a stray BSN is looked for, as `LDV_STRAY_BSN_EXCEPT` has them.
_NAMES_OF_FIELDS: Final = {
    "processing_activity_id": names.PROCESSING_ACTIVITY_ID,
    "parent_processing_activity_id": names.PARENT_PROCESSING_ACTIVITY_ID,
    "foreign_operation_trace_id": names.FOREIGN_OPERATION_TRACE_ID,
    "foreign_operation_span_id": names.FOREIGN_OPERATION_SPAN_ID,
}
_NO_NAMES: Final[frozenset[str]] = frozenset()


class LogregelBuilder:
    """Makes one record storable, field by field, and remembers what it normalised.

    Use: call the methods for the fields at hand, in any order, then `build`. Fields without a call keep the defaults of
    `Logregel`; a name and a period are required.

    Args:
        trace_id: 16 bytes.
        span_id: 8 bytes.
        redactor: Searches for the identifiers that are known to the way in: of the record, and of its trace. The
            prefilter decides for nearly every text that none of them is in it.
        stray: Searches for BSNs that are not known to it; None where the texts were searched before.
        closed: More identifiers are known than `redactor` searches for. The texts that may quote anybody (name, message
            and stack trace of an exception) are then redacted whole.

    Attributes:
        knows: Says whether the Register has an activity; None where that is not checked (LDV-N15).
    """

    __slots__ = (
        "_attributes",
        "_closed",
        "_exempt",
        "_fields",
        "_flags",
        "_json_names",
        "_looked_at",
        "_may_find",
        "_originals",
        "_redactor",
        "_stray",
        "knows",
    )

    def __init__(
        self,
        trace_id: bytes,
        span_id: bytes,
        redactor: Redactor | None = None,
        *,
        stray: StrayNumbers | None = None,
        closed: bool = False,
    ) -> None:
        self.knows: Callable[[str], bool] | None = None
        self._fields: dict[str, Any] = {"trace_id": trace_id, "span_id": span_id}
        self._attributes: dict[str, str] = {}
        self._flags: set[str] = set()
        self._originals: dict[str, str] = {}
        self._json_names: list[str] = []
        self._redactor = redactor
        self._closed = closed
        self._stray = stray
        self._may_find: Callable[[str], object] | None = None
        # One test of each text for both.
        if redactor is not None:
            self._may_find = redactor.may_find if stray is None else redactor.may_find_or_bsn
        elif stray is not None:
            self._may_find = stray.may_find
        self._exempt = stray.exempt if stray is not None else _NO_NAMES
        #: Whether the text that comes next may not hold a stray BSN.
        self._looked_at = True

    @property
    def flags(self) -> frozenset[str]:
        """What was normalised so far."""
        return frozenset(self._flags)

    def before(self, flags: Iterable[str], originals: Mapping[str, str]) -> None:
        """Add what was normalised before the values got here, and the originals that were replaced, by field."""
        self._flags.update(flags)
        if self._exempt:
            self.look_at("")
        for field, original in originals.items():
            self._originals[ORIGINAL_PREFIX + field] = self.label(original)

    def parent(self, span_id: bytes) -> None:
        """Set the id of the calling Actie; see `Logregel.parent_span_id`."""
        self._fields["parent_span_id"] = span_id

    def status(self, status: Status) -> None:
        """Set the outcome."""
        self._fields["status"] = status

    def name(self, value: object, *, of_code: bool = False) -> None:
        """Set a name that is never empty.

        Args:
            of_code: The application's code names its step with it, as `processing` does: see `label`.
        """
        if self._exempt:
            self.look_at("name")
        text = (self.label(value) if of_code and not self._closed else self.free_text(value)).strip()
        if not text:
            self._flags.add(Flag.NAME_MISSING)
            text = NAME_MISSING_TEXT
        elif len(text) > NAME_MAX_CHARACTERS:
            text = self._cut(text, "name", NAME_MAX_CHARACTERS, Flag.NAME_CUT)
        self._fields["name"] = text

    def period(self, start_time_ms: int, end_time_ms: int) -> None:
        """Set start and end, in ms since 1970-01-01 UTC, moved to where they can be stored and are in order."""
        if not 0 <= start_time_ms <= end_time_ms <= TIME_MAX_MS:
            start_time_ms, end_time_ms = self._within_limits(start_time_ms, end_time_ms)
        self._fields["start_time_ms"] = start_time_ms
        self._fields["end_time_ms"] = end_time_ms

    def activity(self, value: object, field: str = "processing_activity_id") -> str:
        """Set a processing activity as given, flagged when it is no URI, and return it; empty text stays empty."""
        if self._exempt:
            self.look_at(_NAMES_OF_FIELDS[field])
        text = self.label(value).strip()
        if len(text) > ACTIVITY_MAX_CHARACTERS:
            text = self._cut(text, field, ACTIVITY_MAX_CHARACTERS, Flag.ACTIVITY_CUT)
        if text:
            if not is_uri(text):
                self._flags.add(Flag.ACTIVITY_NOT_URI)
            self._fields[field] = text
            if self.knows is not None and not self.knows(text):
                self._flags.add(Flag.ACTIVITY_UNKNOWN)
        return text

    def activities(self, own: object, enclosing: str, main: object = None) -> None:
        """Set the activity, and that of the main operation.

        Args:
            own: Of the span; where it names none, that of the enclosing Actie is inherited (LDV-A3).
            enclosing: As the record of the enclosing Actie has it, where what is odd about it is flagged; or empty.
            main: Of the main operation, where the application names it; else it is that of the enclosing Actie, if that
                is another one (LDV-A12).
        """
        activity = self.activity(own)
        if enclosing:
            enclosing = self.label(enclosing)
            activity = activity or self._fields.setdefault("processing_activity_id", enclosing)
        if not activity:
            self._flags.add(Flag.ACTIVITY_MISSING)
        if main:
            self.activity(main, "parent_processing_activity_id")
        elif enclosing and enclosing != activity:
            self._fields["parent_processing_activity_id"] = enclosing

    def subject(self, subject: DataSubject) -> str:
        """Set the data subject, with what was odd about its identifier, and return its type as it is stored."""
        if subject.flags:
            self._flags.update(subject.flags)
        fields = self._fields
        fields["data_subject_id"] = subject.pseudonym
        fields["key_id"] = subject.key_id
        if self._exempt:
            self.look_at(names.DATA_SUBJECT_ID_TYPE)
        type_ = subject.type if subject.type in TYPES else self.label(subject.type)
        fields["data_subject_id_type"] = type_
        # A sealed identifier opens with its type only, so that with a redacted type it never would.
        if subject.sealed and (type_ == subject.type or not subject.sealed.startswith(SEALED_PREFIX)):
            # Not redacted: ciphertext, or a pseudonym of the application's own, which is the identifier as given.
            fields["data_subject_sealed"] = self._storable(subject.sealed)
        return type_

    def foreign_operation(self, trace_id: bytes, span_id: bytes, processor: object = "") -> None:
        """Set the Actie at another organisation that called (LDV-A6), with the URL of its application."""
        fields = self._fields
        fields["foreign_operation_trace_id"] = trace_id
        fields["foreign_operation_span_id"] = span_id
        if processor:
            self.processor(processor)

    def processor(self, url: object) -> None:
        """Set the URL of the calling application."""
        if self._exempt:
            self.look_at(names.FOREIGN_OPERATION_PROCESSOR)
        self._fields["foreign_operation_processor"] = self.label(url)

    def transaction_id(self, text: str) -> None:
        """Set the transaction id of an inbound call (LDV-N16), unless the application did; another text is flagged."""
        if match := _UUID.fullmatch(text.strip()):
            self._attributes.setdefault(names.FSC_TRANSACTION_ID, "-".join(match.groups()).lower())
        else:
            self._flags.add(Flag.FOREIGN_ID_MALFORMED)
            self._originals[f"{ORIGINAL_PREFIX}fsc_transaction_id"] = self.label(text)

    def unknown_caller(self, url: str) -> None:
        """Set the URL of an application that called and that nobody knows; one that is known stays (LDV-N10)."""
        self._fields.setdefault("foreign_operation_processor", url)

    def hex_id(self, value: object, field: str, length: int) -> bytes:
        """Set a field to the bytes of a hexadecimal id and return them; of another value nothing, flagged and kept.

        Zeros are no id, as in W3C Trace Context: some write them where there is none.
        """
        if self._exempt:
            self.look_at(_NAMES_OF_FIELDS[field])
        text = self.label(value).strip().removeprefix("0x")
        if not text:
            return b""
        try:
            raw = bytes.fromhex(text)
        except ValueError:
            raw = b""
        if len(raw) == length:
            if any(raw):
                self._fields[field] = raw
            return raw if any(raw) else b""
        self._flags.add(Flag.FOREIGN_ID_MALFORMED)
        self._originals[ORIGINAL_PREFIX + field] = text
        return b""

    def read_apis(self, urls: Iterable[object]) -> list[str]:
        """Set where the Logregels of the first party that was called can be read, and return all places, each once."""
        if self._exempt:
            self._looked_at = self._exempt.isdisjoint(names.NEXT_LOGBOOK_NAMES)
        labels = (self.label(url).strip() for url in urls)
        read_apis = list(dict.fromkeys(label for label in labels if label))
        if read_apis:
            self._fields["external_read_api_id"] = read_apis[0]
        return read_apis

    def outbound(self, span_ids: tuple[bytes, ...]) -> None:
        """Set the ids of the technical client spans below this Actie."""
        self._fields["outbound_span_ids"] = span_ids

    def resource(self, resource: RecordResource) -> str:
        """Set the resource, as `resource_of` made it, and return it as it is stored."""
        text, redactor = resource.text, self._redactor
        if resource.flags:
            self._flags.update(resource.flags)
        # Stray BSNs were looked for when the resource was made, once for all records of the process.
        if redactor is not None and redactor.may_find_in_shared(
            text if resource.searched is None else resource.searched
        ):
            self._looked_at = False
            attributes: dict[str, str] = msgspec.json.decode(text)
            redacted = {
                self.label(name): value if _UUID.fullmatch(value) else self.label(value)
                for name, value in attributes.items()
            }
            text = text if redacted == attributes else _json_object(redacted)
            self._looked_at = True
        self._fields["resource"] = text
        return text

    def span_attributes(self, attributes: Mapping[str, object]) -> None:
        """Add those attributes of a span that enter a record and have no field of their own (LDV-A9)."""
        for name, value in attributes.items():
            if name.startswith(names.NAMESPACE) and name not in names.FIELDS:
                if self._exempt:
                    self.look_at(name)
                self._set(name, value)

    def attribute(self, name: str, value: object) -> None:
        """Add an attribute with a value of any type."""
        if self._exempt:
            self.look_at(name)
        self._set(name, value)

    def extended(self, attributes: Mapping[str, object]) -> None:
        """Add the attributes of extensions; what they compute for readers is not redacted."""
        for name, value in attributes.items():
            if name in COMPUTED:
                self.computed(name, str(value))
            else:
                self.attribute(name, value)

    def quotation(self, name: str, value: object) -> None:
        """Add an attribute whose text may quote anybody, such as the message of an exception; see `closed`."""
        if self._exempt:
            self.look_at(name)
        self._attributes[name] = self.free_text(value)

    def computed(self, name: str, text: str) -> None:
        """Add an attribute whose text this package computed: an id, a time, a mark or ciphertext, never redacted."""
        self._attributes[name] = self._storable(text)

    def shared(self, parent: Logregel, read_api: str) -> None:
        """Set what a child record has in common with the record of its Actie, which is storable already."""
        self._fields.update(
            parent_span_id=parent.span_id,
            status=parent.status,
            name=parent.name,
            start_time_ms=parent.start_time_ms,
            end_time_ms=parent.end_time_ms,
            processing_activity_id=parent.processing_activity_id,
            external_read_api_id=read_api,
            resource=parent.resource,
        )

    def build(self) -> Logregel:
        """Return the record, with its flags and the originals kept."""
        attributes = self._attributes
        if self._originals:
            attributes |= self._originals
        if self._json_names:
            attributes[names.JSON_VALUES] = ",".join(self._json_names)
        if self._flags:
            attributes[FLAGS] = ",".join(sorted(self._flags))
        return Logregel(**self._fields, attributes=attributes)

    def _set(self, name: str, value: object) -> None:
        shown, text = self._attribute_name(name), self.text(value)
        self._attributes[shown] = text
        if type(value) is not str and isinstance(value, _JSON_TYPES) and "," not in shown and text not in _NO_JSON:
            self._json_names.append(shown)

    def text(self, value: object) -> str:
        """Return any value as the text it is stored as, redacted; see the table at the top of this module."""
        may_find = self._may_find
        if type(value) is str:
            if may_find is not None and may_find(value):
                value = self._redacted(value, self._redactor)
            return self._storable(value)
        return self._storable(self._converted(value))

    def label(self, value: object) -> str:
        """Return a value as `text` does, for a field that names something of an organisation, not of a person.

        In an activity, a URL, a version or the name of an attribute a number of fewer than five characters is nobody's,
        also where it stands alone.
        """
        may_find, redactor = self._may_find, self._redactor
        if may_find is None:
            return self.text(value)
        text = value if type(value) is str else self._converted(value)
        if may_find(text):
            text = self._redacted(text, redactor.long_only if redactor is not None else None)
        return self._storable(text)

    def free_text(self, value: object) -> str:
        """Return a value as `text` does, for a field that may quote anybody; see `closed`."""
        if self._closed and value:
            self._flags.add(Flag.SUBJECT_REDACTED)
            return REDACTED
        return self.text(value)

    def look_at(self, name: str) -> None:
        """Note of which attribute the texts are that come next; in some, stray BSNs are not looked for."""
        self._looked_at = name not in self._exempt

    def _redacted(self, text: str, redactor: Redactor | None) -> str:
        if redactor is not None and (redacted := redactor.text(text)) != text:
            self._flags.add(Flag.SUBJECT_REDACTED)
            text = redacted
        stray = self._stray
        if stray is not None and self._looked_at and (masked := stray.text(text)) != text:
            self._flags.add(Flag.STRAY_BSN)
            text = masked if stray.redacts else text
        return text

    def _attribute_name(self, name: str) -> str:
        label = self.label(name)
        if label != name:
            # Two names may differ in the identifier alone; neither value may take the place of the other.
            while label in self._attributes:
                label += "_"
        return label

    def _storable(self, text: str) -> str:
        return text if is_storable(text) else self._repaired(text)

    def _cut(self, text: str, field: str, limit: int, flag: Flag) -> str:
        self._flags.add(flag)
        self._originals[ORIGINAL_PREFIX + field] = text
        return text[:limit]

    def _within_limits(self, start_time_ms: int, end_time_ms: int) -> tuple[int, int]:
        start = self._time(start_time_ms, "start_time")
        end = self._time(end_time_ms, "end_time")
        if end < start:
            self._flags.add(Flag.END_BEFORE_START)
            self._originals[f"{ORIGINAL_PREFIX}end_time"] = str(end_time_ms)
            end = start
        return start, end

    def _time(self, time_ms: int, field: str) -> int:
        if 0 <= time_ms <= TIME_MAX_MS:
            return time_ms
        self._flags.add(Flag.TIME_OUT_OF_RANGE)
        self._originals[ORIGINAL_PREFIX + field] = str(time_ms)
        return within_record_time(time_ms)

    def _repaired(self, text: str) -> str:
        if len(text) > TEXT_MAX_CHARACTERS:
            self._flags.add(Flag.VALUE_CUT)
            text = text[:TEXT_MAX_CHARACTERS]
        repaired, count = _UNSTORABLE.subn("\ufffd", text)
        if count:
            self._flags.add(Flag.TEXT_REPAIRED)
        return repaired

    def _converted(self, value: object) -> str:
        if isinstance(value, str):
            return self.text(str.__str__(value))
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return self._in_place_of(value) or _number_text(value)
        if isinstance(value, Mapping | Sequence) and not isinstance(value, bytes | bytearray | memoryview):
            return self._json(value)
        self._flags.add(Flag.VALUE_CONVERTED)
        return self._odd(value)

    def _json(self, value: object) -> str:
        try:
            plain = self._plain(value, _JSON_MAX_DEPTH, [_JSON_MAX_NODES])
            text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
        except Exception:  # a stranger's mapping may raise anything from its own methods
            self._flags.add(Flag.VALUE_CONVERTED)
            return self._odd(value)
        redactor = self._redactor
        if redactor is not None and redactor.may_find(text) and redactor.finds(text):
            # It stands in no element, and over several of them.
            self._flags.add(Flag.SUBJECT_REDACTED)
            return f'{{"{REDACTED}":"{REDACTED}"}}' if isinstance(value, Mapping) else f'["{REDACTED}"]'
        return text

    def _plain(self, value: object, depth: int, budget: list[int]) -> Any:  # noqa: PLR0911  (a case a line)
        """Return the value in JSON's own types; depth and node count are bounded, so a cycle ends too."""
        budget[0] -= 1
        if depth == 0 or budget[0] < 0:
            self._flags.add(Flag.VALUE_CUT)
            return "\u2026"
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, int | float):
            return self._in_place_of(value) or _json_number(value)
        if isinstance(value, Mapping):
            return {self.text(key): self._plain(item, depth - 1, budget) for key, item in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
            return [self._plain(item, depth - 1, budget) for item in value]
        self._flags.add(Flag.VALUE_CONVERTED)
        return self._odd(value)

    def _odd(self, value: object) -> str:
        if value is None:
            return ""
        if isinstance(value, bytes | bytearray | memoryview):
            raw = bytes(value)
            return self._in_place_of(raw) or base64.b64encode(raw).decode()
        try:
            return self.text(str(value))
        except Exception:  # a stranger's __str__ may raise anything
            return f"({type(value).__name__})"

    def _in_place_of(self, value: float | bytes) -> str:
        """Return what takes the place of a number or bytes that hold an identifier; empty for those that hold none."""
        if self._redactor is not None and self._redactor.finds_in_scalar(value):
            self._flags.add(Flag.SUBJECT_REDACTED)
            return REDACTED
        stray = self._stray
        if stray is not None and self._looked_at and stray.finds_in_scalar(value):
            self._flags.add(Flag.STRAY_BSN)
            return MASK if stray.redacts else ""
        return ""


def storable_text(value: object) -> str:
    """Return a value as a record would hold it, for a text that reaches the record later."""
    return LogregelBuilder(b"", b"").text(value)


def resource_of(
    attributes: Mapping[str, object],
    choice: ResourceChoice | None = USUAL_CHOICE,
    *,
    stray: StrayNumbers | None = None,
) -> RecordResource:
    """Return the resource attributes that name the system as a JSON object with sorted keys (LDV-A9).

    Args:
        choice: Which are kept; the names of the others stand in `ldv.left_out` (LDV-N8). None for all of them: they
            come from a record of another party, which has left out what it should.
        stray: See `LogregelBuilder`.
    """
    builder = LogregelBuilder(b"", b"", stray=stray)
    texts = {}
    for name, value in attributes.items():
        if choice is None or choice.keeps(name):
            builder.look_at(name)
            texts[builder.label(name)] = builder.label(value)
    left_out = choice.left_out(attributes) if choice is not None else ()
    if left_out:
        texts[LEFT_OUT] = ",".join(left_out)
    searched = _json_object({name: text for name, text in texts.items() if not _UUID.fullmatch(text)})
    return RecordResource(_json_object(texts), tuple(sorted(builder.flags)), left_out, searched)


def child_of(parent: Logregel, subject: DataSubject, span_id: bytes, read_api: str = "") -> Logregel:
    """Return the record of one further data subject or called party: a child Actie of the record's own (LDV-A4).

    Args:
        read_api: As a record holds it.
    """
    builder = LogregelBuilder(parent.trace_id, span_id)
    builder.before(_FLAGS_FOR_ALL.intersection(parent.flags), {})
    builder.shared(parent, read_api)
    builder.subject(subject)
    for name, text in parent.attributes.items():
        if name in _FOR_ALL or not name.startswith(_NOT_OF_EXTENSIONS):
            builder.computed(name, text)
    return builder.build()


def interrupted(record: Logregel) -> Logregel:
    """Return a record, made when its Actie began, as it stands if the Actie never ends."""
    flags = ",".join(sorted({*record.flags, Flag.END_MISSING}))
    attributes = {**record.attributes, names.INTERRUPTED: "true", FLAGS: flags}
    return msgspec.structs.replace(record, status=Status.ERROR, attributes=attributes)


def undone(record: Logregel) -> Logregel:
    """Return the record of an Actie whose database transaction was undone after it had ended: it failed."""
    return msgspec.structs.replace(
        record, status=Status.ERROR, attributes={**record.attributes, names.ROLLED_BACK: "true"}
    )


def after_commit(records: Sequence[Logregel], span_id: bytes) -> list[Logregel]:
    """Return the outcome (LDV-N18) of an Actie that ran on after its record had committed with its transaction.

    Args:
        records: Of the Actie itself, and of its further data subjects.
        span_id: For the outcome.
    """
    actie = records[0].span_id
    outcomes = []
    for record in records:
        own = record.span_id == actie
        late = flagged(record, Flag.AFTER_COMMIT)
        outcomes.append(
            msgspec.structs.replace(
                late,
                span_id=span_id if own else record.span_id,
                parent_span_id=actie if own else span_id,
                attributes={**late.attributes, names.OUTCOME_OF: actie.hex()},
            )
        )
    return outcomes


def flagged(record: Logregel, flag: Flag) -> Logregel:
    """Return a record with one more flag, of what was seen after it was made."""
    attributes = {**record.attributes, FLAGS: ",".join(sorted({*record.flags, flag}))}
    return msgspec.structs.replace(record, attributes=attributes)


def until(record: Logregel, end_ms: int) -> Logregel:
    """Return the record of an Actie that runs, as it is at a moment in ms since 1970-01-01 UTC."""
    return msgspec.structs.replace(record, end_time_ms=max(end_ms, record.start_time_ms))


def with_outcome(record: Logregel, outcome: Logregel) -> Logregel:
    """Return a record with the outcome that came later (LDV-N18), for people to read as one step."""
    end_ms = max(record.end_time_ms, outcome.end_time_ms)
    return msgspec.structs.replace(record, status=outcome.status, end_time_ms=end_ms)


def redacted(record: Logregel, redactor: Redactor) -> Logregel:
    """Return a record, made before these identifiers were known, without them in its texts."""
    builder = LogregelBuilder(record.trace_id, record.span_id, redactor)
    texts = {field: builder.label(getattr(record, field)) for field in _LABELS}
    texts["name"] = builder.text(record.name)
    texts["data_subject_id_type"] = builder.label(record.data_subject_id_type)
    texts["resource"] = builder.resource(RecordResource(record.resource))
    attributes = {
        builder.label(name): text if name in COMPUTED else builder.text(text)
        for name, text in record.attributes.items()
    }
    if not builder.flags:
        return record
    attributes[FLAGS] = ",".join(sorted({*record.flags, *builder.flags}))
    return msgspec.structs.replace(record, **texts, attributes=attributes)


def texts_of(record: Logregel) -> str:
    """Return all texts of a record that are redacted, as one text to search in."""
    labels = (getattr(record, field) for field in _LABELS)
    attributes = ((name, "" if name in COMPUTED else text) for name, text in record.attributes.items())
    return "\n".join((record.name, *labels, *(text for pair in attributes for text in pair), record.resource))


def _json_object(texts: Mapping[str, str]) -> str:
    return json.dumps(texts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _json_number(value: float) -> float | str:
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**64 else _number_text(value)
    return value if math.isfinite(value) else _number_text(value)


def _number_text(value: float) -> str:
    if isinstance(value, int):
        try:
            return int.__str__(value)
        except ValueError:  # Python refuses decimal text of integers over 4,300 digits
            return hex(value)
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
