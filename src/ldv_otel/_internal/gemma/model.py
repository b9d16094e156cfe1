"""The Verwerkingsactie of GEMMA Verwerkingenlogging, its parts and their types, and the faults of one that is wrong.

Source: `bewerking-openapi.json`, and the rules GW-07, GW-09, GW-28, GW-29 and GW-60 of the standard. An element that is
not sent is empty text, or `None` where the contract gives it a format that empty text does not have.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from ldv_otel._internal.api.constraints import Moment, Uri, Uuid, check, check_moment, in_any_case
from ldv_otel._internal.times.instants import ms_from_rfc3339, rfc3339_from_us

Vertrouwelijkheid = Annotated[
    Literal["normaal", "vertrouwelijk", "opgeheven"],
    msgspec.Meta(description="Kies normaal, vertrouwelijk of opgeheven."),
]
Objecttype = Annotated[Literal["persoon"], msgspec.Meta(description="Het enige objecttype is persoon.")]
NAAM_CHARACTERS: Final = 242
Naam = Annotated[
    str,
    msgspec.Meta(max_length=NAAM_CHARACTERS, description=f"Dit is geen tekst van hoogstens {NAAM_CHARACTERS} tekens."),
]
IDENTIFICATOR_CHARACTERS: Final = 40
Identificator = Annotated[
    str,
    msgspec.Meta(
        max_length=IDENTIFICATOR_CHARACTERS,
        description=f"Dit is geen tekst van hoogstens {IDENTIFICATOR_CHARACTERS} tekens.",
    ),
]
Oin = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9]{20}\Z", description="Dit is geen OIN: dat heeft precies 20 cijfers.")
]
Duur = Annotated[
    str,
    msgspec.Meta(
        max_length=242,
        pattern=r"^P(?:[0-9]+W|(?=[0-9T])(?:[0-9]+Y)?(?:[0-9]+M)?(?:[0-9]+D)?"
        r"(?:T(?=[0-9])(?:[0-9]+H)?(?:[0-9]+M)?(?:[0-9]+S)?)?)\Z",
        description="Dit is geen periode volgens ISO 8601, zoals P10Y.",
    ),
]
#: What a caller may state of itself, in capitals too (D-02): only the register knows whether confidentiality was lifted
#: (`opgeheven`).
StatedConfidentiality = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^(?:{in_any_case('normaal', 'vertrouwelijk')})\Z",
        description="Kies normaal of vertrouwelijk.",
        extra_json_schema={"example": "normaal"},
    ),
]
#: The headers in which a caller names itself, its Verwerkingsactiviteit and its Verwerking (B9177), with their types.
DOELBINDING_HEADERS: Final[Mapping[str, Any]] = {
    "OIN": Oin,
    "VerwerkingsactiviteitId": Uuid,
    "VerwerkingsactiviteitUrl": Uri,
    "VerwerkingId": Uuid,
    "Vertrouwelijkheid": StatedConfidentiality,
    "Bewaartermijn": Duur,
}
#: The id of an object that the log has already; empty for a new one (D-08).
ObjectId = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(?:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})?\Z",
        description="Dit is geen UUID.",
    ),
]


class VerwerktSoortGegeven(msgspec.Struct, frozen=True, rename="camel"):
    """A kind of data that was processed, never a value."""

    soort_gegeven: Naam


class VerwerktObject(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A person whose data was processed.

    Attributes:
        verwerkt_object_id: Set by the log; empty for an object that the log does not have yet.
    """

    verwerkt_object_id: ObjectId = ""
    objecttype: Objecttype
    soort_object_id: Naam
    object_id: Identificator
    betrokkenheid: Naam = ""
    verwerkte_soorten_gegevens: tuple[VerwerktSoortGegeven, ...] = ()

    def __repr__(self) -> str:
        """Leave the identifiers out: this may end up in a log or traceback."""
        return "VerwerktObject()"


