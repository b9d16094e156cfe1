"""Another party's read API, asked with our credentials there; its answers are checked like any input from outside."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx
import msgspec

import ldv_otel.attributes as names
from ldv_otel._internal.chain.model import PartyState
from ldv_otel._internal.chain.source import MAX_RECORDS, PartyFailed, SourceAnswer
from ldv_otel._internal.config.secrets import read_token
from ldv_otel._internal.config.tls import tls_context
from ldv_otel._internal.http.bounded_answers import TooLargeError, content_of
from ldv_otel._internal.parties.parties import ReadApi
from ldv_otel._internal.record.builder import LogregelBuilder, resource_of
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.times.instants import ms_from_rfc3339, within_record_time
from ldv_otel.errors import ConfigurationError

_logger = logging.getLogger(__name__)

_MAX_ANSWER: Final = 4 << 20
_MAX_PAGES: Final = 10
_MAX_TEXT: Final = 4_096
_MAX_OUTBOUND: Final = 1_000
_TIMEOUT: Final = httpx.Timeout(10, connect=3)
#: A token is renewed so long before it runs out.
_RENEW_SECONDS: Final = 30


class _RemoteActivity(msgspec.Struct, rename="camel"):
    """A `ProcessingActivity` of the contract; of a working version after it, with times in RFC 3339, too."""

    trace_id: str
    span_id: str
    status: str
    name: str
    start_time: int | str
    end_time: int | str
    parent_span_id: str = ""
    resource: dict[str, Any] = {}
    attributes: dict[str, Any] = {}


class _ReadApiAnswer(msgspec.Struct, rename="camel"):
    processing_activities: list[msgspec.Raw]


class _TokenAnswer(msgspec.Struct):
    access_token: str
    expires_in: float = 300


class Remotes:
    """The read APIs that may be asked, each with its connections and token for as long as this is open.

    Use it with `async with`, in one event loop.
    """

    def __init__(self, apis: Iterable[ReadApi]) -> None:
        self.apis = {api_base(api.url): api for api in apis}
        self._opened: dict[str, RemoteLogboek] = {}

    def open(self, base: str) -> RemoteLogboek:
        """Return the party with that base in `apis`.

        Raises:
            ConfigurationError: A file with credentials cannot be used.
        """
        if base not in self._opened:
            self._opened[base] = RemoteLogboek(self.apis[base])
        return self._opened[base]

    async def __aenter__(self) -> Self:
        """Return the parties themselves."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        while self._opened:
            await self._opened.popitem()[1].close()


