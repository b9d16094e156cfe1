"""The Sink that writes to another party's register: `gemma+https://client-id@register.example/api/v1`.

Each Logregel becomes a Verwerkingsactie by a POST of its own, because the API takes one at a time. It asks for
identifiers as they are, so they are unsealed just before they go out over TLS, and the key has to seal.

The API cannot tell that a Verwerkingsactie is sent again (GW-30), and the register makes the `actieId`. So confirmed
records are remembered, and when an answer does not come the register is asked for the acties of that person and day.
To tell Acties apart, and because the standard asks for it (IR-11), `tijdstip` gets digits below the millisecond that
follow from the Logregel. The API has no query for an Actie without a data subject: in doubt it is sent again, because
a record twice is better than a record lost.

Source: GEMMA Verwerkingenlogging, IR-02 to IR-05, IR-11, sections 3.1 to 3.5.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.secrets import logboek_password, read_token
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.config.tls import logboek_tls_context
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.sink import SinkTraits
from ldv_otel._internal.gemma.conversion import VerwerkingsactieMapper
from ldv_otel._internal.gemma.model import IDENTIFICATOR_CHARACTERS
from ldv_otel._internal.http.retry_after import retry_after_seconds
from ldv_otel._internal.http.strange_answers import answered, likely_cause
from ldv_otel._internal.privacy.key_file import keys_for
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.times.instants import datetime_from_ms, rfc3339_from_ms
from ldv_otel.errors import BatchRefused, ConfigurationError, LdvError, LogboekSetupError, LogboekUnavailable

if TYPE_CHECKING:
    import httpx

    from ldv_otel._internal.http.sink_client import SinkClient

_logger = logging.getLogger(__name__)

_CONNECT_SECONDS: Final = 5.0
#: Longer than a register takes to make an entry durable: a shorter wait would leave more records in doubt.
_ANSWER_SECONDS: Final = 30.0
#: Shorter than servers keep an idle connection, so that none is used that is just being closed.
_IDLE_SECONDS: Final = 3.0
#: Pages of acties of one person that are read to find one of them.
_MAX_PAGES: Final = 100

#: The meaning of a status that is not 201. Any other means: not now, and perhaps it was stored.
_REFUSED: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
)
_RETRIES: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)
#: Words of a register that an error may show: names of elements and codes, no sentences, which may quote a value.
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.\[\]-]{0,80}")

_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e]{1,4096}")
_OWN_HEADERS: Final = frozenset(
    {"authorization", "accept", "accept-encoding", "user-agent", "host", "content-type", "content-length", "connection"}
)

#: The writer and sequence number of a record.
RecordKey = tuple[str, int]


class GemmaSink:
    """A `Sink` that sends to a Bewerking API; see the protocol for who does what.

    Raises:
        ConfigurationError: There is no client id or token, or no key that seals.
    """

    #: So few records that a batch in doubt costs the register few queries: each query is on record there, and about a
    #: person (PR-07).
    traits: Final = SinkTraits(batch_records=50, cheap_read_back=False, extension="gemma")

    def __init__(self, settings: Settings) -> None:
        keys = keys_for(settings)
        if not keys.active.seal:
            raise ConfigurationError(
                f"LDV_LOGBOEK is {settings.logboek}, a register that wants identifiers as they are, and the active key "
                "does not seal, so that they could not be had back. Logging did not start. Run `ldv key new --seal`."
            )
        self._settings = settings
        self._pseudonymiser = Pseudonymiser(keys, settings.pseudonymous_types)
        self._mapper = VerwerkingsactieMapper(self._pseudonymiser)
        self._authorization = _authorization(settings)
        self._api_key = _api_key(settings)
        self._base = _base(settings.logboek)
        self._http: SinkClient | None = None
        self._pid = 0
        # Only of the writer whose batch is being sent: its batch may come again, in halves or whole, and records of it
        # that the register has already must not go there twice.
        self._stored: set[RecordKey] = set()
        self._in_doubt: set[RecordKey] = set()
        # Message and code, not the error: in its frames is the record with its identifier as it is.
        self._refused: dict[RecordKey, tuple[str, int | None, bool]] = {}

    def open(self) -> None:
        """Connect, and check that the register lets us in: a client that it knows is told what the query lacks.

        Raises:
            LdvError: It does not answer, or not as a Bewerking API that knows us.
        """
        if self._http is None or self._pid != os.getpid():
            self._http, self._pid = _client(self._settings), os.getpid()
        answer = self._request("GET", "/verwerkingsacties")
        if answer.status_code not in {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN} or not _is_fault(answer):
            raise self._error(answer)

    def send(self, batch: Batch) -> None:
        """Send the records of a batch that are not known to be stored, one request for each."""
        first = (batch.writer_id, batch.seqs[0])
        for remembered in (self._stored, self._in_doubt):
            remembered -= {key for key in remembered if key[0] != batch.writer_id or key < first}
        for seq, record in zip(batch.seqs, batch.logregels, strict=True):
            self._send((batch.writer_id, seq), record)

    def read_back(self, batch: Batch) -> frozenset[int]:
        """Return the sequence numbers of this batch that the register confirmed, or shows when it is asked."""
        for seq, record in zip(batch.seqs, batch.logregels, strict=True):
            key = (batch.writer_id, seq)
            if key not in self._stored and self._has(record):
                self._stored.add(key)
        return frozenset(seq for seq in batch.seqs if (batch.writer_id, seq) in self._stored)

    def close(self) -> None:
        """Close the connection; one inherited over a fork is the parent's, which may be using it."""
        http, self._http = self._http, None
        if http is not None and self._pid == os.getpid():
            http.close()

    def _send(self, key: RecordKey, record: Logregel) -> None:
        if key in self._stored:
            return
        if key in self._refused:
            message, code, certain = self._refused[key]
            raise BatchRefused(message, code=code, certain=certain)
        if key in self._in_doubt and self._has(record):
            self._stored.add(key)
            return
        try:
            self._post(self.verwerkingsactie(record))
        except LogboekUnavailable as error:
            if error.in_doubt:
                self._in_doubt.add(key)
            raise
        except BatchRefused as error:
            # The batch comes again in halves until this record is alone: no need to send it once more each time.
            self._refused = {key: (str(error), error.code, error.certain)}
            raise
        self._stored.add(key)

    def _post(self, actie: dict[str, Any]) -> None:
        answer = self._request("POST", "/verwerkingsacties", json=actie)
        if answer.status_code == HTTPStatus.FORBIDDEN and actie["vertrouwelijkheid"] == "vertrouwelijk":
            # A caller's header can make a record `vertrouwelijk`: quarantined, it does not hold up all others.
            raise BatchRefused(
                f"The register {self._settings.logboek} lets us log nothing that is `vertrouwelijk`. Ask for "
                "create:confidential there, then run `ldv spool quarantine retry`.",
                code=answer.status_code,
                certain=True,
            )
        if answer.status_code != HTTPStatus.CREATED or not _has_id(answer):
            raise self._error(answer)

    def verwerkingsactie(self, record: Logregel) -> dict[str, Any]:
        """Return the Verwerkingsactie for a Logregel; elements without a value are left out.

        Raises:
            BatchRefused: Its data subject was not sealed, or has an identifier that is too long for the standard.
            ConfigurationError: The key that sealed it is not in the key ring.
        """
        actie = self._mapper.version([record]).actie
        content = _without_empty(msgspec.to_builtins(actie))
        content["tijdstip"] = _tijdstip(record)
        if record.data_subject_id:
            verwerkt_object = content["verwerkteObjecten"][0]
            verwerkt_object["objectId"] = self._identifier(record)
        return content

    def _identifier(self, record: Logregel) -> str:
        identifier = self._mapper.identifier(record)
        if not identifier:
            raise BatchRefused(
                "The data subject was not sealed, and a pseudonym means nothing to a register.", certain=True
            )
        if len(identifier) > IDENTIFICATOR_CHARACTERS:
            raise BatchRefused(
                f"The data subject has an identifier of over {IDENTIFICATOR_CHARACTERS} characters.", certain=True
            )
        return identifier

    def _has(self, record: Logregel) -> bool:
        """Say whether the register shows an actie of this record; no, where it cannot be asked."""
        if not record.data_subject_id:
            return False
        try:
            sent = self.verwerkingsactie(record)
        except BatchRefused:
            return False
        return any(
            actie.get("tijdstip") == sent["tijdstip"]
            and str(actie.get("verwerkingId")).lower() == sent["verwerkingId"].lower()
            and actie.get("actieNaam") == sent["actieNaam"]
            for actie in self._acties_of_day(sent, record.start_time_ms)
        )

    def _acties_of_day(self, sent: Mapping[str, Any], start_time_ms: int) -> Iterator[Mapping[str, Any]]:
        """Give the acties that the register has about the person of an actie, around the day of it."""
        verwerkt_object = sent["verwerkteObjecten"][0]
        day = datetime_from_ms(start_time_ms).date()
        parameters: dict[str, str] | None = {
            **{name: verwerkt_object[name] for name in ("objecttype", "soortObjectId", "objectId")},
            # One day more on each side: the days are those of a time zone that only the register knows.
            "beginDatum": str(day - timedelta(days=1)),
            "eindDatum": str(day + timedelta(days=2)),
            "vertrouwelijkheid": sent["vertrouwelijkheid"],
        }
        path = "/verwerkingsacties"
        for _ in range(_MAX_PAGES):
            answer = self._request("GET", path, params=parameters)
            if answer.status_code == HTTPStatus.FORBIDDEN and _is_fault(answer):
                _logger.warning(
                    "The register %s does not let us read, so what it did not confirm is sent again and may be there "
                    "twice. Ask for a read scope.",
                    self._settings.logboek,
                )
                return
            if answer.status_code != HTTPStatus.OK or not _is_json(answer):
                raise self._error(answer)
            page = answer.json()
            if not isinstance(page.get("results"), list):
                # No list is not an empty one: what was not asked would be sent twice.
                raise self._error(answer)
            yield from (each for each in page["results"] if isinstance(each, dict))
            if not page.get("next"):
                return
            # Only the query of the address in the answer: at another host our token would be given away.
            path, parameters = f"/verwerkingsacties?{urlsplit(str(page['next'])).query}", None

    def _request(self, method: str, path: str, **content: Any) -> httpx.Response:
        if self._http is None:
            self.open()
        if self._http is None:
            raise RuntimeError("open() returned without a connection")
        headers = {"Authorization": self._authorization(), "Accept": "application/json", **self._api_key}
        return self._http.request(method, self._base + path, headers=headers, **content)

    def _error(self, answer: httpx.Response) -> LdvError:
        """Return the error that an answer means which is no confirmation."""
        status, kind = answer.status_code, answer.headers.get("Content-Type", "")
        sentence = f"The register {self._settings.logboek} {answered(status, kind)}{_faults(answer)}."
        if not _is_fault(answer):
            sentence = f"{sentence} {likely_cause(status, kind)}".rstrip()
        if status in _REFUSED and answer.request.method == "POST":
            return BatchRefused(
                f"{sentence} It will never take this record as it is.", code=status, certain=_is_json(answer)
            )
        if status == HTTPStatus.FORBIDDEN and _is_fault(answer):
            return LogboekSetupError(f"{sentence} Our client has no right to this there.")
        if status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _RETRIES:
            return LogboekSetupError(
                f"{sentence} Check that LDV_LOGBOEK names its Bewerking API and our client there, and the secret."
            )
        return LogboekUnavailable(
            f"{sentence} Pending records are sent again.",
            in_doubt=status != HTTPStatus.TOO_MANY_REQUESTS,
            retry_after_seconds=retry_after_seconds(answer.headers.get("Retry-After", "")),
        )


