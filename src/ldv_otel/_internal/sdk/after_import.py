"""Calls back when the application imports a module, so that we need not import it for those who never do."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Importing these takes milliseconds.
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec


def after_import(name: str, do: Callable[[ModuleType], None]) -> None:
    """Do something with a module: now if it is imported, otherwise when it has been."""
    module = sys.modules.get(name)
    if module is not None:
        do(module)
    else:
        sys.meta_path.insert(0, _Watch(name, do))


class _Watch:
    """Is asked first where a module is, lets the others find it, and then stands aside."""

    def __init__(self, name: str, do: Callable[[ModuleType], None]) -> None:
        self._name = name
        self._do = do

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where the module is as all others say; nothing about other modules."""
        del path, target
        if fullname != self._name or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            _call_back(spec.loader, self._do)
        return spec


def _call_back(loader: Loader, do: Callable[[ModuleType], None]) -> None:
    """Have a loader, which was made for one module, do something when it has run that."""
    own, exec_module = vars(loader), loader.exec_module

    def run(module: ModuleType) -> None:
        own.pop("exec_module")
        exec_module(module)
        do(module)

    own["exec_module"] = run
