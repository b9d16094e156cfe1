"""Configuration files in YAML (and so JSON), read into types, with errors that name the line and the place in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from ldv_otel.errors import ConfigurationError

if TYPE_CHECKING:
    from yaml.nodes import Node

T = TypeVar("T")

_PLACE: Final = re.compile(r"(.*) - at `\$?(.*)`", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_UNKNOWN_FIELD: Final = re.compile(r"unknown field `(.*)`")


def read_yaml(path: Path, variable: str, type_: type[T]) -> T:
    """Return what a file holds.

    Args:
        variable: The setting that names the file, for the errors.

    Raises:
        ConfigurationError: The file cannot be read, is no YAML, or does not fit the type; it names line and place.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(
            f"{variable}: the file {path} cannot be read ({reason}). Logging did not start. "
            f"Let {variable} name the right file."
        ) from error
    return parse_yaml(text, f"{variable}: {path}", type_)


def parse_yaml(text: str, source: str, type_: type[T]) -> T:
    """Return what a text holds.

    Args:
        source: Where it comes from, for the errors.

    Raises:
        ConfigurationError: As `read_yaml`.
    """
    try:
        import yaml  # noqa: PLC0415  (only who has such a file pays for it)
    except ModuleNotFoundError:
        raise ConfigurationError(
            f"{source}: this is YAML, and reading it needs an extra. Logging did not start. "
            "Run pip install 'ldv-otel[rules]'."
        ) from None

    try:
        node = yaml.compose(text, yaml.SafeLoader)
        _refuse_doubles(node, source)
        value = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise ConfigurationError(f"{source}:{line}: {error.problem}. Logging did not start.") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigurationError(f"{source}: this is no YAML. Logging did not start.") from error
    try:
        return msgspec.convert({} if value is None else value, type_)
    except msgspec.ValidationError as error:
        found = _PLACE.fullmatch(str(error))
        message, place = (found[1], found[2]) if found else (str(error), "")
        shown = f" at {place.removeprefix('.')}" if place else ""
        raise ConfigurationError(
            f"{source}:{_line(node, place, message)}: {message}{shown}. Logging did not start."
        ) from error


def _line(node: Node | None, place: str, message: str) -> int:
    """Return the line of a place as msgspec names it, as near as it can be told."""
    from yaml.nodes import MappingNode, SequenceNode  # noqa: PLC0415  (as above)

    names = [name or int(number) for name, number in _STEP.findall(place)]
    names += _UNKNOWN_FIELD.findall(message)
    line = 1 if node is None else node.start_mark.line + 1
    for name in names:
        if isinstance(node, SequenceNode) and isinstance(name, int):
            node = node.value[name]
            line = node.start_mark.line + 1
        elif isinstance(node, MappingNode):
            key, node = next(((key, value) for key, value in node.value if key.value == name), (node, None))
            line = key.start_mark.line + 1
    return line


def _refuse_doubles(node: Node | None, source: str) -> None:
    """Refuse a key that stands twice in a mapping: YAML's reader would quietly take the last."""
    from yaml.nodes import MappingNode, SequenceNode  # noqa: PLC0415  (as above)

    waiting = [node]
    seen: set[int] = set()  # an alias may lead back to where it stands
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, SequenceNode):
            waiting += found.value
        elif isinstance(found, MappingNode):
            keys: set[str] = set()
            for key, value in found.value:
                if str(key.value) in keys:
                    raise ConfigurationError(
                        f"{source}:{key.start_mark.line + 1}: {key.value!r} stands here twice. Logging did not start."
                    )
                keys.add(str(key.value))
                waiting.append(value)
