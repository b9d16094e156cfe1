"""Extensions: what another standard wants Acties to say beyond the Logboek's own words, in records and in calls.

An extension is an entry point of the group `ldv_otel_extension`. It is on where the file of `LDV_PARTIES` has its name
under `extensions`, with its options, or where the sink of `LDV_LOGBOEK` brings it along. Its headers go to those
parties only that the file names them for (LDV-X3); what is off costs nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

import msgspec

from ldv_otel._internal.parties.evidence import Certificate
from ldv_otel._internal.parties.parties import Parties
from ldv_otel._internal.record.actie import ForeignOperation
from ldv_otel.errors import ConfigurationError

_logger = logging.getLogger(__name__)

_ENTRY_POINT_GROUP: Final = "ldv_otel_extension"

#: Gives all values of a request header.
Header = Callable[[str], Sequence[str]]


class Calling(msgspec.Struct, frozen=True):
    """The Actie from which a call is made, as far as extensions may tell of it.

    Attributes:
        trace_id: 16 bytes.
        attributes: Of extensions: its own, its caller's, and those that hold from the Acties around it.
    """

    trace_id: bytes
    processing_activity_id: str
    attributes: Mapping[str, object]


@runtime_checkable
class Extension(Protocol):
    """What an extension is asked. It may raise: then nothing is told or heard, and that is logged (LDV-A8).

    Attributes:
        attributes: Names of span attributes that enter the Logregel; each begins with the extension's own and a dot.
        inherited: Those of them that also hold for Acties inside, and at parties that are called.
    """

    attributes: frozenset[str]
    inherited: frozenset[str]

    def record(self, said: Mapping[str, object], start_time_ms: int) -> Mapping[str, object]:
        """Return the attributes of a record: what was said under its names, put right, and what follows from it."""

    def tell(self, calling: Calling) -> Mapping[str, str]:
        """Return the headers for a party that is called."""

    def hear(self, header: Header, certificate: Certificate | None) -> ForeignOperation:
        """Return what the headers of a caller say, with attributes for the Logregel.

        Args:
            certificate: The one that the caller has proven, if its server shows it.
        """


class Extensions:
    """The extensions that are on.

    Args:
        named: By the name that the file of parties has for them.
    """

    def __init__(self, named: Mapping[str, Extension] | None = None) -> None:
        self._named = dict(named or {})
        self.attributes = frozenset(name for one in self._named.values() for name in one.attributes)
        self.inherited = frozenset(name for one in self._named.values() for name in one.inherited)

    def __bool__(self) -> bool:
        """Whether any is on."""
        return bool(self._named)

    def record(self, said: Mapping[str, object], start_time_ms: int) -> Mapping[str, object]:
        """Return the attributes of a record."""
        found: dict[str, object] = {}
        for name, extension in self._named.items():
            own = {key: value for key, value in said.items() if key.startswith(f"{name}.")}
            try:
                found |= extension.record(own, start_time_ms) if own else {}
            except Exception:
                _logger.exception("The extension %s could not put a record right. Please report this.", name)
                found |= own
        return found

    def tell(self, names: Iterable[str], calling: Calling) -> dict[str, str]:
        """Return the headers of these extensions."""
        headers: dict[str, str] = {}
        for name in names:
            try:
                headers.update(self._named[name].tell(calling))
            except Exception:
                _logger.exception("The extension %s could not tell of a call. Please report this.", name)
        return headers

    def hear(self, foreign: ForeignOperation, header: Header, certificate: Certificate | None) -> ForeignOperation:
        """Return what is known of a caller together with what its headers say; a trace context goes before those."""
        for name, extension in self._named.items():
            try:
                heard = extension.hear(header, certificate)
            except Exception as error:  # noqa: BLE001  (a stranger's headers may hold anything)
                _logger.warning("The headers of a caller could not be read (%s, %s).", name, type(error).__name__)
                continue
            foreign = ForeignOperation(
                foreign.trace_id or heard.trace_id,
                foreign.span_id,
                foreign.processor,
                {**foreign.attributes, **heard.attributes},
            )
        return foreign


def load_extensions(parties: Parties, also: str = "") -> Extensions:
    """Return the extensions that the file of parties names.

    Args:
        also: One more that is on, with no options unless the file has them.

    Raises:
        ConfigurationError: One is not installed, or its options cannot be used.
    """
    options: dict[str, Mapping[str, Any]] = {**({also: {}} if also else {}), **parties.extensions}
    if not options:
        return Extensions()
    from importlib.metadata import entry_points  # noqa: PLC0415  (10 ms that only who has extensions pays)

    installed = {point.name: point for point in entry_points(group=_ENTRY_POINT_GROUP)}
    found: dict[str, Extension] = {}
    for name, given in options.items():
        if name not in installed:
            raise ConfigurationError(
                f"LDV_PARTIES: there is no extension {name!r}. Logging did not start. "
                f"Known: {', '.join(sorted(installed)) or 'none'}."
            )
        factory: Callable[[Mapping[str, Any]], Extension] = installed[name].load()
        try:
            found[name] = factory(given)
        except (msgspec.ValidationError, ValueError) as error:
            raise ConfigurationError(
                f"LDV_PARTIES: the options of the extension {name!r} cannot be used: {error}. Logging did not start."
            ) from error
    return Extensions(found)
