"""Gathering what is wrong with a request, and refusing it with the contract's `ValidatieFout`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final

from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.gemma.model import Fault, InvalidInput

#: The answer to a body with thousands of wrong elements stays small.
_MAX_FAULTS: Final = 100


class ValidatieFout(Problem):
    """Ends a request with 400; every element, parameter or header that is wrong is named (GW-03)."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        # Each sentence once: a list of objects may have the same fault many times.
        reasons = list(dict.fromkeys(fault.reason for fault in faults))
        super().__init__(HTTPStatus.BAD_REQUEST, " ".join(reasons[:3]))
        self.faults = tuple(faults[:_MAX_FAULTS])

    def content(self) -> dict[str, Any]:
        """Return the content of the answer."""
        return {**super().content(), "type": "about:blank", "code": "invalid", "invalidParams": self.faults}


class Faults:
    """Gathers everything that is wrong with a request, so that its sender is told all of it at once."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._faults)

    def add(self, name: str, code: str, reason: str) -> None:
        """Add one; see `Fault`."""
        self._faults.append(Fault(name, code, reason))

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Add what the block raises as `InvalidInput`, and go on after it."""
        try:
            yield
        except InvalidInput as error:
            self._faults += error.faults

    def refuse(self) -> None:
        """Refuse the request if anything is wrong.

        Raises:
            ValidatieFout: Something is.
        """
        if self._faults:
            raise ValidatieFout(self._faults)


def invalid(name: str, reason: str, *, code: str = "invalid") -> ValidatieFout:
    """Return the answer for one thing that is wrong."""
    return ValidatieFout([Fault(name, code, reason)])
