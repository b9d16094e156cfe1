"""Verwerkingsacties as Logregels and back, losslessly, and Logregels of other applications as Verwerkingsacties.

Elements that LDV has a field for are in that field; all of them, as they were sent, are in attributes `gemma.*`. An
actie about several persons is a Logregel without data subject with one below it for each person, because a Logregel has
one Betrokkene. An element that names a person or an employee, or may do so, is sealed: nobody without the key reads it,
and `gebruiker` is in no answer of LDV's APIs.

Source: section 6 of the specification; every choice there is ours.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

import ldv_otel.attributes as names
from ldv_otel._internal.api.constraints import check
from ldv_otel._internal.config.variables import UNKNOWN_CALLER_URL
from ldv_otel._internal.gemma.model import (
    IDENTIFICATOR_CHARACTERS,
    NAAM_CHARACTERS,
    CallingSpan,
    Version,
    Verwerkingsactie,
    VerwerktObject,
    VerwerktSoortGegeven,
    derived_id,
)
from ldv_otel._internal.privacy.pseudonyms import DataSubject, Pseudonymiser, normalise_identifier, normalise_type
from ldv_otel._internal.privacy.redaction import Redactor
from ldv_otel._internal.privacy.stray_numbers import StrayNumbers
from ldv_otel._internal.record.builder import LogregelBuilder, resource_of
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.times.durations import Duration
from ldv_otel._internal.times.instants import (
    TIME_MAX_MS,
    datetime_from_ms,
    ms_from_datetime,
    us_from_ms,
    within_record_time,
)

_PREFIX: Final = "gemma."
#: Elements that are stored as they are, by their attribute; those that are empty or absent are left out.
_PLAIN: Final = {
    f"{_PREFIX}{name}": name
    for name in Verwerkingsactie.__struct_fields__
    if name not in {"gebruiker", "afnemer_id", "verwerkte_objecten"}
}
_TYPES: Final = {field.name: field.type for field in msgspec.structs.fields(Verwerkingsactie)}
_RECORD_ID: Final = f"{_PREFIX}record_id"
_AFNEMER_ID: Final = f"{_PREFIX}afnemer_id"
_EVER_CONFIDENTIAL: Final = f"{_PREFIX}ooit_vertrouwelijk"
_CALLER: Final = f"{_PREFIX}traceparent"
_SEALED: Final = f"{_PREFIX}sealed"
_SEALED_TYPE: Final = "gemma"
_OBJECT_ID: Final = f"{_PREFIX}verwerkt_object_id"
_OBJECT_INDEX: Final = f"{_PREFIX}verwerkt_object_index"
_OBJECTTYPE: Final = f"{_PREFIX}objecttype"
_BETROKKENHEID: Final = f"{_PREFIX}betrokkenheid"
_SOORTEN: Final = f"{_PREFIX}soorten_gegevens"

#: Elements with free text, which may quote a person. The others have a form of their own (ids, times, numbers of
#: organisations, words of the standard), and clients find an actie by them.
_TEXTS: Final = frozenset(
    {
        "actie_naam",
        "handeling_naam",
        "verwerking_naam",
        "verwerkingsactiviteit_url",
        "systeem",
        "gegevensbron",
        "soort_afnemer_id",
        "verwerkingsactiviteit_url_afnemer",
    }
)

_OIN: Final = re.compile(r"(?<![0-9])[0-9]{20}(?![0-9])")
_UUID_AT_END: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_URN_UUID: Final = "urn:uuid:"


class _Sealed(msgspec.Struct, omit_defaults=True, array_like=True):
    """The sealed part of a Logregel.

    AES-SIV gives equal ciphertext for equal content. The version's own id in it makes each one differ, so that nobody
    without the key sees in which records the same employee is.
    """

    record_id: str
    gebruiker: str = ""
    afnemer_id: str = ""
    #: As they were sent, where a pseudonym has them normalised.
    soort_object_id: str = ""
    object_id: str = ""


class VerwerkingsactieMapper:
    """Makes Logregels of Verwerkingsacties, and Verwerkingsacties of Logregels, with one key ring.

    Args:
        pseudonymiser: Its active key has to seal.
        processor: Address of an organisation, with `{oin}` in it, for `dpl.core.foreign_operation.processor`; may be
            empty.
        stray: What becomes of BSNs that nobody named; by default they are redacted (LDV-N14).
        unknown_caller: The URL of a caller that has none (LDV-N10).
        knows: See `LogregelBuilder`.
    """

    def __init__(
        self,
        pseudonymiser: Pseudonymiser,
        *,
        processor: str = "",
        stray: StrayNumbers | None = None,
        unknown_caller: str = UNKNOWN_CALLER_URL,
        knows: Callable[[str], bool] | None = None,
    ) -> None:
        self._knows = knows
        self._pseudonymiser = pseudonymiser
        self._unknown_caller = unknown_caller
        self._stray = stray or StrayNumbers()
        self._processor = processor

    def logregels(self, version: Version) -> list[Logregel]:
        """Return the Logregels of a version: one, or one without data subject and one below it for each person."""
        objects = version.actie.verwerkte_objecten
        # Any of the texts may quote any of the persons; a short number in a text of a register is nobody's.
        redactor = Redactor([(each.object_id, each.soort_object_id) for each in objects], short=False)
        if len(objects) <= 1:
            # The caller's span is a parent only inside one trace; from another one it is a foreign operation.
            parent = version.caller.span_id if version.caller and version.caller.trace_id == version.trace_id else b""
            return [self._logregel(version, objects[0] if objects else None, 0, parent, redactor)]
        top = self._logregel(version, None, 0, b"", redactor)
        return [
            top,
            *(self._logregel(version, each, index, top.span_id, redactor) for index, each in enumerate(objects)),
        ]

    def version(self, records: Sequence[Logregel]) -> Version:
        """Return the version to which these Logregels belong; its objects are those whose Logregels are among them.

        A Logregel that was not written through the Bewerking API is a version by itself.
        """
        first = records[0]
        if not is_version(first):
            return self._native(first)
        attributes = first.attributes
        sealed = self._unsealed(first)
        plain: dict[str, Any] = {name: attributes[key] for key, name in _PLAIN.items() if key in attributes}
        plain["gebruiker"] = sealed.gebruiker
        plain["afnemer_id"] = attributes.get(_AFNEMER_ID, "") or sealed.afnemer_id
        objects = sorted((record for record in records if _OBJECT_ID in record.attributes), key=_object_index)
        caller = attributes.get(_CALLER, "")
        return Version(
            actie=Verwerkingsactie(verwerkte_objecten=tuple(map(self._object, objects)), **plain),
            actie_id=attributes[names.VERSION_OF],
            record_id=attributes[_RECORD_ID],
            trace_id=first.trace_id,
            registered_us=int(attributes[names.VERSION]),
            vervallen=names.WITHDRAWN in attributes,
            ever_confidential=_EVER_CONFIDENTIAL in attributes,
            caller=CallingSpan(bytes.fromhex(caller[:32]), bytes.fromhex(caller[32:])) if caller else None,
        )

    def identifier(self, record: Logregel) -> str:
        """Return the identifier of a Logregel's data subject, as it was hashed; empty when it was not sealed.

        Raises:
            ConfigurationError: The key that sealed it is not in the ring.
        """
        return self._pseudonymiser.identifier(
            DataSubject(record.data_subject_id, record.data_subject_id_type, record.key_id, record.data_subject_sealed)
        )

    def candidates(self, identifier: str, type_: str) -> list[bytes]:
        """Return the pseudonyms under which a person may be stored."""
        return self._pseudonymiser.candidates(identifier, type_)

    def _logregel(
        self, version: Version, about: VerwerktObject | None, index: int, parent: bytes, redactor: Redactor
    ) -> Logregel:
        actie = version.actie
        builder = LogregelBuilder(version.trace_id, secrets.token_bytes(8), redactor, stray=self._stray)
        builder.knows = self._knows
        builder.parent(parent)
        actie_names = (actie.actie_naam, actie.handeling_naam, actie.verwerking_naam)
        builder.name(next((name for name in actie_names if name.strip()), "verwerkingsactie"))
        builder.period(actie.tijdstip_ms, actie.tijdstip_ms)
        url, id_ = actie.verwerkingsactiviteit_url, actie.verwerkingsactiviteit_id
        builder.activity(url or (f"{_URN_UUID}{id_}" if id_ else ""))
        sealed = self._sealed(version, about if about is not None and self._set_subject(builder, about) else None)
        if sealed:
            builder.computed(_SEALED, sealed)
        foreign_trace, foreign_span = uuid_bytes(actie.verwerking_id_afnemer), b""
        caller = version.caller
        if caller is not None and caller.trace_id != version.trace_id:
            foreign_trace, foreign_span = caller.trace_id, caller.span_id
        builder.foreign_operation(foreign_trace if any(foreign_trace) else b"", foreign_span)
        if _is_organisation(actie):
            builder.processor(self._processor.replace("{oin}", actie.afnemer_id))
        if caller is not None or any(foreign_trace):
            builder.unknown_caller(self._unknown_caller)
        _set_elements(builder, actie)
        for key, value in _computed(version).items():
            if value:
                builder.computed(key, value)
        if about is not None:
            _set_object(builder, about, index)
        builder.resource(resource_of({"service.name": actie.systeem} if actie.systeem else {}, stray=self._stray))
        return builder.build()

    def _set_subject(self, builder: LogregelBuilder, about: VerwerktObject) -> bool:
        """Set the data subject, and return whether its identifier has to be sealed as it was sent as well."""
        subject = self._pseudonymiser.subject(about.object_id, about.soort_object_id)
        return builder.subject(subject) != subject.type or not _is_normal(about)

    def _sealed(self, version: Version, as_sent: VerwerktObject | None) -> str:
        actie = version.actie
        nothing = _Sealed(version.record_id)
        sealed = _Sealed(version.record_id, actie.gebruiker, "" if _is_organisation(actie) else actie.afnemer_id)
        if as_sent is not None:
            sealed.soort_object_id, sealed.object_id = as_sent.soort_object_id, as_sent.object_id
        if sealed == nothing:
            return ""
        keys = self._pseudonymiser.keys
        return f"{keys.active.id}:{keys.seal(_SEALED_TYPE, msgspec.json.encode(sealed).decode())}"

    def _unsealed(self, record: Logregel) -> _Sealed:
        # A key id may hold a colon, the ciphertext never does.
        key_id, _, ciphertext = record.attributes.get(_SEALED, "").rpartition(":")
        if not ciphertext:
            return _Sealed("")
        subject = DataSubject(b"", _SEALED_TYPE, key_id, ciphertext)
        return msgspec.json.decode(self._pseudonymiser.keys.unseal(subject), type=_Sealed)

    def _object(self, record: Logregel) -> VerwerktObject:
        attributes = record.attributes
        sealed = self._unsealed(record)
        as_sent = sealed.soort_object_id or sealed.object_id or not record.data_subject_id
        soorten = msgspec.json.decode(attributes.get(_SOORTEN, "[]"), type=list[str])
        return VerwerktObject(
            verwerkt_object_id=attributes[_OBJECT_ID],
            objecttype="persoon",
            soort_object_id=sealed.soort_object_id if as_sent else record.data_subject_id_type,
            object_id=sealed.object_id if as_sent else self._identifier(record),
            betrokkenheid=attributes.get(_BETROKKENHEID, ""),
            verwerkte_soorten_gegevens=tuple(map(VerwerktSoortGegeven, soorten)),
        )

    def _identifier(self, record: Logregel) -> str:
        """Return the identifier of a Logregel's data subject; its pseudonym when it was not sealed."""
        return self.identifier(record) or record.data_subject_id.hex()

    def _native(self, record: Logregel) -> Version:
        activity = record.processing_activity_id
        activity_id = _UUID_AT_END.search(activity)
        resource: Mapping[str, str] = msgspec.json.decode(record.resource)
        afnemer = _OIN.search(record.foreign_operation_processor)
        objects: tuple[VerwerktObject, ...] = ()
        if record.data_subject_id:
            soorten = msgspec.json.decode(record.attributes.get(_SOORTEN, "[]"), type=list[str])
            objects = (
                VerwerktObject(
                    verwerkt_object_id=derived_id(record.trace_id, _digest(record, b"object")),
                    objecttype="persoon",
                    soort_object_id=record.data_subject_id_type[:NAAM_CHARACTERS],
                    object_id=self._identifier(record)[:IDENTIFICATOR_CHARACTERS],
                    betrokkenheid=record.attributes.get(_BETROKKENHEID, ""),
                    verwerkte_soorten_gegevens=tuple(map(VerwerktSoortGegeven, soorten)),
                ),
            )
        foreign = record.foreign_operation_trace_id
        elements: dict[str, Any] = {
            "actie_naam": record.name[:NAAM_CHARACTERS],
            "verwerking_id": str(uuid.UUID(bytes=record.trace_id)),
            "verwerkingsactiviteit_id": activity_id[0] if activity_id else None,
            "verwerkingsactiviteit_url": activity,
            "systeem": " ".join(filter(None, map(resource.get, ("service.name", "service.version"))))[:NAAM_CHARACTERS],
            "soort_afnemer_id": "OIN" if afnemer else "",
            "afnemer_id": record.attributes.get(_AFNEMER_ID) or (afnemer[0] if afnemer else ""),
            "verwerking_id_afnemer": str(uuid.UUID(bytes=foreign)) if foreign else None,
        }
        # Attributes that its application set (`consumer/doelbinding.py`) go before what LDV's fields say.
        elements |= {name: record.attributes[key] for key, name in _PLAIN.items() if key in record.attributes}
        # Both may be anything in a Logregel, and an answer is as the contract says.
        elements = {name: value for name, value in elements.items() if _fits(_TYPES[name], value)}
        elements["vertrouwelijkheid"] = "vertrouwelijk" if names.CONFIDENTIAL in record.attributes else "normaal"
        actie = Verwerkingsactie(
            **elements,
            tijdstip=datetime_from_ms(record.start_time_ms).isoformat(timespec="milliseconds"),
            verwerkte_objecten=objects,
        )
        return Version(
            actie=actie,
            actie_id=derived_actie_id(record),
            record_id="",
            trace_id=record.trace_id,
            registered_us=us_from_ms(record.end_time_ms),
            native=True,
        )


