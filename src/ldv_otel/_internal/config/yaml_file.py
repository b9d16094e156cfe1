"""Configuration files in YAML (and so JSON), read into types, with errors that name the line and the field in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from ldv_otel.errors import ConfigurationError

if TYPE_CHECKING:
    from yaml.nodes import Node

T = TypeVar("T")

_MSGSPEC_PATH: Final = re.compile(r"(.*) - at `\$?(.*)`", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_UNKNOWN_FIELD: Final = re.compile(r"unknown field `(.*)`")
#: YAML tells the lines in a JSON text too, once it is rid of what only JSON has: halves of characters, and tabs (which
#: can only be space between values there, as text has them escaped).
_JSON_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")

_LARGE_CHARACTERS: Final = 64 * 1024


class YamlError(ValueError):
    """A text is no YAML, or has one key twice.

    Attributes:
        line: Line of the text, from 1.
        problem: What is wrong there, without a full stop.
    """

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line
        self.problem = problem


class YamlDocument:
    """Holds a YAML or JSON text as plain values whose lines can be asked for.

    Attributes:
        value: Mappings, lists and scalars; None for an empty text.

    Raises:
        YamlError: The text cannot be read, or a mapping has one key twice: YAML itself lets the last win in silence.
    """

    def __init__(self, text: str) -> None:
        import yaml  # 10 ms that only a process with such a file pays

        json = _as_json(text)
        # libyaml is ten times as fast, which a Register of megabytes needs; PyYAML's own messages are the better ones.
        is_large = len(text) > _LARGE_CHARACTERS
        loader_type: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader) if is_large else yaml.SafeLoader
        plain = text if json is None else _JSON_SURROGATE.sub(r"\\u0020", text.replace("\t", " "))
        try:
            # The loader written in Python checks the characters when it is made.
            loader = loader_type(plain)
            try:
                self._root: Node | None = loader.get_single_node()
                # Before any value is made: a merge key (`<<`) makes PyYAML change the nodes of its mapping.
                self._entries = _entries_of(self._root)
                self.value = loader.construct_document(self._root) if json is None and self._root is not None else json
            finally:
                loader.dispose()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise YamlError(mark.line + 1 if mark else 1, f"it is no YAML: {error.problem}") from None
        except yaml.YAMLError as error:
            raise YamlError(1, f"it is no YAML: {' '.join(str(error).split())}") from None
        except YamlError:
            raise
        except RecursionError:
            raise YamlError(1, "it is nested too deep") from None
        except ValueError as error:
            raise YamlError(1, f"a value cannot be read ({type(error).__name__})") from None

    def line(self, path: Sequence[str | int]) -> int:
        """Return the line of a value, or of the nearest one above it that the text has.

        Args:
            path: Keys of mappings and indexes of lists, from the root.
        """
        node, line = self._root, 1 if self._root is None else _line_of(self._root)
        for step in path:
            entry = self._entries.get(id(node), {}).get(step)
            if entry is None:
                break
            line, node = entry
        return line

    def fields(self, path: Sequence[str | int]) -> Mapping[str, int]:
        """Return the fields of the mapping at a path, each with its line; none where there is no mapping."""
        node = self._root
        for step in path:
            entry = self._entries.get(id(node), {}).get(step)
            if entry is None:
                return {}
            node = entry[1]
        return {str(key): line for key, (line, _) in self._entries.get(id(node), {}).items() if isinstance(key, str)}


def read_yaml(path: Path, variable: str, type_: type[T]) -> T:
    """Return what a file holds.

    Args:
        variable: The setting that names the file, for the errors.

    Raises:
        ConfigurationError: The file cannot be read, is no YAML, or does not fit the type; it names line and field.
    """
    return read_with_lines(path, variable, type_)[0]


def read_with_lines(path: Path, variable: str, type_: type[T]) -> tuple[T, YamlDocument]:
    """Return what a file holds, and its text, whose lines can be asked for; otherwise as `read_yaml`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(
            f"{variable}: the file {path} cannot be read ({reason}). Logging did not start. "
            f"Let {variable} name the right file."
        ) from error
    return _parsed(text, f"{variable}: {path}", type_)


def parse_yaml(text: str, source: str, type_: type[T]) -> T:
    """Return what a text holds.

    Args:
        source: The name of the file or setting it comes from, for the errors.

    Raises:
        ConfigurationError: As `read_yaml`.
    """
    return _parsed(text, source, type_)[0]


def _parsed(text: str, source: str, type_: type[T]) -> tuple[T, YamlDocument]:
    try:
        document = YamlDocument(text)
    except YamlError as error:
        raise ConfigurationError(f"{source}:{error.line}: {error.problem}. Logging did not start.") from error
    try:
        return msgspec.convert({} if document.value is None else document.value, type_), document
    except msgspec.ValidationError as error:
        match = _MSGSPEC_PATH.fullmatch(str(error))
        message, field = (match[1], match[2]) if match else (str(error), "")
        shown = f" at {field.removeprefix('.')}" if field else ""
        path = _path_of(field, message)
        line = document.line(path)
        from ldv_otel._internal.config.field_hints import plain_message  # only of use to who misspells

        message = plain_message(message, type_, path[:-1] if _UNKNOWN_FIELD.search(message) else path)
        raise ConfigurationError(f"{source}:{line}: {message}{shown}. Logging did not start.") from error


def _path_of(field: str, message: str) -> list[str | int]:
    """Return the path to a field as msgspec names it, and to the unknown field that its message names."""
    steps: list[str | int] = [name or int(index) for name, index in _STEP.findall(field)]
    return steps + _UNKNOWN_FIELD.findall(message)


#: What a node holds: by key or index, the line of it and its own node.
_Entries = dict[str | int, "tuple[int, Node]"]


def _entries_of(root: Node | None) -> dict[int, _Entries]:
    """Return what each mapping and list of a document holds, by the identity of its node."""
    from yaml.nodes import MappingNode, SequenceNode

    entries: dict[int, _Entries] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        # An alias may lead back to the node that it stands in.
        if node is None or id(node) in entries:
            continue
        if isinstance(node, SequenceNode):
            entries[id(node)] = {index: (_line_of(item), item) for index, item in enumerate(node.value)}
            waiting += node.value
        elif isinstance(node, MappingNode):
            fields: _Entries = {}
            for key, value in node.value:
                name = str(key.value)
                if name in fields:
                    raise YamlError(_line_of(key), f"{name!r} stands here twice")
                fields[name] = (_line_of(key), value)
                waiting.append(value)
            entries[id(node)] = fields
    return entries


def _line_of(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _as_json(text: str) -> Any:
    """Return the value of a JSON text; None for what is none, and then YAML tells where."""
    try:
        return msgspec.json.decode(text) if text.lstrip()[:1] == "{" else None
    except (msgspec.DecodeError, RecursionError):
        return None
