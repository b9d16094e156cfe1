"""Every `LDV_*` variable: its name, what it means, its default, and the check that stops a wrong value at the start.

Nothing here reads the environment or a file: entry points hand in the mapping.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from ldv_otel.errors import ConfigurationError

DeliveryLevel = Literal["memory", "durable", "write-ahead", "confirmed"]
ExposedSubject = Literal["nothing", "pseudonym"]
#: What becomes of a caller's trace: it goes on here, or one of our own begins that refers to it (LDV-X2).
TraceChoice = Literal["continue", "restart"]

_DATABASE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"", "0", "false", "no", "off"})
_DEFAULT_DATABASE: Final = "ldv"
_OTLP_PORT: Final = 4318
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
#: Signatures that a server can check without being able to make them; `none` and shared secrets are not among them.
_TOKEN_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class LogboekAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where the Logboek is.

    Attributes:
        scheme: `chdb`, `clickhouse+https`, `clickhouse+http`, or one that another package added.
        path: Directory of an embedded Logboek; where an API of another package begins; empty for a ClickHouse server.
        host: Host name or address of a server; empty for an embedded Logboek.
        database: Empty for what is no ClickHouse.
    """

    scheme: str
    path: str = ""
    host: str = ""
    port: int = 0
    user: str = ""
    database: str = _DEFAULT_DATABASE

    @property
    def written_only(self) -> bool:
        """Whether it is no ClickHouse but something before one, such as a Collector: written to, never read here."""
        return not self.embedded and not self.scheme.startswith("clickhouse+")

    @property
    def embedded(self) -> bool:
        """Whether the engine runs inside this process."""
        return self.scheme == "chdb"

    def __str__(self) -> str:
        """The address without anything secret."""
        if self.embedded:
            return f"chdb://{self.path}"
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        where = self.path if self.written_only else f"/{self.database}"
        return f"{self.scheme}://{user}{host}:{self.port}{where}"


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `ldv serve` needs to know beyond the Logboek.

    Attributes:
        jwks: Path or https URL of the keys that sign access tokens; empty when tokens are not accepted.
        proxies: Addresses and networks whose word about a client certificate is believed.
        url: Where clients find the server, as it is shown to them; empty for the address of the request.
        records: The most records in one answer.
        seconds: The most time for one answer.
    """

    certificate: Path | None = None
    private_key: Path | None = None
    client_ca: Path | None = None
    clients: Path | None = None
    proxies: tuple[IPNetwork, ...] = ()
    certificate_header: str = "Client-Cert"
    issuer: str = ""
    audience: str = ""
    jwks: str = ""
    algorithms: tuple[str, ...] = ("PS256", "RS256", "ES256", "EdDSA")
    url: str = ""
    requests_per_minute: int = 300
    records: int = 500
    seconds: float = 10.0


class InzageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the page for citizens of `ldv serve` needs to know.

    Attributes:
        jwks: Path or https URL of the keys that sign the assertions; empty when there is no page.
        claim: Where the assertion has the person's identifier.
        subject_type: Type of that identifier.
        proxies: Addresses and networks of the proxies whose assertions are taken.
        minutes: How old an assertion may be.
        contact: Where people can ask: an address of a page or of e-mail.
        logout: Where the proxy ends the session; empty for no such link.
    """

    issuer: str = ""
    audience: str = ""
    jwks: str = ""
    header: str = "X-Id-Token"
    claim: str = "sub"
    subject_type: str = "BSN"
    proxies: tuple[IPNetwork, ...] = ()
    minutes: float = 15.0
    timezone: str = "Europe/Amsterdam"
    contact: str = ""
    logout: str = ""


class GemmaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the APIs of GEMMA Verwerkingenlogging need to know.

    Attributes:
        clients: File of the clients: their secrets and scopes.
        activity: The Verwerkingsactiviteit under which questions to the register are logged, as a URI.
        timezone: Of the dates in a question.
        processor: Address of an organisation, with `{oin}` where its OIN comes; may be empty.
        gebruiker: Whether `gebruiker` is kept.
    """

    clients: Path | None = None
    activity: str = ""
    timezone: str = "Europe/Amsterdam"
    processor: str = ""
    gebruiker: bool = True


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, read and checked. Make one with `read_settings`."""

    logboek: LogboekAddress
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
    register: str = ""
    allow_insecure: bool = False
    parties: Path | None = None
    unknown_callers: TraceChoice | None = None
    organisation: str = ""
    logboek_id: str = ""
    serve: ServeSettings = ServeSettings()
    inzage: InzageSettings = InzageSettings()
    toezicht_activity: str = ""
    gemma: GemmaSettings = GemmaSettings()
    rules: Path | None = None
    expose_subject: ExposedSubject = "nothing"

    def __repr__(self) -> str:
        """Leave the password out: settings end up in logs and tracebacks."""
        return f"Settings(logboek={str(self.logboek)!r}, delivery={self.delivery!r})"


@dataclass(frozen=True)
class Variable:
    """One environment variable.

    Attributes:
        field: Name in `Settings`; `serve.name`, `inzage.name` or `gemma.name` for one in those.
        default: As documentation shows it.
        meaning: One sentence for the reference in `docs/settings.md`.
    """

    name: str
    field: str
    default: str
    meaning: str
    parse: Callable[[str], Any]


def _text(value: str) -> str:
    return value


def _flag(value: str) -> bool:
    word = value.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("it is neither 1 nor 0")


def _path(value: str) -> Path:
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError:
        raise ValueError("it begins with ~ and a user who has no home directory here") from None


def _location(value: str) -> str:
    return value if "://" in value else str(_path(value))


def _words(value: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in value.split(",") if word.strip())


def _networks(value: str) -> tuple[IPNetwork, ...]:
    try:
        return tuple(ipaddress.ip_network(word) for word in _words(value))
    except ValueError:
        raise ValueError("it is not a list of addresses and networks like 10.0.0.5,10.1.0.0/16") from None


def _header(value: str) -> str:
    if not _HEADER_NAME.fullmatch(value):
        raise ValueError("it is no name of a header")
    return value


def _algorithms(value: str) -> tuple[str, ...]:
    found = _words(value)
    if not found or not set(found) <= set(_TOKEN_ALGORITHMS):
        raise ValueError(f"it may name {', '.join(_TOKEN_ALGORITHMS)}, and nothing else")
    return found


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("it is no address like https://logboek.example")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("it uses plain http to another machine; use https")
    return value.rstrip("/")


def _file_or_web_address(value: str) -> str:
    return _web_address(value) if "://" in value else str(_path(value))


def _timezone(value: str) -> str:
    from zoneinfo import ZoneInfo  # noqa: PLC0415  (only who serves a page needs it)

    try:
        ZoneInfo(value)
    except (OSError, ValueError, KeyError):
        raise ValueError("it is no time zone like Europe/Amsterdam") from None
    return value


def _activity(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]{1,2000}", value):
        raise ValueError("it is no URI")
    return value


def _contact(value: str) -> str:
    if "://" in value:
        return _web_address(value)
    if not re.fullmatch(r"[^@\s]{1,64}@[^@\s]{1,255}", value):
        raise ValueError("it is neither an https address nor one of e-mail")
    return value


def _record(value: str) -> str:
    if value not in {"all", "acties"}:
        raise ValueError("it is neither `all` nor `acties`")
    return value


def _level(value: str) -> str:
    if value not in get_args(DeliveryLevel):
        raise ValueError("it is none of `memory`, `durable`, `write-ahead` and `confirmed`")
    return value


def _trace_choice(value: str) -> str:
    if value not in get_args(TraceChoice):
        raise ValueError("it is neither `continue` nor `restart`")
    return value


def _exposed_subject(value: str) -> str:
    if value not in get_args(ExposedSubject):
        raise ValueError("it is neither `nothing` nor `pseudonym`")
    return value


