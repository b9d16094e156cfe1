"""The Register's source: its file is read, or fetched from a URL and cached, and checked.

YAML or JSON, with `activities`, a list of entries with the fields of `ProcessingActivity`, and above it `controller`
for the entries that name none. Every problem is reported with file, line and entry.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections.abc import Callable
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from ldv_otel._internal.config.address import is_loopback
from ldv_otel._internal.config.home_directories import NoHomeDirectory, home_directory
from ldv_otel._internal.config.private_directories import make_directory
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.config.tls import tls_context
from ldv_otel._internal.config.yaml_file import YamlDocument, YamlError
from ldv_otel._internal.http.bounded_answers import EncodedError, TooLargeError, read_content
from ldv_otel._internal.register.register import ProcessingActivity, Register, RegisterError, consistency_problems
from ldv_otel.errors import ConfigurationError

if TYPE_CHECKING:
    import httpx

_logger = logging.getLogger(__name__)

MAX_BYTES: Final = 16 * 2**20
#: For how long a fetched Register is used without asking again, unless the server sets another `max-age`.
FRESH_SECONDS: Final = 300.0
_MAX_FRESH_SECONDS: Final = 86_400.0
_CONNECT_SECONDS: Final = 5
_ANSWER_SECONDS: Final = 30
#: How often it is tried again to get a connection; what breaks off later is left to the next time.
_CONNECT_RETRIES: Final = 2
_MAX_AGE: Final = re.compile(r"\bmax-age=(\d{1,9})")
_NO_CACHE: Final = re.compile(r"\bno-(?:cache|store)\b")


class _FetchedRegister(msgspec.Struct):
    """A Register as it was fetched from a URL; the cache keeps it on disk."""

    url: str
    text: str
    fetched: float
    fresh_seconds: float
    etag: str = ""
    last_modified: str = ""


class RegisterSource:
    """A Register that may change while a process runs: a file, or a URL fetched with caching.

    A URL is asked again once its copy is no longer fresh (`Cache-Control: max-age`, otherwise five minutes), with
    `If-None-Match`. When it cannot be reached, or has become unusable, the copy of last time stays in use, with a
    warning in the log.

    Args:
        location: Path of a YAML or JSON file, or an `https://` URL.
        cache: Directory for fetched copies; only this user may read it.
        allow_insecure: Whether `http://` may go to another machine.
        proxy: `LDV_PROXY`; may be empty.

    Raises:
        ConfigurationError: The location can never be used.
    """

    def __init__(
        self,
        location: str,
        *,
        cache: Path | None = None,
        allow_insecure: bool = False,
        proxy: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.location = location
        self._clock = clock
        self._cache = cache
        self._proxy = proxy
        self._register: Register | None = None
        self._version: object = None
        self._url = "://" in location
        if self._url:
            _check_url(location, allow_insecure=allow_insecure)
            _require_client()
        self._fetched: _FetchedRegister | None = None

    def get(self) -> Register:
        """Return the Register as it is now; cheap when it did not change.

        Raises:
            RegisterError: It cannot be used, and there is no earlier one that could.
            ConfigurationError: It cannot be read or fetched, and never was.
        """
        try:
            version, text = self._fetch() if self._url else self._read()
            if self._register is None or version != self._version:
                self._register = parse_register(text, source=self.location)
                self._version = version
        except (RegisterError, ConfigurationError) as error:
            if self._register is None:
                raise
            _logger.warning("The Register of before stays in use. %s", str(error))
        return self._register

    def _read(self) -> tuple[object, str]:
        path = Path(self.location)
        try:
            stat = path.stat()
            version = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if version == self._version:
                return version, ""
            if stat.st_size > MAX_BYTES:
                raise ConfigurationError(f"LDV_REGISTER: {path} is larger than {MAX_BYTES >> 20} MiB.")
            return version, path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise ConfigurationError(
                f"LDV_REGISTER: {path} cannot be read ({error.strerror}). Let LDV_REGISTER name the right file."
            ) from error
        except UnicodeDecodeError as error:
            raise RegisterError(f"{path}: it is no UTF-8 text (byte {error.start}).") from error

    def _fetch(self) -> tuple[object, str]:
        copy = self._fetched or self._cached()
        now = self._clock()
        if copy is None or not 0 <= now - copy.fetched < copy.fresh_seconds:
            try:
                copy = self._ask(copy, now)
            except (UnicodeDecodeError, _Unusable) as error:
                reason = str(error) if isinstance(error, _Unusable) else type(error).__name__
                if copy is None:
                    raise ConfigurationError(
                        f"LDV_REGISTER: {self.location} cannot be fetched ({reason}), and there is no copy of an "
                        "earlier time. Try again, or let LDV_REGISTER name a file."
                    ) from error
                hours = (now - copy.fetched) / 3_600
                _logger.warning(
                    "The Register %s cannot be fetched (%s); the copy of %.1f hours ago is used.",
                    self.location, reason, hours,
                )  # fmt: skip
                # Not again at once: a reader asks often, and each attempt may take the whole time-out.
                copy.fresh_seconds = now - copy.fetched + FRESH_SECONDS
        self._fetched = copy
        return hashlib.sha256(copy.text.encode()).digest(), copy.text

    def _ask(self, copy: _FetchedRegister | None, now: float) -> _FetchedRegister:
        """Return the Register of now, which is the copy when the server answers that nothing changed."""
        headers = {"Accept": "application/yaml, application/json;q=0.9, */*;q=0.1"}
        if copy is not None and copy.etag:
            headers["If-None-Match"] = copy.etag
        elif copy is not None and copy.last_modified:
            headers["If-Modified-Since"] = copy.last_modified
        answer, content = self._answer(headers)
        unchanged = answer.status_code == HTTPStatus.NOT_MODIFIED and copy is not None
        if not unchanged and answer.status_code != HTTPStatus.OK:
            raise _Unusable(f"HTTP status {answer.status_code}")
        text = copy.text if unchanged and copy is not None else content.decode("utf-8-sig")
        control = answer.headers.get("Cache-Control", "")
        max_age = _MAX_AGE.search(control)
        fresh = 0.0 if _NO_CACHE.search(control) else float(max_age[1]) if max_age else FRESH_SECONDS
        fetched = _FetchedRegister(
            self.location,
            text,
            now,
            min(fresh, _MAX_FRESH_SECONDS),
            answer.headers.get("ETag", ""),
            answer.headers.get("Last-Modified", ""),
        )
        if not unchanged:
            parse_register(text, source=self.location)  # an error page with status 200 may not replace the good copy
        self._keep(fetched)
        return fetched

    def _answer(self, headers: dict[str, str]) -> tuple[httpx.Response, bytes]:
        """Ask once. A redirect is an answer like any other that is no Register: only what was configured is asked."""
        import httpx  # an extra, and 0.1 s that only a Register behind a URL pays

        from ldv_otel._internal.http.outgoing import HEADERS, transport

        # The authorities of this machine, as for its other clients; by itself httpx has a list of its own.
        tls = tls_context(None, None, named_by="LDV_REGISTER")
        try:
            with (
                httpx.Client(
                    transport=transport(self.location, self._proxy, tls=tls, retries=_CONNECT_RETRIES),
                    timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
                    follow_redirects=False,
                    trust_env=False,
                    headers=HEADERS,
                ) as client,
                client.stream("GET", self.location, headers=headers) as answer,
            ):
                return answer, read_content(answer, MAX_BYTES) if answer.status_code == HTTPStatus.OK else b""
        except TooLargeError:
            raise _Unusable(f"it is larger than {MAX_BYTES >> 20} MiB") from None
        except EncodedError:
            raise _Unusable("it is packed, which was not asked for") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _Unusable(type(error).__name__) from error

    def _cached(self) -> _FetchedRegister | None:
        if self._cache is None:
            return None
        try:
            cached = msgspec.json.decode(self._cache_file().read_bytes(), type=_FetchedRegister)
        except (OSError, msgspec.DecodeError, RecursionError):
            return None
        return cached if cached.url == self.location else None

    def _keep(self, fetched: _FetchedRegister) -> None:
        if self._cache is None:
            return
        try:
            make_directory(self._cache)
            draft = self._cache_file().with_suffix(f".{os.getpid()}.new")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(msgspec.json.encode(fetched))
            draft.replace(self._cache_file())
        except OSError as error:
            _logger.warning("The Register's copy cannot be kept in %s (%s).", self._cache, error.strerror)

    def _cache_file(self) -> Path:
        name = hashlib.sha256(self.location.encode()).hexdigest()[:32]
        return (self._cache or Path()) / f"register-{name}.json"


class _Unusable(Exception):  # never leaves this module
    """The answer is no Register."""


def register_source(settings: Settings) -> RegisterSource | None:
    """Return the Register that the settings name, or None when they name none.

    Raises:
        ConfigurationError: `LDV_REGISTER` can never be used.
    """
    if not settings.register:
        return None
    cache: Path | None
    try:
        cache = home_directory("cache")
    except NoHomeDirectory as error:
        cache = None
        _logger.warning("No copy of the Register is kept for when it is away: %s.", error.strerror)
    return RegisterSource(settings.register, cache=cache, allow_insecure=settings.allow_insecure, proxy=settings.proxy)


def load_register(settings: Settings) -> Register:
    """Return the Register that `LDV_REGISTER` names.

    Raises:
        RegisterError: It cannot be used; the message has file, line and entry of each problem.
        ConfigurationError: `LDV_REGISTER` is not set, or names what cannot be read or fetched.
    """
    source = register_source(settings)
    if source is None:
        raise ConfigurationError(
            "LDV_REGISTER is not set. Let it name the Register of processing activities: a YAML or JSON file, or a URL."
        )
    return source.get()


def parse_register(text: str, *, source: str) -> Register:
    """Return the Register that a YAML or JSON text holds.

    Args:
        source: File or URL, for messages.

    Raises:
        RegisterError: It cannot be used; one line for each problem, as `source:line: entry: what`.
    """
    try:
        document = YamlDocument(text)
    except YamlError as error:
        raise RegisterError(f"{source}:{error.line}: {error.problem}") from None
    activities = _activities_of(document, source)
    problems = list(consistency_problems(activities))
    if problems:
        raise RegisterError(
            *(f"{source}:{document.line(('activities', index))}: {problem}" for index, problem in problems)
        )
    return Register(activities, source=source)


def _activities_of(document: YamlDocument, source: str) -> list[ProcessingActivity]:
    """Return the entries of a Register's text, in its order."""
    fields, content = document.fields(()), document.value
    if not isinstance(content, dict) or not isinstance(content.get("activities"), list):
        line = fields.get("activities", 1)
        raise RegisterError(f"{source}:{line}: a Register has `activities:`, a list of entries")
    problems = [
        f"{source}:{line}: unknown field `{name}`; a Register has `activities` and `controller`"
        for name, line in fields.items()
        if name not in ("activities", "controller")
    ]
    controller = content.get("controller") or ""
    if not isinstance(controller, str):
        problems.append(f"{source}:{fields['controller']}: controller is no text")
    activities = []
    for index, entry in enumerate(content["activities"]):
        try:
            activities.append(_activity(entry, index, controller))
        except _EntryError as error:
            line = document.line(("activities", index, *error.field))
            problems.append(f"{source}:{line}: {error}")
    if problems:
        raise RegisterError(*problems)
    return activities


