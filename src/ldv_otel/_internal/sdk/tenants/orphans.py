"""Looks for what dead processes have left for tenants of which this process has logged nothing, and has it sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from ldv_otel._internal.delivery.spool.orphans import has_orphan
from ldv_otel._internal.delivery.turns import Pause, Turns

#: Between two looks at all of them.
_LOOK_SECONDS: Final = 60.0
#: How many it looks at in one turn.
_AT_A_TIME: Final = 50


class OrphanSweep:
    """Takes turns in the threads of the drainers.

    Args:
        bases: The directory of the spools of each tenant, by id.
        send: Has what was left for a tenant sent.
        look: Called before each look at all of them; it may give `bases` more.
    """

    server = "the disk"
    hurried = False

    def __init__(
        self, bases: Mapping[str, Path], send: Callable[[str], None], look: Callable[[], None] = lambda: None
    ) -> None:
        self._bases = bases
        self._send = send
        self._look = look
        self._stopping = threading.Event()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stopping.is_set()

    def ask_to_stop(self) -> None:
        """Let the turn that runs be the last."""
        self._stopping.set()

    def resumed(self, *, stopping: bool) -> bool:
        """Count nothing."""
        return stopping

    def expect(self, pause: Pause, wake: Callable[[], None]) -> bool:
        """Wait for no record."""
        del pause, wake
        return False

    def turns(self) -> Turns[None]:
        """Look at all tenants, again and again."""
        while True:
            self._look()
            for number, (tenant_id, base) in enumerate(list(self._bases.items()), 1):
                if has_orphan(base):
                    self._send(tenant_id)
                if number % _AT_A_TIME == 0 and (yield Pause(0.0)):
                    return
            if (yield Pause(_LOOK_SECONDS)):
                return