def _tijdstip(record: Logregel) -> str:
    """Return when an Actie began, with six digits below the millisecond that tell it from others of that moment.

    A Logregel has no time below the millisecond, so these digits take nothing away; they follow from its ids, so that a
    record that is sent again has the same.
    """
    start = rfc3339_from_ms(record.start_time_ms).removesuffix("Z")
    digest = hashlib.sha256(record.trace_id + record.span_id).digest()
    below = int.from_bytes(digest[:8], "big") % 1_000_000
    return f"{start}{below:06}+00:00"


def _without_empty(actie: dict[str, Any]) -> dict[str, Any]:
    objects = [
        {name: value for name, value in each.items() if value not in ("", [], ())}
        for each in actie["verwerkteObjecten"]
    ]
    elements = {name: value for name, value in actie.items() if value not in ("", None)}
    # The register makes the ids of objects.
    return {
        **elements,
        "verwerkteObjecten": [{k: v for k, v in each.items() if k != "verwerktObjectId"} for each in objects],
    }


def _is_json(answer: httpx.Response) -> bool:
    try:
        return "json" in answer.headers.get("Content-Type", "") and isinstance(answer.json(), dict)
    except ValueError:
        return False


def _has_id(answer: httpx.Response) -> bool:
    """Whether an answer names the Verwerkingsactie that it made: nothing on the way there could."""
    return _is_json(answer) and isinstance(actie_id := answer.json().get("actieId"), str) and bool(actie_id)


