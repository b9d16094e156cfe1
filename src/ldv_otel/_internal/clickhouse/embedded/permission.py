"""Which statements `ldv logboek` runs: an allow-list over what the engine's own parser read in them.

`INTO OUTFILE` and `FROM INFILE` are carried out by chDB around the engine, `KILL` needs no right for one's own queries,
and the function `file` has none: what `access.py` cannot take away is refused here. Nothing here reads SQL as it was
sent. The engine parses it and writes it down again (`formatQuerySingleLine`), without comments and with one way to
quote, so that there is nothing to hide behind.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ldv_otel._internal.clickhouse.embedded.errors import (
    ACCESS_DENIED,
    INTO_OUTFILE_NOT_ALLOWED,
    SETTING_CONSTRAINT_VIOLATION,
    SYNTAX_ERROR,
    UNKNOWN_TYPE_OF_QUERY,
    EngineError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ALLOWED: Final = re.compile(
    rb"(?:SELECT|WITH|INSERT INTO|ALTER TABLE|SHOW|DESCRIBE TABLE|EXISTS"
    rb"|CREATE (?:DATABASE|TABLE|VIEW|OR REPLACE VIEW|MATERIALIZED VIEW)"
    rb"|EXPLAIN (?:(?:AST|SYNTAX|QUERY TREE|PLAN|PIPELINE|ESTIMATE) )?(?:\w+ = \w+,? )*(?:SELECT|WITH))\b"
    rb"|\((?:SELECT|WITH|\()"
)
_QUOTED: Final = re.compile(rb"""'(?:[^'\\]|\\(?:.|\Z))*(?:'|\Z)|`(?:[^`\\]|\\(?:.|\Z))*(?:`|\Z)""", re.DOTALL)
_TEXT: Final = re.compile(rb"""'(?:[^'\\]|\\(?:.|\Z))*(?:'|\Z)|(`(?:[^`\\]|\\(?:.|\Z))*(?:`|\Z))""", re.DOTALL)
_OUTFILE: Final = re.compile(rb"\bINTO OUTFILE\b")
_INFILE: Final = re.compile(rb"\bFROM INFILE\b")
_SECOND: Final = re.compile(rb"\bPARALLEL WITH\b")
_INLINE_DATA: Final = re.compile(rb"INSERT INTO (?:(?! SELECT| WITH|\(SELECT).)*? FORMAT \w+\Z", re.DOTALL)
_SETTINGS: Final = re.compile(rb"\bSETTINGS\b")
_EQUATED: Final = re.compile(rb"(?<!\w)(\w+)`? = ")
_BRACKET: Final = re.compile(rb"[()]")
#: What the engine gives to everybody: a function that reads the machine's files, and tables on a disk that the
#: statement describes, which the engine makes before it looks at the right to have it.
_REACHING: Final = ("file", "disk")
#: Table functions that only calculate, or read tables. Some others open a file or a connection before the engine looks
#: at the right to.
HARMLESS_TABLE_FUNCTIONS: Final = frozenset(
    (
        *("SQLStandardValues", "format", "generateRandom", "generateSeries", "generate_series", "input", "merge"),
        *("mergeTreeAnalyzeIndexes", "mergeTreeAnalyzeIndexesUUID", "mergeTreeCodecBlockCounts", "mergeTreeIndex"),
        *("mergeTreeProjection", "mergeTreeTextIndex", "null", "numbers", "numbers_mt", "primes", "values", "view"),
        *("viewIfPermitted", "zeros", "zeros_mt"),
    )
)
#: Where a table may be. Some engines open a file or a connection before they look at the right to.
_ENGINE: Final = re.compile(rb"\bENGINE\s*=\s*`?(\w+)")
_ENGINES: Final = frozenset((b"MergeTree", b"Memory", b"Null"))


class Permission:
    """What statements of one engine have to pass.

    Args:
        table_functions: Names of all table functions of the engine: those that are not known to be harmless are
            refused, also what a later version adds.
        fixed_settings: Names of the settings that may not be changed. The engine refuses that too, but within a query
            it carries some out first: `SETTINGS select = 'file(...)'`.
    """

    def __init__(self, table_functions: Iterable[str], fixed_settings: Iterable[str]) -> None:
        self._fixed = frozenset(name.encode() for name in fixed_settings)
        names = {*_REACHING, *(name for name in table_functions if name not in HARMLESS_TABLE_FUNCTIONS)}
        any_of = "|".join(sorted(map(re.escape, names))).encode()
        self._reaches_out = re.compile(
            rb"(?<![\w.`])`?(%s)`?\s*\(|\bAPPLY\s*\(?\s*`?(%s)\b" % (any_of, any_of), re.IGNORECASE
        )

    def check(self, canonical: bytes, infile: str = "") -> None:
        """Refuse a statement that is not one of those a Logboek needs, or that reaches out of the database.

        Args:
            canonical: The statement as the engine wrote it down, on one line.
            infile: The one file whose content may be inserted: the body of the request.

        Raises:
            EngineError: It is refused; nothing was run.
        """
        if not _ALLOWED.match(canonical):
            raise EngineError.of(
                ACCESS_DENIED,
                "This kind of statement is not served here. `ldv logboek` runs SELECT, INSERT, SHOW, DESCRIBE, EXISTS, "
                "EXPLAIN of a SELECT, and what the schema needs: CREATE DATABASE, TABLE and VIEW, ALTER TABLE; "
                "settings and the database go with each request",
            )
        _check_files(canonical, infile)
        names = _TEXT.sub(lambda match: match[1] or b"x" * len(match[0]), canonical)
        if call := self._reaches_out.search(names):
            name = (call[1] or call[2]).decode("ascii", "replace")
            raise EngineError.of(ACCESS_DENIED, f"{name}() reaches what is not in the Logboek, and is refused")
        if fixed := self._fixed & set(_settings_in(names)):
            name = min(fixed).decode()
            raise EngineError.of(SETTING_CONSTRAINT_VIOLATION, f"Setting {name} should not be changed")
        if canonical.startswith(b"CREATE") and not set(_ENGINE.findall(names)) <= _ENGINES:
            raise EngineError.of(ACCESS_DENIED, "Tables here are of the engines MergeTree, Memory and Null")


def _settings_in(names: bytes) -> Iterator[bytes]:
    """Iterate over what is set in a statement: all that is equated between a SETTINGS and the end of its query."""
    for clause in _SETTINGS.finditer(names):
        depth, end = 0, len(names)
        for bracket in _BRACKET.finditer(names, clause.end()):
            depth += 1 if bracket[0] == b"(" else -1
            if depth < 0:
                end = bracket.start()
                break
        yield from _EQUATED.findall(names, clause.end(), end)


def _check_files(canonical: bytes, infile: str) -> None:
    words = _QUOTED.sub(lambda match: b"x" * len(match[0]), canonical)
    if _OUTFILE.search(words):
        raise EngineError.of(INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed")
    if _SECOND.search(words):
        raise EngineError.of(SYNTAX_ERROR, "Multi-statements are not allowed")
    sources = [canonical[source.start() :] for source in _INFILE.finditer(words)]
    own = b"FROM INFILE '%s' COMPRESSION 'none'" % infile.encode()
    if [source.startswith(own) for source in sources] != [True] * bool(infile):
        raise EngineError.of(UNKNOWN_TYPE_OF_QUERY, "FROM INFILE names a file of the client, which must send it")
    if not infile and _INLINE_DATA.fullmatch(words.rstrip()):
        # chDB ends such data at the first empty line, without an error.
        raise EngineError.of(SYNTAX_ERROR, "The data of this INSERT does not follow its FORMAT clause directly")
