"""The HTTP client of a sink. It imports httpx, which is an extra, so it is imported late itself."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Final

import httpx

from ldv_otel._internal.http.bounded_answers import UnreadableAnswerError, read_content
from ldv_otel._internal.http.outgoing import HEADERS
from ldv_otel.errors import LogboekUnavailable

_MAX_ANSWER_BYTES: Final = 16 << 20


class SinkClient:
    """A connection that sends each request once, asks nobody but whom it was told to, and logs no address.

    `httpx.Client` logs the address of each request that it sends, and in those of questions is an identifier. A filter
    on its logger would change what is the application's, and a filter that goes while another thread logs makes that
    thread pass over the next one, which may be what the application redacts with. So the client only builds requests;
    they go straight to the transport, where nothing is logged but at level DEBUG, and there no address.

    Args:
        peer: Who is asked, as the subject of a sentence.
        proxy: Through which proxy; None for none.
        tls: How certificates are checked, and our own.
        answer_seconds: How long the server may be silent.
        connect_seconds: How long a connection may take to come about.
        idle_seconds: How long a connection without requests is kept.
    """

    def __init__(  # noqa: PLR0913  (how a connection is made)
        self,
        peer: str,
        *,
        proxy: str | None,
        tls: ssl.SSLContext,
        answer_seconds: float,
        connect_seconds: float,
        idle_seconds: float,
    ) -> None:
        self._peer = peer
        limits = httpx.Limits(max_connections=1, keepalive_expiry=idle_seconds)
        self._transport = httpx.HTTPTransport(verify=tls, limits=limits, proxy=proxy, trust_env=False)
        self._client = httpx.Client(
            transport=self._transport,
            timeout=httpx.Timeout(answer_seconds, connect=connect_seconds),
            headers=HEADERS,
            # No proxy, and no password of a .netrc file, that was meant for others.
            trust_env=False,
        )

    def request(self, method: str, url: str, *, headers: Mapping[str, str], **content: Any) -> httpx.Response:
        """Send a request and return its answer, whatever its status; a redirect is an answer like any other.

        Args:
            content: The body or the parameters, as httpx takes them.

        Raises:
            LogboekUnavailable: There was no answer.
        """
        try:
            request = self._client.build_request(method, url, headers=headers, **content)
            answer = self._transport.handle_request(request)
            try:
                body = read_content(answer, _MAX_ANSWER_BYTES)
            finally:
                answer.close()
        except UnreadableAnswerError as error:
            raise LogboekUnavailable(f"{self._peer} gave no readable answer: {type(error).__name__}.") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            said = f"{self._peer} cannot be reached: {type(error).__name__}."
            if _is_of_tls(error):
                said += " If an authority of your own signed its certificate, LDV_LOGBOEK_CA_FILE has to name it."
            unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
            # Without the error as cause: it has the request, and so the records, in it.
            raise LogboekUnavailable(said, in_doubt=not unsent) from None
        return httpx.Response(answer.status_code, headers=answer.headers, content=body, request=request)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _is_of_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
