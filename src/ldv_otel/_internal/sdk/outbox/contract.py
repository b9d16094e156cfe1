"""What the processor asks of an outbox: the transaction that an Actie belongs to, and the database to send from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

from ldv_otel._internal.delivery.outbox.store import OutboxStore
from ldv_otel._internal.sdk.outbox.transaction import OpenTransaction

#: What becomes of an Actie whose transaction was rolled back: no record, or one with status Error.
OnRollback = Literal["nothing", "record"]


class Outbox(Protocol):
    """An outbox in one database of the application.

    Attributes:
        name: For messages: which database, without a password.
        on_rollback: What becomes of Acties whose transaction was rolled back.
        sends: Whether this process also sends what is in it.
        run_waiting: Runs a function so that the driver in it may wait for an event loop; None where it does not.
    """

    name: str
    on_rollback: OnRollback
    sends: bool

    @property
    def run_waiting(self) -> Callable[..., Awaitable[object]] | None: ...

    def listen(self) -> None:
        """Begin to see the transactions of the database; once."""

    def store(self) -> OutboxStore:
        """Return the database as a sender uses it."""

    def open_here(self) -> Sequence[OpenTransaction]:
        """Return the transactions that are open in this thread and task.

        Raises:
            ConfigurationError: One of them commits each statement by itself.
        """

    def named(self, named: object) -> OpenTransaction | None:
        """Return the open transaction of what an application names; None for what is none of this outbox's.

        Raises:
            ConfigurationError: It has no open transaction, or commits each statement by itself.
        """