def _set_elements(builder: LogregelBuilder, actie: Verwerkingsactie) -> None:
    for key, name in _PLAIN.items():
        value = getattr(actie, name)
        if value and name in _TEXTS:
            builder.attribute(key, value)
        elif value:
            builder.computed(key, value)


def _computed(version: Version) -> Mapping[str, str]:
    actie, caller = version.actie, version.caller
    term = actie.bewaartermijn
    return {
        names.VERSION_OF: version.actie_id,
        names.VERSION: str(version.registered_us),
        names.WITHDRAWN: "true" if version.vervallen else "",
        names.MOVED_TO: version.moved_to.hex(),
        # What was once confidential stays so for readers that know only LDV (D-07).
        names.CONFIDENTIAL: "true" if version.is_or_was_confidential else "",
        names.KEPT_UNTIL: str(kept_until(within_record_time(actie.tijdstip_ms), term)) if term else "",
        _RECORD_ID: version.record_id,
        _EVER_CONFIDENTIAL: "true" if version.ever_confidential else "",
        _CALLER: caller.trace_id.hex() + caller.span_id.hex() if caller else "",
        _AFNEMER_ID: actie.afnemer_id if _is_organisation(actie) else "",
    }


def _set_object(builder: LogregelBuilder, about: VerwerktObject, index: int) -> None:
    builder.computed(_OBJECT_ID, about.verwerkt_object_id)
    builder.computed(_OBJECT_INDEX, str(index))
    builder.computed(_OBJECTTYPE, about.objecttype)
    if about.betrokkenheid:
        builder.attribute(_BETROKKENHEID, about.betrokkenheid)
    if about.verwerkte_soorten_gegevens:
        builder.attribute(_SOORTEN, [each.soort_gegeven for each in about.verwerkte_soorten_gegevens])


