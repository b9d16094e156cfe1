"""The public modules: what is defined below `_internal` says that it comes from the module where users import it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import FunctionType
from typing import Final, get_type_hints

import msgspec

_INTERNAL: Final = "ldv_otel._internal."


def publish(door: str, names: Iterable[str], namespace: Mapping[str, object]) -> None:
    """Set the `__module__` of classes and functions to the public module that exports them.

    Tracebacks, `help()`, `repr()` and pickles then name what is promised, and go on working when the definition moves.
    What two doors export belongs to the one that is imported first.

    Args:
        door: Name of the public module.
        names: Its `__all__`.
        namespace: Its `globals()`.
    """
    for name in names:
        exported = namespace.get(name)
        if not isinstance(exported, type | FunctionType) or not exported.__module__.startswith(_INTERNAL):
            continue
        if isinstance(exported, type) and issubclass(exported, msgspec.Struct):
            # msgspec and `get_type_hints` look for the names in annotations in the module that a class says it is of.
            exported.__annotations__ = get_type_hints(exported, include_extras=True)
        exported.__module__ = door