def _is_fault(answer: httpx.Response) -> bool:
    """Whether an answer is a fault message of a register (IR-05), and not of a gateway before it."""
    return _is_json(answer) and str(answer.json().get("status")) == str(answer.status_code)


def _faults(answer: httpx.Response) -> str:
    """Return the faults that an answer names, as far as their words cannot hold an identifier."""
    if not _is_json(answer):
        return ""
    content = answer.json()
    parameters = content.get("invalidParams")
    faults = [fault for fault in parameters if isinstance(fault, dict)] if isinstance(parameters, list) else []
    words = [content.get("code"), *(fault.get(key) for fault in faults[:10] for key in ("name", "code"))]
    harmless = [word for word in words if isinstance(word, str) and _WORD.fullmatch(word)]
    return f" ({', '.join(harmless)})" if harmless else ""


def _authorization(settings: Settings) -> Callable[[], str]:
    """Return what makes the header of each request: with a token of our own, or with one that the register gave us."""
    secret, client_id = logboek_password(settings), settings.logboek.user
    if not secret:
        raise ConfigurationError(
            f"LDV_LOGBOEK is {settings.logboek}, and nothing proves to it who this service is. Logging did not start. "
            "Put the client id before an @ in it and the client's secret in LDV_LOGBOEK_PASSWORD_FILE; or, without "
            "client id, a token."
        )
    if not client_id:
        return lambda: f"Bearer {secret}"
    try:
        from ldv_otel._internal.gemma.zgw_token import check_secret, zgw_token  # an extra
    except ImportError as error:
        raise _not_installed(settings) from error
    check_secret(secret, "LDV_LOGBOEK_PASSWORD")
    return lambda: f"Bearer {zgw_token(client_id, secret)}"