def is_version(record: Logregel) -> bool:
    """Say whether a Logregel was written through the Bewerking API."""
    return _RECORD_ID in record.attributes


def derived_actie_id(record: Logregel) -> str:
    """Return the `actieId` of a Logregel that was not written through the Bewerking API: always the same."""
    return derived_id(record.trace_id, _digest(record, b"actie"))


def object_id(record: Logregel) -> str:
    """Return the `verwerktObjectId` of a Logregel; empty when it has no data subject."""
    if is_version(record):
        return record.attributes.get(_OBJECT_ID, "")
    return derived_id(record.trace_id, _digest(record, b"object")) if record.data_subject_id else ""


def trace_of(verwerking_id: str) -> bytes:
    """Return the trace id of a Verwerking: the 16 bytes of its UUID.

    The nil UUID is a valid id of a Verwerking, but no trace may have it; it has a trace id of its own.
    """
    raw = uuid_bytes(verwerking_id)
    return raw if any(raw) else hashlib.sha256(b"gemma nil verwerkingId").digest()[:16]


def uuid_bytes(text: str | None) -> bytes:
    """Return the 16 bytes of a UUID, or none."""
    return uuid.UUID(text).bytes if text else b""


def _digest(record: Logregel, what: bytes) -> bytes:
    return hashlib.sha256(b"|".join((what, record.trace_id, record.span_id))).digest()


def _object_index(record: Logregel) -> int:
    return int(record.attributes[_OBJECT_INDEX])


def _fits(type_: Any, value: object) -> bool:
    try:
        check(type_, value)
    except ValueError:
        return False
    return True


def _is_organisation(actie: Verwerkingsactie) -> bool:
    """Say whether the recipient is an organisation; anything else may be a person, and is sealed."""
    return actie.soort_afnemer_id.upper() == "OIN" and _OIN.fullmatch(actie.afnemer_id) is not None


def _is_normal(about: VerwerktObject) -> bool:
    """Say whether type and identifier are spelled as `subject` normalises them, so that they are unsealed as sent."""
    type_, _ = normalise_type(about.soort_object_id)
    return bool(about.object_id) and (type_, normalise_identifier(type_, about.object_id)[0]) == (
        about.soort_object_id,
        about.object_id,
    )


def kept_until(start_ms: int, bewaartermijn: str) -> int:
    """Return the end of a retention term in ms since 1970; at the latest the last time that a record can have."""
    try:
        moment = Duration.parse(bewaartermijn).after(datetime_from_ms(start_ms))
    except ValueError:
        return TIME_MAX_MS
    return min(ms_from_datetime(moment), TIME_MAX_MS)
