"""The extension `gemma`: doelbinding headers on calls, and attributes in which applications describe a Verwerking.

The caller names itself, its Verwerkingsactiviteit and its Verwerking in six headers; the called party copies them into
its own Logregel (IR-07).

Source: GEMMA Verwerkingenlogging, B9177.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any, Final

import msgspec

import ldv_otel.attributes as names
from ldv_otel._internal.api.constraints import Uuid
from ldv_otel._internal.gemma.conversion import kept_until, uuid_bytes
from ldv_otel._internal.gemma.model import (
    DOELBINDING_HEADERS,
    NAAM_CHARACTERS,
    Duur,
    InvalidInput,
    Naam,
    Oin,
    StatedConfidentiality,
    element,
)
from ldv_otel._internal.parties.evidence import Certificate
from ldv_otel._internal.record.span_facts import ForeignOperation
from ldv_otel._internal.sdk.extension_contract import OutboundCall, ReadHeader

VERWERKING_ID: Final = "gemma.verwerking_id"
VERTROUWELIJKHEID: Final = "gemma.vertrouwelijkheid"
BEWAARTERMIJN: Final = "gemma.bewaartermijn"
AFNEMER_ID: Final = "gemma.afnemer_id"
SOORTEN_GEGEVENS: Final = "gemma.soorten_gegevens"
SOORT_AFNEMER_ID: Final = "gemma.soort_afnemer_id"

#: Attributes of a whole Verwerking (IR-09, IR-10), which also hold for Acties inside.
_OF_VERWERKING: Final = frozenset({VERWERKING_ID, VERTROUWELIJKHEID, BEWAARTERMIJN, "gemma.verwerking_naam"})
#: Attributes of one Actie. Not among them: `gebruiker`, because a Logregel knows no employees (LDV-A9), and what only a
#: register may set.
_OF_ACTIE: Final = frozenset(
    {
        "gemma.handeling_naam",
        "gemma.uitvoerder",
        "gemma.gegevensbron",
        "gemma.betrokkenheid",
        SOORTEN_GEGEVENS,
    }
)


class DoelbindingOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options in the file of `LDV_PARTIES`.

    Attributes:
        oin: Of this organisation, or of the one that executes its work: 20 digits. Left out of calls when empty.
    """

    oin: str = ""

    def __post_init__(self) -> None:
        """Refuse what receivers would refuse."""
        if self.oin and not _is_of(Oin, self.oin):
            raise ValueError("an oin has exactly 20 digits (in YAML between quotes)")


