"""The file of `LDV_LOGBOEKEN`: the Logboeken of a service that works for several controllers, its tenants.

In YAML or JSON:

    default: "0363"                # or none: an Actie without a tenant is refused
    quarantine:
      logboek: clickhouse+https://ldv@logboek.supplier.example/quarantine
      keys: quarantine.json
    rules:
      header: X-Tenant
    tenants:
      - id: "0363"
        logboek: clickhouse+https://ldv@logboek.amsterdam.example/ldv
        keys: 0363.json
        hosts: [parkeren.amsterdam.example]

Each tenant has a Logboek, keys and a spool of its own. What would mix two of them is refused at the start, with its
line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from ldv_otel._internal.config.address import LogboekAddress, is_loopback, parse_address
from ldv_otel.errors import ConfigurationError

VARIABLE: Final = "LDV_LOGBOEKEN"
#: The Logboek of what nothing says whose it is, where a tenant is named.
QUARANTINE: Final = "quarantine"
#: It is a part of a path and of a header: no dot, hyphen or underscore comes first.
TENANT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\]")
_SERVED: Final = re.compile(r"https?://[^/?#@\s]{1,260}")
_MAX_VALUE_CHARACTERS: Final = 256
_LAST_PORT: Final = 65_535


class LogboekEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Logboek of the file.

    Attributes:
        logboek: Its address, as in `LDV_LOGBOEK`.
        keys: Its key file, as `LDV_KEYS`; like all files here relative to the directory of this file.
        spool: The directory of its spools; below `LDV_SPOOL` when left out.
        register: Its Register, a file or URL, with the terms of retention; that of `LDV_REGISTER` when left out.
        seal_key: As `LDV_SEAL_KEY`.
        logboek_id: As `LDV_LOGBOEK_ID`.
        organisation: As `LDV_ORGANISATION`.
        shared_key: Whether it may have a key that another of them has too: then both have one pseudonym for a person.
        routed: Whether a Collector leads its records on by `ldv.tenant`: then others may have its address too.
    """

    logboek: str
    keys: str
    password_file: str = ""
    ca_file: str = ""
    client_cert_file: str = ""
    client_key_file: str = ""
    spool: str = ""
    register: str = ""
    seal_key: str = ""
    logboek_id: str = ""
    organisation: str = ""
    shared_key: bool = False
    routed: bool = False

    def __post_init__(self) -> None:
        """Refuse an address that is none."""
        address = parse_address(self.logboek)
        if self.routed and not address.scheme.startswith("otlp+"):
            raise ValueError(
                "routed is for the address of a Collector, otlp+https://...: nothing else leads records on"
            )
        if not self.keys:
            raise ValueError("keys names no file; make one with `ldv key new --file`")

    @property
    def address(self) -> LogboekAddress:
        """Where the Logboek is."""
        return parse_address(self.logboek)


class TenantServing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `ldv serve` offers of one tenant to others; without it the server has nothing of that tenant.

    Attributes:
        url: Public address of its read API and pages, as `LDV_SERVE_URL`: a request for that host is the tenant's.
        clients: As `LDV_SERVE_CLIENTS`.
        issuer: As `LDV_SERVE_ISSUER`, and that where left out.
        jwks: As `LDV_SERVE_JWKS`, and that where left out.
        audience: As `LDV_SERVE_AUDIENCE`, also of tokens for one trace; empty where it takes no tokens.
        inzage_issuer: As `LDV_INZAGE_ISSUER`, and that where left out.
        inzage_jwks: As `LDV_INZAGE_JWKS`, and that where left out.
        inzage_audience: As `LDV_INZAGE_AUDIENCE`; empty where it has no page for citizens.
        toezicht_activity: As `LDV_TOEZICHT_ACTIVITY`; empty where it has no pages for officers.
        house_style: As `LDV_HOUSE_STYLE`.
        contact: As `LDV_INZAGE_CONTACT`.
        logout: As `LDV_INZAGE_LOGOUT`.
    """

    url: str
    clients: str = ""
    issuer: str = ""
    jwks: str = ""
    audience: str = ""
    inzage_issuer: str = ""
    inzage_jwks: str = ""
    inzage_audience: str = ""
    toezicht_activity: str = ""
    house_style: str = ""
    contact: str = ""
    logout: str = ""

    def __post_init__(self) -> None:
        """Refuse an address to which no request could come, and one that would lead to two tenants."""
        if not _SERVED.fullmatch(self.url) or not _HOST.fullmatch(self.host):
            raise ValueError("url is an address like https://logboek.amsterdam.example, in lower case, without a path")
        if not (self.clients or self.audience or self.inzage_audience):
            raise ValueError("serve names no clients, audience or inzage_audience, so nobody would be let in")

    @property
    def host(self) -> str:
        """The host of its address."""
        return _without_port(self.url.partition("://")[2])

    @property
    def audiences(self) -> list[str]:
        """Whom tokens for it are meant for."""
        return [audience for audience in {self.audience: None, self.inzage_audience: None} if audience]


class Tenant(LogboekEntry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A controller for which the service works, with its own Logboek.

    Attributes:
        id: What code, calls and commands name it by.
        values: What else it is called by a rule's header, claim or attribute, such as its OIN.
        hosts: Names of hosts; a request to one of them is the tenant's.
        paths: Beginnings of paths, from a `/`; a request to one of them is the tenant's.
        calls: Hosts, with or without a port, that are told the tenant when the service calls them.
        callers: Callers of `LDV_PARTIES` that are believed when they name this tenant.
        serve: What `ldv serve` offers of it.
    """

    id: str
    values: list[str] = []
    hosts: list[str] = []
    paths: list[str] = []
    calls: list[str] = []
    callers: list[str] = []
    serve: TenantServing | None = None

    def __post_init__(self) -> None:
        """Refuse what could never be met, or would mean something else."""
        LogboekEntry.__post_init__(self)
        if self.id == QUARANTINE:
            raise ValueError(f"the id {QUARANTINE} is that of the quarantine")
        if not TENANT_ID.fullmatch(self.id):
            raise ValueError(
                "id is not 1 to 64 letters, digits, dots, hyphens and underscores, a letter or digit first"
            )
        if not all(0 < len(value) <= _MAX_VALUE_CHARACTERS for value in self.values):
            raise ValueError(f"values has an empty word, or one of over {_MAX_VALUE_CHARACTERS} characters")
        if not all(_HOST.fullmatch(host) for host in self.hosts):
            raise ValueError("hosts are names like parkeren.amsterdam.example, in lower case and without a port")
        if not all(path.startswith("/") and path.strip("/") for path in self.paths):
            raise ValueError("paths begin with a slash and name something, like /0363")
        for call in self.calls:
            host, port = host_and_port(call)
            if not _HOST.fullmatch(host) or (port and not 0 < int(port) <= _LAST_PORT):
                raise ValueError("calls are hosts in lower case, with or without a port: api.rdw.example:8443")


class TenantRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a request says whose it is; hosts and paths stand with each tenant.

    Attributes:
        header: A header that a gateway of `LDV_PARTIES` sets: it holds the id of a tenant, or one of its values.
        claim: A claim of the bearer token of a request that such a gateway has let through.
        resource: An attribute of the OpenTelemetry resource: the whole process is the tenant's.
    """

    header: str = ""
    claim: str = ""
    resource: str = ""

    def __post_init__(self) -> None:
        """Refuse what is no header."""
        if self.header and not _HEADER.fullmatch(self.header):
            raise ValueError("header is no name of a header")


class Logboeken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file, as it is written.

    Attributes:
        tenants: At least one.
        quarantine: Takes the records of which nothing says whose they are.
        default: Id of the tenant of what names none; empty for none.
    """

    tenants: list[Tenant]
    quarantine: LogboekEntry
    default: str = ""
    rules: TenantRules = TenantRules()

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if not self.tenants:
            raise ValueError("tenants is empty; a service with one Logboek needs LDV_LOGBOEK only")
        if self.default and self.default not in {tenant.id for tenant in self.tenants}:
            raise ValueError("default names no tenant of this file")


class LogboekenFile:
    """A file of Logboeken, read and checked.

    Attributes:
        path: Where it is.
        content: What it says.
        audiences: Whom tokens for its tenants are meant for, each with the id of its tenant.
    """

    def __init__(self, path: Path, content: Logboeken, lines: Sequence[int]) -> None:
        self.path = path
        self.content = content
        self._tenants = {tenant.id: tenant for tenant in content.tenants}
        self._lines = dict(zip(self._tenants, lines, strict=True))
        self.audiences = {
            audience: tenant.id
            for tenant in content.tenants
            if tenant.serve is not None
            for audience in tenant.serve.audiences
        }

    def tenant(self, tenant_id: str) -> Tenant | None:
        """Return a tenant by its id."""
        return self._tenants.get(tenant_id)

    def place_of(self, tenant_id: str) -> str:
        """Return variable, file and line of a tenant, for an error; of the file for another name."""
        return f"{VARIABLE}: {self.path}:{self._lines.get(tenant_id, 1)}"

    def file(self, name: str) -> Path | None:
        """Return a file that the file names; None for an empty name."""
        return self.path.parent / Path(name).expanduser() if name else None

    def location(self, name: str) -> str:
        """Return a file or URL that the file names, as text."""
        return name if not name or "://" in name else str(self.file(name))


def read_logboeken(path: Path, *, allow_insecure: bool) -> LogboekenFile:
    """Read and check a file of Logboeken.

    Args:
        allow_insecure: Whether plain http to another machine is allowed.

    Raises:
        ConfigurationError: It cannot be used, or would mix two Logboeken; the message names line and reason.
    """
    from ldv_otel._internal.config.yaml_file import read_with_lines  # only who has the file pays for it

    content, document = read_with_lines(path, VARIABLE, Logboeken)
    for steps, problem in _faults(content, path.parent, allow_insecure=allow_insecure):
        raise ConfigurationError(f"{VARIABLE}: {path}:{document.line(steps)}: {problem}. Logging did not start.")
    return LogboekenFile(path, content, [document.line(["tenants", index]) for index in range(len(content.tenants))])


_Fault = tuple[Sequence[str | int], str]


