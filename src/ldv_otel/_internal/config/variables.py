"""Every `LDV_*` variable: its name, what it means, its default, and the check that stops a wrong value at the start."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args
from urllib.parse import urlsplit

from ldv_otel._internal.config.address import is_loopback, parse_address
from ldv_otel._internal.config.logboeken import TENANT_ID
from ldv_otel._internal.config.networks import Networks, parse_networks

DeliveryLevel = Literal["memory", "durable", "write-ahead", "confirmed"]
ExposedSubject = Literal["nothing", "pseudonym"]
StrayBsn = Literal["redact", "flag", "refuse"]
RegisterCheck = Literal["off", "flag", "refuse"]
#: What becomes of a caller's trace: it continues in this application, or a new one begins that refers to it (LDV-X2).
Language = Literal["nl", "en"]
TraceChoice = Literal["continue", "restart"]

#: Where nobody knows which application called: an address that exists nowhere, and is absolute and https, as others
#: require it to be (LDV-N10).
UNKNOWN_CALLER_URL: Final = "https://onbekende-aanroeper.invalid/"

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"", "0", "false", "no", "off"})
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
#: The name of an attribute of a resource, or the beginning of names: never nothing but a `*`.
_RESOURCE_ATTRIBUTE: Final = re.compile(r"[A-Za-z0-9_/-][A-Za-z0-9_./-]{0,255}[*]?")
_LONGEST_SILENCE: Final = re.compile(r"(\d{1,5})(min|h|d)")
_UNIT_MS: Final = {"min": 60_000, "h": 3_600_000, "d": 86_400_000}
#: Which status an exception gives; of several attributes, separated by `|`, the first that has an HTTP status decides.
STATUS_ENTRY: Final = re.compile(r"[A-Za-z_][\w.]*=(Unset|Ok|Error|http:[A-Za-z_][\w.]*([|][A-Za-z_][\w.]*)*)")
#: Signatures that a server can check without being able to make them; `none` and shared secrets are not among them.
_TOKEN_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
#: Where an access token names the client and its scopes (RFC 9068), and, for clients, OpenID Connect.
CLIENT_CLAIMS: Final = ("client_id", "azp")
SCOPE_CLAIMS: Final = ("scope",)
#: Claims of a token (RFC 7519, 8693, 9068) that say something else than which trace it opens.
_CLAIMS_WITH_MEANING: Final = frozenset(
    {"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf", "azp", "client_id", "scope", "scopes"}
)


@dataclass(frozen=True)
class Variable:
    """One environment variable.

    Attributes:
        field: Name in `Settings`; `serve.name`, `inzage.name` or `gemma.name` for one in those.
        default: As documentation shows it.
        meaning: One sentence for the reference in `docs/settings.md`.
        parse: Gives the value, or a `ValueError` whose text begins with `it `: others may quote a secret and are not
            shown.
    """

    name: str
    field: str
    default: str
    meaning: str
    parse: Callable[[str], Any]

    @property
    def names_a_file(self) -> bool:
        """Whether its value is the path of a file or directory, and so may name a credential of systemd."""
        return self.parse is _path


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


def _tenant(value: str) -> str:
    if not TENANT_ID.fullmatch(value):
        raise ValueError("it is no id of a tenant, of 1 to 64 letters, digits, dots, hyphens and underscores")
    return value


def _words(value: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in value.split(",") if word.strip())


def _resource_attributes(value: str) -> tuple[str, ...]:
    words = _words(value)
    if not all(_RESOURCE_ATTRIBUTE.fullmatch(word) for word in words):
        raise ValueError("it is no list of names like cmdb_ci,k8s.cluster.name,cloud.*")
    return words


def _expected_services(value: str) -> tuple[tuple[str, int], ...]:
    services = {}
    for word in _words(value):
        name, _, longest = (part.strip() for part in word.rpartition("=")) if "=" in word else (word, "", "24h")
        match = _LONGEST_SILENCE.fullmatch(longest)
        if not name or match is None:
            raise ValueError("it is no list like parkeren=1h,burgerzaken=3d: service.name, and the longest silence")
        services[name] = int(match[1]) * _UNIT_MS[match[2]]
    return tuple(services.items())


def _status_of(value: str) -> tuple[str, ...]:
    words = _words(value)
    if not all(STATUS_ENTRY.fullmatch(word) for word in words):
        raise ValueError(
            "it is no list like app.Refused=Unset,app.ApiError=http:status_code: a class with its module, and Unset, "
            "Ok, Error or http: with the attribute that holds the HTTP status"
        )
    return words


def _networks(value: str) -> Networks:
    try:
        return parse_networks(_words(value))
    except ValueError:
        raise ValueError("it is not a list of addresses and networks like 10.0.0.5,10.1.0.0/16") from None


def _header(value: str) -> str:
    if not _HEADER_NAME.fullmatch(value):
        raise ValueError("it is no name of a header")
    return value


def _claim(value: str) -> str:
    if value in _CLAIMS_WITH_MEANING:
        raise ValueError("it is a claim that says something else")
    return value


def _claims(value: str) -> tuple[str, ...]:
    names = _words(value)
    if not names or not all(name.isprintable() and " " not in name for name in names):
        raise ValueError("it is no list of claims like scp,roles,realm_access.roles")
    return names


def _client_claims(value: str) -> tuple[str, ...]:
    names = _claims(value)
    # It goes into the access log and into the counts of requests.
    if "sub" in names:
        raise ValueError("it names `sub`, which may be a person's identifier")
    return names


def _algorithms(value: str) -> tuple[str, ...]:
    names = _words(value)
    if not names or not set(names) <= set(_TOKEN_ALGORITHMS):
        raise ValueError(f"it may name {', '.join(_TOKEN_ALGORITHMS)}, and nothing else")
    return names


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("it is no address like https://logboek.example")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("it uses plain http to another machine; use https")
    return value.rstrip("/")


def _https_page(value: str) -> str:
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme != "https" or parts.username or " " in value or not value.isprintable():
        raise ValueError("it is no address like https://www.gemeente.example/onbekende-aanroeper")
    return value


def _proxy(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("it is no address like http://proxy.example:3128")
    if parts.username or parts.password:
        raise ValueError("it holds a user or password, which would be shown in listings of the environment")
    return value.rstrip("/")


def _file_or_web_address(value: str) -> str:
    return _web_address(value) if "://" in value else str(_path(value))


def _timezone(value: str) -> str:
    from zoneinfo import ZoneInfo  # only who serves a page needs it

    try:
        ZoneInfo(value)
    except (OSError, ValueError, KeyError):
        raise ValueError("it is no time zone like Europe/Amsterdam") from None
    return value


def _uri(value: str) -> str:
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


def _stray_bsn(value: str) -> str:
    if value not in get_args(StrayBsn):
        raise ValueError(f"it must be one of {', '.join(get_args(StrayBsn))}")
    return value


def _register_check(value: str) -> str:
    if value not in get_args(RegisterCheck):
        raise ValueError(f"it must be one of {', '.join(get_args(RegisterCheck))}")
    return value


def _language(value: str) -> str:
    if value not in get_args(Language):
        raise ValueError(f"it is not one of {', '.join(get_args(Language))}")
    return value


def _exposed_subject(value: str) -> str:
    if value not in get_args(ExposedSubject):
        raise ValueError("it is neither `nothing` nor `pseudonym`")
    return value


def _between(low: float, high: float, kind: Callable[[str], float], unit: str) -> Callable[[str], float]:
    def parse(value: str) -> float:
        try:
            number = kind(value)
        except ValueError:
            whole = "whole " if kind is int else ""
            raise ValueError(f"it is no {whole}number of {unit} between {low:g} and {high:g}") from None
        if not low <= number <= high:
            raise ValueError(f"it must lie between {low:g} and {high:g} {unit}")
        return number

    return parse


VARIABLES: Final = (
    Variable(
        "LDV_LOGBOEK",
        "logboek",
        "(required)",
        "Where the Logboek is: `chdb:///path`, `chdb:path` (below the current directory), "
        "`clickhouse+https://user@host:8443/database`, or, for writing only, `otlp+https://collector:4318` or "
        "`gemma+https://client-id@register/api/v1`.",
        parse_address,
    ),
    Variable(
        "LDV_LOGBOEKEN",
        "logboeken",
        "",
        "YAML file of the Logboeken of a service that works for several controllers, in the place of `LDV_LOGBOEK` and "
        "`LDV_KEYS`: for each tenant its address, keys, Register and spool.",
        _path,
    ),
    Variable(
        "LDV_TENANT",
        "tenant",
        "",
        "Id of the one tenant of `LDV_LOGBOEKEN` that a process or command is about (`ldv --tenant`), or `quarantine`.",
        _tenant,
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
        "LDV_PROXY",
        "proxy",
        "",
        "Address of an HTTP proxy, `http://proxy.example:3128`, for all that is sent to another machine. Those of the "
        "environment (`HTTP_PROXY` and the like) are not used.",
        _proxy,
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
        _between(1, 10_000_000, int, "records"),
    ),
    Variable(
        "LDV_FLUSH_SECONDS",
        "flush_seconds",
        "10",
        "How long the end of the process waits for pending records, in seconds.",
        _between(0, 3_600, float, "seconds"),
    ),
    Variable(
        "LDV_CONFIRM_SECONDS",
        "confirm_seconds",
        "10",
        "How long level `confirmed` waits for the Logboek, in seconds.",
        _between(0.01, 3_600, float, "seconds"),
    ),
    Variable(
        "LDV_EXCEPTION_MESSAGES",
        "exception_messages",
        "0",
        "`1` keeps exception messages and source lines in the Logregel; they may quote personal data.",
        _flag,
    ),
    Variable(
        "LDV_SEAL_KEY",
        "seal_key",
        "(beside the key file for pseudonyms)",
        "File of the key that seals records in ClickHouse, so that a change of them shows (`ldv verify`). In a Logboek "
        "that was never sealed it is made when it is not there; else `ldv seal --new-key` makes one.",
        _path,
    ),
    Variable(
        "LDV_SEAL",
        "seal",
        "1",
        "`0` stores records in ClickHouse without a seal, so that a change of them does not show.",
        _flag,
    ),
    Variable(
        "LDV_WITNESSES",
        "witnesses",
        "",
        "YAML file of the witnesses of other organisations that `ldv seal` asks to cosign checkpoints: their addresses "
        "and keys, and how many of them are enough.",
        _path,
    ),
    Variable(
        "LDV_WITNESS_LOGS",
        "witness_logs",
        "",
        "YAML file of the logs of other organisations whose checkpoints are cosigned here, by `ldv witness` or beside "
        "the other APIs of `ldv serve`.",
        _path,
    ),
    Variable(
        "LDV_WITNESS_STATE",
        "witness_state",
        "(`witness` in `LDV_STATE`)",
        "Directory of the key of the witness and of the last checkpoint of each log that it cosigned.",
        _path,
    ),
    Variable(
        "LDV_STATE",
        "state",
        "(the platform's state directory)",
        "Directory for loss reports.",
        _path,
    ),
    Variable(
        "LDV_REGISTER",
        "register",
        "",
        "Register of processing activities, for readers: a YAML or JSON file, or an `https://` URL.",
        _location,
    ),
    Variable(
        "LDV_REGISTER_CHECK",
        "register_check",
        "off",
        "What becomes at the time of writing of a record whose activity the Register does not have: `off` does not "
        "look, `flag` flags the record, `refuse` flags it and sets it apart (LDV-N15). Needs `LDV_REGISTER`.",
        _register_check,
    ),
    Variable(
        "LDV_PARTIES",
        "parties",
        "",
        "File of the parties around this application: its callers with their proofs, and the parties it calls.",
        _path,
    ),
    Variable(
        "LDV_UNKNOWN_CALLERS",
        "unknown_callers",
        "(`restart` where `LDV_PARTIES` names callers, else `continue`)",
        "Whether the trace of an untrusted caller continues here (`continue`), or one of our own begins that "
        "refers to it (`restart`).",
        _trace_choice,
    ),
    Variable(
        "LDV_UNKNOWN_CALLER_URL",
        "unknown_caller_url",
        UNKNOWN_CALLER_URL,
        "Address that records have as `dpl.core.foreign_operation.processor` where another application called and "
        "nobody knows which: https, best a page of yours that says so (LDV-N10).",
        _https_page,
    ),
    Variable("LDV_ORGANISATION", "organisation", "", "Name of the organisation whose Logboek this is.", _text),
    Variable(
        "LDV_LOGBOEK_ID",
        "logboek_id",
        "",
        "URI of this Logboek's read API in answers of `ldv serve`; by default from `LDV_SERVE_URL`.",
        _uri,
    ),
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
        "File of the clients, YAML or JSON: their certificates and rights.",
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
    Variable(
        "LDV_SERVE_ISSUER",
        "serve.issuer",
        "",
        "Issuer of the access tokens (`iss`).",
        _text,
    ),
    Variable(
        "LDV_SERVE_AUDIENCE",
        "serve.audience",
        "",
        "Audience that access tokens must have (`aud`).",
        _text,
    ),
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
        "LDV_SERVE_CLIENT_CLAIMS",
        "serve.client_claims",
        "client_id,azp",
        "Comma separated claims of access tokens; the first that a token has names the client.",
        _client_claims,
    ),
    Variable(
        "LDV_SERVE_SCOPE_CLAIMS",
        "serve.scope_claims",
        "scope",
        "Comma separated claims whose words are the client's scopes, as in `scp,roles`; dots lead into an object.",
        _claims,
    ),
    Variable(
        "LDV_SERVE_TRACE_CLAIM",
        "serve.trace_claim",
        "",
        "Claim of tokens that open one trace and nothing else, such as `trace_id`; not set: there are none.",
        _claim,
    ),
    Variable(
        "LDV_SERVE_TRACE_ISSUER",
        "serve.trace_issuer",
        "",
        "Issuer of those tokens, where it is another than that of access tokens.",
        _text,
    ),
    Variable("LDV_SERVE_TRACE_AUDIENCE", "serve.trace_audience", "", "Audience that its tokens must have.", _text),
    Variable(
        "LDV_SERVE_TRACE_JWKS",
        "serve.trace_jwks",
        "",
        "File or https address of the keys that sign them (JWKS).",
        _file_or_web_address,
    ),
    Variable(
        "LDV_SERVE_URL",
        "serve.url",
        "",
        "Public address of `ldv serve`, as in its OpenAPI document.",
        _web_address,
    ),
    Variable(
        "LDV_SERVE_REQUESTS_PER_MINUTE",
        "serve.requests_per_minute",
        "300",
        "How many requests each client may make in a minute.",
        _between(1, 1_000_000, int, "requests"),
    ),
    Variable(
        "LDV_SERVE_RECORDS",
        "serve.records",
        "500",
        "The most records in one answer.",
        _between(1, 10_000, int, "records"),
    ),
    Variable(
        "LDV_SERVE_SECONDS",
        "serve.seconds",
        "10",
        "The most time for one answer, in seconds.",
        _between(0.1, 600, float, "seconds"),
    ),
    Variable(
        "LDV_SERVE_METRICS_FROM",
        "serve.metrics_from",
        "(this machine, where no proxy is on it)",
        "Addresses and networks that may read `/metrics` of `ldv serve`; what a proxy passes on is never answered.",
        _networks,
    ),
    Variable(
        "LDV_INZAGE_ISSUER",
        "inzage.issuer",
        "",
        "Issuer of the ID tokens of citizens (`iss`).",
        _text,
    ),
    Variable(
        "LDV_INZAGE_AUDIENCE",
        "inzage.audience",
        "",
        "Audience that those tokens must have (`aud`): the proxy's client id.",
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
        "Addresses and networks of the authentication proxies; tokens from other addresses are refused.",
        _networks,
    ),
    Variable(
        "LDV_INZAGE_HEADER",
        "inzage.header",
        "X-Id-Token",
        "Header in which the proxy passes the token.",
        _header,
    ),
    Variable("LDV_INZAGE_CLAIM", "inzage.claim", "sub", "Claim with the citizen's identifier.", _text),
    Variable("LDV_INZAGE_TYPE", "inzage.subject_type", "BSN", "Type of that identifier.", _text),
    Variable(
        "LDV_INZAGE_MINUTES",
        "inzage.minutes",
        "15",
        "Highest age of a token in minutes, even if it is valid for longer.",
        _between(1, 120, float, "minutes"),
    ),
    Variable(
        "LDV_INZAGE_TIMEZONE", "inzage.timezone", "Europe/Amsterdam", "Time zone of the times on the page.", _timezone
    ),
    Variable(
        "LDV_HOUSE_STYLE",
        "house_style",
        "",
        "Folder with the organisation's own words, colours and logo for pages and letters (docs/inzage.md).",
        _path,
    ),
    Variable(
        "LDV_LANG",
        "language",
        "",
        "`nl` or `en`: the language of lists of records for people. Without it Dutch where the system is (`LANG`), "
        "else English.",
        _language,
    ),
    Variable(
        "LDV_INZAGE_PROOF",
        "inzage.proof",
        "1",
        "`0` gives citizens no proofs of their records. A proof shows a record whole, with technical attributes too.",
        _flag,
    ),
    Variable(
        "LDV_INZAGE_CONTACT",
        "inzage.contact",
        "",
        "Where citizens can ask further questions: an https or e-mail address.",
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
        "URI of the Verwerkingsactiviteit under which `ldv serve --gemma` logs the queries that it answers.",
        _uri,
    ),
    Variable(
        "LDV_GEMMA_TIMEZONE",
        "gemma.timezone",
        "Europe/Amsterdam",
        "Time zone of the dates in queries to `ldv serve --gemma`.",
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
        "LDV_GEMMA_API_KEY_FILE",
        "gemma.api_key_file",
        "",
        "File with the API key that a gateway before a register of `gemma+https://...` asks for, beside our token.",
        _path,
    ),
    Variable(
        "LDV_GEMMA_API_KEY_HEADER",
        "gemma.api_key_header",
        "X-Api-Key",
        "Header in which that API key is sent.",
        _header,
    ),
    Variable(
        "LDV_TOEZICHT_ACTIVITY",
        "toezicht_activity",
        "",
        "URI of the Verwerkingsactiviteit under which `ldv serve` logs a privacy officer's access to a person's "
        "records. With it there are pages for privacy officers.",
        _uri,
    ),
    Variable(
        "LDV_LINK_ACTIVITY",
        "link_activity",
        "",
        "URI of the Verwerkingsactiviteit under which `ldv subject` logs that numbers are one person's.",
        _uri,
    ),
    Variable(
        "LDV_RECORD",
        "record",
        "all",
        "Which spans are recorded that OpenTelemetry's sampler drops: `all`; or `acties`, only those that are "
        "Acties when they start, have any `dpl.` attribute then, may become one by a mapping rule, or are inside an "
        "Actie.",
        _record,
    ),
    Variable(
        "LDV_RULES",
        "rules",
        "",
        "YAML file of mapping rules: which spans of existing instrumentation are Acties, and the source of their "
        "data subjects.",
        _path,
    ),
    Variable(
        "LDV_STRAY_BSN",
        "stray_bsn",
        "redact",
        "What becomes of a BSN in a text of a record that nobody named as a subject: `redact` writes `*********` "
        "in its place, `flag` keeps it and flags the record, `refuse` redacts it and sets the record apart (LDV-N14).",
        _stray_bsn,
    ),
    Variable(
        "LDV_STRAY_BSN_EXCEPT",
        "stray_bsn_except",
        "",
        "Comma separated names of attributes in which no stray BSN is looked for, because their numbers are no BSNs; "
        "`name` is the name of a record.",
        _words,
    ),
    Variable(
        "LDV_STATUS_OF",
        "status_of",
        "",
        "Comma separated exceptions with the status that they give an Actie, beside those of common frameworks: "
        "`module.Class=Unset`, `=Ok`, `=Error`, or `=http:ATTRIBUTE` where that holds an HTTP status (LDV-A5).",
        _status_of,
    ),
    Variable(
        "LDV_RESOURCE_ATTRIBUTES",
        "resource_attributes",
        "",
        "Comma separated attributes of the OpenTelemetry resource that records keep beside those that name a system, "
        "application or component by the usual names: whole names, or the beginning of names with a `*` (LDV-N8).",
        _resource_attributes,
    ),
    Variable(
        "LDV_EXPECTED_SERVICES",
        "expected_services",
        "",
        "Comma separated services (`service.name`) that have to be in the Logboek, each with the longest silence that "
        "is not worth a word: `parkeren=1h,burgerzaken=3d`; without one 24 hours. For `ldv status` and `ldv serve`.",
        _expected_services,
    ),
    Variable(
        "LDV_EXPOSE_SUBJECT",
        "expose_subject",
        "nothing",
        "What other exporters see of a span's data subject: `nothing`, or its `pseudonym`.",
        _exposed_subject,
    ),
)
