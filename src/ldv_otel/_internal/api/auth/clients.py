"""The clients and what each may see: the file of `LDV_SERVE_CLIENTS`, in YAML or JSON.

    clients:
      - id: gemeente-b
        certificate: {oin: "00000001821002198000"}
        scopes: ["ldv:read"]
      - {id: onderzoek, activities: ["https://register.example/parkeren"], requests_per_minute: 30}

A client without `certificate` is one that comes with an access token; what stands here restricts what its token says.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import msgspec

from ldv_otel._internal.api.auth.tokens import AccessToken
from ldv_otel._internal.api.auth.trace_tokens import TraceToken
from ldv_otel._internal.config.yaml_file import read_yaml
from ldv_otel._internal.parties.evidence import Certificate, CertificateMatch


class Scope(StrEnum):
    """What a client may do; the words in `scope` of a token and in `scopes` of the file."""

    READ = "ldv:read"
    #: Ask with a real identifier, such as a BSN, which becomes a pseudonym before anything else is done (LDV-R7).
    IDENTIFY = "ldv:identify"
    #: See activities that the Register calls confidential.
    CONFIDENTIAL = "ldv:confidential"
    #: Let this server ask other parties on the client's behalf (LDV-R6).
    CHAIN = "ldv:chain"
    #: Get proofs of records, which show them whole.
    PROOF = "ldv:proof"
    #: Watch over the Logboek: the pages for privacy officers.
    OVERSEE = "ldv:oversee"


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated client.

    Attributes:
        id: For the access log and the rate limit; never a citizen's identifier.
        activities: Prefixes of the only processing activities it may see; none for all.
        trace_id: The only trace it may see, 16 bytes; empty for all.
        requests_per_minute: 0 for the server's own limit.
        person: The person who uses it, where its token says so (`sub`); it goes into no log.
    """

    id: str
    scopes: frozenset[str]
    activities: tuple[str, ...] = ()
    trace_id: bytes = b""
    requests_per_minute: int = 0
    person: str = ""


class ClientEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An entry of the file.

    Attributes:
        certificate: The client's certificate; None for a client with tokens.
        scopes: All that it may do; None, for a client with tokens, leaves that to its token.
    """

    id: str
    certificate: CertificateMatch | None = None
    scopes: frozenset[Scope] | None = None
    activities: tuple[str, ...] = ()
    requests_per_minute: int = 0

    def client(self, scopes: frozenset[str], person: str = "") -> Client:
        """Return the client that this entry describes, once it has proven itself."""
        return Client(
            id=self.id,
            scopes=scopes,
            activities=self.activities,
            requests_per_minute=self.requests_per_minute,
            person=person,
        )


class _ClientsFile(msgspec.Struct, forbid_unknown_fields=True):
    clients: list[ClientEntry]

    def __post_init__(self) -> None:
        """Refuse entries that the access log and the rate limit could not tell apart."""
        ids = [entry.id for entry in self.clients]
        if len(set(ids)) != len(ids) or "" in ids:
            raise ValueError("A client has no id, or two have the same")


class ClientList:
    """The clients of the file; without a file, none."""

    def __init__(self, entries: Iterable[ClientEntry] = ()) -> None:
        self._entries = tuple(entries)
        self._by_id = {entry.id: entry for entry in self._entries}

    def by_certificate(self, certificate: Certificate) -> Client | None:
        """Return the client whose certificate this is; the first, if the file has several."""
        for entry in self._entries:
            if entry.certificate is not None and entry.certificate.matches(certificate):
                return entry.client(entry.scopes or frozenset())
        return None

    def by_token(self, token: AccessToken) -> Client:
        """Return the client that a token names, with the token's scopes as far as the file leaves them."""
        entry = self._by_id.get(token.client_id)
        scopes = token.scopes or frozenset()
        if entry is None:
            return Client(id=token.client_id, scopes=scopes, person=token.person)
        # The file only takes away: rights are given by the issuer, which also takes them back.
        return entry.client(scopes if entry.scopes is None else scopes & entry.scopes, token.person)

    def by_trace_token(self, token: TraceToken) -> Client:
        """Return the client of a token that opens one trace: it may read that, as far as the file leaves it."""
        scopes: frozenset[str] = frozenset({Scope.READ})
        entry = self._by_id.get(token.client_id)
        if entry is None:
            return Client(id=token.client_id, scopes=scopes, trace_id=token.trace_id)
        client = entry.client(scopes if entry.scopes is None else scopes & entry.scopes)
        return msgspec.structs.replace(client, trace_id=token.trace_id)

    @property
    def with_certificate(self) -> bool:
        """Whether a client is identified by its certificate."""
        return any(entry.certificate is not None for entry in self._entries)


def read_clients(path: Path | None) -> ClientList:
    """Return the clients of a file.

    Args:
        path: None when there is no file.

    Raises:
        ConfigurationError: It cannot be used; the message names line and field.
    """
    if path is None:
        return ClientList()
    return ClientList(read_yaml(path, "LDV_SERVE_CLIENTS", _ClientsFile).clients)
