"""The Register's file: the one place that reads, fetches and checks it.

YAML or JSON, with `activities`, a list of entries with the fields of `ProcessingActivity`, and above it `controller`
for the entries that name none. Every problem is told with file, line and entry.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import ssl
import time
from collections.abc import Callable
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from ldv_otel._internal.config.address import is_loopback
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.http.bounded_answers import TooLargeError, read_content
from ldv_otel._internal.register.register import ProcessingActivity, Register, RegisterError, consistency_problems
from ldv_otel.errors import ConfigurationError

if TYPE_CHECKING:
    import httpx

_logger = logging.getLogger(__name__)

MAX_BYTES: Final = 16 * 2**20
#: For how long a fetched Register is used without asking, unless the server says otherwise by `max-age`.
FRESH_SECONDS: Final = 300.0
_MAX_FRESH_SECONDS: Final = 86_400.0
_CONNECT_SECONDS: Final = 5
_ANSWER_SECONDS: Final = 30
#: How often it is tried again to get a connection; what breaks off later is left to the next time.
_CONNECT_RETRIES: Final = 2
_MAX_AGE: Final = re.compile(r"\bmax-age=(\d{1,9})")
_NO_CACHE: Final = re.compile(r"\bno-(?:cache|store)\b")
#: YAML tells the lines in a JSON text too, once it is rid of what only JSON has: halves of characters, and tabs (which
#: can only be space between values there, as text has them escaped).
_JSON_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class _Fetched(msgspec.Struct):
    """What the cache keeps of a URL."""

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

    Raises:
        ConfigurationError: The location can never be used.
    """

    def __init__(
        self,
        location: str,
        *,
        cache: Path | None = None,
        allow_insecure: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.location = location
        self._clock = clock
        self._cache = cache
        self._register: Register | None = None
        self._version: object = None
        self._url = "://" in location
        if self._url:
            _check_url(location, allow_insecure=allow_insecure)
            _require_client()
        self._fetched: _Fetched | None = None

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
            _logger.warning("The Register of before stays in use. %s", error)
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
        known = self._fetched or self._cached()
        now = self._clock()
        if known is None or not 0 <= now - known.fetched < known.fresh_seconds:
            try:
                known = self._ask(known, now)
            except (UnicodeDecodeError, _Unusable) as error:
                reason = str(error) if isinstance(error, _Unusable) else type(error).__name__
                if known is None:
                    raise ConfigurationError(
                        f"LDV_REGISTER: {self.location} cannot be fetched ({reason}), and there is no copy of an "
                        "earlier time. Try again, or let LDV_REGISTER name a file."
                    ) from error
                hours = (now - known.fetched) / 3_600
                _logger.warning(
                    "The Register %s cannot be fetched (%s); the copy of %.1f hours ago is used.",
                    self.location, reason, hours,
                )  # fmt: skip
                # Not again at once: a reader asks often, and each attempt may take the whole time-out.
                known.fresh_seconds = now - known.fetched + FRESH_SECONDS
        self._fetched = known
        return hashlib.sha256(known.text.encode()).digest(), known.text

    def _ask(self, known: _Fetched | None, now: float) -> _Fetched:
        headers = {"Accept": "application/yaml, application/json;q=0.9, */*;q=0.1"}
        if known is not None and known.etag:
            headers["If-None-Match"] = known.etag
        elif known is not None and known.last_modified:
            headers["If-Modified-Since"] = known.last_modified
        answer, content = self._answer(headers)
        unchanged = answer.status_code == HTTPStatus.NOT_MODIFIED and known is not None
        if not unchanged and answer.status_code != HTTPStatus.OK:
            raise _Unusable(f"HTTP status {answer.status_code}")
        text = known.text if unchanged and known is not None else content.decode("utf-8-sig")
        control = answer.headers.get("Cache-Control", "")
        max_age = _MAX_AGE.search(control)
        fresh = 0.0 if _NO_CACHE.search(control) else float(max_age[1]) if max_age else FRESH_SECONDS
        fetched = _Fetched(
            self.location,
            text,
            now,
            min(fresh, _MAX_FRESH_SECONDS),
            answer.headers.get("ETag", ""),
            answer.headers.get("Last-Modified", ""),
        )
        if not unchanged:
            parse_register(text, source=self.location)  # a page that says "error" may not take the good copy's place
        self._keep(fetched)
        return fetched

    def _answer(self, headers: dict[str, str]) -> tuple[httpx.Response, bytes]:
        """Ask once. A redirect is an answer like any other that is no Register: only what was configured is asked."""
        import httpx  # noqa: PLC0415  (an extra, and 0.1 s that only a Register behind a URL pays)

        # The authorities of this machine, as for its other clients; by itself httpx has a list of its own.
        tls = ssl.create_default_context()
        try:
            with (
                httpx.Client(
                    transport=httpx.HTTPTransport(verify=tls, retries=_CONNECT_RETRIES),
                    timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
                    follow_redirects=False,
                    trust_env=False,
                ) as client,
                client.stream("GET", self.location, headers=headers) as answer,
            ):
                return answer, read_content(answer, MAX_BYTES) if answer.status_code == HTTPStatus.OK else b""
        except TooLargeError:
            raise _Unusable(f"it is larger than {MAX_BYTES >> 20} MiB") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _Unusable(type(error).__name__) from error

    def _cached(self) -> _Fetched | None:
        if self._cache is None:
            return None
        try:
            found = msgspec.json.decode(self._cache_file().read_bytes(), type=_Fetched)
        except (OSError, msgspec.DecodeError):
            return None
        return found if found.url == self.location else None

    def _keep(self, fetched: _Fetched) -> None:
        if self._cache is None:
            return
        try:
            self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = self._cache_file().with_suffix(f".{os.getpid()}.new")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(msgspec.json.encode(fetched))
            draft.replace(self._cache_file())
        except OSError as error:
            _logger.warning("The Register's copy cannot be kept in %s (%s).", self._cache, error.strerror)

    def _cache_file(self) -> Path:
        name = hashlib.sha256(self.location.encode()).hexdigest()[:32]
        return (self._cache or Path()) / f"register-{name}.json"


class _Unusable(Exception):  # noqa: N818  (never leaves this module)
    """An answer that is no Register."""


def register_source(settings: Settings) -> RegisterSource | None:
    """Return the Register that the settings name, or None when they name none.

    Raises:
        ConfigurationError: `LDV_REGISTER` can never be used.
    """
    if not settings.register:
        return None
    import platformdirs  # noqa: PLC0415  (5 ms that only a reader with a Register pays)

    cache = Path(platformdirs.user_cache_dir("ldv_otel", appauthor=False))
    return RegisterSource(settings.register, cache=cache, allow_insecure=settings.allow_insecure)


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
    document = _Document(text, source)
    activities, lines = document.activities()
    problems = list(consistency_problems(activities))
    if problems:
        raise RegisterError(*(f"{source}:{lines[place]}: {problem}" for place, problem in problems))
    return Register(activities, source=source)


class _Document:
    """A text as YAML nodes, which know their lines. JSON is read as the YAML it nearly is."""

    def __init__(self, text: str, source: str) -> None:
        import yaml  # noqa: PLC0415  (10 ms that only a reader with a Register pays)

        self._yaml = yaml
        self._source = source
        loader_type: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        json = _as_json(text)
        loader = loader_type(text if json is None else _JSON_SURROGATE.sub(r"\\u0020", text.replace("\t", " ")))
        try:
            self._root = loader.get_single_node()
            self._nodes = self._entry_nodes()
            # Constructing changes nodes that have a merge key (`<<`), so their fields are looked up before.
            self._fields = {id(node): self._fields_of(node) for node in (self._root, *self._nodes)}
            self._value = loader.construct_document(self._root) if json is None and self._root is not None else json
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise self._error(mark.line + 1 if mark else 1, f"it is no YAML: {error.problem}") from None
        except yaml.YAMLError as error:
            raise self._error(1, f"it is no YAML: {' '.join(str(error).split())}") from None
        except (ValueError, RecursionError) as error:
            raise self._error(1, f"a value cannot be read ({type(error).__name__})") from None
        finally:
            loader.dispose()

    def activities(self) -> tuple[list[ProcessingActivity], list[int]]:
        """Return the entries, and the line of each."""
        fields = self._fields[id(self._root)]
        if not isinstance(self._value, dict) or not isinstance(self._value.get("activities"), list):
            raise self._error(fields.get("activities", 1), "a Register has `activities:`, a list of entries")
        problems = [
            f"{self._source}:{line}: unknown field `{name}`; a Register has `activities` and `controller`"
            for name, line in fields.items()
            if name not in ("activities", "controller")
        ]
        controller = self._value.get("controller") or ""
        if not isinstance(controller, str):
            problems.append(f"{self._source}:{fields['controller']}: controller is no text")
        found, lines = [], []
        for number, (node, value) in enumerate(zip(self._nodes, self._value["activities"], strict=True), 1):
            try:
                found.append(self._entry(number, node, value, controller))
                lines.append(node.start_mark.line + 1)
            except RegisterError as error:
                problems += error.problems
        if problems:
            raise RegisterError(*problems)
        return found, lines

    def _entry(self, number: int, node: Any, value: Any, controller: str) -> ProcessingActivity:
        line = node.start_mark.line + 1
        if not isinstance(value, dict):
            raise self._error(line, f"entry {number} has no fields")
        label = next((str(value[name]) for name in ("id", "name") if value.get(name)), f"entry {number}")
        fields = self._fields[id(node)]
        for name in value:
            if name not in ProcessingActivity.__struct_fields__:
                known = ", ".join(ProcessingActivity.__struct_fields__)
                raise self._error(fields.get(name, line), f"{label}: unknown field `{name}`; there are {known}")
        # An empty field in YAML is null: nothing was said.
        said = {name: item for name, item in value.items() if item is not None}
        if not said.get("controller"):
            said["controller"] = controller
        try:
            return msgspec.convert(said, ProcessingActivity)
        except msgspec.ValidationError as error:
            field = str(error).partition("$.")[2].rstrip("`")
            problem = str(error).partition(" - at ")[0].replace("`", "")
            raise self._error(fields.get(field, line), f"{label}: {f'{field}: ' if field else ''}{problem}") from None

    def _entry_nodes(self) -> list[Any]:
        """Return the node of each entry, as far as the document has the right shape."""
        nodes = self._yaml.nodes
        pairs = self._root.value if isinstance(self._root, nodes.MappingNode) else []
        lists = [value for key, value in pairs if key.value == "activities" and isinstance(value, nodes.SequenceNode)]
        return list(lists[0].value) if lists else []

    def _fields_of(self, node: Any) -> dict[str, int]:
        """Return the line of each field of a mapping; YAML itself lets a second one win in silence."""
        lines: dict[str, int] = {}
        for key, _ in node.value if isinstance(node, self._yaml.nodes.MappingNode) else ():
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines:
                raise self._error(line, f"`{name}` stands here for the second time in one entry")
            lines[name] = line
        return lines

    def _error(self, line: int, problem: str) -> RegisterError:
        return RegisterError(f"{self._source}:{line}: {problem}")


def _as_json(text: str) -> Any:
    """Return the value of a JSON text; None for what is none, and then YAML tells where."""
    try:
        return msgspec.json.decode(text) if text.lstrip()[:1] == "{" else None
    except msgspec.DecodeError:
        return None


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
