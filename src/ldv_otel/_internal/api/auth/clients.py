"""Who the clients are and what each may see: the file of `LDV_SERVE_CLIENTS`.

JSON: `{"clients": [{"id": "gemeente-b", "certificate": {"oin": "00000001..."}, "scopes": ["ldv:read"]}]}`. A client
without `certificate` is one that comes with an access token; what stands here narrows what its token says.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import msgspec

from ldv_otel._internal.parties.evidence import Certificate, CertificateMatch
from ldv_otel.errors import ConfigurationError


class Scope(StrEnum):
    """What a client may do; the words in `scope` of a token and in `scopes` of the file."""

    READ = "ldv:read"
    #: Ask with a real identifier, such as a BSN, which becomes a pseudonym at the door (LDV-R7).
    IDENTIFY = "ldv:identify"
    #: See activities that the Register calls confidential.
    CONFIDENTIAL = "ldv:confidential"
    #: Let this server ask other parties on the client's behalf (LDV-R6).
    CHAIN = "ldv:chain"
    #: Watch over the Logboek: the pages for privacy officers.
    OVERSEE = "ldv:oversee"


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated client.

    Attributes:
        id: For the access log and the rate limit; never a citizen's identifier.
        activities: Beginnings of the only processing activities it may see; none for all.
        requests_per_minute: 0 for the server's own limit.
        person: Who uses it, where its token says so (`sub`); goes into no log.
    """

    id: str
    scopes: frozenset[str]
    activities: tuple[str, ...] = ()
    requests_per_minute: int = 0
    person: str = ""


class ClientEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry of the file."""

    id: str
    certificate: CertificateMatch | None = None
    scopes: frozenset[Scope] | None = None
    activities: tuple[str, ...] = ()
    requests_per_minute: int = 0


class _File(msgspec.Struct, forbid_unknown_fields=True):
    clients: list[ClientEntry]


class ClientList:
    """The clients of the file; without a file, none."""

    def __init__(self, known: Iterable[ClientEntry] = ()) -> None:
        self._known = tuple(known)
        self._by_id = {client.id: client for client in self._known}

    def by_certificate(self, certificate: Certificate) -> Client | None:
        """Return the client whose certificate this is."""
        for known in self._known:
            if known.certificate is not None and known.certificate.matches(certificate):
                return _client(known, known.scopes or frozenset())
        return None

    def by_token(self, client_id: str, scopes: frozenset[str], person: str = "") -> Client:
        """Return the client that a token names, with the token's scopes as far as the file leaves them."""
        known = self._by_id.get(client_id)
        if known is None:
            return Client(id=client_id, scopes=scopes, person=person)
        return _client(known, scopes if known.scopes is None else scopes & known.scopes, person)

    @property
    def with_certificate(self) -> bool:
        """Whether any client is known by its certificate."""
        return any(known.certificate is not None for known in self._known)


def read_clients(path: Path | None) -> ClientList:
    """Read the file.

    Raises:
        ConfigurationError: It cannot be used; the message says where it is wrong.
    """
    if path is None:
        return ClientList()
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_File).clients
    except OSError as error:
        raise ConfigurationError(f"LDV_SERVE_CLIENTS: {path} cannot be read ({error.strerror}).") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"LDV_SERVE_CLIENTS: {path} is no file of clients ({error}).") from error
    ids = [client.id for client in found]
    if len(set(ids)) != len(ids) or "" in ids:
        raise ConfigurationError(f"LDV_SERVE_CLIENTS: {path} has a client without id, or two with the same.")
    return ClientList(found)


def _client(known: ClientEntry, scopes: frozenset[str], person: str = "") -> Client:
    return Client(
        id=known.id,
        scopes=scopes,
        activities=known.activities,
        requests_per_minute=known.requests_per_minute,
        person=person,
    )
