"""ClickHouse's errors as its HTTP interface gives them: number, text, and the HTTP status that goes with the number."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final

BAD_ARGUMENTS: Final = 36
NOT_IMPLEMENTED: Final = 48
SYNTAX_ERROR: Final = 62
UNKNOWN_TYPE_OF_QUERY: Final = 78
QUERY_IS_TOO_LARGE: Final = 229
CANNOT_DECOMPRESS: Final = 271
INTO_OUTFILE_NOT_ALLOWED: Final = 358
SETTING_CONSTRAINT_VIOLATION: Final = 452
ACCESS_DENIED: Final = 497
AUTHENTICATION_FAILED: Final = 516
UNKNOWN_EXCEPTION: Final = 1002

_NAMES: Final = MappingProxyType(
    {
        BAD_ARGUMENTS: "BAD_ARGUMENTS",
        NOT_IMPLEMENTED: "NOT_IMPLEMENTED",
        SYNTAX_ERROR: "SYNTAX_ERROR",
        UNKNOWN_TYPE_OF_QUERY: "UNKNOWN_TYPE_OF_QUERY",
        QUERY_IS_TOO_LARGE: "QUERY_IS_TOO_LARGE",
        CANNOT_DECOMPRESS: "CANNOT_DECOMPRESS",
        INTO_OUTFILE_NOT_ALLOWED: "INTO_OUTFILE_NOT_ALLOWED",
        SETTING_CONSTRAINT_VIOLATION: "SETTING_CONSTRAINT_VIOLATION",
        ACCESS_DENIED: "ACCESS_DENIED",
        AUTHENTICATION_FAILED: "AUTHENTICATION_FAILED",
        UNKNOWN_EXCEPTION: "UNKNOWN_EXCEPTION",
    }
)

# As the server's own table (src/Server/HTTP/exceptionCodeToHTTPStatus.cpp), and 400 for a body that does not
# decompress: that is the sender's doing, and 500 invites to send the same bytes again. Everything else is 500.
_STATUS: Final = MappingProxyType(
    {194: 401, 229: 413, 48: 501, 76: 503, 209: 503, 439: 503, 381: 411, 159: 408, 779: 415}
    | dict.fromkeys((192, 193, 497, 512, 516), 403)
    | dict.fromkeys((6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223), 400)
    | dict.fromkeys((271, 321, 376, 427, 441, 675, 676), 400)
    | dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 336, 511), 404)
)

_FIRST: Final = re.compile(r"Code: (\d+)\. ")
# chDB rethrows some errors around themselves: the same head, name and version twice or three times over.
_REPEATED_HEAD: Final = re.compile(r"\A(?:Code: \d+\. DB::Exception: )+(?=Code: \d+\. DB::Exception: )")
_VERSION: Final = re.compile(r"(?<!\s)\s*\(version [^()]*(?:\([^()]*\))?\)")
# The name of the engine's own copy of the body: of no use to the sender, and another one each time.
_BODY_FILE: Final = re.compile(r": \(in file/uri [^()]*\): While executing (\w+): While executing File: [^.(]*")


class EngineError(Exception):
    """A refusal by the engine or by the server around it, with ClickHouse's number for it.

    Attributes:
        code: ClickHouse's error code.
        text: `Code: 60. DB::Exception: ... (UNKNOWN_TABLE)`, without a version.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text

    @property
    def status(self) -> int:
        """The HTTP status a ClickHouse server gives this code."""
        return _STATUS.get(self.code, 500)

    @classmethod
    def of(cls, code: int, message: str) -> EngineError:
        """Make a refusal of the server's own, worded as the engine words its own."""
        return cls(code, f"Code: {code}. DB::Exception: {message} ({_NAMES.get(code, 'ERROR')})")

    @classmethod
    def parse(cls, text: str) -> EngineError:
        """Read the number and the innermost text out of what chDB raised."""
        match = _FIRST.search(text)
        if match is None:
            return cls.of(UNKNOWN_EXCEPTION, text.strip() or "the engine gave no reason")
        inner = _REPEATED_HEAD.sub("", text[match.start() :])
        version = _VERSION.search(inner)
        if version is not None:
            inner = inner[: version.start()]
        return cls(int(match[1]), _BODY_FILE.sub(r": While executing \1", inner).strip())
