"""Recognises a statement without running it: its kind, its output format, and where an INSERT's data begins.

The engine parses SQL itself; this finds only what the server around it must know first. It works on a copy in
which comments are blanks and everything quoted is filler of the same length, so that a match is a word of the
statement, and its position holds in the original. A mistake here costs an error, never a right: what is run was parsed
by the engine and passed `permission.py` first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from ldv_otel._internal.clickhouse.embedded.errors import (
    NOT_IMPLEMENTED,
    SYNTAX_ERROR,
    UNKNOWN_TYPE_OF_QUERY,
    EngineError,
)

_OPENING: Final = re.compile(rb"""['"`]|--|//|\#[ !]|/\*|\$\w*\$|\xe2\x80[\x98\x9c]""")
_QUOTED: Final = {
    b"'": re.compile(rb"(?:[^'\\]|\\.|'')*'?", re.DOTALL),
    b'"': re.compile(rb'(?:[^"\\]|\\.|"")*"?', re.DOTALL),
    b"`": re.compile(rb"(?:[^`\\]|\\.|``)*`?", re.DOTALL),
}
#: The engine takes typographic quotation marks for the plain ones, without anything that escapes.
_TYPOGRAPHIC: Final = {b"\xe2\x80\x98": b"\xe2\x80\x99", b"\xe2\x80\x9c": b"\xe2\x80\x9d"}
_CLAUSE_BYTES: Final = 4096
_COMMENT_EDGE: Final = re.compile(rb"/\*|\*/")

_FIRST_WORD: Final = re.compile(rb"[\s(;]*(\w*)")
_BETWEEN_STATEMENTS: Final = b"; \t\r\n\f\v"
_OUTPUT_FORMAT: Final = re.compile(rb"\bFORMAT\s+(\w+)\s*(?:\bSETTINGS\b[^;]*)?[\s;]*\Z", re.IGNORECASE)
_FORMAT_AS_SETTING: Final = re.compile(rb"\b(?:output_)?format\s*=", re.IGNORECASE)
_TOTALS: Final = re.compile(rb"\bTOTALS\b|\bextremes\b", re.IGNORECASE)

_INSERT_TARGET: Final = re.compile(
    rb"[\s(;]*INSERT\s+(?:INTO\s+)?(?:TABLE\s+)?(?:FUNCTION\s+)?[^\s(]*(?:\s*\.\s*[^\s(]+)?", re.IGNORECASE
)
_INSERT_WORD: Final = re.compile(
    rb"\b(?:(?P<query>SELECT|WITH)|(?P<values>VALUES)|(?P<infile>FROM\s+INFILE)|(?P<settings>SETTINGS)"
    rb"|FORMAT\s+(?P<format>\w+))\b",
    re.IGNORECASE,
)
# After the format's name come blanks and one line end; what follows is data, even if it is blanks too.
_BEFORE_DATA: Final = re.compile(rb"[ \t\f]*(;|\r?\n|)")
_INPUT_FUNCTION: Final = re.compile(rb"\binput\s*\(", re.IGNORECASE)

_WITHOUT_RESULT: Final = frozenset(b"ALTER CREATE INSERT".split())
_STREAMED_KINDS: Final = frozenset((b"SELECT", b"WITH"))


class StatementKind(Enum):
    """How the server has to hand a statement to the engine."""

    ROWS = auto()
    """It answers with rows, all at once."""
    STREAM = auto()
    """It answers with rows, which may be read block by block."""
    SILENT = auto()
    """It changes something and answers with nothing."""
    DATA = auto()
    """An INSERT with data in a format of its own, which lies behind the statement."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as the server sees it.

    Attributes:
        format: The FORMAT it names, else "".
        target: For `StatementKind.DATA`: the INSERT up to where its data's source is named.
        settings: For `StatementKind.DATA`: its SETTINGS clause, else empty.
        data_at: For `StatementKind.DATA`: the offset of the first byte of data.
    """

    kind: StatementKind
    format: str = ""
    target: bytes = b""
    settings: bytes = b""
    data_at: int = 0


def find_insert(head: bytes, *, complete: bool = True) -> Statement | None:
    """Recognise an INSERT whose data follows a FORMAT clause, from the first bytes of statement and data.

    Args:
        complete: Whether these bytes are all there are.

    Returns:
        None for any other statement, and where the clause may lie beyond these bytes.

    Raises:
        EngineError: It names a file of this machine as source.
    """
    if _first_word(head) != b"INSERT":
        return None
    # Most clauses are short, and most of a head is data, in which looking for quotes and comments costs time.
    beginning = head[:_CLAUSE_BYTES]
    insert = _find_data(beginning)
    if insert is not None and insert.data_at < len(beginning):
        return insert
    insert = _find_data(head)
    # At the very end the format's name, or the line end after it, may have been cut in two.
    return insert if insert is None or complete or insert.data_at < len(head) else None


def find_values(sql: bytes) -> Statement | None:
    """Recognise an INSERT ... VALUES, from its complete text; its values are data as those of any other format.

    Raises:
        EngineError: A second statement follows, which the engine would pass over without a word.
    """
    if _first_word(sql) != b"INSERT":
        return None
    masked = _mask(sql)
    word, settings_at = _clause(masked)
    if word is None or word.lastgroup != "values":
        return None
    if b";" in masked.strip(_BETWEEN_STATEMENTS):
        raise EngineError.of(SYNTAX_ERROR, "Multi-statements are not allowed")
    target_end = settings_at or word.start()
    return Statement(
        StatementKind.DATA,
        format="Values",
        target=sql[:target_end],
        settings=sql[target_end : word.start()],
        data_at=word.end(),
    )


def _find_data(head: bytes) -> Statement | None:
    word, settings_at = _clause(_mask(head))
    if word is None or word.lastgroup != "format":
        return None
    return _with_data(head, word, settings_at or word.start())


def _clause(masked: bytes) -> tuple[re.Match[bytes] | None, int]:
    """Return the word after which an INSERT's data or query comes, and where its SETTINGS begin; 0 without any."""
    target = _INSERT_TARGET.match(masked)
    settings_at = 0
    for word in _INSERT_WORD.finditer(masked, target.end()) if target else ():
        kind = word.lastgroup
        if kind == "query":
            break
        start = target.end() if target else 0
        if masked.count(b"(", start, word.start()) != masked.count(b")", start, word.start()):
            continue
        if kind == "infile":
            raise EngineError.of(UNKNOWN_TYPE_OF_QUERY, "FROM INFILE names a file of the client, which must send it")
        if kind != "settings":
            return word, settings_at
        settings_at = word.start()
    return None, 0


def _with_data(head: bytes, word: re.Match[bytes], target_end: int) -> Statement:
    gap = _BEFORE_DATA.match(head, word.end())
    if gap is None or gap[1] == b";":
        raise EngineError.of(SYNTAX_ERROR, "There is a semicolon between FORMAT and the data of the INSERT")
    return Statement(
        StatementKind.DATA,
        format=word["format"].decode(),
        target=head[:target_end],
        settings=head[target_end : word.start()],
        data_at=gap.end(),
    )


def parse_statement(canonical: bytes) -> Statement:
    """Recognise any statement, from the text that the engine's parser made of it.

    Raises:
        EngineError: It takes its data from the client in a way that is not served here.
    """
    masked = _mask(canonical)
    first = _first_word(canonical)
    if first == b"INSERT" and _INPUT_FUNCTION.search(masked):
        raise EngineError.of(NOT_IMPLEMENTED, "INSERT ... SELECT FROM input() is not served here; insert with FORMAT")
    if first in _WITHOUT_RESULT:
        return Statement(StatementKind.SILENT)
    named = _OUTPUT_FORMAT.search(masked)
    streams = first in _STREAMED_KINDS and not _TOTALS.search(masked) and not _FORMAT_AS_SETTING.search(masked)
    return Statement(StatementKind.STREAM if streams else StatementKind.ROWS, format=named[1].decode() if named else "")


def _first_word(sql: bytes) -> bytes:
    # The first kilobyte, because a masked body of 1 GiB only to see "SELECT" would be a waste; unless comments fill it.
    for length in (1024, len(sql)):
        words = _FIRST_WORD.match(_mask(sql[:length]))
        if words is not None and words[1]:
            return words[1].upper()
    return b""


def _mask(sql: bytes) -> bytes:
    """Blank out comments and fill in quoted text, keeping every position."""
    parts: list[bytes] = []
    at = 0
    while opening := _OPENING.search(sql, at):
        parts.append(sql[at : opening.start()])
        at = opening.start()
        end = _end_of(sql, opening)
        comment = opening[0] in {b"--", b"//", b"/*"} or opening[0].startswith(b"#")
        parts.append((b" " if comment else b"x") * (end - at))
        at = end
    parts.append(sql[at:])
    return b"".join(parts)


def _end_of(sql: bytes, opening: re.Match[bytes]) -> int:
    mark = opening[0]
    if mark in _QUOTED:
        closed = _QUOTED[mark].match(sql, opening.end())
        return closed.end() if closed else len(sql)
    if mark == b"/*":
        return _end_of_comment(sql, opening.end())
    close = _TYPOGRAPHIC.get(mark) or (mark if mark.startswith(b"$") else b"\n")
    end = sql.find(close, opening.end())
    if end < 0:
        return len(sql)
    return end if close == b"\n" else end + len(close)


def _end_of_comment(sql: bytes, at: int) -> int:
    """Find the end of a block comment; the engine lets them nest."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(sql, at):
        depth += 1 if edge[0] == b"/*" else -1
        if depth == 0:
            return edge.end()
    return len(sql)