class RemoteLogboek:
    """One party's read API.

    Raises:
        ConfigurationError: A file with credentials cannot be used.
    """

    def __init__(self, api: ReadApi) -> None:
        self._api = api
        self._base = api_base(api.url)
        self._http = httpx.AsyncClient(
            verify=tls_context(
                api.ca_file or None,
                (api.certificate, api.private_key) if api.certificate else None,
                named_by=f"LDV_PARTIES: ca_file, certificate or private_key of {api.url}",
            ),
            timeout=_TIMEOUT,
            follow_redirects=False,
            trust_env=False,
            headers={"Accept": "application/json", "User-Agent": "ldv_otel"},
        )
        self._token = ""
        self._token_until = 0.0
        self._token_lock = asyncio.Lock()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def of_trace(self, trace_id: bytes) -> SourceAnswer:
        """Return the records of a trace: those that really are of it.

        Raises:
            PartyFailed: It does not answer, or not as a read API does.
        """
        body = {"traceId": str(uuid.UUID(bytes=trace_id))}
        answer = await self._pages("POST", "/processing-activities", {}, body)
        return _only(answer, lambda record: record.trace_id == trace_id)

    async def for_foreign_trace(self, trace_id: bytes) -> SourceAnswer:
        """Return what it did on behalf of our trace in traces of its own; nothing when it has no such resource.

        Raises:
            PartyFailed: As `of_trace`.
        """
        try:
            answer = await self._pages("GET", "/foreign-operations", {"traceId": str(uuid.UUID(bytes=trace_id))}, None)
        except _NotOffered:
            return SourceAnswer([])
        return _only(answer, lambda record: record.foreign_operation_trace_id == trace_id)

    async def _pages(
        self, method: str, path: str, parameters: Mapping[str, str], body: Mapping[str, str] | None
    ) -> SourceAnswer:
        logregels: list[Logregel] = []
        complete = True
        target = httpx.URL(self._base + path, params=parameters)
        for _ in range(_MAX_PAGES):
            answer, content = await self._asked(method, target, body)
            try:
                activities = msgspec.json.decode(content, type=_ReadApiAnswer).processing_activities
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise PartyFailed(PartyState.UNREADABLE, "the answer is not that of a read API") from None
            for activity in activities:
                record = _logregel(activity)
                complete = complete and record is not None
                logregels += [record] if record is not None else []
            following = answer.links.get("next", {}).get("url")
            if following is None or len(logregels) >= MAX_RECORDS:
                return SourceAnswer(logregels[:MAX_RECORDS], complete=complete and following is None)
            # Only the query: the address stays the one that is configured, whatever the party answers.
            target = httpx.URL(self._base + path, query=urlsplit(following).query.encode())
        return SourceAnswer(logregels, complete=False)

    async def _asked(
        self, method: str, target: httpx.URL, body: Mapping[str, str] | None
    ) -> tuple[httpx.Response, bytes]:
        try:
            headers = await self._authorization()
            answer, content = await self._exchange(method, target, headers=headers, json=body)
        except ConfigurationError as error:
            _logger.error("%s", error)
            raise PartyFailed(PartyState.REFUSED, "our credentials for it cannot be used") from error
        except httpx.HTTPError as error:
            raise PartyFailed(PartyState.UNREACHABLE, f"no answer ({type(error).__name__})") from None
        if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            self._token_until = 0.0
            raise PartyFailed(PartyState.REFUSED, f"HTTP status {answer.status_code}")
        if answer.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED} and body is None:
            raise _NotOffered
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            raise PartyFailed(PartyState.UNREACHABLE, f"HTTP status {answer.status_code}")
        if answer.status_code != HTTPStatus.OK:
            raise PartyFailed(PartyState.UNREADABLE, f"HTTP status {answer.status_code}")
        return answer, content

    async def _exchange(self, method: str, target: httpx.URL | str, **options: Any) -> tuple[httpx.Response, bytes]:
        """Send a request and read its answer up to a limit, after decompression."""
        async with self._http.stream(method, target, **options) as answer:
            try:
                return answer, await content_of(answer, _MAX_ANSWER)
            except TooLargeError:
                reason = f"the answer is over {_MAX_ANSWER >> 20} MiB"
                raise PartyFailed(PartyState.UNREADABLE, reason) from None

    async def _authorization(self) -> dict[str, str]:
        if self._api.token_file:
            return {"Authorization": f"Bearer {read_token(Path(self._api.token_file), 'LDV_PARTIES: token_file')}"}
        if not self._api.token_url:
            return {}
        async with self._token_lock:
            if time.monotonic() > self._token_until:
                await self._new_token()
            return {"Authorization": f"Bearer {self._token}"}

    async def _new_token(self) -> None:
        answer, content = await self._exchange(
            "POST",
            self._api.token_url,
            data={"grant_type": "client_credentials", "scope": self._api.scope},
            auth=(
                self._api.client_id,
                read_token(Path(self._api.client_secret_file), "LDV_PARTIES: client_secret_file"),
            ),
        )
        try:
            token = msgspec.json.decode(content, type=_TokenAnswer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            token = None
        if answer.status_code != HTTPStatus.OK or token is None:
            raise PartyFailed(PartyState.REFUSED, f"no access token (HTTP status {answer.status_code})")
        self._token = token.access_token
        self._token_until = time.monotonic() + token.expires_in - _RENEW_SECONDS


class _NotOffered(Exception):  # never leaves this module
    """The party has no such resource."""


def api_base(url: str) -> str:
    """Return the base of a read API for an address that Logregels may spell in several ways."""
    for ending in ("/", "/openapi.json", "/processing-activities", "/"):
        url = url.removesuffix(ending)
    return url


def _only(answer: SourceAnswer, is_wanted: Callable[[Logregel], bool]) -> SourceAnswer:
    kept = [record for record in answer.logregels if is_wanted(record)]
    return SourceAnswer(kept, complete=answer.complete and len(kept) == len(answer.logregels))


def _logregel(raw: msgspec.Raw) -> Logregel | None:
    """Return a record of another party, or None when it cannot be read."""
    try:
        activity = msgspec.json.decode(raw, type=_RemoteActivity)
        builder = LogregelBuilder(_id(activity.trace_id.replace("-", ""), 16), _id(activity.span_id, 8))
        builder.parent(_id(activity.parent_span_id, 8) if activity.parent_span_id else b"")
        builder.status(Status[activity.status.upper()])
        builder.name(_text(activity.name))
        builder.period(_moment(activity.start_time), _moment(activity.end_time))
        builder.activity(_attribute(activity, names.PROCESSING_ACTIVITY_ID))
        builder.activity(_attribute(activity, names.PARENT_PROCESSING_ACTIVITY_ID), "parent_processing_activity_id")
        builder.foreign_operation(
            _id_attribute(activity, names.FOREIGN_OPERATION_TRACE_ID, 16),
            _id_attribute(activity, names.FOREIGN_OPERATION_SPAN_ID, 8),
            _attribute(activity, names.FOREIGN_OPERATION_PROCESSOR),
        )
        builder.read_apis([_attribute(activity, names.EXTERNAL_READ_API_ID)])
        builder.outbound(_outbound(activity))
        builder.resource(resource_of(_resource(activity), all_of_them=True))
    except (msgspec.DecodeError, ValueError, KeyError, RecursionError, OverflowError):
        return None
    return builder.build()


def _id(text: str, length: int) -> bytes:
    raw = bytes.fromhex(text)
    if len(raw) != length or not any(raw):
        raise ValueError("no id")
    return raw


def _moment(time: int | str) -> int:
    """Return a moment in ms, inside what a Logregel can have."""
    time_ms = time if isinstance(time, int) else ms_from_rfc3339(time)
    return within_record_time(time_ms)


def _text(text: str) -> str:
    return text[:_MAX_TEXT]


def _attribute(activity: _RemoteActivity, name: str) -> str:
    value = activity.attributes.get(name, "")
    return _text(value) if isinstance(value, str) else ""


def _id_attribute(activity: _RemoteActivity, name: str, length: int) -> bytes:
    text = _attribute(activity, name).replace("-", "")
    return _id(text, length) if text else b""


def _outbound(activity: _RemoteActivity) -> tuple[bytes, ...]:
    value = activity.attributes.get("ldv.outbound_span_ids", [])
    if not isinstance(value, list):
        return ()
    return tuple(_id(text, 8) for text in value[:_MAX_OUTBOUND] if isinstance(text, str))


def _resource(activity: _RemoteActivity) -> dict[str, str]:
    attributes = activity.resource.get("attributes", {})
    if not isinstance(attributes, dict):
        return {}
    return {_text(name): _text(value) for name, value in attributes.items() if isinstance(value, str)}
