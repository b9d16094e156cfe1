"""What is wrong with a request, as the contract's `ValidatieFout`."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.gemma.model import Fault

_MAX_FAULTS: Final = 100


class ValidatieFout(Problem):
    """Ends a request with 400; every element, parameter or header that is wrong is named (GW-03)."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        reasons = list(dict.fromkeys(fault.reason for fault in faults))
        super().__init__(HTTPStatus.BAD_REQUEST, " ".join(reasons[:3]))
        self.faults = tuple(faults[:_MAX_FAULTS])

    def content(self) -> dict[str, Any]:
        """Return what the answer says."""
        return {**super().content(), "type": "about:blank", "code": "invalid", "invalidParams": self.faults}


def invalid(name: str, reason: str, *, code: str = "invalid") -> ValidatieFout:
    """Return the answer for one thing that is wrong."""
    return ValidatieFout([Fault(name, code, reason)])
