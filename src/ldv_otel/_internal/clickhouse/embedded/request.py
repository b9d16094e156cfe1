"""Reads a ClickHouse HTTP request: whether it may be served, and what its parameters ask for."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import dataclass
from hmac import compare_digest
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl
from uuid import uuid4

from ldv_otel._internal.clickhouse.embedded.body import RequestBody, decompressed
from ldv_otel._internal.clickhouse.embedded.engine import EngineQuery
from ldv_otel._internal.clickhouse.embedded.errors import (
    ACCESS_DENIED,
    AUTHENTICATION_FAILED,
    BAD_ARGUMENTS,
    NOT_IMPLEMENTED,
    EngineError,
)
from ldv_otel._internal.clickhouse.embedded.framing import unframed
from ldv_otel._internal.clickhouse.embedded.native_revision import SERIALISATION_REVISION
from ldv_otel._internal.http.health import is_loopback_host

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack

#: Parameters of the transport. The rest are settings of the query. Those that only steer a server's own HTTP output
#: are dropped, because setting them here has no effect but its cost.
_TRANSPORT: Final = frozenset(
    (
        *("query", "database", "query_id", "default_format", "wait_end_of_query", "client_protocol_version"),
        *("compress", "decompress", "buffer_size", "stacktrace", "user", "password", "role", "quota_key"),
        *("session_id", "session_timeout", "session_check", "close_session"),
        *("enable_http_compression", "http_zlib_compression_level", "http_response_buffer_size"),
        *("http_wait_end_of_query", "http_write_exception_in_output_format", "add_http_cors_header"),
        *("send_progress_in_http_headers", "http_headers_progress_interval_ms"),
        *("cancel_http_readonly_queries_on_client_close", "network_compression_method"),
        "network_zstd_compression_level",
    )
)
_YES: Final = frozenset(("1", "true"))
_VISIBLE: Final = re.compile(r"[\x21-\x7e]{1,256}\Z")
#: A body is only a form if it begins like one: curl calls any body by this content type, also plain SQL.
_FORM: Final = re.compile(rb"(?:query|param_\w+)=")
_MAX_FORM_BYTES: Final = 64 << 20
_MULTIPART_NAME: Final = re.compile(rb'\bname="([^"]*)"')


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """The head of a request; header names in lower case."""

    method: str
    path: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    query_id: str

    @classmethod
    def of(cls, scope: Mapping[str, Any]) -> EngineRequest:
        """Read it out of an ASGI scope."""
        parameters = _fields(scope["query_string"])
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        client_id = parameters.get("query_id", "")
        # It goes back out as a header: what cannot be one is replaced by an id of ours.
        query_id = client_id if _VISIBLE.match(client_id) else str(uuid4())
        return cls(scope["method"], scope["path"], MappingProxyType(parameters), MappingProxyType(headers), query_id)

    def flag(self, name: str) -> bool:
        """Whether a parameter is set to yes."""
        return self.parameters.get(name, "").lower() in _YES

    @property
    def protocol_version(self) -> int:
        """The protocol revision the client asks for, 0 if none."""
        text = self.parameters.get("client_protocol_version", "0")
        return int(text) if text.isascii() and text.isdigit() else 0

    @property
    def content_length(self) -> int:
        """The length of the body if the client sends it, else 0."""
        text = self.headers.get("content-length", "0")
        return int(text) if text.isascii() and text.isdigit() else 0


def refuse_browsers(request: EngineRequest) -> None:
    """Refuse what a browser sent, whoever told it to.

    Without the secret nobody gets in; but a page may try with one that it got hold of, and no page has any business
    here. A browser gives itself away by `Origin` or a `Sec-Fetch-` header, or, where a name of a page's own was made to
    point here, by `Host`.

    Raises:
        EngineError: It is one of those.
    """
    if not is_loopback_host(request.headers.get("host", "")):
        raise EngineError.of(ACCESS_DENIED, "The Host of this request is not a loopback address")
    if any(name == "origin" or name.startswith("sec-fetch-") for name in request.headers):
        raise EngineError.of(ACCESS_DENIED, "Requests of browsers are refused")


def authenticate(request: EngineRequest, secret: str) -> None:
    """Refuse a request without the secret, which is the password of every user.

    It comes as ClickHouse's drivers send a password: in `Authorization: Basic` or `X-ClickHouse-Key`; never in the
    address, which ends up in histories and logs.

    Raises:
        EngineError: It is missing or wrong.
    """
    offered = request.headers.get("x-clickhouse-key", "") or _basic_password(request.headers.get("authorization", ""))
    if not compare_digest(offered.encode(), secret.encode()):
        raise EngineError.of(
            AUTHENTICATION_FAILED,
            "The secret of this Logboek is missing or wrong. It is in the file DIR.secret beside its directory: let "
            "LDV_LOGBOEK_PASSWORD_FILE name it, or send it as the password of the user default",
        )


def refuse_session_checks(parameters: Mapping[str, str]) -> None:
    """Refuse a request that asks whether its session is there.

    A `session_id` alone means nothing here: what a session would keep, SET, USE and temporary tables, is not served, so
    no request can count on an earlier one.

    Raises:
        EngineError: It asks that.
    """
    if parameters.get("session_check", "0") not in {"", "0"}:
        raise EngineError.of(
            NOT_IMPLEMENTED, "There are no sessions here to check (session_check): each request stands by itself"
        )


def _basic_password(authorization: str) -> str:
    kind, _, encoded = authorization.partition(" ")
    if kind.lower() != "basic":
        return ""
    try:
        return b64decode(encoded.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def engine_query(request: EngineRequest, body: RequestBody, owned: ExitStack) -> EngineQuery:
    """Unpack the body and turn the request into what the engine is asked.

    Args:
        owned: Gets what was unpacked, to be closed after the answer.

    Raises:
        EngineError: The body is not what the headers say, or needs something that is not served here.
    """
    if encoding := request.headers.get("content-encoding", "").strip().lower().replace("identity", ""):
        body = owned.enter_context(decompressed(body, encoding))
    if request.flag("decompress"):
        body = owned.enter_context(unframed(body))
    parameters = dict(request.parameters)
    if fields := _form_fields(request.headers.get("content-type", ""), body):
        refuse_session_checks(fields)
        parameters |= fields
        body = owned.enter_context(RequestBody())
    return EngineQuery(
        sql=parameters.get("query", "").encode(),
        body=body,
        database=parameters.get("database") or request.headers.get("x-clickhouse-database", ""),
        settings={
            name: value
            for name, value in parameters.items()
            if name not in _TRANSPORT and not name.startswith("param_")
        },
        parameters={
            name.removeprefix("param_"): value for name, value in parameters.items() if name.startswith("param_")
        },
        default_format=request.headers.get("x-clickhouse-format") or parameters.get("default_format") or "TabSeparated",
        # As the server: a GET changes nothing, so that a link or an image in a page cannot either.
        read_only=request.method != "POST",
        at_once=(
            request.flag("wait_end_of_query")
            or request.flag("http_wait_end_of_query")
            # Rewriting may find a type it does not know, and should do so while there is a status to say it with.
            or request.protocol_version >= SERIALISATION_REVISION
        ),
    )


def _form_fields(content_type: str, body: RequestBody) -> dict[str, str]:
    kind, _, options = content_type.partition(";")
    kind = kind.strip().lower()
    if kind == "application/x-www-form-urlencoded" and _FORM.match(body.read(256)):
        return _fields(_form_bytes(body))
    if kind == "multipart/form-data":
        boundary = re.search(r'boundary="?([^";]+)"?', options)
        if boundary is None:
            raise EngineError.of(BAD_ARGUMENTS, "The multipart body names no boundary")
        return dict(map(_part, _parts(_form_bytes(body), boundary[1].encode("latin-1"))))
    return {}


def _fields(encoded: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(encoded.decode(), keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError as error:
        raise _not_utf8() from error


def _not_utf8() -> EngineError:
    return EngineError.of(BAD_ARGUMENTS, "Parameters must be UTF-8; other bytes belong in the body")


def _form_bytes(body: RequestBody) -> bytes:
    if body.size > _MAX_FORM_BYTES:
        raise EngineError.of(NOT_IMPLEMENTED, f"A form has at most {_MAX_FORM_BYTES} bytes")
    return body.read()


def _parts(content: bytes, boundary: bytes) -> list[bytes]:
    pieces = (b"\r\n" + content).split(b"\r\n--" + boundary)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):  # noqa: PLR2004  (what is before the first, and the end)
        raise EngineError.of(BAD_ARGUMENTS, "The multipart body is cut off")
    return pieces[1:-1]


def _part(piece: bytes) -> tuple[str, str]:
    head, _, value = piece.partition(b"\r\n\r\n")
    name = _MULTIPART_NAME.search(head)
    if name is None:
        raise EngineError.of(BAD_ARGUMENTS, "A part of the multipart body has no name")
    if b"filename=" in head:
        raise EngineError.of(NOT_IMPLEMENTED, "External tables are not served here")
    try:
        return name[1].decode(), value.decode()
    except UnicodeDecodeError as error:
        raise _not_utf8() from error