class _EntryError(ValueError):
    """An entry of a Register that cannot be used.

    Attributes:
        field: Path of the wrong field within the entry; empty for the entry as a whole.
    """

    def __init__(self, problem: str, *field: str) -> None:
        super().__init__(problem)
        self.field = field


def _activity(entry: Any, index: int, controller: str) -> ProcessingActivity:
    if not isinstance(entry, dict):
        raise _EntryError(f"entry {index + 1} has no fields")
    label = next((str(entry[name]) for name in ("id", "name") if entry.get(name)), f"entry {index + 1}")
    for name in entry:
        if name not in ProcessingActivity.__struct_fields__:
            allowed = ", ".join(ProcessingActivity.__struct_fields__)
            raise _EntryError(f"{label}: unknown field `{name}`; there are {allowed}", str(name))
    # An empty field in YAML is null; it is treated as absent.
    values = {name: value for name, value in entry.items() if value is not None}
    if not values.get("controller"):
        values["controller"] = controller
    try:
        return msgspec.convert(values, ProcessingActivity)
    except msgspec.ValidationError as error:
        field = str(error).partition("$.")[2].rstrip("`")
        problem = str(error).partition(" - at ")[0].replace("`", "")
        where = (field,) if field else ()
        raise _EntryError(f"{label}: {f'{field}: ' if field else ''}{problem}", *where) from None


def _require_client() -> None:
    if find_spec("httpx") is None:
        raise ConfigurationError(
            "LDV_REGISTER is a URL, but what fetches one is not installed. Run `pip install 'ldv-otel[cli]'`, or let "
            "LDV_REGISTER name a file."
        )


def _check_url(location: str, *, allow_insecure: bool) -> None:
    try:
        parts = urlsplit(location)
        host = parts.hostname or ""
    except ValueError:
        raise ConfigurationError("LDV_REGISTER is no URL that can be read.") from None
    if parts.scheme not in ("https", "http") or not host:
        raise ConfigurationError(
            f"LDV_REGISTER: {parts.scheme}:// cannot be fetched; let it name a file, or an https:// URL."
        )
    if parts.username or parts.password:
        raise ConfigurationError("LDV_REGISTER holds a user or a password; a Register is fetched without.")
    if parts.scheme == "http" and not is_loopback(host) and not allow_insecure:
        raise ConfigurationError(
            f"LDV_REGISTER uses plain http to {host}. Use https, or LDV_ALLOW_INSECURE=1 on a test network (LDV-L1)."
        )
