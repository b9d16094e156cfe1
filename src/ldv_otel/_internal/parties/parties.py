"""The parties around this application: its callers with their proofs, the parties it calls, and their read APIs.

The file of `LDV_PARTIES`, in YAML or JSON:

    gateways: [10.0.0.5, 10.1.0.0/16]
    callers:
      - name: gemeente
        processor: https://parkeren.gemeente.example
        trace: continue
        proven_by:
          - certificate: {oin: "00000001821002198000"}
          - {header: X-Consumer, value: gemeente-parkeren}
    called:
      - at: https://api.rdw.example
        read_api: https://ldv.rdw.example/v1
    claim: parkeren-rdw
    read_apis:
      - url: https://ldv.rdw.example/v1
        name: RDW
        token_file: /run/secrets/rdw-token

Source: LDV-X2, LDV-X4; extension *lezen*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from ldv_otel._internal.config.address import is_loopback
from ldv_otel._internal.config.networks import parse_networks
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.config.variables import TraceChoice
from ldv_otel._internal.parties.evidence import Evidence, Proof
from ldv_otel._internal.parties.tracestate import CLAIM

_URL_MAX_CHARACTERS: Final = 2_048
_DEFAULT_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}


class Caller(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An application that calls this one.

    Attributes:
        name: For people, and for `called_by`.
        processor: URL of the calling application (`dpl.core.foreign_operation.processor`).
        trace: Whether its trace goes on here, or one of our own begins that refers to it.
        proven_by: Each of these is enough.
    """

    name: str
    processor: str
    trace: TraceChoice = "continue"
    proven_by: list[Proof]

    def __post_init__(self) -> None:
        """Refuse what would end up in records and mean nothing there."""
        if not self.name.strip():
            raise ValueError("A caller needs a name")
        _check_url("processor", self.processor)
        if not self.proven_by:
            raise ValueError("A caller without a proof would never be recognised; give a proof under proven_by")


