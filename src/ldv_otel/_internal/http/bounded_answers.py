"""Reading what others send no further than a limit, and only as it was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

_PART_BYTES = 65_536


class UnreadableAnswerError(ValueError):
    """An answer is not what was asked for."""


class TooLargeError(UnreadableAnswerError):
    """It goes on beyond the limit."""


class EncodedError(UnreadableAnswerError):
    """It is packed though it was asked for as it is: a few bytes of it may unpack to gigabytes."""


async def content_of(answer: httpx.Response, most: int) -> bytes:
    """Return the content of a streamed answer, every byte of which was counted as it came in.

    Args:
        most: How many bytes it may have.

    Raises:
        TooLargeError: It has more; the rest was not read.
        EncodedError: It is packed; nothing was read.
        httpx.HTTPError: It broke off.
    """
    _check_encoding(answer)
    content = bytearray()
    async for part in answer.aiter_raw(_PART_BYTES):
        content += part
        if len(content) > most:
            raise TooLargeError
    return bytes(content)


def read_content(answer: httpx.Response, most: int) -> bytes:
    """Return the content of a streamed answer like `content_of`, for a client that is not asynchronous."""
    _check_encoding(answer)
    content = bytearray()
    for part in answer.iter_raw(_PART_BYTES):
        content += part
        if len(content) > most:
            raise TooLargeError
    return bytes(content)


def _check_encoding(answer: httpx.Response) -> None:
    encodings = {word.strip().lower() for word in answer.headers.get("content-encoding", "").split(",")}
    if encodings - {"", "identity"}:
        raise EncodedError