def _faults(content: Logboeken, directory: Path, *, allow_insecure: bool) -> Iterator[_Fault]:
    """Give what would mix Logboeken, each with its place in the file."""
    entries: list[tuple[Sequence[str | int], LogboekEntry]] = [(["quarantine"], content.quarantine)]
    entries += [(["tenants", index], tenant) for index, tenant in enumerate(content.tenants)]
    addresses: dict[object, tuple[LogboekEntry, str]] = {}
    spools: dict[Path, str] = {}
    key_files: dict[Path, LogboekEntry] = {}
    embedded = 0
    for steps, entry in entries:
        name = entry.id if isinstance(entry, Tenant) else QUARANTINE
        address = entry.address
        embedded += address.embedded
        if embedded > 1:
            yield [*steps, "logboek"], "a process has one embedded Logboek (chdb:) at most; use a server for the others"
        if address.scheme.endswith("+http") and not is_loopback(address.host) and not allow_insecure:
            yield [*steps, "logboek"], f"plain http to {address.host}; use https, or LDV_ALLOW_INSECURE=1 (LDV-L1)"
        holder, other = addresses.setdefault(_place(address), (entry, name))
        # A Collector that leads records on by their tenant may be that of several: of all that have its address.
        if holder is not entry and not (holder.routed and entry.routed):
            yield [*steps, "logboek"], f"{name} has the same Logboek as {other}: their records would be mixed"
        if entry.spool:
            spool = (directory / Path(entry.spool).expanduser()).resolve()
            if (other := spools.setdefault(spool, name)) != name:
                yield [*steps, "spool"], f"{name} has the same spool as {other}; give each one of its own"
        key_file = (directory / Path(entry.keys).expanduser()).resolve()
        sharer = key_files.setdefault(key_file, entry)
        if sharer is not entry and not (sharer.shared_key and entry.shared_key):
            yield [*steps, "keys"], f"{name} has a key file that another has too. {SHARED_KEY}"
    yield from _names_twice(content)


#: What sharing a key means.
SHARED_KEY: Final = (
    "With one key a person has the same pseudonym at both controllers, who can then link their records. Make each a "
    "key of its own (`ldv key new --file`), or set `shared_key: true` at both if that is meant"
)


def _names_twice(content: Logboeken) -> Iterator[_Fault]:
    """Give ids, hosts, paths and values that two tenants have."""
    ids: dict[str, int] = {}
    by_rule: dict[tuple[str, str], int] = {}
    for index, tenant in enumerate(content.tenants):
        # A file system may take capitals and small letters for the same, and each id is a directory.
        if ids.setdefault(tenant.id.casefold(), index) != index:
            yield ["tenants", index, "id"], f"the id {tenant.id} stands here twice"
        serving = tenant.serve
        rules = (
            ("hosts", [*tenant.hosts, *([serving.host] if serving and serving.host not in tenant.hosts else [])]),
            ("paths", [path.strip("/") for path in tenant.paths]),
            ("values", [tenant.id, *tenant.values]),
        )
        for field, texts in rules:
            for text in texts:
                other = by_rule.setdefault((field, text), index)
                if other != index:
                    shown = content.tenants[other].id
                    yield ["tenants", index, field], f"{tenant.id} and {shown} have the same under {field}"
    yield from _served_twice(content)


def _served_twice(content: Logboeken) -> Iterator[_Fault]:
    """Give what would let somebody who was let in at one tenant in at another."""
    holders: dict[tuple[str, str], int] = {}
    for index, tenant in enumerate(content.tenants):
        serving = tenant.serve
        if serving is None:
            continue
        if serving.url.startswith("http://") and not is_loopback(serving.host) and not _is_local(serving.host):
            yield ["tenants", index, "serve", "url"], "plain http to another machine; use https"
        rules = (
            ("url", [serving.host]),
            ("audience", serving.audiences),
            ("clients", [str(Path(serving.clients))] if serving.clients else []),
        )
        for field, texts in rules:
            for text in texts:
                other = holders.setdefault((field, text), index)
                if other != index:
                    shown = content.tenants[other].id
                    yield (
                        ["tenants", index, "serve"],
                        f"{tenant.id} and {shown} have the same {field}: who may see one would be let in at the other",
                    )


def _is_local(host: str) -> bool:
    """Return whether a name is always this machine's (RFC 6761)."""
    return host == "localhost" or host.endswith(".localhost")


def _without_port(netloc: str) -> str:
    host, port = host_and_port(netloc)
    return host if port else netloc


def host_and_port(call: str) -> tuple[str, str]:
    """Return a host, and its port as text or nothing; an IPv6 address stands in brackets."""
    host, _, port = call.rpartition(":")
    return (host, port) if host and port.isdigit() and not host.endswith(":") else (call, "")


def _place(address: LogboekAddress) -> tuple[str, int, str, str]:
    """Return where a Logboek is, whoever asks: the user and the encryption make it no other one."""
    host = "localhost" if is_loopback(address.host) else address.host.lower().rstrip(".")
    if address.embedded:
        return "", 0, str(Path(address.path).resolve()), ""
    return host, address.port, address.path, address.database
