"""The state that libraries have in this process, as pictures that can be compared."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import types
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

#: Whose modules are looked at, with all that is inside them.
LIBRARIES: Final = (
    "certifi",
    "chdb",
    "clickhouse_connect",
    "cryptography",
    "google.protobuf",
    "gzip",
    "httpcore",
    "httpx",
    "lz4",
    "msgspec",
    "opentelemetry",
    "platformdirs",
    "requests",
    "ssl",
    "urllib3",
    "yaml",
)

_PLAIN: Final = (str, bytes, int, float, complex, bool, type(None))
_QUIET: Final[tuple[int, bool, bool, list[object], list[object]]] = (logging.NOTSET, True, False, [], [])

Picture = Mapping[str, str]


class LibraryState:
    """Takes pictures of this process. Objects keep the path at which they were first seen, and live as long as this."""

    def __init__(self) -> None:
        self._paths: dict[int, tuple[str, object]] = {}

    def picture(self) -> Picture:
        """Return every attribute of every module of the libraries, and of what it holds, and what the process has once.

        Values that cannot change are shown; all else by its type and identity, and, where it is a container, or a
        class or an object of one of these libraries, by what is inside it.
        """
        shown: dict[str, str] = {}
        walked: set[int] = set()
        modules = {name: module for name, module in sys.modules.items() if isinstance(module, types.ModuleType)}
        for name in sorted(filter(_is_theirs, modules)):
            for attribute, value in sorted(vars(modules[name]).items()):
                if not _is_dunder(attribute) and not isinstance(value, types.ModuleType):
                    self._walk(f"{name}:{attribute}", value, shown, walked)
        return shown | dict(_process())

    def _walk(self, path: str, value: object, shown: dict[str, str], walked: set[int]) -> None:
        if isinstance(value, _PLAIN):
            shown[path] = repr(value)
            return
        shown[path] = f"{type(value).__name__} {id(value):x}"
        if id(value) not in walked:
            walked.add(id(value))
            first_path, _ = self._paths.setdefault(id(value), (path, value))
            for name, inner in _inside(value):
                self._walk(f"{first_path}.{name}", inner, shown, walked)


def changes(before: Picture, after: Picture) -> set[str]:
    """Return the paths of what differs, without those inside them.

    Modules that were imported in between have no before, and are left out.
    """
    known = {path.partition(":")[0] for path in before}
    differing = {
        path
        for path in before.keys() | after.keys()
        if before.get(path) != after.get(path) and path.partition(":")[0] in known
    }
    return {path for path in differing if not any(parent in differing for parent in _parents(path))}


def _parents(path: str) -> Iterator[str]:
    for place, character in enumerate(path):
        if character == ".":
            yield path[:place]


def _inside(value: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", value[key]) for key in list(value))
    elif isinstance(value, list | tuple):
        yield from ((f"[{place}]", inner) for place, inner in enumerate(value))
    elif isinstance(value, set | frozenset):
        yield from ((f"[{place}]", inner) for place, inner in enumerate(sorted(value, key=repr)))
    elif _is_theirs(_module_of(value)):
        attributes = list(getattr(value, "__dict__", {}).items())
        yield from ((name, inner) for name, inner in attributes if not _is_dunder(name))
        yield from ((name, getattr(value, name)) for name in _slots(type(value)) if hasattr(value, name))


def _slots(kind: type) -> Iterator[str]:
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        yield from (name for name in ((slots,) if isinstance(slots, str) else slots) if not _is_dunder(name))


def _module_of(value: object) -> str:
    return str(value.__module__ if isinstance(value, type | types.FunctionType) else type(value).__module__)


def _is_theirs(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in LIBRARIES)


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _process() -> Iterator[tuple[str, str]]:
    for name, value in os.environ.items():
        yield f"os:environ.{name}", value
    yield "os:directory", str(Path.cwd())
    for number in signal.valid_signals():
        yield (
            f"signal:{signal.Signals(number).name if number in list(signal.Signals) else number}",
            repr(signal.getsignal(number)),
        )
    # What a library written in C caught behind Python's back.
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(("SigBlk", "SigIgn", "SigCgt", "Umask")):
            yield f"process:{line.partition(':')[0]}", line
    yield "warnings:filters", repr(warnings.filters)
    yield "warnings:showwarning", repr(warnings.showwarning)
    yield "socket:timeout", repr(socket.getdefaulttimeout())
    yield "socket:functions", repr((socket.socket, socket.create_connection, socket.getaddrinfo))
    yield "sys:hooks", repr((sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook))
    yield "sys:limits", repr((sys.getrecursionlimit(), sys.get_int_max_str_digits(), sys.getswitchinterval()))
    yield "sys:path", repr((sys.path, sys.path_hooks))
    yield "sys:meta_path", repr(sys.meta_path)
    yield "logging:class", repr((logging.getLoggerClass(), logging.getLogRecordFactory(), logging.raiseExceptions))
    yield "logging:disabled", repr(logging.root.manager.disable)
    for name, logger in [("root", logging.root), *logging.root.manager.loggerDict.items()]:
        if isinstance(logger, logging.Logger) and not name.startswith("ldv_otel"):
            state = (logger.level, logger.propagate, logger.disabled, list(logger.filters), list(logger.handlers))
            # A logger that has just come into being has no settings, like one that is not there.
            if state != _QUIET:
                yield f"logging:{name}", repr(state)