def _between(low: float, high: float, kind: Callable[[str], float]) -> Callable[[str], float]:
    def parse(value: str) -> float:
        number = kind(value)
        if not low <= number <= high:
            raise ValueError(f"it must lie between {low:g} and {high:g}")
        return number

    return parse


def parse_address(value: str) -> LogboekAddress:
    """Parse an address of the Logboek.

    Raises:
        ValueError: What is wrong with it, without repeating the value: it may hold a password.
    """
    parts = urlsplit(value)
    if not parts.scheme or "://" not in value:
        raise ValueError("it is no address like chdb:///var/lib/ldv/logboek or clickhouse+https://user@host:8443/ldv")
    if parts.password is not None:
        raise ValueError("it holds a password; put that in LDV_LOGBOEK_PASSWORD or LDV_LOGBOEK_PASSWORD_FILE")
    if parts.query or parts.fragment:
        raise ValueError("it has a `?` or `#` part, which means nothing here")
    if parts.scheme == "chdb":
        path = unquote(parts.path)
        if parts.netloc or not path.startswith("/") or path == "/":
            raise ValueError("an embedded Logboek needs an absolute path after three slashes: chdb:///path/to/logboek")
        return LogboekAddress(scheme="chdb", path=str(Path(path)))
    if not parts.hostname:
        raise ValueError("it names no host")
    if not parts.scheme.startswith("clickhouse+"):
        return _written_only(parts)
    database = unquote(parts.path).strip("/") or _DEFAULT_DATABASE
    if not _DATABASE.fullmatch(database):
        raise ValueError("its database name is not a plain identifier (letters, digits, _)")
    default_port = 8443 if parts.scheme.endswith("https") else 8123
    return LogboekAddress(
        scheme=parts.scheme,
        host=parts.hostname,
        port=parts.port or default_port,
        user=unquote(parts.username or ""),
        database=database,
    )


def _written_only(parts: SplitResult) -> LogboekAddress:
    scheme, host = parts.scheme, parts.hostname or ""
    if scheme.startswith("otlp+"):
        if parts.path.strip("/") or parts.username:
            raise ValueError(
                "it names a path or user; a Collector's address is otlp+https://host:4318, without /v1/traces"
            )
        return LogboekAddress(scheme=scheme, host=host, port=parts.port or _OTLP_PORT)
    port = parts.port or (443 if scheme.endswith("https") else 80)
    user = unquote(parts.username or "")
    return LogboekAddress(scheme=scheme, host=host, port=port, user=user, path=parts.path.rstrip("/"))


