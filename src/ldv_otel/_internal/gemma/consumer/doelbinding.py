"""The extension `gemma`: doelbinding headers on calls, and what applications may say of a Verwerking in attributes.

The caller names itself, its Verwerkingsactiviteit and its Verwerking in six headers; the called party copies them into
its own Logregel (IR-07).

Source: GEMMA Verwerkingenlogging, B9177.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from ldv_otel import attributes as names
from ldv_otel._internal.api.constraints import Uri, Uuid
from ldv_otel._internal.gemma.conversion import kept_until, uuid_bytes
from ldv_otel._internal.gemma.model import Duur, InvalidInput, Naam, Oin, element
from ldv_otel._internal.parties.evidence import Certificate
from ldv_otel._internal.record.actie import ForeignOperation
from ldv_otel._internal.sdk.extension_contract import OutboundCall, ReadHeader

VERWERKING_ID: Final = "gemma.verwerking_id"
VERTROUWELIJKHEID: Final = "gemma.vertrouwelijkheid"
BEWAARTERMIJN: Final = "gemma.bewaartermijn"
AFNEMER_ID: Final = "gemma.afnemer_id"
SOORTEN_GEGEVENS: Final = "gemma.soorten_gegevens"
SOORT_AFNEMER_ID: Final = "gemma.soort_afnemer_id"

#: What holds for a whole Verwerking (IR-09, IR-10): also for Acties inside.
_OF_VERWERKING: Final = frozenset({VERWERKING_ID, VERTROUWELIJKHEID, BEWAARTERMIJN, "gemma.verwerking_naam"})
#: And what for one Actie. Not among them: `gebruiker`, because a Logregel knows no employees (LDV-A9), and what only a
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
        if self.oin and not _is(Oin, self.oin):
            raise ValueError("an oin has exactly 20 digits (in YAML between quotes)")


class DoelbindingExtension:
    """The extension."""

    attributes: frozenset[str] = _OF_VERWERKING | _OF_ACTIE
    inherited: frozenset[str] = _OF_VERWERKING

    def __init__(self, options: DoelbindingOptions) -> None:
        self._oin = options.oin

    def record_attributes(self, span_attributes: Mapping[str, object], start_time_ms: int) -> Mapping[str, object]:
        """Return what was said, as far as it is well formed; the rest is kept whole, beside it.

        Confidentiality of a kind that does not exist is taken for `vertrouwelijk`: what should have been hidden is.
        """
        found: dict[str, object] = {}
        for name, value in span_attributes.items():
            text = _text(name, value)
            try:
                found[name] = element(_TYPES[name], text, name) if name in _TYPES else text
            except InvalidInput:
                found[f"{names.ORIGINAL_PREFIX}{name}"] = str(value)
                if name == VERTROUWELIJKHEID:
                    found[name] = "vertrouwelijk"
        if found.get(VERTROUWELIJKHEID) == "vertrouwelijk":
            found[names.CONFIDENTIAL] = "true"
        if BEWAARTERMIJN in found:
            found[names.KEPT_UNTIL] = str(kept_until(start_time_ms, str(found[BEWAARTERMIJN])))
        return found

    def call_headers(self, call: OutboundCall) -> Mapping[str, str]:
        """Return those of the six headers for which there is a value."""
        activity = call.processing_activity_id
        said = self.record_attributes(call.attributes, 0)
        headers = {
            "OIN": self._oin,
            "VerwerkingsactiviteitId": activity_uuid(activity),
            "VerwerkingsactiviteitUrl": activity if activity.startswith(("https://", "http://")) else "",
            "VerwerkingId": str(said.get(VERWERKING_ID) or uuid.UUID(bytes=call.trace_id)),
            "Vertrouwelijkheid": str(said.get(VERTROUWELIJKHEID) or "normaal"),
            "Bewaartermijn": str(said.get(BEWAARTERMIJN) or ""),
        }
        return {name: value for name, value in headers.items() if value and value.isascii() and value.isprintable()}

    def read_headers(self, header: ReadHeader, certificate: Certificate | None) -> ForeignOperation:
        """Return what a caller says, as far as it has the form that it should have.

        A caller whose certificate names another OIN than its header is not believed in anything (B9177).
        """
        said = {name: value for name, type_ in _FORMS.items() if _is(type_, value := _one(header, name))}
        if certificate is not None and (oin := said.get("OIN")):
            proven = {number for number in certificate.serial_numbers if _is(Oin, number)}
            if proven and oin not in proven:
                return ForeignOperation(b"", b"")
        attributes = {_ATTRIBUTES[name]: value for name, value in said.items()}
        if AFNEMER_ID in attributes:
            attributes[SOORT_AFNEMER_ID] = "OIN"
        trace_id = uuid_bytes(said.get("VerwerkingId"))
        # The nil UUID is one, but no trace may have it.
        return ForeignOperation(trace_id if any(trace_id) else b"", b"", attributes=attributes)


def activity_uuid(activity: str) -> str:
    """Return the UUID that a Verwerkingsactiviteit is or ends in; empty when there is none."""
    last = re.split(r"[/:#=]", activity.rstrip("/"))[-1]
    return last.lower() if _is(Uuid, last) else ""


def open_extension(options: Mapping[str, Any]) -> DoelbindingExtension:
    """Return the extension; entry point of the group `ldv_otel_extension`.

    Raises:
        msgspec.ValidationError: The options cannot be used.
    """
    return DoelbindingExtension(msgspec.convert(options, DoelbindingOptions))


def _one(header: ReadHeader, name: str) -> str:
    """Return the value of a header that is there once: of two, one was added by somebody else."""
    values = header(name)
    value = values[0].strip() if len(values) == 1 else ""
    return value.lower() if name == "Vertrouwelijkheid" else value


def _text(name: str, value: object) -> str:
    if name == SOORTEN_GEGEVENS:
        several = value if isinstance(value, list | tuple) else (value,)
        return msgspec.json.encode([str(one)[:_NAAM] for one in several]).decode()
    return str(value).lower() if name == VERTROUWELIJKHEID else str(value)


def _is(type_: Any, value: str) -> bool:
    try:
        return bool(element(type_, value, ""))
    except InvalidInput:
        return False


#: What an application or a caller may say: whether it was lifted, only the register knows.
_Given = Literal["normaal", "vertrouwelijk"]
_NAAM: Final = 242
_TYPES: Final[Mapping[str, Any]] = {
    VERWERKING_ID: Uuid,
    VERTROUWELIJKHEID: _Given,
    BEWAARTERMIJN: Duur,
    "gemma.uitvoerder": Oin,
    **dict.fromkeys(
        ("gemma.verwerking_naam", "gemma.handeling_naam", "gemma.gegevensbron", "gemma.betrokkenheid"), Naam
    ),
}
_FORMS: Final[Mapping[str, Any]] = {
    "OIN": Oin,
    "VerwerkingsactiviteitId": Uuid,
    "VerwerkingsactiviteitUrl": Uri,
    "VerwerkingId": Uuid,
    "Vertrouwelijkheid": _Given,
    "Bewaartermijn": Duur,
}
_ATTRIBUTES: Final[Mapping[str, str]] = {
    "OIN": AFNEMER_ID,
    "VerwerkingsactiviteitId": "gemma.verwerkingsactiviteit_id_afnemer",
    "VerwerkingsactiviteitUrl": "gemma.verwerkingsactiviteit_url_afnemer",
    "VerwerkingId": "gemma.verwerking_id_afnemer",
    "Vertrouwelijkheid": VERTROUWELIJKHEID,
    "Bewaartermijn": BEWAARTERMIJN,
}
