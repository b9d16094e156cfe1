"""Reading what others send no further than a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

_PART_BYTES = 65_536


class TooLargeError(ValueError):
    """It goes on beyond the limit."""


async def content_of(answer: httpx.Response, most: int) -> bytes:
    """Return the content of a streamed answer, after decompression.

    Args:
        most: How many bytes it may have.

    Raises:
        TooLargeError: It has more; the rest was not read.
        httpx.HTTPError: It broke off.
    """
    content = bytearray()
    async for part in answer.aiter_bytes(_PART_BYTES):
        content += part
        if len(content) > most:
            raise TooLargeError
    return bytes(content)


def read_content(answer: httpx.Response, most: int) -> bytes:
    """Return the content of a streamed answer like `content_of`, for a client that is not asynchronous."""
    content = bytearray()
    for part in answer.iter_bytes(_PART_BYTES):
        content += part
        if len(content) > most:
            raise TooLargeError
    return bytes(content)
