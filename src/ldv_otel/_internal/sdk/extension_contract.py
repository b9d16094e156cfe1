"""The contract of an extension, by which another standard adds attributes to records and headers to calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from ldv_otel._internal.parties.evidence import Certificate
from ldv_otel._internal.record.span_facts import ForeignOperation

#: Returns all values of a request header, by its name.
ReadHeader = Callable[[str], Sequence[str]]


class OutboundCall(msgspec.Struct, frozen=True):
    """The Actie from which a call is made, as far as an extension may write it into headers.

    Attributes:
        trace_id: 16 bytes.
        attributes: Attributes of extensions: the Actie's own, its caller's, and the inherited ones of enclosing Acties.
    """

    trace_id: bytes
    processing_activity_id: str
    attributes: Mapping[str, object]


@runtime_checkable
class Extension(Protocol):
    """An extension adds attributes to records, writes headers of outbound calls and reads those of inbound ones.

    Its methods may raise: the record or the call then goes on without what they would have added, and the error is
    logged (LDV-A8).

    Attributes:
        attributes: Names of span attributes that enter the Logregel; each begins with the extension's own and a dot.
        inherited: Those of them that also hold for enclosed Acties and at called parties.
    """

    attributes: frozenset[str]
    inherited: frozenset[str]

    def record_attributes(self, span_attributes: Mapping[str, object], start_time_ms: int) -> Mapping[str, object]:
        """Return the attributes of a record.

        Args:
            span_attributes: The span's attributes under the extension's own name, unchecked.
            start_time_ms: Start of the Actie, in ms since 1970-01-01 UTC.
        """

    def call_headers(self, call: OutboundCall) -> Mapping[str, str]:
        """Return the headers for a call to another party."""

    def read_headers(self, header: ReadHeader, certificate: Certificate | None) -> ForeignOperation:
        """Return what the headers of a caller say, with attributes for the Logregel.

        Args:
            header: Reads the headers of the inbound call.
            certificate: The caller's verified client certificate, if its server shows it.
        """