class CalledParty(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A party that this application calls.

    Attributes:
        at: Its addresses: `host`, `host:port` or `https://host:port`; a host without port is meant with every port.
        read_api: Where its Logregels can be read (`dpl.read.nextLogbookId`); empty where they cannot.
        headers: Extensions whose headers it is sent.
    """

    at: str | list[str]
    read_api: str = ""
    headers: list[str] = []

    def __post_init__(self) -> None:
        """Refuse what could never be called, or makes no difference."""
        if self.read_api:
            _check_url("read_api", self.read_api)
        elif not self.headers:
            raise ValueError("A called party needs a read_api, or headers to be sent")
        if not self.addresses():
            raise ValueError("A called party needs an address under at")

    def addresses(self) -> list[tuple[str, int]]:
        """Return host and port of each address; 0 for every port."""
        return [_address(text) for text in ([self.at] if isinstance(self.at, str) else self.at)]


class ReadApi(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A read API into which a chain may be followed; no other address is ever asked (LDV-R6).

    Attributes:
        url: Its base, as Logregels name it in `dpl.read.nextLogbookId`.
        name: Of the party, for people.
        offered: False when at `url` there is no API (yet), only a page with contact details.
        contact: Address of a page where people can ask this party themselves.
        processors: URLs of the party's applications, as `dpl.core.foreign_operation.processor` names a caller.
        log_keys: Public keys of its log and of its witnesses, for proofs of its records.
        token_file: File with an access token.
        token_url: Where an access token can be had, with the three below (OAuth 2.0 client credentials).
        certificate: PEM file of a client certificate, with `private_key`.
        ca_file: PEM file of the authority that signed the server's certificate.
    """

    url: str
    name: str = ""
    offered: bool = True
    contact: str = ""
    processors: list[str] = []
    log_keys: list[str] = []
    token_file: str = ""
    token_url: str = ""
    client_id: str = ""
    client_secret_file: str = ""
    scope: str = "ldv:read"
    certificate: str = ""
    private_key: str = ""
    ca_file: str = ""

    def __post_init__(self) -> None:
        """Refuse what could never be asked, or would send a secret in the clear."""
        for field, url in (("url", self.url), ("token_url", self.token_url), ("contact", self.contact)):
            if url:
                _check_url("read_api", url)
                parts = urlsplit(url)
                if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
                    raise ValueError(f"{field} uses plain http to another machine; use https (LDV-L1)")
        if not self.url:
            raise ValueError("A read API needs a url")
        if self.token_file and self.token_url:
            raise ValueError("token_file and token_url are two ways to the same; give one")
        if bool(self.token_url) != bool(self.client_id and self.client_secret_file):
            raise ValueError("token_url, client_id and client_secret_file go together")
        if bool(self.certificate) != bool(self.private_key):
            raise ValueError("certificate and private_key go together")


class PartiesFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file of `LDV_PARTIES`, as it is written.

    Attributes:
        gateways: Addresses and networks (or `unix`) whose headers are believed.
        callers: The first whose proof holds is the caller.
        claim: Under which name this application presents itself in `tracestate`; nothing when left out.
        read_apis: The parties into which `ldv chain` and `ldv serve` may follow a chain, with our credentials there.
        extensions: Options of the extensions that are on, by name.
    """

    gateways: list[str] = []
    callers: list[Caller] = []
    called: list[CalledParty] = []
    claim: str = ""
    read_apis: list[ReadApi] = []
    extensions: dict[str, dict[str, Any]] = {}

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        unknown = {name for party in self.called for name in party.headers} - set(self.extensions)
        if unknown:
            raise ValueError(f"headers names the extension {min(unknown)!r}, which is not under extensions")
        parse_networks(self.gateways, unix=True)
        names = [caller.name for caller in self.callers]
        if len(set(names)) < len(names):
            raise ValueError("Two callers have the same name")
        if not self.gateways and any(proof.header for caller in self.callers for proof in caller.proven_by):
            raise ValueError("A header proves nothing unless a gateway sets it; name the gateways under gateways")
        if self.claim and not CLAIM.fullmatch(self.claim):
            raise ValueError("The claim is not 1 to 64 letters, digits, dots, hyphens and underscores")


class Parties:
    """The parties of a file, indexed for the questions that each call asks.

    Args:
        file: The file as it was read.
        unknown: What becomes of the trace of an untrusted caller; by default it restarts where the file has callers.
    """

    def __init__(self, file: PartiesFile = PartiesFile(), unknown: TraceChoice | None = None) -> None:  # noqa: B008  (frozen)
        self.claim = file.claim
        self.read_apis = tuple(file.read_apis)
        self.unknown: TraceChoice = unknown or ("restart" if file.callers else "continue")
        #: Whether anything depends on the caller; if not, nobody needs to look for one.
        self.tell_callers_apart = bool(file.callers) or self.unknown == "restart"
        self._callers = tuple(file.callers)
        self._gateways = parse_networks(file.gateways, unix=True)
        self.extensions = file.extensions
        called = [(address, party) for party in file.called for address in party.addresses()]
        self._read_apis = {address: party.read_api for address, party in called if party.read_api}
        self._headers = {address: tuple(party.headers) for address, party in called}

    def caller(self, evidence: Evidence) -> Caller | None:
        """Return the first caller of the file with a proof that holds; None for an untrusted caller."""
        for caller in self._callers:
            if any(proof.holds(evidence, self._gateways) for proof in caller.proven_by):
                return caller
        return None

    def proven_caller(self, evidence: Evidence) -> Caller | None:
        """Return the first caller with a proof that holds and that nobody else could give, as a claim is."""
        for caller in self._callers:
            if any(not proof.claim and proof.holds(evidence, self._gateways) for proof in caller.proven_by):
                return caller
        return None

    @property
    def has_gateways(self) -> bool:
        """Whether headers of some peer are believed."""
        return bool(self._gateways)

    def is_gateway(self, peer_address: str) -> bool:
        """Return whether the headers of a peer are believed."""
        return peer_address in self._gateways

    def named(self, name: str) -> Caller | None:
        """Return the caller of that name."""
        return next((caller for caller in self._callers if caller.name == name), None)

    @property
    def calls_known_parties(self) -> bool:
        """Whether `read_api` can find anything."""
        return bool(self._read_apis)

    def read_api(self, host: str, port: int) -> str:
        """Return where the Logregels of the party at that address can be read; empty when it is not in the file."""
        host = _plain(host)
        return self._read_apis.get((host, port)) or self._read_apis.get((host, 0), "")

    def headers(self, host: str, port: int) -> Sequence[str]:
        """Return the extensions whose headers the party at that address is sent."""
        host = _plain(host)
        return self._headers.get((host, port)) or self._headers.get((host, 0), ())


def parties_for(settings: Settings) -> Parties:
    """Return the parties that the settings name.

    Raises:
        ConfigurationError: The file cannot be used; the message names line and field.
    """
    return read_parties(settings.parties, settings.unknown_callers)


def read_parties(path: Path | None, unknown: TraceChoice | None) -> Parties:
    """Return the parties of a file.

    Args:
        path: None when there is no such file.
        unknown: As for `Parties`.

    Raises:
        ConfigurationError: As `parties_for`.
    """
    if path is None:
        return Parties(unknown=unknown)
    from ldv_otel._internal.config.yaml_file import read_yaml  # only who has the file pays for it

    return Parties(read_yaml(path, "LDV_PARTIES", PartiesFile), unknown)


def _check_url(field: Literal["processor", "read_api"], url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or not url.isprintable() or " " in url:
        raise ValueError(f"{field} is no URL like https://ldv.example/v1")
    if "@" in parts.netloc:
        raise ValueError(f"{field} holds a user name or password, which would end up in every record")
    if len(url) > _URL_MAX_CHARACTERS:
        raise ValueError(f"{field} is over {_URL_MAX_CHARACTERS} characters")


def _plain(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _address(text: str) -> tuple[str, int]:
    parts = urlsplit(text if "://" in text else f"//{text}")
    if not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
        raise ValueError("An address is like api.rdw.example, api.rdw.example:8443 or https://api.rdw.example")
    return parts.hostname.rstrip("."), parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
