"""The settings of all parts, and reading them from the `LDV_*` variables.

Nothing here reads the environment or a file: entry points hand in the mapping.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from ldv_otel._internal.config.address import LogboekAddress, is_loopback
from ldv_otel._internal.config.logboeken import (
    QUARANTINE,
    LogboekenFile,
    LogboekEntry,
    TenantServing,
    read_logboeken,
)
from ldv_otel._internal.config.networks import Networks
from ldv_otel._internal.config.variables import (
    CLIENT_CLAIMS,
    SCOPE_CLAIMS,
    UNKNOWN_CALLER_URL,
    VARIABLES,
    DeliveryLevel,
    ExposedSubject,
    Language,
    RegisterCheck,
    StrayBsn,
    TraceChoice,
    Variable,
)
from ldv_otel.errors import ConfigurationError

#: Variables whose value is another one for each tenant.
_IN_THE_FILE: Final = (
    "LDV_LOGBOEK",
    "LDV_LOGBOEK_PASSWORD",
    "LDV_LOGBOEK_PASSWORD_FILE",
    "LDV_KEYS",
    "LDV_SEAL_KEY",
    "LDV_LOGBOEK_ID",
    "LDV_ORGANISATION",
)
_CREDENTIALS_DIRECTORY: Final = "CREDENTIALS_DIRECTORY"
_CREDENTIAL: Final = "credential:"
_CREDENTIAL_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}")


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of `ldv serve`, beside those of the Logboek.

    Attributes:
        jwks: Path or https URL of the keys that sign access tokens; empty when tokens are not accepted.
        proxies: Addresses and networks of proxies whose header with the client's certificate is believed.
        client_claims: Claims of access tokens; the first that one has names the client.
        scope_claims: Claims whose words together are its scopes.
        trace_claim: The claim of tokens that open one trace; empty when those are not accepted.
        trace_jwks: As `jwks`, for those tokens; empty when the issuer is that of access tokens.
        url: Where clients find the server, as it is shown to them; empty for the address of the request.
        records: The most records in one answer.
        seconds: The most time for one answer.
        metrics_from: Addresses and networks that may read `/metrics`; empty for this machine alone.
        outbound_proxy: The proxy of `Settings`, for what is fetched.
        audiences: Those of all tenants of `LDV_LOGBOEKEN`, each with its tenant: a token for two is taken by neither.
    """

    certificate: Path | None = None
    private_key: Path | None = None
    client_ca: Path | None = None
    clients: Path | None = None
    proxies: Networks = Networks()
    certificate_header: str = "Client-Cert"
    issuer: str = ""
    audience: str = ""
    jwks: str = ""
    algorithms: tuple[str, ...] = ("PS256", "RS256", "ES256", "EdDSA")
    client_claims: tuple[str, ...] = CLIENT_CLAIMS
    scope_claims: tuple[str, ...] = SCOPE_CLAIMS
    trace_claim: str = ""
    trace_issuer: str = ""
    trace_audience: str = ""
    trace_jwks: str = ""
    url: str = ""
    requests_per_minute: int = 300
    records: int = 500
    seconds: float = 10.0
    metrics_from: Networks = Networks()
    outbound_proxy: str = ""
    audiences: dict[str, str] = {}


class InzageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the page for citizens of `ldv serve`.

    Attributes:
        jwks: Path or https URL of the keys that sign ID tokens; empty when there is no page.
        claim: The claim of the token with the person's identifier.
        subject_type: Type of that identifier.
        proxies: Addresses and networks of the authentication proxies; tokens from other addresses are refused.
        minutes: Highest age of a token.
        proof: Whether citizens get proofs of their records, which show each record whole.
        contact: Where people can ask: an address of a page or of e-mail.
        logout: Where the proxy ends the session; empty for no such link.
        outbound_proxy: The proxy of `Settings`, for what is fetched.
    """

    issuer: str = ""
    audience: str = ""
    jwks: str = ""
    header: str = "X-Id-Token"
    claim: str = "sub"
    subject_type: str = "BSN"
    proxies: Networks = Networks()
    minutes: float = 15.0
    timezone: str = "Europe/Amsterdam"
    proof: bool = True
    contact: str = ""
    logout: str = ""
    outbound_proxy: str = ""


class GemmaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the APIs of GEMMA Verwerkingenlogging.

    Attributes:
        clients: File of the clients: their secrets and scopes.
        activity: URI of the Verwerkingsactiviteit under which queries of the register are logged.
        timezone: Of the dates in a query.
        processor: Address of an organisation, with `{oin}` where its OIN comes; may be empty.
        gebruiker: Whether `gebruiker` is kept.
        api_key_file: File with the key that a gateway before another party's register asks for.
        api_key_header: Header in which that key is sent.
    """

    clients: Path | None = None
    activity: str = ""
    timezone: str = "Europe/Amsterdam"
    processor: str = ""
    gebruiker: bool = True
    api_key_file: Path | None = None
    api_key_header: str = "X-Api-Key"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, read and checked. Make one with `read_settings`.

    Attributes:
        expected_services: Names, each with its longest silence in ms.
        tenant: Whose Logboek of `LDV_LOGBOEKEN` these are about, or `QUARANTINE`; empty without that file.
        own_spool: Whether `spool` is that of the tenant alone; else its spools stand apart in there.
        routed: Whether a Collector leads its records on by their tenant, which each then names.
        logboeken: The file, for a service that chooses a tenant for each Actie; the others are then what its Logboeken
            have in common (`tenant_settings`), and `logboek` is the quarantine.
    """

    logboek: LogboekAddress
    tenant: str = ""
    own_spool: bool = False
    routed: bool = False
    logboeken: LogboekenFile | None = None
    password: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None
    client_cert_file: Path | None = None
    client_key_file: Path | None = None
    keys: Path | None = None
    pseudonymous_types: tuple[str, ...] = ()
    delivery: DeliveryLevel = "durable"
    record: Literal["all", "acties"] = "all"
    queue_records: int = 65_536
    flush_seconds: float = 10.0
    confirm_seconds: float = 10.0
    exception_messages: bool = False
    spool: Path | None = None
    state: Path | None = None
    seal: bool = True
    seal_key: Path | None = None
    witnesses: Path | None = None
    witness_logs: Path | None = None
    witness_state: Path | None = None
    register: str = ""
    register_check: RegisterCheck = "off"
    allow_insecure: bool = False
    proxy: str = ""
    parties: Path | None = None
    unknown_callers: TraceChoice | None = None
    unknown_caller_url: str = UNKNOWN_CALLER_URL
    organisation: str = ""
    logboek_id: str = ""
    serve: ServeSettings = ServeSettings()
    inzage: InzageSettings = InzageSettings()
    house_style: Path | None = None
    language: Language | None = None
    toezicht_activity: str = ""
    link_activity: str = ""
    gemma: GemmaSettings = GemmaSettings()
    rules: Path | None = None
    resource_attributes: tuple[str, ...] = ()
    expected_services: tuple[tuple[str, int], ...] = ()
    expose_subject: ExposedSubject = "nothing"
    stray_bsn: StrayBsn = "redact"
    stray_bsn_except: tuple[str, ...] = ()
    status_of: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Leave the password out: settings end up in logs and tracebacks."""
        return f"Settings(logboek={str(self.logboek)!r}, delivery={self.delivery!r})"


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read and check all settings.

    Args:
        environ: Usually `os.environ`. Only names that start with `LDV_` are read, and `CREDENTIALS_DIRECTORY` where one
            of them names a credential of systemd.

    Raises:
        ConfigurationError: A value is wrong or missing; the message names the variable and the way out, and never
            shows a password.
    """
    settings = read_service_settings(environ)
    if settings.logboeken is not None:
        raise ConfigurationError(
            "LDV_LOGBOEKEN names several Logboeken, and this is about one. Nothing was done. Name it: `ldv --tenant ID "
            f"...`, or LDV_TENANT; `--tenant {QUARANTINE}` is what could not be told whose it is."
        )
    return settings


def read_service_settings(environ: Mapping[str, str]) -> Settings:
    """Read and check all settings of a service, which may have several Logboeken; otherwise as `read_settings`."""
    parsed = _parsed(environ, VARIABLES)
    if "LDV_LOGBOEKEN" in parsed:
        return _of_several(parsed)
    if "LDV_TENANT" in parsed:
        raise ConfigurationError(
            "LDV_TENANT names a tenant, and LDV_LOGBOEKEN, the file that says what its Logboek is, is not set. Nothing "
            "was done. Set LDV_LOGBOEKEN."
        )
    if "LDV_LOGBOEK" not in parsed:
        raise ConfigurationError(
            "LDV_LOGBOEK is not set, so there is no Logboek to write to. Logging did not start. "
            "Set it to chdb:logboek (below the current directory) or chdb:///absolute/path for an embedded Logboek, or "
            "to clickhouse+https://user@host:8443/database."
        )
    _check_transport(parsed["LDV_LOGBOEK"], allowed=parsed.get("LDV_ALLOW_INSECURE", False))
    if "LDV_LOGBOEK_PASSWORD" in parsed and "LDV_LOGBOEK_PASSWORD_FILE" in parsed:
        raise ConfigurationError(
            "LDV_LOGBOEK_PASSWORD and LDV_LOGBOEK_PASSWORD_FILE are both set. Logging did not start. Keep one."
        )
    return _settings(parsed)


def _of_several(parsed: dict[str, Any]) -> Settings:
    """Return the settings of the tenant that is named, or else what all have in common with the file."""
    beside = [name for name in _IN_THE_FILE if name in parsed]
    if beside:
        raise ConfigurationError(
            f"{beside[0]} is set beside LDV_LOGBOEKEN, which says it for each tenant. Logging did not start. Unset it."
        )
    file = read_logboeken(parsed.pop("LDV_LOGBOEKEN"), allow_insecure=parsed.get("LDV_ALLOW_INSECURE", False))
    tenant_id = parsed.pop("LDV_TENANT", "")
    base = _settings({**parsed, "LDV_LOGBOEK": file.content.quarantine.address})
    if not tenant_id:
        return msgspec.structs.replace(base, logboeken=file)
    if tenant_id != QUARANTINE and file.tenant(tenant_id) is None:
        raise ConfigurationError(
            f"LDV_TENANT names no tenant of {file.path}. Nothing was done. It has "
            f"{len(file.content.tenants)}, such as {file.content.tenants[0].id}."
        )
    return tenant_settings(base, file, tenant_id)


def tenant_settings(base: Settings, file: LogboekenFile, tenant_id: str) -> Settings:
    """Return the settings for one Logboek of a file.

    Args:
        base: What they have in common.
        tenant_id: One of the file, or `QUARANTINE`.
    """
    tenant = file.tenant(tenant_id)
    entry: LogboekEntry = tenant or file.content.quarantine
    if tenant is not None and tenant.serve is not None:
        base = _served(base, file, tenant.serve)
    return msgspec.structs.replace(
        base,
        logboeken=None,
        tenant=tenant_id,
        logboek=entry.address,
        keys=file.file(entry.keys),
        password_file=file.file(entry.password_file),
        ca_file=file.file(entry.ca_file) or base.ca_file,
        client_cert_file=file.file(entry.client_cert_file) or base.client_cert_file,
        client_key_file=file.file(entry.client_key_file) or base.client_key_file,
        spool=file.file(entry.spool) or base.spool,
        own_spool=bool(entry.spool),
        routed=entry.routed,
        seal_key=file.file(entry.seal_key),
        register=file.location(entry.register) or base.register,
        logboek_id=entry.logboek_id,
        organisation=entry.organisation,
    )


def _served(base: Settings, file: LogboekenFile, serving: TenantServing) -> Settings:
    """Return the settings with what the file says of serving a tenant; what it leaves out of that, nobody has."""
    tokens, citizens = bool(serving.audience), bool(serving.inzage_audience)
    common = base.serve
    serve = msgspec.structs.replace(
        common,
        url=serving.url,
        clients=file.file(serving.clients),
        issuer=(serving.issuer or common.issuer) if tokens else "",
        jwks=(file.location(serving.jwks) or common.jwks) if tokens else "",
        audience=serving.audience,
        trace_claim=common.trace_claim if tokens else "",
        trace_issuer=common.trace_issuer if tokens else "",
        trace_jwks=common.trace_jwks if tokens else "",
        # The same word for both: a tenant has one name for whoever gives out tokens.
        trace_audience=serving.audience if common.trace_issuer else "",
        audiences=file.audiences,
    )
    inzage = msgspec.structs.replace(
        base.inzage,
        issuer=(serving.inzage_issuer or base.inzage.issuer) if citizens else "",
        jwks=(file.location(serving.inzage_jwks) or base.inzage.jwks) if citizens else "",
        audience=serving.inzage_audience,
        proxies=base.inzage.proxies if citizens else Networks(),
        contact=serving.contact,
        logout=serving.logout,
    )
    return msgspec.structs.replace(
        base,
        serve=serve,
        inzage=inzage,
        house_style=file.file(serving.house_style),
        toezicht_activity=serving.toezicht_activity,
    )


def _settings(parsed: Mapping[str, Any]) -> Settings:
    fields = {variable.name: variable.field for variable in VARIABLES}
    values: dict[str, Any] = {fields[name]: value for name, value in parsed.items()}
    serve, inzage, gemma = (
        {name.removeprefix(part): values.pop(name) for name in [*values] if name.startswith(part)}
        for part in ("serve.", "inzage.", "gemma.")
    )
    return Settings(
        **values,
        serve=ServeSettings(**serve, outbound_proxy=values.get("proxy", "")),
        inzage=InzageSettings(**inzage, outbound_proxy=values.get("proxy", "")),
        gemma=GemmaSettings(**gemma),
    )


def read_some_settings(environ: Mapping[str, str], *fields: str) -> dict[str, Any]:
    """Read and check only some settings, for a part that does not know the Logboek; what is not set is left out.

    Args:
        fields: Names in `Settings`.

    Raises:
        ConfigurationError: As `read_settings`.
    """
    wanted = [variable for variable in VARIABLES if variable.field in fields]
    names = {variable.name: variable.field for variable in wanted}
    return {names[name]: value for name, value in _parsed(environ, wanted).items()}


def _parsed(environ: Mapping[str, str], variables: Iterable[Variable]) -> dict[str, Any]:
    """Return the values of those variables that are set, by name."""
    values: dict[str, Any] = {}
    for variable in variables:
        raw = environ.get(variable.name)
        if raw is None or (not raw and variable.field != "password"):
            continue
        if variable.names_a_file and raw.startswith(_CREDENTIAL):
            values[variable.name] = _credential(variable, raw.removeprefix(_CREDENTIAL), environ)
            continue
        try:
            values[variable.name] = variable.parse(raw)
        except ValueError as error:
            raise ConfigurationError(
                f"{variable.name} cannot be used: {_reason(error)}. Logging did not start. {variable.meaning}"
            ) from None
    return values


def _credential(variable: Variable, name: str, environ: Mapping[str, str]) -> Path:
    """Return where systemd put a credential of this service; its name leads to nothing else.

    Source: systemd.exec(5), LoadCredential= and CREDENTIALS_DIRECTORY.
    """
    directory = environ.get(_CREDENTIALS_DIRECTORY, "")
    if not _CREDENTIAL_NAME.fullmatch(name):
        raise ConfigurationError(
            f"{variable.name} cannot be used: after `{_CREDENTIAL}` comes the name of a credential, of letters, digits "
            f"and `._-`. Logging did not start. {variable.meaning}"
        )
    if not directory.startswith("/"):
        raise ConfigurationError(
            f"{variable.name} names the credential {name!r}, and this process has none ({_CREDENTIALS_DIRECTORY} is "
            f"not set). Logging did not start. Put `LoadCredential={name}:/path/of/the/file` into the unit of the "
            "service, or let the variable name the file."
        )
    return Path(directory, name)


def unknown_variables(names: Iterable[str]) -> list[str]:
    """Return a sentence for each `LDV_*` name that ldv_otel does not have but nearly has: most likely a slip."""
    import difflib  # as good as never needed

    defined = [variable.name for variable in VARIABLES]
    sentences = []
    for name in sorted(names):
        if name.startswith("LDV_") and name not in defined:
            close = difflib.get_close_matches(name, defined, n=1, cutoff=0.8)
            if close:
                sentences.append(f"{name} means nothing to ldv_otel; was {close[0]} meant?")
    return sentences


def _check_transport(address: LogboekAddress, *, allowed: bool) -> None:
    if address.scheme.endswith("+http") and not is_loopback(address.host) and not allowed:
        raise ConfigurationError(
            f"LDV_LOGBOEK uses plain http to {address.host}. Logging did not start. "
            f"Use {address.scheme}s, or LDV_ALLOW_INSECURE=1 on a test network (LDV-L1)."
        )


def _reason(error: ValueError) -> str:
    """Return our own reasons as they are; Python's own quote the value, which may be a secret."""
    text = str(error)
    return text if text.startswith(("it ", "an embedded", "the only", "its ")) else "it is not of the right form"
