"""The extension `gemma`: doelbinding headers on calls, and what applications may say of a Verwerking in attributes.

The caller names itself, its Verwerkingsactiviteit and its Verwerking in six headers; the called party copies them into
its own Logregel (IR-07).

Source: GEMMA Verwerkingenlogging, B9177.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from ldv_otel.actie import Foreign
from ldv_otel.duration import Duration
from ldv_otel.parties import Certificate
from ldv_otel.sdk.extension import Calling, Header

VERWERKING_ID: Final = "gemma.verwerking_id"
VERTROUWELIJKHEID: Final = "gemma.vertrouwelijkheid"
BEWAARTERMIJN: Final = "gemma.bewaartermijn"
AFNEMER_ID: Final = "gemma.afnemer_id"
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
        "gemma.soorten_gegevens",
    }
)

_OIN: Final = re.compile(r"[0-9]{20}")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_URL_MAX_CHARACTERS: Final = 2_042
#: Dotted number of the part of a subject in which PKIoverheid has the OIN.
_SERIAL_NUMBER: Final = "2.5.4.5"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options in the file of `LDV_PARTIES`.

    Attributes:
        oin: Of this organisation, or of the one that executes its work: 20 digits. Left out of calls when empty.
    """

    oin: str = ""

    def __post_init__(self) -> None:
        """Refuse what receivers would refuse."""
        if self.oin and not _OIN.fullmatch(self.oin):
            raise ValueError("an oin has exactly 20 digits (in YAML between quotes)")


class Doelbinding:
    """The extension."""

    attributes: frozenset[str] = _OF_VERWERKING | _OF_ACTIE
    inherited: frozenset[str] = _OF_VERWERKING

    def __init__(self, options: Options) -> None:
        self._oin = options.oin

    def tell(self, calling: Calling) -> Mapping[str, str]:
        """Return those of the six headers for which there is a value."""
        activity = calling.processing_activity_id
        said = calling.attributes
        headers = {
            "OIN": self._oin,
            "VerwerkingsactiviteitId": activity_uuid(activity),
            "VerwerkingsactiviteitUrl": activity if activity.startswith(("https://", "http://")) else "",
            "VerwerkingId": str(said.get(VERWERKING_ID) or uuid.UUID(bytes=calling.trace_id)),
            "Vertrouwelijkheid": str(said.get(VERTROUWELIJKHEID) or "normaal"),
            "Bewaartermijn": str(said.get(BEWAARTERMIJN) or ""),
        }
        return {name: value for name, value in headers.items() if value and value.isascii() and value.isprintable()}

    def hear(self, header: Header, certificate: Certificate | None) -> Foreign:
        """Return what a caller says, as far as it has the form that it should have.

        A caller whose certificate names another OIN than its header is not believed in anything (B9177).
        """
        said = {name: value for name, form in _FORMS.items() if (value := _one(header, name)) and form(value)}
        if certificate is not None and (oin := said.get("OIN")):
            proven = {value for part, value in certificate.subject if part == _SERIAL_NUMBER and _OIN.fullmatch(value)}
            if proven and oin not in proven:
                return Foreign(b"", b"")
        attributes = {_ATTRIBUTES[name]: value for name, value in said.items()}
        if AFNEMER_ID in attributes:
            attributes[SOORT_AFNEMER_ID] = "OIN"
        if VERTROUWELIJKHEID in attributes:
            attributes[VERTROUWELIJKHEID] = attributes[VERTROUWELIJKHEID].lower()
        verwerking = said.get("VerwerkingId")
        return Foreign(uuid.UUID(verwerking).bytes if verwerking else b"", b"", attributes=attributes)


def activity_uuid(activity: str) -> str:
    """Return the UUID that a Verwerkingsactiviteit is or ends in; empty when there is none."""
    last = re.split(r"[/:#=]", activity.rstrip("/"))[-1]
    return last.lower() if _UUID.fullmatch(last) else ""


def open_extension(options: Mapping[str, Any]) -> Doelbinding:
    """Return the extension; entry point of the group `ldv_otel_extension`.

    Raises:
        msgspec.ValidationError: The options cannot be used.
    """
    return Doelbinding(msgspec.convert(options, Options))


def _one(header: Header, name: str) -> str:
    """Return the value of a header that is there once: of two, one was added by somebody else."""
    values = header(name)
    return values[0].strip() if len(values) == 1 else ""


def _is_url(value: str) -> bool:
    return value.startswith(("https://", "http://")) and len(value) <= _URL_MAX_CHARACTERS and value.isprintable()


def _is_duration(value: str) -> bool:
    try:
        Duration.parse(value)
    except ValueError:
        return False
    return value.startswith("P")


_FORMS: Final[Mapping[str, Callable[[str], object]]] = {
    "OIN": _OIN.fullmatch,
    "VerwerkingsactiviteitId": _UUID.fullmatch,
    "VerwerkingsactiviteitUrl": _is_url,
    "VerwerkingId": _UUID.fullmatch,
    "Vertrouwelijkheid": lambda value: value.lower() in {"normaal", "vertrouwelijk"},
    "Bewaartermijn": _is_duration,
}
_ATTRIBUTES: Final[Mapping[str, str]] = {
    "OIN": AFNEMER_ID,
    "VerwerkingsactiviteitId": "gemma.verwerkingsactiviteit_id_afnemer",
    "VerwerkingsactiviteitUrl": "gemma.verwerkingsactiviteit_url_afnemer",
    "VerwerkingId": "gemma.verwerking_id_afnemer",
    "Vertrouwelijkheid": VERTROUWELIJKHEID,
    "Bewaartermijn": BEWAARTERMIJN,
}
