"""Patterns of a configuration file, matched against values of untrusted callers in time linear in their length.

A text is a glob: `*` stands for any run of characters, `?` for one, everything else for itself. `{regex: ...}` is a
regular expression in RE2's syntax, which has no backtracking and so no pattern that a value can make explode; Python's
own would. Both are matched against the whole value, and with regard to case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from ldv_otel.errors import ConfigurationError

PATTERN_MAX_CHARACTERS: Final = 1_000
_WILDCARDS: Final = re.compile(r"[*?]")


class Regex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A regular expression: `{regex: "GET /burgers/[0-9]+"}`."""

    regex: str

    def __post_init__(self) -> None:
        """Refuse what cannot be compiled, when the file is read."""
        _compiled(self.regex)


#: As they are in a file. Of a list, one pattern has to match.
TextPattern = str | Regex | list[str | Regex]
#: For an attribute, which may be a number or a boolean.
Pattern = str | bool | int | float | Regex | list[str | bool | int | float | Regex]


class Matcher(msgspec.Struct, frozen=True):
    """A compiled pattern.

    Attributes:
        exact: The texts that match, when there is no wildcard in any of them; such rules are found by look-up.
        matches: Says whether a text matches.
    """

    exact: frozenset[str] | None
    matches: Callable[[str], bool]


def compiled(pattern: Pattern | TextPattern) -> Matcher:
    """Compile a pattern.

    Raises:
        ValueError: A regular expression is not one of RE2.
        ConfigurationError: There is a regular expression, and RE2 is not installed.
    """
    alternatives = pattern if isinstance(pattern, list) else [pattern]
    exact: set[str] = set()
    tests: list[Callable[[str], bool]] = []
    for alternative in alternatives:
        if isinstance(alternative, Regex):
            tests.append(_compiled(alternative.regex))
        elif isinstance(alternative, str) and _WILDCARDS.search(alternative):
            tests.append(_glob(alternative))
        else:
            exact.add(text_of(alternative))
    texts = frozenset(exact)
    if not tests:
        return Matcher(texts, texts.__contains__)
    return Matcher(None, lambda text: text in texts or any(test(text) for test in tests))


def text_of(value: object) -> str:
    """Return the text that a pattern is matched against: `true`, `200`, `GET`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return str(value) if isinstance(value, int | float) else ""
    except ValueError:  # Python refuses decimal text of integers over 4,300 digits
        return ""


def texts_of(value: object) -> Sequence[str]:
    """Return the texts of an attribute: of a list, each element's."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [text_of(item) for item in value]
    return (text_of(value),)


def _glob(pattern: str) -> Callable[[str], bool]:
    if len(pattern) > PATTERN_MAX_CHARACTERS:
        raise ValueError(f"it is longer than {PATTERN_MAX_CHARACTERS} characters")
    first, *later = (re.escape(part).replace(r"\?", ".") for part in re.split(r"\*+", pattern))
    if not later:
        return _test(re.compile(first, re.DOTALL), "")
    prefix = "" if "?" in pattern.partition("*")[0] else pattern.partition("*")[0]
    # Atomic: what a `*` has swallowed up to the next text is never tried again.
    between = "".join(f"(?>.*?{part})" for part in later[:-1])
    return _test(re.compile(f"{first}{between}.*{later[-1]}", re.DOTALL), prefix)


def _test(expression: re.Pattern[str], prefix: str) -> Callable[[str], bool]:
    """Return the test of a glob; most texts fail at its beginning, which is cheaper to compare."""
    return lambda text: text.startswith(prefix) and expression.fullmatch(text) is not None


def _compiled(regex: str) -> Callable[[str], bool]:
    try:
        import re2  # an extra, needed by who writes regular expressions
    except ModuleNotFoundError:
        raise ConfigurationError(
            "A regular expression needs RE2: pip install 'ldv-otel[rules]'. Or use a glob."
        ) from None
    if len(regex) > PATTERN_MAX_CHARACTERS:
        raise ValueError(f"it is longer than {PATTERN_MAX_CHARACTERS} characters")
    options: Any = re2.Options()
    options.log_errors = False
    try:
        expression: Any = re2.compile(regex, options)
    except re2.error as error:
        reason = error.args[0]
        raise ValueError(
            f"it is no regular expression of RE2 ({reason.decode() if isinstance(reason, bytes) else reason})"
        ) from None
    prefix = _literal_prefix(regex)
    # Bytes: a lone surrogate in a text would stop RE2.
    return lambda text: text.startswith(prefix) and expression.fullmatch(text.encode("utf-8", "replace")) is not None


def _literal_prefix(regex: str) -> str:
    """Return what every match begins with, as far as it can be read off."""
    if "|" in regex:
        return ""
    plain = re.match(r"[\w /:-]*", regex, re.ASCII)
    prefix = plain[0] if plain is not None else ""
    # What follows may be a count, which makes the last character optional.
    return prefix[:-1] if regex[len(prefix) : len(prefix) + 1] in {"*", "?", "+", "{"} else prefix
