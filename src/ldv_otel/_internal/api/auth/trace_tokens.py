"""Tokens that open one trace of the lezen API and nothing else, for an index of traces: a claim names the trace."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from ldv_otel._internal.api.auth.tokens import LEEWAY_SECONDS, TokenVerifier, check_token_form, refused
from ldv_otel._internal.api.constraints import parse_trace_id_field
from ldv_otel._internal.parties.evidence import Certificate

#: The longest time that such a token may still be valid: whoever holds one needs no other right, so it has to go soon.
LONGEST_SECONDS: Final = 3_600


class TraceToken(msgspec.Struct, frozen=True):
    """A valid token for one trace.

    Attributes:
        client_id: The client to which it was given.
        trace_id: 16 bytes.
    """

    client_id: str
    trace_id: bytes


class TraceTokenVerifier:
    """Checks tokens that open one trace.

    Args:
        verifier: Checks all that these have in common with access tokens.
        claim: Name of the claim with the trace id.
        clock: Seconds since 1970-01-01 UTC.
    """

    def __init__(self, verifier: TokenVerifier, claim: str, *, clock: Callable[[], float] = time.time) -> None:
        self._verifier = verifier
        self._claim = claim
        self._clock = clock

    def recognises(self, token: str) -> bool:
        """Whether a token says that it opens one trace, whatever stands in the claim.

        This is before its signature is checked, and only chooses who checks it: nobody can add the claim to a token or
        take it away, and a token that has it is an access token to nobody.
        """
        try:
            check_token_form(token)
            claims = msgspec.json.decode(jws.extract_compact(token.encode()).payload, type=dict[str, Any])
        except (JoseError, ValueError, RecursionError):
            return False
        return self._claim in claims

    async def verify(self, token: str, certificate: Certificate | None = None) -> TraceToken:
        """Return what a valid token says.

        Args:
            certificate: The client's; see `TokenVerifier.verify`.

        Raises:
            Problem: 401, the token is not valid; 503, there are no keys to check it with.
        """
        checked = await self._verifier.verify(token, certificate)
        if checked.claims["exp"] - self._clock() > LONGEST_SECONDS + LEEWAY_SECONDS:
            raise refused(f"Een toegangstoken voor één trace mag hoogstens {LONGEST_SECONDS} seconden geldig zijn.")
        try:
            return TraceToken(checked.client_id, parse_trace_id_field(checked.claims[self._claim]))
        except (ValueError, KeyError):
            raise refused("Het toegangstoken noemt geen trace-id: een UUID, of 32 hexadecimale cijfers.") from None
