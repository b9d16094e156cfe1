"""Makes the page of messages for the site: what errors and log lines say, as the code has it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import ldv_otel
from ldv_otel import errors

PAGE: Final = "messages.md"
_ROOMS: Final = Path(ldv_otel.__file__).parent / "_internal"
_LEAST_WORDS: Final = 2
_LEVELS: Final = ("critical", "error", "warning", "info")
_HOLE: Final = re.compile(r"%(?:\(\w+\))?[-+0 #]*\d*(?:\.\d+)?[sdrxf]")
#: Headings, by the rooms whose messages stand below them.
_PARTS: Final = {
    "Settings and files": ("config", "times", "http", "privacy", "parties"),
    "In a service": ("sdk", "record", "rules", "delivery"),
    "The Logboek": ("clickhouse", "tamper"),
    "Register, questions and imports": ("register", "questions", "importer", "linked_data"),
    "Commands": ("cli",),
    "Servers and other parties": ("api", "chain", "gemma"),
}
_BEGINNING: Final = """# Messages

What errors and log lines say. Each says what happened, what state that leaves, and what to do; here to be searched,
with `…` for what differs. This page is made from the code. None has the number of a person in it.

A service that does not start ends with such a sentence, and so does a command (exit code 1, as `ldv: ...`). Of the log
lines of the loggers below `ldv_otel`, `ERROR` and `CRITICAL` want somebody to look today.
"""


class Message(NamedTuple):
    """A text with its holes filled by dots, and what it is: a class of errors, or the level of a log line."""

    kind: str
    text: str


def text() -> str:
    """Return the page."""
    parts = [_BEGINNING]
    for title, rooms in _PARTS.items():
        messages = sorted({message for room in rooms for message in messages_of(_ROOMS / room)}, key=lambda m: m.text)
        rows = "".join(f"| {_cell(message.text)} | {message.kind} |\n" for message in messages)
        parts.append(f"\n## {title}\n\n| message | |\n| --- | --- |\n{rows}")
    return "".join(parts)


def messages_of(room: Path) -> Iterator[Message]:
    """Give the messages that are written down in the modules of a room."""
    for path in sorted(room.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and (kind := _kind(node)) and node.args:
                message = _shown(node.args[0])
                # A text that is passed on is written down where it was made.
                if len(message.replace("…", "").split()) > _LEAST_WORDS:
                    yield Message(kind, message)


def _kind(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) if name in errors.__all__:
            return f"`{name}`"
        case ast.Attribute(value=ast.Name(id="_logger"), attr=level) if level in _LEVELS:
            return level.upper()
    return ""


def _shown(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(value)):
            return _HOLE.sub("…", value).replace("%%", "%")
        case ast.JoinedStr(values=values):
            return "".join(_shown(value) for value in values)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return _shown(left) + _shown(right)
    return "…"


def _cell(message: str) -> str:
    escaped = re.sub(r"([|<>*_\[\]])", r"\\\1", " ".join(message.split()))
    # Inside of code nothing is escaped.
    return re.sub(r"`[^`]*`", lambda code: re.sub(r"\\([<>*_\[\]])", r"\1", code[0]), escaped)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page to those of the site."""
    files.append(File.generated(config, PAGE, content=text()))
    return files
