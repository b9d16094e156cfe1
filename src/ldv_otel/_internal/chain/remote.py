"""Another party's read API, asked with our credentials there; its answers are checked like any input from outside."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlsplit

import httpx
import msgspec

from ldv_otel._internal.chain.answers import read_answer
from ldv_otel._internal.chain.model import PartyState
from ldv_otel._internal.chain.source import MAX_RECORDS, PartyFailed, SourceAnswer
from ldv_otel._internal.chain.windows import Window, WindowAnswer, read_windows
from ldv_otel._internal.config.secrets import read_token
from ldv_otel._internal.config.tls import tls_context
from ldv_otel._internal.http.bounded_answers import EncodedError, TooLargeError, content_of
from ldv_otel._internal.http.links import next_link
from ldv_otel._internal.http.outgoing import async_client
from ldv_otel._internal.parties.parties import ReadApi
from ldv_otel._internal.parties.read_api_paths import EARLIER_PATH, PATH, api_base
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.times.instants import rfc3339_from_ms
from ldv_otel.errors import ConfigurationError

_logger = logging.getLogger(__name__)

_MAX_ANSWER: Final = 4 << 20
_MAX_PAGES: Final = 10
#: Of the most records of a trace, where a page has 25.
_MAX_PROOF_PAGES: Final = 40
#: The lezen API in its form of 2026, and in that of 2025.
#: From so many records on an answer without `Link` may have been cut off (LDV-N7a).
_CUT_RECORDS: Final = 100
_TIMEOUT: Final = httpx.Timeout(10, connect=3)
#: A token is renewed so long before it runs out.
_RENEW_SECONDS: Final = 30


class _ProofsAnswer(msgspec.Struct):
    proofs: list[msgspec.Raw]


class _TokenAnswer(msgspec.Struct):
    access_token: str
    expires_in: float = 300


class Remotes:
    """The read APIs that may be asked, each with its connections and token for as long as this is open.

    Use it with `async with`, in one event loop.
    """

    def __init__(self, apis: Iterable[ReadApi], *, proxy: str = "") -> None:
        self._proxy = proxy
        self.apis = {api_base(api.url): api for api in apis}
        self._opened: dict[str, RemoteLogboek] = {}

    def open(self, base: str) -> RemoteLogboek:
        """Return the party with that base in `apis`.

        Raises:
            ConfigurationError: A file with credentials cannot be used.
        """
        if base not in self._opened:
            self._opened[base] = RemoteLogboek(self.apis[base], proxy=self._proxy)
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

    def __init__(self, api: ReadApi, *, proxy: str = "") -> None:
        self._api = api
        self._base = api_base(api.url)
        self._http = async_client(
            api.url,
            proxy,
            tls=tls_context(
                api.ca_file or None,
                (api.certificate, api.private_key) if api.certificate else None,
                named_by=f"LDV_PARTIES: ca_file, certificate or private_key of {api.url}",
            ),
            timeout=_TIMEOUT,
            Accept="application/json",
        )
        #: The path that answered last; empty when none has.
        self._path = ""
        self._token = ""
        self._token_until = 0.0
        self._token_lock = asyncio.Lock()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def of_trace(self, trace_id: bytes) -> SourceAnswer:
        """Return the records of a trace: those that really are of it.

        The newest path is asked first, and the one before it where that is not there; which of them answered is
        remembered (LDV-N7).

        Raises:
            PartyFailed: It does not answer, or not as a read API does.
        """
        refused = ""
        for path in (EARLIER_PATH, PATH) if self._path == EARLIER_PATH else (PATH, EARLIER_PATH):
            try:
                answer = await self._records_at(path, trace_id)
            except _NotOffered:
                continue
            except _Refused as reason:
                # Some gateways refuse what they do not know, so the other path is asked all the same.
                refused = refused or str(reason)
                continue
            self._path = path
            return _only(answer, lambda record: record.trace_id == trace_id)
        if refused:
            raise PartyFailed(PartyState.REFUSED, refused)
        raise PartyFailed(PartyState.UNREADABLE, f"HTTP status {int(HTTPStatus.NOT_FOUND)}")

    async def _records_at(self, path: str, trace_id: bytes) -> SourceAnswer:
        async def ask(window: Window) -> WindowAnswer:
            pages = await self._pages("POST", path, {}, _question(trace_id, window))
            # The form before had no such limit without a sign.
            return WindowAnswer(pages.answer, cut=pages.may_be_cut and path == PATH)

        return await read_windows(ask)

    async def for_foreign_trace(self, trace_id: bytes) -> SourceAnswer:
        """Return what it did on behalf of our trace in traces of its own; nothing when it has no such resource.

        Raises:
            PartyFailed: As `of_trace`.
        """
        try:
            pages = await self._pages("GET", "/foreign-operations", {"traceId": str(uuid.UUID(bytes=trace_id))}, None)
        except _NotOffered:
            return SourceAnswer([])
        except _Refused as refused:
            raise PartyFailed(PartyState.REFUSED, str(refused)) from None
        return _only(pages.answer, lambda record: record.foreign_operation_trace_id == trace_id)

    async def proofs_of(self, trace_id: bytes) -> list[bytes]:
        """Return the proofs of its records of a trace; whether they hold is not known yet.

        Raises:
            PartyFailed: As `of_trace`; with `NO_API` it gives none.
        """
        contents: list[bytes] = []
        target = httpx.URL(f"{self._base}/proofs", params={"traceId": str(uuid.UUID(bytes=trace_id))})
        for _ in range(_MAX_PROOF_PAGES):
            try:
                answer, content = await self._asked("GET", target, None)
            except _NotOffered:
                raise PartyFailed(PartyState.NO_API, "it gives no proofs") from None
            except _Refused as refused:
                raise PartyFailed(PartyState.REFUSED, f"no proofs for us ({refused}; it takes ldv:proof)") from None
            try:
                contents += map(bytes, msgspec.json.decode(content, type=_ProofsAnswer).proofs)
                following = next_link(answer.headers.get("link", ""))
                if following is None:
                    return contents
                target = httpx.URL(f"{self._base}/proofs", query=urlsplit(following).query.encode())
            except (ValueError, RecursionError, httpx.InvalidURL):
                raise PartyFailed(PartyState.UNREADABLE, "its answer has no proofs that can be read") from None
        return contents

    async def _pages(
        self, method: str, path: str, parameters: Mapping[str, str], body: Mapping[str, str] | None
    ) -> _Pages:
        logregels: list[Logregel] = []
        complete = True
        target = httpx.URL(self._base + path, params=parameters)
        for _ in range(_MAX_PAGES):
            answer, content = await self._asked(method, target, body)
            try:
                read = read_answer(content)
            except ValueError:
                raise PartyFailed(PartyState.UNREADABLE, "the answer is not that of a read API") from None
            complete = complete and read.all_read
            logregels += read.logregels
            links = answer.headers.get("link", "")
            try:
                following = next_link(links)
                if following is None or len(logregels) >= MAX_RECORDS:
                    whole = SourceAnswer(logregels[:MAX_RECORDS], complete=complete and following is None)
                    # With any `Link` the party has pages, and this is the last.
                    return _Pages(whole, may_be_cut=read.count >= _CUT_RECORDS and not links)
                # Only the query: the address stays the one that is configured, whatever the party answers.
                target = httpx.URL(self._base + path, query=urlsplit(following).query.encode())
            except (ValueError, httpx.InvalidURL):
                reason = "its answer names no next page that can be asked for"
                raise PartyFailed(PartyState.UNREADABLE, reason) from None
        return _Pages(SourceAnswer(logregels, complete=False), may_be_cut=False)

    async def _asked(
        self, method: str, target: httpx.URL, body: Mapping[str, str] | None
    ) -> tuple[httpx.Response, bytes]:
        try:
            headers = await self._authorization()
            answer, content = await self._exchange(method, target, headers=headers, json=body)
        except ConfigurationError as error:
            _logger.error("%s", str(error))
            raise PartyFailed(PartyState.REFUSED, "our credentials for it cannot be used") from error
        except httpx.RemoteProtocolError as error:
            # One class for two things: it hung up, or what it sent is no HTTP.
            state = PartyState.UNREACHABLE if _CUT_OFF.search(str(error)) else PartyState.UNREADABLE
            raise PartyFailed(state, "no whole HTTP answer") from None
        except httpx.InvalidURL:
            raise PartyFailed(PartyState.UNREACHABLE, "its address cannot be asked") from None
        except httpx.HTTPError as error:
            raise PartyFailed(PartyState.UNREACHABLE, f"no answer ({type(error).__name__})") from None
        if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            self._token_until = 0.0
            raise _Refused(f"HTTP status {answer.status_code}")
        if answer.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
            raise _NotOffered
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            raise PartyFailed(PartyState.UNREACHABLE, f"HTTP status {answer.status_code}")
        if answer.status_code != HTTPStatus.OK:
            raise PartyFailed(PartyState.UNREADABLE, f"HTTP status {answer.status_code}")
        return answer, content

    async def _exchange(self, method: str, target: httpx.URL | str, **options: Any) -> tuple[httpx.Response, bytes]:
        """Send a request and read its answer up to a limit."""
        async with self._http.stream(method, target, **options) as answer:
            try:
                return answer, await content_of(answer, _MAX_ANSWER)
            except TooLargeError:
                reason = f"the answer is over {_MAX_ANSWER >> 20} MiB"
                raise PartyFailed(PartyState.UNREADABLE, reason) from None
            except EncodedError:
                raise PartyFailed(PartyState.UNREADABLE, "the answer is packed, which was not asked for") from None

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
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            token = None
        if answer.status_code != HTTPStatus.OK or token is None:
            raise PartyFailed(PartyState.REFUSED, f"no access token (HTTP status {answer.status_code})")
        self._token = token.access_token
        self._token_until = time.monotonic() + token.expires_in - _RENEW_SECONDS


_CUT_OFF: Final = re.compile("disconnected|closed connection")


class _NotOffered(Exception):  # never leaves this module
    """The party has no such resource."""


class _Refused(Exception):  # never leaves this module
    """The party refuses the credentials that we have, or does not say that it has no such resource."""


class _Pages(NamedTuple):
    """All pages of an answer; `may_be_cut` when nothing says whether there is more."""

    answer: SourceAnswer
    may_be_cut: bool


def _only(answer: SourceAnswer, is_wanted: Callable[[Logregel], bool]) -> SourceAnswer:
    kept = [record for record in answer.logregels if is_wanted(record)]
    return SourceAnswer(kept, complete=answer.complete and len(kept) == len(answer.logregels))


def _question(trace_id: bytes, window: Window) -> dict[str, str]:
    """Return a question in the strict form: others refuse any other. Its times are 1 ms wider (LDV-N7a)."""
    question = {"traceId": str(uuid.UUID(bytes=trace_id))}
    if window.since_ms is not None:
        question["startTime"] = rfc3339_from_ms(max(window.since_ms - 1, 0))
    if window.until_ms is not None:
        question["endTime"] = rfc3339_from_ms(window.until_ms + 1)
    return question
