"""Runs the extensions that are on: they add what another standard requires to records and to calls.

An extension (`extension_contract.py`) is an entry point of the group `ldv_otel_extension`. It is on where the file of
`LDV_PARTIES` has its name under `extensions`, with its options, or where the sink of `LDV_LOGBOEK` brings it along. Its
headers go only to parties for which the file names it (LDV-X3). Without extensions a span does no work for them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from ldv_otel._internal.config.entry_points import check_members, entry_points_of, load_factory
from ldv_otel._internal.config.error_places import type_and_places
from ldv_otel._internal.parties.evidence import Certificate
from ldv_otel._internal.parties.parties import Parties
from ldv_otel._internal.record.span_facts import ForeignOperation
from ldv_otel._internal.sdk.extension_contract import Extension, OutboundCall, ReadHeader
from ldv_otel.errors import ConfigurationError

_logger = logging.getLogger(__name__)

_ENTRY_POINT_GROUP: Final = "ldv_otel_extension"
_METHODS: Final = ("record_attributes", "call_headers", "read_headers")


class Extensions:
    """The extensions that are on.

    Args:
        extensions: By the name that the file of parties has for them.
    """

    def __init__(self, extensions: Mapping[str, Extension] | None = None) -> None:
        self._extensions = dict(extensions or {})
        self.attributes = frozenset(name for extension in self._extensions.values() for name in extension.attributes)
        self.inherited = frozenset(name for extension in self._extensions.values() for name in extension.inherited)

    def __bool__(self) -> bool:
        """Whether any is on."""
        return bool(self._extensions)

    def record_attributes(self, span_attributes: Mapping[str, object], start_time_ms: int) -> Mapping[str, object]:
        """Return the attributes that all extensions put into a record."""
        attributes: dict[str, object] = {}
        for name, extension in self._extensions.items():
            own = {key: value for key, value in span_attributes.items() if key.startswith(f"{name}.")}
            try:
                attributes |= extension.record_attributes(own, start_time_ms) if own else {}
            except Exception as error:  # LDV-A8: the record is made all the same
                _logger.error(
                    "The extension %s could not make attributes of a record; please report this. %s",
                    name,
                    type_and_places(error),
                )
                attributes |= own
        return attributes

    def call_headers(self, names: Iterable[str], call: OutboundCall) -> dict[str, str]:
        """Return the headers of these extensions for a call to another party."""
        headers: dict[str, str] = {}
        for name in names:
            try:
                headers.update(self._extensions[name].call_headers(call))
            except Exception as error:  # LDV-A8: the call goes out all the same
                _logger.error(
                    "The extension %s could not make headers of a call; please report this. %s",
                    name,
                    type_and_places(error),
                )
        return headers

    def read_headers(
        self, foreign: ForeignOperation, header: ReadHeader, certificate: Certificate | None
    ) -> ForeignOperation:
        """Return what is known of a caller together with its headers; ids of the trace context have precedence."""
        for name, extension in self._extensions.items():
            try:
                from_headers = extension.read_headers(header, certificate)
            except Exception as error:  # headers of an untrusted caller may hold anything
                _logger.warning("The headers of a caller could not be read (%s, %s).", name, type(error).__name__)
                continue
            foreign = msgspec.structs.replace(
                foreign,
                trace_id=foreign.trace_id or from_headers.trace_id,
                attributes={**foreign.attributes, **from_headers.attributes},
            )
        return foreign


def load_extensions(parties: Parties, also: str = "") -> Extensions:
    """Return the extensions that the file of parties names.

    Args:
        also: Name of one more extension that is on; its options are empty unless the file has them.

    Raises:
        ConfigurationError: One is not installed, or its options cannot be used.
    """
    options: dict[str, Mapping[str, Any]] = {**({also: {}} if also else {}), **parties.extensions}
    if not options:
        return Extensions()
    installed = entry_points_of(_ENTRY_POINT_GROUP)
    extensions: dict[str, Extension] = {}
    for name, own_options in options.items():
        if name not in installed:
            raise ConfigurationError(
                f"LDV_PARTIES: there is no extension {name!r}. Logging did not start. "
                f"Known: {', '.join(sorted(installed)) or 'none'}."
            )
        point = installed[name]
        factory = load_factory(point)
        try:
            made = factory(own_options)
        except (msgspec.ValidationError, ValueError) as error:
            raise ConfigurationError(
                f"LDV_PARTIES: the options of the extension {name!r} cannot be used: {error}. Logging did not start."
            ) from error
        check_members(point, made, "Extension", _METHODS, attributes=frozenset, inherited=frozenset)
        extensions[name] = made
    return Extensions(extensions)
