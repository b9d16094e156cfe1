"""An Extension that carries the number of a case (zaak) along, in records and in calls."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ldv_otel.plugins import Certificate, ForeignOperation, OutboundCall, ReadHeader

NUMBER = "zaak.nummer"


class ZaakExtension:
    """Keeps `zaak.nummer` of a span in its record, and passes it on to called parties.

    Args:
        header: Name of the header that carries it.
    """

    # Begins with the extension's name and a dot; other span attributes never reach it.
    attributes = frozenset({NUMBER})
    # Acties inside, and those at called parties, are about the same case.
    inherited = frozenset({NUMBER})

    def __init__(self, header: str) -> None:
        self._header = header

    def record_attributes(self, span_attributes: Mapping[str, object], start_time_ms: int) -> Mapping[str, object]:
        """Return the number if it has the right form; a record is never refused for a wrong one."""
        del start_time_ms
        return {name: value for name, value in span_attributes.items() if _is_number(value)}

    def call_headers(self, call: OutboundCall) -> Mapping[str, str]:
        """Return the header for a called party that the file of LDV_PARTIES names this extension for."""
        number = call.attributes.get(NUMBER)
        return {self._header: str(number)} if _is_number(number) else {}

    def read_headers(self, header: ReadHeader, certificate: Certificate | None) -> ForeignOperation:
        """Return the number that a caller states; a header may hold anything, and may be there twice."""
        del certificate
        values = header(self._header)
        attributes = {NUMBER: values[0]} if len(values) == 1 and _is_number(values[0]) else {}
        return ForeignOperation(b"", b"", attributes=attributes)


def _is_number(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Z0-9-]{1,40}", value) is not None


def open_extension(options: Mapping[str, Any]) -> ZaakExtension:
    """Return the extension; entry point `zaak` of the group `ldv_otel_extension`.

    Raises:
        ValueError: The options cannot be used; the service does not start, and says why.
    """
    header = options.get("header", "X-Zaaknummer")
    if not isinstance(header, str) or not header:
        raise ValueError("`header` has to be the name of a header")
    return ZaakExtension(header)
