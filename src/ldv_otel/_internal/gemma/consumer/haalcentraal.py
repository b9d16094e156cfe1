"""The extension `haalcentraal`: the headers with which the APIs of Haal Centraal are asked for data of the BRP.

They say on whose behalf, for what purpose, in which processing and by which user an API is asked. They go to parties
for which the file of `LDV_PARTIES` names the extension, and a party that is called keeps them in its own Logregel; not
the user, because a Logregel knows no employees (LDV-A9).

Source: Haal Centraal BRP bevragen, the headers for protocollering and autorisatie.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

import ldv_otel.attributes as names
from ldv_otel._internal.gemma.model import NAAM_CHARACTERS, InvalidInput, Naam, Oin, element
from ldv_otel._internal.parties.evidence import Certificate
from ldv_otel._internal.record.span_facts import ForeignOperation
from ldv_otel._internal.sdk.extension_contract import OutboundCall, ReadHeader

DOELBINDING: Final = "haalcentraal.doelbinding"
VERWERKING: Final = "haalcentraal.verwerking"
GEBRUIKER: Final = "haalcentraal.gebruiker"
ORIGIN_OIN: Final = "haalcentraal.origin_oin"

#: The header for each attribute, and the type of its value.
_HEADERS: Final[Mapping[str, tuple[str, Any]]] = {
    DOELBINDING: ("x-doelbinding", Naam),
    VERWERKING: ("x-verwerking", Naam),
    GEBRUIKER: ("x-gebruiker", Naam),
    ORIGIN_OIN: ("x-origin-oin", Oin),
}


class HaalCentraalOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options in the file of `LDV_PARTIES`.

    Attributes:
        oin: Of this organisation: 20 digits. Sent as `x-origin-oin` where the Actie names no other.
        doelbinding: Sent as `x-doelbinding` where the Actie names none.
    """

    oin: str = ""
    doelbinding: str = ""

    def __post_init__(self) -> None:
        """Refuse what receivers would refuse."""
        if self.oin and not _is_of(Oin, self.oin):
            raise ValueError("an oin has exactly 20 digits (in YAML between quotes)")
        if not _is_sendable(self.doelbinding):
            raise ValueError(f"a doelbinding is ASCII of at most {NAAM_CHARACTERS} characters")


class HaalCentraalExtension:
    """An `Extension` for the headers of Haal Centraal; see the protocol for who calls what."""

    attributes: frozenset[str] = frozenset(_HEADERS)
    #: Purpose and processing hold for Acties inside; at called parties they are those of the caller.
    inherited: frozenset[str] = frozenset({DOELBINDING, VERWERKING, GEBRUIKER, ORIGIN_OIN})

    def __init__(self, options: HaalCentraalOptions) -> None:
        self._defaults = {ORIGIN_OIN: options.oin, DOELBINDING: options.doelbinding}

    def record_attributes(self, span_attributes: Mapping[str, object], start_time_ms: int) -> Mapping[str, object]:
        """Return the attributes that are well formed, without the user; of the others the original is kept."""
        del start_time_ms
        attributes: dict[str, object] = {}
        for name, value in span_attributes.items():
            if name == GEBRUIKER or name not in _HEADERS:
                continue
            fits = isinstance(value, str) and _is_of(_HEADERS[name][1], value)
            attributes[name if fits else f"{names.ORIGINAL_PREFIX}{name}"] = str(value)
        return attributes

    def call_headers(self, call: OutboundCall) -> Mapping[str, str]:
        """Return those of the four headers for which there is a value that can be sent as it is."""
        headers = {}
        for name, (header, type_) in _HEADERS.items():
            value = str(call.attributes.get(name) or self._defaults.get(name, ""))
            if value and _is_sendable(value) and _is_of(type_, value):
                headers[header] = value
        if "x-verwerking" not in headers and _is_sendable(call.processing_activity_id):
            headers["x-verwerking"] = call.processing_activity_id
        return {name: value for name, value in headers.items() if value}

    def read_headers(self, header: ReadHeader, certificate: Certificate | None) -> ForeignOperation:
        """Return what the headers of a caller say, as far as they are well formed.

        Of a caller whose certificate names another OIN than its header, no header is believed.
        """
        values = {}
        for name, (header_name, type_) in _HEADERS.items():
            sent = header(header_name)
            # Of two, one may have been added on the way.
            value = sent[0].strip() if len(sent) == 1 else ""
            if value and name != GEBRUIKER and _is_of(type_, value):
                values[name] = value
        if certificate is not None and (oin := values.get(ORIGIN_OIN)):
            proven = {number for number in certificate.serial_numbers if _is_of(Oin, number)}
            if proven and oin not in proven:
                return ForeignOperation(b"", b"")
        return ForeignOperation(b"", b"", attributes=values)


def open_extension(options: Mapping[str, Any]) -> HaalCentraalExtension:
    """Return the extension; entry point of the group `ldv_otel_extension`.

    Raises:
        msgspec.ValidationError: The options cannot be used.
    """
    return HaalCentraalExtension(msgspec.convert(options, HaalCentraalOptions))


def _is_sendable(value: str) -> bool:
    """Whether a header can hold it: a line feed would end it, and HTTP has no agreed encoding."""
    return value.isascii() and (not value or value.isprintable()) and len(value) <= NAAM_CHARACTERS


def _is_of(type_: Any, value: str) -> bool:
    try:
        return bool(element(type_, value, ""))
    except InvalidInput:
        return False