class Verwerkingsactie(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One operation on personal data: the 19 elements that a client may set, in the standard's order."""

    actie_naam: Naam = ""
    handeling_naam: Naam = ""
    verwerking_naam: Naam = ""
    verwerking_id: Uuid | None = None
    verwerkingsactiviteit_id: Uuid | None = None
    verwerkingsactiviteit_url: Uri | None = None
    vertrouwelijkheid: Vertrouwelijkheid
    bewaartermijn: Duur | None = None
    uitvoerder: Oin | None = None
    systeem: Naam = ""
    gebruiker: Identificator = ""
    gegevensbron: Naam = ""
    soort_afnemer_id: Naam = ""
    afnemer_id: Identificator = ""
    verwerkingsactiviteit_id_afnemer: Uuid | None = None
    verwerkingsactiviteit_url_afnemer: Uri | None = None
    verwerking_id_afnemer: Uuid | None = None
    tijdstip: Moment
    verwerkte_objecten: tuple[VerwerktObject, ...]

    def __repr__(self) -> str:
        """Leave the identifiers out: this may end up in a log or traceback."""
        return "Verwerkingsactie()"

    @property
    def tijdstip_ms(self) -> int:
        """Return when it took place, in ms since 1970-01-01 UTC."""
        return ms_from_rfc3339(self.tijdstip)


class CallingSpan(msgspec.Struct, frozen=True):
    """The trace (16 bytes) and span (8 bytes) of the call that brought the Verwerkingsactie, from `traceparent`."""

    trace_id: bytes
    span_id: bytes


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A Verwerkingsactie as it was registered at one moment; a change is a new version (B3891).

    Attributes:
        actie_id: The same for all versions (D-01).
        record_id: Another one for each version.
        trace_id: 16 bytes: the trace that the version is in, which is that of its Verwerking.
        registered_us: When it was registered, in us since 1970-01-01 UTC; the highest of an actie is its state now.
        vervallen: Whether the actie is deleted by this version.
        ever_confidential: Whether this version or an earlier one is or was `vertrouwelijk` (D-07).
        native: Whether it is a Logregel that was not written through the Bewerking API.
        moved_to: The trace to which the actie moved, in the version that it leaves in the old trace; else empty.
    """

    actie: Verwerkingsactie
    actie_id: str
    record_id: str
    trace_id: bytes
    registered_us: int
    vervallen: bool = False
    ever_confidential: bool = False
    caller: CallingSpan | None = None
    native: bool = False
    moved_to: bytes = b""

    @property
    def is_or_was_confidential(self) -> bool:
        """Say whether a reader without a right to what is confidential must not see it (D-07)."""
        return self.ever_confidential or self.actie.vertrouwelijkheid != "normaal"

    @property
    def tijdstip_registratie(self) -> str:
        """Return when it was registered, as RFC 3339 in UTC."""
        return rfc3339_from_us(self.registered_us)


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with what a client sent: the contract's `FieldValidationError`.

    Attributes:
        name: The element, as in `verwerkteObjecten[0].objectId`; or the parameter or header.
        reason: What is wrong, without the value: that may be an identifier.
    """

    name: str
    code: str
    reason: str


class InvalidInput(ValueError):  # what it is, as `UnreadableInput`
    """The input of a client is no Verwerkingsactie; `faults` names everything that is wrong."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{fault.name}: {fault.reason}" for fault in self.faults))


def verwerkingsactie(content: object, *, complete: bool = False) -> Verwerkingsactie:
    """Return the Verwerkingsactie in decoded JSON; elements that a client cannot set are ignored (GW-07).

    Args:
        complete: Every element has to be there, as PUT asks (GW-60); otherwise objects have no id yet.

    Raises:
        InvalidInput: It is none; everything that is wrong is named at once.
    """
    content = _without_nulls(content)
    if not complete:
        # Ids of objects are given by the log; those of another log mean nothing here.
        content = _without_object_ids(content)
    try:
        actie = msgspec.convert(content, Verwerkingsactie)
        check_moment(actie.tijdstip)
    except ValueError:
        # msgspec stops at the first fault, and in its message the value of an enumeration is quoted.
        raise InvalidInput(_faults(Verwerkingsactie, content, "", complete=complete)) from None
    if complete and (faults := [*_faults(Verwerkingsactie, content, "", complete=True)]):
        raise InvalidInput(faults)
    return actie


def element(type_: Any, value: object, name: str) -> str:
    """Return a text that stands alone, such as a parameter, if it is one of the types above.

    Raises:
        InvalidInput: It is none.
    """
    if faults := [*_element_faults(type_, value, name)]:
        raise InvalidInput(faults)
    return str(value)


def new_id(trace_id: bytes) -> str:
    """Return a new UUID for an actie or a verwerkt object.

    It begins with the first 4 bytes of its trace id: the table has an index on traces, and none on ids in attributes.
    """
    return _uuid(trace_id, secrets.token_bytes(12), version=4)


def derived_id(trace_id: bytes, digest: bytes) -> str:
    """Return the UUID, always the same, of a Logregel that was not written through the API (version 8 of RFC 9562)."""
    return _uuid(trace_id, digest[:12], version=8)


def is_derived(id_: str) -> bool:
    """Say whether `derived_id` made an id."""
    return uuid.UUID(id_).version == 8  # noqa: PLR2004  (RFC 9562)


def _uuid(trace_id: bytes, rest: bytes, *, version: int) -> str:
    raw = bytearray(trace_id[:4] + rest)
    # The bits of version and variant (RFC 9562, section 4).
    raw[6] = (raw[6] & 0x0F) | (version << 4)
    raw[8] = (raw[8] & 0x3F) | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))


def _faults(type_: type[msgspec.Struct], content: object, path: str, *, complete: bool) -> Iterator[Fault]:
    """Give everything that is wrong with decoded JSON, where `msgspec.convert` stops at the first."""
    if not isinstance(content, Mapping):
        yield Fault(path or "body", "invalid", "Dit is geen JSON-object.")
        return
    for field in msgspec.structs.fields(type_):
        name = f"{path}.{field.encode_name}" if path else field.encode_name
        part = PARTS.get(field.name)
        if field.encode_name not in content:
            if field.required or (complete and type_ is Verwerkingsactie):
                yield Fault(name, "required", "Dit element ontbreekt.")
        elif part is None:
            yield from _element_faults(field.type, content[field.encode_name], name)
        elif not isinstance(content[field.encode_name], list):
            yield Fault(name, "invalid", "Dit is geen lijst.")
        else:
            for index, each in enumerate(content[field.encode_name]):
                yield from _faults(part, each, f"{name}[{index}]", complete=complete)


def _element_faults(type_: Any, value: object, name: str) -> Iterator[Fault]:
    try:
        check(type_, value)
    except ValueError as error:
        yield Fault(name, "invalid", str(error))


def _without_nulls(content: object) -> object:
    """Return a body in which `null` for an optional text is the empty text that it means: clients write either."""
    plain = _with_texts(content)
    if isinstance(plain, dict) and isinstance(objects := plain.get("verwerkteObjecten"), list):
        plain["verwerkteObjecten"] = [_with_texts(each) for each in objects]
    return plain


def _with_texts(part: object) -> object:
    if not isinstance(part, dict):
        return part
    return {name: "" if value is None and name in _OPTIONAL_TEXTS else value for name, value in part.items()}


def _without_object_ids(content: object) -> object:
    """Return a body without the ids that its objects have in another log: a new actie gets its own (D-08)."""
    objects = content.get("verwerkteObjecten") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(objects, list):
        return content
    own = [
        {name: value for name, value in each.items() if name != "verwerktObjectId"} if isinstance(each, dict) else each
        for each in objects
    ]
    return content | {"verwerkteObjecten": own}


#: Elements that may be `null`, by their names in JSON; those with a format of their own say so in their types.
_OPTIONAL_TEXTS: Final = frozenset(
    field.encode_name
    for struct in (Verwerkingsactie, VerwerktObject)
    for field in msgspec.structs.fields(struct)
    # An id is no text: a client that has none leaves it out.
    if field.default == "" and field.type is not ObjectId
)
#: Elements that are lists, by their field, with what they are lists of.
PARTS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "verwerkte_objecten": VerwerktObject,
    "verwerkte_soorten_gegevens": VerwerktSoortGegeven,
}
#: The elements of a whole Verwerking that can be changed, with the field of its acties.
OF_VERWERKING: Final[Mapping[str, tuple[str, Any]]] = {
    "bewaartermijn": ("bewaartermijn", Duur),
    "vertrouwelijkheid": ("vertrouwelijkheid", Vertrouwelijkheid),
}