class DoelbindingExtension:
    """An `Extension` for the words of GEMMA Verwerkingenlogging; see the protocol for who calls what."""

    attributes: frozenset[str] = _OF_VERWERKING | _OF_ACTIE
    inherited: frozenset[str] = _OF_VERWERKING

    def __init__(self, options: DoelbindingOptions) -> None:
        self._oin = options.oin

    def record_attributes(self, span_attributes: Mapping[str, object], start_time_ms: int) -> Mapping[str, object]:
        """Return the attributes that are well formed; of the others the original is kept whole.

        Confidentiality of a kind that does not exist is taken for `vertrouwelijk`: a record that was hidden by mistake
        can be shown later, one that was shown cannot be hidden.
        """
        attributes: dict[str, object] = {}
        for name, value in span_attributes.items():
            text = _text(name, value)
            try:
                attributes[name] = element(_ATTRIBUTE_TYPES[name], text, name) if name in _ATTRIBUTE_TYPES else text
            except InvalidInput:
                attributes[f"{names.ORIGINAL_PREFIX}{name}"] = str(value)
                if name == VERTROUWELIJKHEID:
                    attributes[name] = "vertrouwelijk"
        if attributes.get(VERTROUWELIJKHEID) == "vertrouwelijk":
            attributes[names.CONFIDENTIAL] = "true"
        if BEWAARTERMIJN in attributes:
            attributes[names.KEPT_UNTIL] = str(kept_until(start_time_ms, str(attributes[BEWAARTERMIJN])))
        return attributes

    def call_headers(self, call: OutboundCall) -> Mapping[str, str]:
        """Return those of the six headers for which there is a value."""
        activity = call.processing_activity_id
        attributes = self.record_attributes(call.attributes, 0)
        headers = {
            "OIN": self._oin,
            "VerwerkingsactiviteitId": activity_uuid(activity),
            "VerwerkingsactiviteitUrl": activity if activity.startswith(("https://", "http://")) else "",
            "VerwerkingId": str(attributes.get(VERWERKING_ID) or uuid.UUID(bytes=call.trace_id)),
            "Vertrouwelijkheid": str(attributes.get(VERTROUWELIJKHEID) or "normaal"),
            "Bewaartermijn": str(attributes.get(BEWAARTERMIJN) or ""),
        }
        # Others cannot be sent as they are: a line feed would end the header, and HTTP has no agreed encoding.
        return {name: value for name, value in headers.items() if value and value.isascii() and value.isprintable()}

    def read_headers(self, header: ReadHeader, certificate: Certificate | None) -> ForeignOperation:
        """Return what the headers of a caller say, as far as they are well formed.

        Of a caller whose certificate names another OIN than its header, no header is believed (B9177).
        """
        values = {
            name: value
            for name, type_ in DOELBINDING_HEADERS.items()
            if _is_of(type_, value := _single_value(header, name))
        }
        if certificate is not None and (oin := values.get("OIN")):
            proven = {number for number in certificate.serial_numbers if _is_of(Oin, number)}
            if proven and oin not in proven:
                return ForeignOperation(b"", b"")
        attributes = {_HEADER_ATTRIBUTES[name]: value for name, value in values.items()}
        if AFNEMER_ID in attributes:
            attributes[SOORT_AFNEMER_ID] = "OIN"
        trace_id = uuid_bytes(values.get("VerwerkingId"))
        # The nil UUID is a valid VerwerkingId, but no trace may have it (W3C Trace Context).
        return ForeignOperation(trace_id if any(trace_id) else b"", b"", attributes=attributes)


def activity_uuid(activity: str) -> str:
    """Return the UUID that a Verwerkingsactiviteit is or ends in; empty when there is none."""
    last = re.split(r"[/:#=]", activity.rstrip("/"))[-1]
    return last.lower() if _is_of(Uuid, last) else ""


def open_extension(options: Mapping[str, Any]) -> DoelbindingExtension:
    """Return the extension; entry point of the group `ldv_otel_extension`.

    Raises:
        msgspec.ValidationError: The options cannot be used.
    """
    return DoelbindingExtension(msgspec.convert(options, DoelbindingOptions))


def _single_value(header: ReadHeader, name: str) -> str:
    """Return the value of a header that is there once, else nothing: of two, one may have been added on the way."""
    values = header(name)
    value = values[0].strip() if len(values) == 1 else ""
    return value.lower() if name == "Vertrouwelijkheid" else value


def _text(name: str, value: object) -> str:
    if name == SOORTEN_GEGEVENS:
        several = value if isinstance(value, list | tuple) else (value,)
        return msgspec.json.encode([str(each)[:NAAM_CHARACTERS] for each in several]).decode()
    return str(value).lower() if name == VERTROUWELIJKHEID else str(value)


def _is_of(type_: Any, value: str) -> bool:
    try:
        return bool(element(type_, value, ""))
    except InvalidInput:
        return False


_ATTRIBUTE_TYPES: Final[Mapping[str, Any]] = {
    VERWERKING_ID: Uuid,
    VERTROUWELIJKHEID: StatedConfidentiality,
    BEWAARTERMIJN: Duur,
    "gemma.uitvoerder": Oin,
    **dict.fromkeys(
        ("gemma.verwerking_naam", "gemma.handeling_naam", "gemma.gegevensbron", "gemma.betrokkenheid"), Naam
    ),
}
#: The attribute in which a called party keeps each header of its caller.
_HEADER_ATTRIBUTES: Final[Mapping[str, str]] = {
    "OIN": AFNEMER_ID,
    "VerwerkingsactiviteitId": "gemma.verwerkingsactiviteit_id_afnemer",
    "VerwerkingsactiviteitUrl": "gemma.verwerkingsactiviteit_url_afnemer",
    "VerwerkingId": "gemma.verwerking_id_afnemer",
    "Vertrouwelijkheid": VERTROUWELIJKHEID,
    "Bewaartermijn": BEWAARTERMIJN,
}
