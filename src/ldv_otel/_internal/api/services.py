"""The parts that all routers of an application share."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from ldv_otel._internal.api.auth.authentication import AccessGuard
from ldv_otel._internal.api.missing_keys import MissingKeys
from ldv_otel._internal.api.state import state_of
from ldv_otel._internal.api.store_reader import StoreReader
from ldv_otel._internal.api.store_writer import StoreWriter
from ldv_otel._internal.chain.remote import Remotes
from ldv_otel._internal.config.house_style import HouseStyle
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser


@dataclass(frozen=True)
class Services:
    """The parts of one application, or of one of its tenants; in the attribute `services` of its state.

    Attributes:
        house: The organisation's own words, colours and logo.
        writer: None where nothing is written.
    """

    settings: Settings
    reader: StoreReader
    pseudonymiser: Pseudonymiser
    access_guard: AccessGuard
    remotes: Remotes
    missing_keys: MissingKeys
    house: HouseStyle
    writer: StoreWriter | None = None

    def open(self) -> None:
        """Connect to the Logboek; doing so again is harmless.

        Raises:
            ConfigurationError: It cannot be used as it is configured.
            LogboekUnavailable: It does not answer.
        """
        if self.writer is not None:
            # First, because it makes the tables of an embedded Logboek.
            self.writer.open()
        self.reader.open()

    def close(self) -> None:
        """Finish what is under way, and close the connections to the Logboek."""
        if self.writer is not None:
            self.writer.close()
        # After the writer, which may still be sending: an embedded engine is one for both.
        self.reader.close()


def services_of(request: Request) -> Services:
    """Return the services behind a request."""
    services: Services = state_of(request).services
    return services