VARIABLES: Final = (
    Variable(
        "LDV_LOGBOEK",
        "logboek",
        "(required)",
        "Where the Logboek is: `chdb:///path`, `clickhouse+https://user@host:8443/database`, or, for writing only, "
        "`otlp+https://collector:4318` or `gemma+https://client-id@register/api/v1`.",
        parse_address,
    ),
    Variable(
        "LDV_LOGBOEK_PASSWORD",
        "password",
        "",
        "Password of the ClickHouse user, bearer token for a Collector, or secret of the client of a GEMMA register.",
        _text,
    ),
    Variable("LDV_LOGBOEK_PASSWORD_FILE", "password_file", "", "File that holds the password instead.", _path),
    Variable(
        "LDV_LOGBOEK_CA_FILE", "ca_file", "", "PEM file of the authority that signed the server's certificate.", _path
    ),
    Variable(
        "LDV_LOGBOEK_CLIENT_CERT_FILE",
        "client_cert_file",
        "",
        "PEM file of the certificate that proves to a Collector or GEMMA register who this service is.",
        _path,
    ),
    Variable("LDV_LOGBOEK_CLIENT_KEY_FILE", "client_key_file", "", "PEM file of that certificate's key.", _path),
    Variable(
        "LDV_ALLOW_INSECURE",
        "allow_insecure",
        "0",
        "`1` allows plain http to, and `ldv serve` without TLS on, more than this machine (LDV-L1).",
        _flag,
    ),
    Variable(
        "LDV_KEYS",
        "keys",
        "(beside an embedded Logboek)",
        "Key file for pseudonyms, made with `ldv key new`; only its owner may read it.",
        _path,
    ),
    Variable(
        "LDV_PSEUDONYMOUS_TYPES",
        "pseudonymous_types",
        "",
        "Comma separated types whose values are pseudonyms already; they are kept beside the lookup pseudonym.",
        _words,
    ),
    Variable(
        "LDV_DELIVERY",
        "delivery",
        "durable",
        "What `end()` promises: `memory` is queued, nothing more; `durable` is on the local disk until confirmed; "
        "`write-ahead` also commits the start before the work begins; `confirmed` waits for the Logboek itself.",
        _level,
    ),
    Variable(
        "LDV_SPOOL",
        "spool",
        "(the platform's state directory)",
        "Directory of the spool of all levels but `memory`: on a local disk, for this user only.",
        _path,
    ),
    Variable(
        "LDV_QUEUE_RECORDS",
        "queue_records",
        "65536",
        "How many Logregels the `memory` level holds at most; what does not fit is counted as lost.",
        _between(1, 10_000_000, int),
    ),
    Variable(
        "LDV_FLUSH_SECONDS",
        "flush_seconds",
        "10",
        "How long the end of the process waits for what is still queued, in seconds.",
        _between(0, 3_600, float),
    ),
    Variable(
        "LDV_CONFIRM_SECONDS",
        "confirm_seconds",
        "10",
        "How long level `confirmed` waits for the Logboek, in seconds.",
        _between(0.01, 3_600, float),
    ),
    Variable(
        "LDV_EXCEPTION_MESSAGES",
        "exception_messages",
        "0",
        "`1` keeps exception messages and source lines in the Logregel; they may quote personal data.",
        _flag,
    ),
    Variable("LDV_STATE", "state", "(the platform's state directory)", "Where losses are written down.", _path),
    Variable(
        "LDV_REGISTER",
        "register",
        "",
        "Register of processing activities, for readers: a YAML or JSON file, or an `https://` URL.",
        _location,
    ),
    Variable(
        "LDV_PARTIES",
        "parties",
        "",
        "File of the parties around this application: who calls it and how they prove it, and whom it calls.",
        _path,
    ),
    Variable(
        "LDV_UNKNOWN_CALLERS",
        "unknown_callers",
        "(`restart` where `LDV_PARTIES` names callers, else `continue`)",
        "Whether the trace of a caller that proves nothing goes on here (`continue`), or one of our own begins that "
        "refers to it (`restart`).",
        _trace_choice,
    ),
    Variable("LDV_ORGANISATION", "organisation", "", "Name of the organisation whose Logboek this is.", _text),
    Variable("LDV_LOGBOEK_ID", "logboek_id", "", "Name of this Logboek in answers of `ldv serve`.", _text),
    Variable(
        "LDV_SERVE_CERTIFICATE", "serve.certificate", "", "PEM file of the server's certificate, with its chain.", _path
    ),
    Variable("LDV_SERVE_PRIVATE_KEY", "serve.private_key", "", "PEM file of that certificate's key.", _path),
    Variable(
        "LDV_SERVE_CLIENT_CA",
        "serve.client_ca",
        "",
        "PEM file of the authorities whose client certificates are accepted (mutual TLS).",
        _path,
    ),
    Variable(
        "LDV_SERVE_CLIENTS",
        "serve.clients",
        "",
        "JSON file of the clients: which certificate is whose, and what each may see.",
        _path,
    ),
    Variable(
        "LDV_SERVE_PROXIES",
        "serve.proxies",
        "",
        "Addresses and networks of proxies whose header with the client's certificate is believed.",
        _networks,
    ),
    Variable(
        "LDV_SERVE_CERTIFICATE_HEADER",
        "serve.certificate_header",
        "Client-Cert",
        "That header: the certificate as RFC 9440 says, or as URL-encoded PEM.",
        _header,
    ),
    Variable("LDV_SERVE_ISSUER", "serve.issuer", "", "Who gives out the access tokens (`iss`).", _text),
    Variable("LDV_SERVE_AUDIENCE", "serve.audience", "", "For whom the access tokens must be (`aud`).", _text),
    Variable(
        "LDV_SERVE_JWKS",
        "serve.jwks",
        "",
        "File or https address of the keys that sign access tokens (JWKS).",
        _file_or_web_address,
    ),
    Variable(
        "LDV_SERVE_ALGORITHMS",
        "serve.algorithms",
        "PS256,RS256,ES256,EdDSA",
        "Comma separated signature algorithms of access tokens that are accepted.",
        _algorithms,
    ),
    Variable(
        "LDV_SERVE_URL", "serve.url", "", "Where clients find `ldv serve`, as in its OpenAPI document.", _web_address
    ),
    Variable(
        "LDV_SERVE_REQUESTS_PER_MINUTE",
        "serve.requests_per_minute",
        "300",
        "How many requests each client may make in a minute.",
        _between(1, 1_000_000, int),
    ),
    Variable("LDV_SERVE_RECORDS", "serve.records", "500", "The most records in one answer.", _between(1, 10_000, int)),
    Variable(
        "LDV_SERVE_SECONDS",
        "serve.seconds",
        "10",
        "The most time for one answer, in seconds.",
        _between(0.1, 600, float),
    ),
    Variable("LDV_INZAGE_ISSUER", "inzage.issuer", "", "Who signs the assertions of who a citizen is (`iss`).", _text),
    Variable(
        "LDV_INZAGE_AUDIENCE",
        "inzage.audience",
        "",
        "For whom those assertions must be (`aud`): the proxy's client id.",
        _text,
    ),
    Variable(
        "LDV_INZAGE_JWKS",
        "inzage.jwks",
        "",
        "File or https address of the keys that sign them (JWKS). With these three there is a page for citizens.",
        _file_or_web_address,
    ),
    Variable(
        "LDV_INZAGE_PROXIES",
        "inzage.proxies",
        "",
        "Addresses and networks of the authentication proxies; from elsewhere an assertion is not taken.",
        _networks,
    ),
    Variable(
        "LDV_INZAGE_HEADER",
        "inzage.header",
        "X-Id-Token",
        "Header in which the proxy passes the assertion on.",
        _header,
    ),
    Variable("LDV_INZAGE_CLAIM", "inzage.claim", "sub", "Claim with the citizen's identifier.", _text),
    Variable("LDV_INZAGE_TYPE", "inzage.subject_type", "BSN", "Type of that identifier.", _text),
    Variable(
        "LDV_INZAGE_MINUTES",
        "inzage.minutes",
        "15",
        "How old an assertion may be, in minutes, even if it says that it is good for longer.",
        _between(1, 120, float),
    ),
    Variable(
        "LDV_INZAGE_TIMEZONE", "inzage.timezone", "Europe/Amsterdam", "Time zone of the times on the page.", _timezone
    ),
    Variable(
        "LDV_INZAGE_CONTACT",
        "inzage.contact",
        "",
        "Where citizens can ask what the page does not tell: an https address, or one of e-mail.",
        _contact,
    ),
    Variable(
        "LDV_INZAGE_LOGOUT",
        "inzage.logout",
        "",
        "Address where the proxy ends a session, for the page's link.",
        _web_address,
    ),
    Variable(
        "LDV_GEMMA_CLIENTS",
        "gemma.clients",
        "",
        "YAML file of the clients of the APIs of GEMMA Verwerkingenlogging: their secrets and scopes, or where to ask.",
        _path,
    ),
    Variable(
        "LDV_GEMMA_ACTIVITY",
        "gemma.activity",
        "",
        "URI of the Verwerkingsactiviteit under which `ldv serve --gemma` logs the questions that it answers.",
        _activity,
    ),
    Variable(
        "LDV_GEMMA_TIMEZONE",
        "gemma.timezone",
        "Europe/Amsterdam",
        "Time zone of the dates in questions to `ldv serve --gemma`.",
        _timezone,
    ),
    Variable(
        "LDV_GEMMA_PROCESSOR",
        "gemma.processor",
        "",
        "Address of an organisation, with `{oin}` where its OIN comes, for the processor in Logregels of GEMMA.",
        _text,
    ),
    Variable(
        "LDV_GEMMA_GEBRUIKER",
        "gemma.gebruiker",
        "1",
        "`0` does not keep the `gebruiker` of Verwerkingsacties; kept, it is sealed and in no answer of LDV.",
        _flag,
    ),
    Variable(
        "LDV_TOEZICHT_ACTIVITY",
        "toezicht_activity",
        "",
        "URI of the Verwerkingsactiviteit under which `ldv serve` logs that a privacy officer looks into the records "
        "about somebody. With it there are pages for privacy officers.",
        _activity,
    ),
    Variable(
        "LDV_RECORD",
        "record",
        "all",
        "Which spans are looked at that OpenTelemetry's sampler drops: `all`; or `acties`, only those that are Acties, "
        "or may become one by a mapping rule, as they start, and what is inside an Actie.",
        _record,
    ),
    Variable(
        "LDV_RULES",
        "rules",
        "",
        "YAML file of mapping rules: which spans of existing instrumentation are Acties, and whom they are about.",
        _path,
    ),
    Variable(
        "LDV_EXPOSE_SUBJECT",
        "expose_subject",
        "nothing",
        "What other exporters may see of whom a span is about: `nothing`, or its `pseudonym`.",
        _exposed_subject,
    ),
)


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read and check all settings.

    Args:
        environ: Usually `os.environ`. Only names that start with `LDV_` are looked at.

    Raises:
        ConfigurationError: A value is wrong or missing; the message names the variable and the way out, and never
            shows a password.
    """
    found = _parsed(environ, VARIABLES)
    if "LDV_LOGBOEK" not in found:
        raise ConfigurationError(
            "LDV_LOGBOEK is not set, so there is no Logboek to write to. Logging did not start. "
            "Set it to chdb:///absolute/path for an embedded Logboek, or to clickhouse+https://user@host:8443/database."
        )
    _check_transport(found["LDV_LOGBOEK"], allowed=found.get("LDV_ALLOW_INSECURE", False))
    if "LDV_LOGBOEK_PASSWORD" in found and "LDV_LOGBOEK_PASSWORD_FILE" in found:
        raise ConfigurationError(
            "LDV_LOGBOEK_PASSWORD and LDV_LOGBOEK_PASSWORD_FILE are both set. Logging did not start. Keep one."
        )
    fields = {variable.name: variable.field for variable in VARIABLES}
    values: dict[str, Any] = {fields[name]: value for name, value in found.items()}
    serve, inzage, gemma = (
        {name.removeprefix(part): values.pop(name) for name in [*values] if name.startswith(part)}
        for part in ("serve.", "inzage.", "gemma.")
    )
    return Settings(
        **values,
        serve=ServeSettings(**serve),
        inzage=InzageSettings(**inzage),
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
    found: dict[str, Any] = {}
    for variable in variables:
        raw = environ.get(variable.name)
        if raw is None or (not raw and variable.field != "password"):
            continue
        try:
            found[variable.name] = variable.parse(raw)
        except ValueError as error:
            raise ConfigurationError(
                f"{variable.name} cannot be used: {_reason(error)}. Logging did not start. {variable.meaning}"
            ) from None
    return found


def unknown_variables(names: Iterable[str]) -> list[str]:
    """Return a sentence for each `LDV_*` name that means nothing here: most likely a slip of the pen."""
    import difflib  # noqa: PLC0415  (as good as never needed)

    known = [variable.name for variable in VARIABLES]
    sentences = []
    for name in sorted(names):
        if name.startswith("LDV_") and name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            if close:
                sentences.append(f"{name} means nothing to ldv_otel; was {close[0]} meant?")
    return sentences


def is_loopback(host: str) -> bool:
    """Say whether a host name or address is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
