"""The Logregel: the record of one Actie, its limits, its status and its bytes."""

from __future__ import annotations

import functools
import re
from enum import IntEnum
from typing import Final

import msgspec

from ldv_otel.attributes import FLAGS

NAME_MISSING_TEXT: Final = "(naamloos)"
NAME_MAX_CHARACTERS: Final = 1_024
ACTIVITY_MAX_CHARACTERS: Final = 2_048
TEXT_MAX_CHARACTERS: Final = 16 * 1024 * 1024

_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x20]+")


class Status(IntEnum):
    """Outcome of an Actie (LDV-A5).

    `UNSET` is done without internal error, `OK` only when the application says so, `ERROR` a failure inside the system.
    """

    UNSET = 0
    OK = 1
    ERROR = 2

    @property
    def label(self) -> str:
        """The standard's spelling: `Unset`, `Ok` or `Error`."""
        return self.name.capitalize()


class Logregel(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """The record of one Actie, immutable (LDV-L3). Fields are in the order of its bytes: new ones go at the end.

    Attributes:
        trace_id: 16 bytes.
        span_id: 8 bytes.
        parent_span_id: 8 bytes of the calling Actie, here or at the caller; empty when there is none (LDV-A2).
        start_time_ms: Milliseconds since 1970-01-01 UTC.
        end_time_ms: As `start_time_ms`, never before it.
        processing_activity_id: URI of the Verwerkingsactiviteit; empty when nobody named one.
        parent_processing_activity_id: Activity of the enclosing Actie where it differs (LDV-A12).
        data_subject_id: 16 bytes of pseudonym; empty when no data subject is known (LDV-A4).
        data_subject_sealed: Reversible form, see `pseudonym.DataSubject.sealed`.
        foreign_operation_trace_id: 16 bytes, or empty.
        foreign_operation_span_id: 8 bytes, or empty.
        foreign_operation_processor: URL of the calling application.
        external_read_api_id: URI where the called party's Logregels can be read.
        outbound_span_ids: 8 bytes each: technical client spans below this Actie, which called parties see as parent.
        attributes: Everything else under `dpl.`, `exception.` and `ldv.`, as text.
        resource: JSON object of the resource attributes; one object per process, so text is cheapest.
    """

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes = b""
    status: Status = Status.UNSET
    name: str
    start_time_ms: int
    end_time_ms: int
    processing_activity_id: str = ""
    parent_processing_activity_id: str = ""
    data_subject_id: bytes = b""
    data_subject_id_type: str = ""
    key_id: str = ""
    data_subject_sealed: str = ""
    foreign_operation_trace_id: bytes = b""
    foreign_operation_span_id: bytes = b""
    foreign_operation_processor: str = ""
    external_read_api_id: str = ""
    outbound_span_ids: tuple[bytes, ...] = ()
    attributes: dict[str, str] = msgspec.field(default_factory=dict)
    resource: str = "{}"

    @property
    def flags(self) -> tuple[str, ...]:
        """What was normalised to make this record storable."""
        text = self.attributes.get(FLAGS, "")
        return tuple(text.split(",")) if text else ()


_encoder = msgspec.msgpack.Encoder(order="deterministic")
_decoder = msgspec.msgpack.Decoder(Logregel)


def actie_id(logregel: Logregel) -> bytes:
    """Return the key of a running Actie: the trace id and span id of its record."""
    return logregel.trace_id + logregel.span_id


def encode_logregel(logregel: Logregel) -> bytes:
    """Return the canonical bytes of a record: equal records give equal bytes, in any process."""
    return _encoder.encode(logregel)


def decode_logregel(data: bytes) -> Logregel:
    """Return the record behind `encode_logregel`'s bytes.

    Raises:
        msgspec.DecodeError: The bytes are not a record.
    """
    return _decoder.decode(data)


@functools.lru_cache(maxsize=256)
def is_uri(activity: str) -> bool:
    """Say whether an activity, cut to its limit, is a URI; a service has few of them and asks at every record."""
    return _URI.fullmatch(activity) is not None