def _api_key(settings: Settings) -> dict[str, str]:
    """Return the header for a gateway that asks for a key of its own; none where no key is set."""
    path, header = settings.gemma.api_key_file, settings.gemma.api_key_header
    if path is None:
        return {}
    key = read_token(path, "LDV_GEMMA_API_KEY_FILE")
    if not _HEADER_VALUE.fullmatch(key):
        raise ConfigurationError(
            f"LDV_GEMMA_API_KEY_FILE: {path} has no API key that fits in a header, on one line and in ASCII. "
            "Logging did not start."
        )
    if header.lower() in _OWN_HEADERS:
        raise ConfigurationError(
            f"LDV_GEMMA_API_KEY_HEADER: {header} is a header that we send ourselves. Logging did not start. "
            "Name the one that the gateway asks for, such as X-Api-Key."
        )
    return {header: key}


def _client(settings: Settings) -> SinkClient:
    try:
        from ldv_otel._internal.http.outgoing import proxy_for
        from ldv_otel._internal.http.sink_client import SinkClient  # imports an extra
    except ImportError as error:
        raise _not_installed(settings) from error
    return SinkClient(
        f"The register {settings.logboek}",
        proxy=proxy_for(str(settings.logboek).partition("+")[2], settings.proxy),
        tls=logboek_tls_context(settings),
        answer_seconds=_ANSWER_SECONDS,
        connect_seconds=_CONNECT_SECONDS,
        idle_seconds=_IDLE_SECONDS,
    )


def _not_installed(settings: Settings) -> ConfigurationError:
    return ConfigurationError(
        f"LDV_LOGBOEK is {settings.logboek}, but the client of such registers is not installed. "
        "Run `pip install 'ldv-otel[gemma]'`."
    )


def _base(address: LogboekAddress) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{address.scheme.removeprefix('gemma+')}://{host}:{address.port}{address.path}"


def open_sink(settings: Settings) -> GemmaSink:
    """Return the sink for the `gemma+...` schemes; entry point of the group `ldv_otel_sink`."""
    return GemmaSink(settings)
