"""The connection pool under the driver: each request goes out once, and only what is an answer to it comes back.

The driver takes any status from 200 to 299 for success, whoever answered. A balancer without a server, a login page, a
connection that is out of step all answer too, so here the question is asked the other way round: what shows that this
is ClickHouse's answer to this very request, and that it is whole (LDV-L2)?

| answer to | is believed when |
| --- | --- |
| an insert | status 200, our own query id, no content, nothing that names an exception; else its rows are read back |
| a query that proves itself | status 200; the caller finds a number in it that only this request had |
| any other statement | status 200 of a ClickHouse, whole, with our own query id |

A proxy may put an id of its own in place of ours. Then an id that is an earlier one of ours is still wrong; another one
is accepted for a statement that stores nothing, as long as no answer on this connection has had our own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from urllib3 import PoolManager
from urllib3.exceptions import HTTPError

from ldv_otel._internal.clickhouse.errors import our_error
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.http.retry_after import retry_after_seconds
from ldv_otel._internal.http.strange_answers import answered, likely_cause
from ldv_otel.errors import BatchTooLarge, LdvError, LogboekSetupError, LogboekUnavailable, NotProven

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

QUERY_ID: Final = "X-ClickHouse-Query-Id"
EXCEPTION_CODE: Final = "X-ClickHouse-Exception-Code"
_EXCEPTION_TAG: Final = "X-ClickHouse-Exception-Tag"
#: Every answer of a server to a statement has them, and nothing else has.
_OF_CLICKHOUSE: Final = (QUERY_ID, "X-ClickHouse-Summary", "X-ClickHouse-Format")
#: So many of our own ids are remembered: a connection that is out of step lags by one or a few.
_REMEMBERED: Final = 1_000
#: Answers that an administrator has to do something about; a service goes on trying meanwhile.
_OF_SETTINGS: Final = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
    }
)


class ProvenAnswers(PoolManager):
    """A pool that sends each request once, and raises our error for what is no proven answer to it.

    The driver repeats an insert when the connection breaks, and reports only the second answer; delivery has to know
    of the first, because after it a batch must be read back.

    Args:
        pool: Sends. It is closed by `clear`.
    """

    def __init__(self, pool: PoolManager, address: LogboekAddress) -> None:
        super().__init__()
        self._pool = pool
        self._address = address
        self._inserting = self._self_proving = False
        #: Id of the query that is under way; empty for none.
        self.query_id = ""
        self._sent: deque[str] = deque(maxlen=_REMEMBERED)
        #: Whether answers have had our own ids so far.
        self._echoes = False

    def request(self, *args: Any, **kwargs: Any) -> BaseHTTPResponse:
        """Send a request once; `args` are method and address.

        Raises:
            LdvError: There was no answer that is shown to be one.
        """
        query_id = parse_qs(urlsplit(args[1]).query).get("query_id", [""])[0]
        self.query_id = query_id
        try:
            # A redirect is an answer like any other: records go to no address that was not configured.
            response = self._pool.request(*args, **(kwargs | {"redirect": False, "retries": 0}))
        except HTTPError as error:
            raise our_error(self._address, error, inserting=True) from None
        try:
            # What the driver streams it reads by itself, and finds an exception at its end.
            content = response.data if kwargs.get("preload_content", True) else b""
            self._check(response, content, query_id)
        except LdvError:
            response.close()
            # Whatever else is on these connections may be out of step too.
            self._pool.clear()
            raise
        finally:
            self._sent.append(query_id)
            self.query_id = ""
        return response

    def _check(self, response: BaseHTTPResponse, content: bytes, query_id: str) -> None:
        """Raise why an answer is not to be believed, unless it is, or the driver says what is wrong."""
        headers, echoed = response.headers, response.headers.get(QUERY_ID, "")
        self._check_answered(response, query_id)
        if EXCEPTION_CODE in headers:
            return
        if response.status != HTTPStatus.OK:
            raise self._strange(response)
        own = bool(query_id) and echoed == query_id
        self._echoes = own or self._echoes
        if self._inserting:
            self._check_insert(response, content, proven=own and _is_framed(headers))
        else:
            self._check_statement(response, content, own=own)

    def _check_answered(self, response: BaseHTTPResponse, query_id: str) -> None:
        """Raise the error for no answer, one to an earlier request of ours, and the wish to be left alone."""
        headers, echoed = response.headers, response.headers.get(QUERY_ID, "")
        # The server sends progress headers while it works; with nothing but those the answer itself never began.
        if all(name.lower() == "x-clickhouse-progress" for name in headers):
            raise LogboekUnavailable(f"The Logboek {self._address} broke the connection off before it answered.")
        if echoed != query_id and echoed in self._sent:
            raise self._of_another()
        if (retry_after := _asked_seconds(response)) > 0:
            raise LogboekUnavailable(
                f"The Logboek {self._address} {answered(response.status)} and asks to be left alone for "
                f"{retry_after:.0f} s.",
                retry_after_seconds=retry_after,
            )

    def _check_statement(self, response: BaseHTTPResponse, content: bytes, *, own: bool) -> None:
        tag, whole = response.headers.get(_EXCEPTION_TAG, ""), _is_framed(response.headers)
        if tag and tag.encode() in content:
            raise LogboekUnavailable(f"The Logboek {self._address} answered 200 and then that it failed.")
        if self._self_proving or (own and whole):
            return
        if not whole or not any(name in response.headers for name in _OF_CLICKHOUSE):
            raise self._strange(response)
        if self._echoes:
            # Learnt anew from the next answer: the way there may have changed.
            self._echoes = False
            raise self._of_another()

    def _check_insert(self, response: BaseHTTPResponse, content: bytes, *, proven: bool) -> None:
        if content:
            # A server that fails after it has sent the status can only say so in the body (ClickHouse#33205).
            if any(name in response.headers for name in (*_OF_CLICKHOUSE, _EXCEPTION_TAG)):
                raise LogboekUnavailable(f"The Logboek {self._address} answered 200 and then that the insert failed.")
            raise self._strange(response)
        if not proven:
            raise NotProven(
                f"The Logboek {self._address} answered 200 to an insert, but nothing shows that this was its answer "
                "to ours: it does not name our request."
            )

    def _of_another(self) -> LdvError:
        return LogboekUnavailable(f"The Logboek {self._address} answered another request than ours.")

    def _strange(self, response: BaseHTTPResponse) -> LdvError:
        """Return the error for an answer that ClickHouse would not give."""
        status, kind = response.status, response.headers.get("Content-Type", "")
        sentence = f"The Logboek {self._address} {answered(status, kind)}, and not as ClickHouse does."
        sentence = f"{sentence} {likely_cause(status, kind)}".rstrip()
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and self._inserting:
            return BatchTooLarge(sentence, code=status)
        if status in _OF_SETTINGS or HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            return LogboekSetupError(f"{sentence} Check LDV_LOGBOEK.")
        return LogboekUnavailable(f"{sentence} What waits is tried again.")

    @contextmanager
    def inserting(self) -> Iterator[None]:
        """Treat answers as those to an insert: a successful one has no body."""
        self._inserting = True
        try:
            yield
        finally:
            self._inserting = False

    @contextmanager
    def self_proving(self) -> Iterator[None]:
        """Let the caller find out from its content whether an answer is one to its question."""
        self._self_proving = True
        try:
            yield
        finally:
            self._self_proving = False

    def clear(self) -> None:
        """Close all connections."""
        self._pool.clear()

    def close(self) -> None:
        """Close all connections for good, and let the driver forget both pools: it keeps each that it has met."""
        from clickhouse_connect.driver.httputil import all_managers

        self._pool.clear()
        for pool in (self, self._pool):
            all_managers.pop(pool, None)


def _asked_seconds(response: BaseHTTPResponse) -> float:
    """Return for how many seconds a server, or a proxy before it, asks to be left alone; 0 for not."""
    if response.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return retry_after_seconds(response.headers.get("Retry-After", ""))
    return 0.0


def _is_framed(headers: Mapping[str, str]) -> bool:
    """Whether a body's end was announced, so that one that broke off could not pass for whole."""
    return headers.get("Content-Length", "").strip().isdigit() or (
        "chunked" in headers.get("Transfer-Encoding", "").lower()
    )
