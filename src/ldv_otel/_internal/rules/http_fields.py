"""The parts of a request that instrumentations record and that may hold an identifier: path, query, headers.

Both generations of the semantic conventions are read: `url.path`, `url.query`, `url.full`, and `http.target`,
`http.url`. Values come from callers; each function takes time linear in their length.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote, unquote_plus

_WHOLE_URLS: Final = ("url.full", "http.url", "http.target")
_HEADER_PREFIXES: Final = (
    "http.request.header.",
    "rpc.request.metadata.",
    "rpc.grpc.request.metadata.",
    "messaging.header.",
)
_ROUTE: Final = "http.route"

#: `{bsn}`, `{bsn:int}`, `{bsn:path}` (Starlette, FastAPI); `<bsn>`, `<int:bsn>` (Flask, Django); `:bsn` (Express).
_PARAMETER: Final = re.compile(
    r"\{(?P<braces>\w+)(?::(?P<kind>[^{}]*))?\}|<(?:(?P<converter>[^<>:]*):)?(?P<angles>\w+)>|(?<![^/]):(?P<colon>\w+)"
)
#: Django's `re_path`: `^inwoners/(?P<bsn>[0-9]{9})/$`.
_NAMED_GROUP: Final = re.compile(r"\(\?P(<\w+>)")
_ORIGIN_END: Final = re.compile(r"[/?#]")
_REST: Final = frozenset({"path", "*"})
_WILDCARDS_IN_A_SEGMENT: Final = 2
#: With two wildcards a match takes the square of the length; no identifier is that long.
_SEGMENT_MAX_CHARACTERS: Final = 1_024


class _Segment(NamedTuple):
    """A segment of a template: mostly one text or one parameter, which are matched without the expression."""

    literal: str | None
    whole: str | None
    expression: re.Pattern[str]


class Template:
    """A route of a framework, taken apart into segments.

    Args:
        text: The route.
        anchored: It is the whole path; else an application may be mounted below another's prefix.
    """

    def __init__(self, text: str, *, anchored: bool) -> None:
        self._anchored = anchored
        segments = _segments(_without_groups(text))
        self._rest: int | None = None
        self._expected: list[_Segment] = []
        self.names: list[str] = []
        for index, segment in enumerate(segments):
            expected, takes_rest = self._segment(segment)
            if takes_rest and self._rest is not None:
                raise ValueError("a path takes the rest of the segments only once")
            self._rest = index if takes_rest else self._rest
            self._expected.append(expected)

    def parameter(self, name: str, path: str) -> str | None:
        """Return the value of a parameter in a path, decoded; None when the path is not of this form."""
        if name not in self.names:
            return None
        segments = self._aligned(_segments(path))
        if segments is None:
            return None
        value = None
        for (literal, whole, expression), segment in zip(self._expected, segments, strict=True):
            if literal == segment:
                continue
            if literal is not None or len(segment) > _SEGMENT_MAX_CHARACTERS:
                return None
            if whole is not None and segment:
                value = segment if whole == name else value
                continue
            match = expression.fullmatch(segment)
            if match is None:
                return None
            value = match.groupdict().get(name, value)
        return unquote(value) if value is not None else None

    def _aligned(self, segments: list[str]) -> list[str] | None:
        """Return as many segments as the template has, what takes the rest as one."""
        count = len(self._expected)
        surplus = len(segments) - count
        if surplus < 0 or (surplus and self._rest is None and self._anchored):
            return None
        if self._rest is None:
            return segments[surplus:]
        end = self._rest + surplus + 1
        return [*segments[: self._rest], "/".join(segments[self._rest : end]), *segments[end:]]

    def _segment(self, segment: str) -> tuple[_Segment, bool]:
        if segment == "**":
            return _Segment(None, None, re.compile(".*", re.DOTALL)), True
        parts, position, rest = [], 0, False
        parameters = list(_PARAMETER.finditer(segment))
        if len(parameters) + segment.count("*") > _WILDCARDS_IN_A_SEGMENT:
            raise ValueError(f"a segment of a path holds {_WILDCARDS_IN_A_SEGMENT} parameters at most")
        for parameter in parameters:
            name = parameter["braces"] or parameter["angles"] or parameter["colon"]
            rest = rest or parameter["kind"] in _REST or parameter["converter"] in _REST
            if name in self.names:
                raise ValueError(f"a path holds the parameter {name!r} twice")
            self.names.append(name)
            parts += [_literal(segment[position : parameter.start()]), f"(?P<{name}>.+)"]
            position = parameter.end()
        parts.append(_literal(segment[position:]))
        literal = segment if not parameters and "*" not in segment else None
        whole = self.names[-1] if len(parameters) == 1 and parameters[0][0] == segment else None
        return _Segment(literal, whole, re.compile("".join(parts), re.DOTALL)), rest


def read_template(text: str) -> Template:
    """Return a template of a rule: one parameter, `*` for anything in a segment, `**` for one or more segments.

    Raises:
        ValueError: It has no parameter, or more than one.
    """
    template = _template(text, anchored=True)
    if template is None:
        raise ValueError("`path` is a template that cannot be read; it should be like /inwoners/{bsn}/*")
    if len(template.names) != 1:
        raise ValueError("`path` is a template, and needs exactly one parameter: /inwoners/{bsn}/*")
    return template


def path_parameters(parameter: str, attributes: Mapping[str, object]) -> Sequence[str]:
    """Return the value of a parameter in a span's path; empty when there is none.

    Args:
        parameter: Its name in `http.route`; or a template for the path, with one parameter.
    """
    path = path_of(attributes)
    if not path:
        return ()
    if parameter.startswith("/"):
        template = read_template(parameter)
        value = template.parameter(template.names[0], path)
    else:
        route = attributes.get(_ROUTE)
        mounted = _template(route, anchored=False) if isinstance(route, str) else None
        value = mounted.parameter(parameter, path) if mounted is not None else None
    return (value,) if value else ()


def query_parameters(name: str, attributes: Mapping[str, object]) -> Sequence[str]:
    """Return the values of a query parameter, decoded, in their order."""
    values = []
    for pair in query_of(attributes).split("&"):
        key, _, value = pair.partition("=")
        if key == name or unquote_plus(key) == name:
            values.append(unquote_plus(value))
    return values


def captured_headers(name: str, attributes: Mapping[str, object]) -> Sequence[str]:
    """Return the values of a request header or metadata entry that the instrumentation captured."""
    lower = name.lower()
    for spelling in (lower, lower.replace("-", "_")):
        for prefix in _HEADER_PREFIXES:
            value = attributes.get(prefix + spelling)
            if value is not None:
                values = value if isinstance(value, list | tuple) else (value,)
                return [text.strip() for text in values if isinstance(text, str)]
    return ()


def path_of(attributes: Mapping[str, object]) -> str:
    """Return the path of the URL that a span was made for, as it came; empty when there is none."""
    path = attributes.get("url.path")
    if isinstance(path, str) and path:
        return path
    for name in _WHOLE_URLS:
        url = attributes.get(name)
        if isinstance(url, str) and url:
            return _without_origin(url).partition("#")[0].partition("?")[0]
    return ""


def query_of(attributes: Mapping[str, object]) -> str:
    """Return the query of the URL that a span was made for, as it came; empty when there is none."""
    query = attributes.get("url.query")
    if isinstance(query, str) and query:
        return query.removeprefix("?")
    for name in _WHOLE_URLS:
        url = attributes.get(name)
        if isinstance(url, str) and "?" in url:
            return url.partition("#")[0].partition("?")[2]
    return ""


def _without_origin(url: str) -> str:
    """Return a URL from its path on; `urlsplit` refuses some of what callers send."""
    _, mark, rest = url.partition("://")
    if not mark or url.startswith("/"):
        return url
    # The origin ends where the first of these begins.
    end = _ORIGIN_END.search(rest)
    return rest[end.start() :] if end is not None else ""


def _segments(path: str) -> list[str]:
    return path.strip("/").split("/")


def _literal(text: str) -> str:
    return "[^/]*?".join(re.escape(part) for part in re.split(r"\*+", text))


def _without_groups(route: str) -> str:
    """Return a route of Django's `re_path` with its named groups as `<name>`; other routes as they are."""
    if "(?P<" not in route:
        return route
    parts, position = [], 0
    route = route.removeprefix("^").removesuffix("$")
    while (group := _NAMED_GROUP.search(route, position)) is not None:
        depth, end = 1, group.end()
        while end < len(route) and depth:
            depth += {"(": 1, ")": -1}.get(route[end], 0) if route[end - 1] != "\\" else 0
            end += 1
        parts += [route[position : group.start()], group[1]]
        position = end
    return "".join([*parts, route[position:]]).replace("\\", "")


@functools.lru_cache(maxsize=1_024)
def _template(text: str, *, anchored: bool) -> Template | None:
    """Return a route taken apart, or None for one that cannot be; a service has few of them and asks at each span."""
    try:
        return Template(text, anchored=anchored)
    except (ValueError, re.error):
        return None
