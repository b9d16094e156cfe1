"""The address of a Logboek (`LDV_LOGBOEK`), and which hosts are this machine itself."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

_DATABASE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_DEFAULT_DATABASE: Final = "ldv"
_OTLP_PORT: Final = 4318
_SCHEMES: Final = (
    "chdb",
    "clickhouse+https",
    "clickhouse+http",
    "otlp+https",
    "otlp+http",
    "gemma+https",
    "gemma+http",
)
#: What others call these.
_SHORT: Final = {
    "clickhouse": "clickhouse+https",
    "clickhouses": "clickhouse+https",
    "https": "clickhouse+https or otlp+https",
    "http": "clickhouse+http or otlp+http",
    "otlp": "otlp+https",
    "gemma": "gemma+https",
}


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


def parse_address(value: str) -> LogboekAddress:
    """Parse an address of the Logboek.

    `chdb:logboek` is a directory below the one in which the process starts.

    Raises:
        ValueError: What is wrong with it, without repeating the value: it may hold a password.
    """
    parts = urlsplit(value)
    if near := _meant(parts.scheme):
        raise ValueError(f"it begins with {parts.scheme}:, which is no kind of Logboek (did you mean {near}?)")
    if parts.scheme != "chdb" and (not parts.scheme or "://" not in value):
        raise ValueError(
            "it is no address like chdb:logboek, chdb:///var/lib/ldv/logboek or clickhouse+https://user@host:8443/ldv"
        )
    if parts.password is not None:
        raise ValueError("it holds a password; put that in LDV_LOGBOEK_PASSWORD or LDV_LOGBOEK_PASSWORD_FILE")
    if parts.query or parts.fragment:
        raise ValueError("it has a `?` or `#` part, which means nothing here")
    if parts.scheme == "chdb":
        return LogboekAddress(scheme="chdb", path=_embedded_path(parts))
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


def _meant(scheme: str) -> str:
    """Return the scheme that was probably meant; empty for ours, and for one that another package may have."""
    if scheme in _SCHEMES:
        return ""
    if scheme in _SHORT:
        return _SHORT[scheme]
    import difflib  # only of use to who misspells

    return next(iter(difflib.get_close_matches(scheme, _SCHEMES, n=1, cutoff=0.75)), "")


def _embedded_path(parts: SplitResult) -> str:
    """Return the absolute path of an embedded Logboek; `..` and links stay, for the check of the way to it."""
    path = Path(unquote(parts.path))
    if parts.netloc or path.name in ("", ".."):
        raise ValueError(
            "an embedded Logboek is a directory: chdb:logboek below the current directory, or an absolute path after "
            "three slashes, as in chdb:///var/lib/ldv/logboek"
        )
    try:
        return str(Path.cwd() / path)
    except OSError as error:
        raise ValueError(f"it begins in the current directory, and that cannot be found ({error.strerror})") from error


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


def is_loopback(host: str) -> bool:
    """Say whether a host name or address is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
