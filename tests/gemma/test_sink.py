"""Delivery to somebody else's register, against one that is strict and answers in every way."""

from __future__ import annotations

import logging
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.config.settings import GemmaSettings, Settings, read_settings
from ldv_otel._internal.delivery.batch import Batch, new_writer_id, number_batch
from ldv_otel._internal.delivery.durable import DurableDelivery, drain, retry_quarantine
from ldv_otel._internal.delivery.paths import spool_base
from ldv_otel._internal.delivery.sink import Sink, make_sink
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine
from ldv_otel._internal.gemma.consumer.sink import GemmaSink
from ldv_otel._internal.privacy.key_file import add_key, read_keys
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import BatchRefused, ConfigurationError, LdvError, LogboekUnavailable
from tests.gemma.register import CLIENT_ID, SECRET, Answer, Register
from tests.strategies import logregels as any_logregels
from tests.support.chance import examples
from tests.support.sending import deliver_whole

BSN = "123456782"
START = 1_767_225_600_123
ACTIVITY_ID = "5f0bef4c-f66f-4311-84a5-19e8bf359eaf"
ACTIVITY = f"https://var.example/api/v1/verwerkingsactiviteiten/{ACTIVITY_ID}"


@pytest.fixture(scope="module")
def server() -> Iterator[Register]:
    """The register."""
    with Register() as found:
        yield found


@pytest.fixture
def register(server: Register) -> Register:
    """The register as if it were new."""
    server.renew()
    return server


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key ring that seals."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    add_key(path, sealing=True)
    return path


@pytest.fixture
def settings(register: Register, keys: Path) -> Settings:
    """A service that logs to it."""
    return settings_for(register, keys)


@pytest.fixture
def sink(settings: Settings) -> Iterator[GemmaSink]:
    """A sink on it, opened."""
    found = GemmaSink(settings)
    found.open()
    yield found
    found.close()


def settings_for(register: Register, keys: Path, **more: str) -> Settings:
    """What the environment of a service says."""
    address = f"gemma+http://{CLIENT_ID}@127.0.0.1:{register.port}/api/v1/"
    return read_settings({"LDV_LOGBOEK": address, "LDV_LOGBOEK_PASSWORD": SECRET, "LDV_KEYS": str(keys), **more})


def a_record(number: int, keys: Path, bsn: str = BSN, **more: Any) -> Logregel:
    """A record about somebody."""
    subject = Pseudonymiser(read_keys(keys)).subject(bsn, "BSN") if bsn else None
    about = (
        {
            "data_subject_id": subject.pseudonym,
            "data_subject_id_type": subject.type,
            "key_id": subject.key_id,
            "data_subject_sealed": subject.sealed,
        }
        if subject is not None
        else {}
    )
    fields: dict[str, Any] = {
        "trace_id": bytes([1]) * 16,
        "span_id": number.to_bytes(8, "big"),
        "name": f"Zoeken {number}",
        "start_time_ms": START,
        "end_time_ms": START + 5,
        "processing_activity_id": ACTIVITY,
        "resource": '{"service.name":"parkeren","service.version":"2.1"}',
    }
    return Logregel(**fields | about | more)


def a_batch(keys: Path, count: int = 3, **more: Any) -> Batch:
    """Some records about one person, begun in the same millisecond."""
    return number_batch(new_writer_id(), 0, [a_record(number, keys, **more) for number in range(1, count + 1)])


def names(register: Register) -> list[str]:
    """What the register has."""
    return [actie["actieNaam"] for actie in register.acties]


def test_a_logregel_is_a_verwerkingsactie(register: Register, sink: GemmaSink, keys: Path) -> None:
    """Section 6, the reverse direction; the identifier is there as it is, and what is not known is left out."""
    said = {
        "gemma.verwerking_naam": "Aanvraag parkeervergunning",
        "gemma.verwerking_id": "0d9a3c1e-5b52-4a57-9d0e-6a4f7f5b2c11",
        "gemma.vertrouwelijkheid": "vertrouwelijk",
        "ldv.confidential": "true",
        "gemma.bewaartermijn": "P5Y",
        "gemma.betrokkenheid": "Aanvrager",
        "gemma.soorten_gegevens": '["Adres"]',
        "dpl.objects.algorithm_id": "iets anders",
    }
    sink.send(number_batch(new_writer_id(), 0, [a_record(1, keys), a_record(2, keys, attributes=said)]))
    plain, told = register.acties
    tijdstip = plain.pop("tijdstip")
    del plain["actieId"]
    assert datetime.fromisoformat(tijdstip[:23] + tijdstip[29:]) == datetime.fromtimestamp(START / 1_000, UTC)
    assert plain == {
        "actieNaam": "Zoeken 1",
        "verwerkingId": str(uuid.UUID(bytes=bytes([1]) * 16)),
        "verwerkingsactiviteitId": ACTIVITY_ID,
        "verwerkingsactiviteitUrl": ACTIVITY,
        "vertrouwelijkheid": "normaal",
        "systeem": "parkeren 2.1",
        "verwerkteObjecten": [{"objecttype": "persoon", "soortObjectId": "BSN", "objectId": BSN}],
    }
    # IR-11: they can be told apart, and sorted.
    assert told["tijdstip"] != tijdstip
    assert (told["verwerkingId"], told["vertrouwelijkheid"]) == (said["gemma.verwerking_id"], "vertrouwelijk")
    assert (told["verwerkingNaam"], told["bewaartermijn"]) == ("Aanvraag parkeervergunning", "P5Y")
    assert told["verwerkteObjecten"][0]["betrokkenheid"] == "Aanvrager"
    assert told["verwerkteObjecten"][0]["verwerkteSoortenGegevens"] == [{"soortGegeven": "Adres"}]


FOUT = {"code": "fout", "title": "t", "status": 0, "detail": "d", "instance": "i"}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, FOUT, BatchRefused),
        (413, None, BatchRefused),
        (422, FOUT, BatchRefused),
        (401, FOUT, ConfigurationError),
        (403, FOUT, ConfigurationError),
        (404, None, ConfigurationError),
        (302, None, ConfigurationError),
        (200, {}, ConfigurationError),
        (201, None, ConfigurationError),
        (408, None, LogboekUnavailable),
        (409, FOUT, LogboekUnavailable),
        (429, FOUT, LogboekUnavailable),
        (500, FOUT, LogboekUnavailable),
        (503, FOUT, LogboekUnavailable),
    ],
)
def test_what_an_answer_means(  # noqa: PLR0917  (a table)
    register: Register, sink: GemmaSink, keys: Path, status: int, body: dict[str, Any] | None, error: type[LdvError]
) -> None:
    """Only 201 with a Verwerkingsactie is a confirmation; and there is one request for each record."""
    register.faults.append((status, {"Retry-After": "17"}, body))
    batch = a_batch(keys, 1)
    with pytest.raises(error) as caught:
        sink.send(batch)
    assert register.posted == 1
    assert sink.read_back(batch) == frozenset()
    if isinstance(caught.value, LogboekUnavailable):
        assert caught.value.retry_after_seconds == 17
        assert caught.value.in_doubt == (status != 429)
    assert SECRET not in str(caught.value)


def test_a_refusal_names_what_is_wrong_and_quotes_nothing(register: Register, sink: GemmaSink, keys: Path) -> None:
    """A sentence of the register may have the value in it."""
    fault = {"name": "verwerkteObjecten[0].objectId", "code": "invalid", "reason": f"{BSN} is geen BSN"}
    register.faults.append((400, {}, {**FOUT, "invalidParams": [fault, {"name": f"x {BSN}", "code": 7}, "x"]}))
    with pytest.raises(BatchRefused) as caught:
        sink.send(a_batch(keys, 1))
    assert "verwerkteObjecten[0].objectId, invalid" in str(caught.value)
    assert BSN not in str(caught.value)


@pytest.mark.parametrize("fault", ["cut before", "cut after"])
def test_an_answer_that_did_not_come_is_asked_for(register: Register, sink: GemmaSink, keys: Path, fault: str) -> None:
    """Nothing lost and nothing doubled, whether it was stored or not; what was confirmed is not sent again."""
    register.faults += [None, fault, (500, {}, FOUT)]
    deliver_whole(a_batch(keys, 4), sink, wait=lambda _: False)
    assert sorted(names(register)) == [f"Zoeken {number}" for number in range(1, 5)]


def test_what_another_process_sent_is_asked_for(register: Register, settings: Settings, keys: Path) -> None:
    """Over several pages, whose addresses are not followed to other hosts; of what is not there the rest is sent."""
    batch = a_batch(keys, 7)
    first, second = GemmaSink(settings), GemmaSink(settings)
    first.send(number_batch(batch.writer_id, 0, batch.logregels[:5]))
    deliver_whole(batch, second, wait=lambda _: False, in_doubt=True)
    assert names(register) == [f"Zoeken {number}" for number in range(1, 8)]
    assert second.read_back(batch) == set(range(7))
    first.close()
    second.close()


def test_in_doubt_and_not_to_be_asked_for_is_sent_again(
    register: Register, sink: GemmaSink, keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Twice is better than lost: about nobody, or without a right to read. The latter is told."""
    register.faults += ["cut after"]
    deliver_whole(a_batch(keys, 1, bsn=""), sink, wait=lambda _: False)
    assert names(register) == ["Zoeken 1", "Zoeken 1"]
    register.readable = False
    register.faults += ["cut after"]
    deliver_whole(a_batch(keys, 1), sink, wait=lambda _: False)
    assert len(register.acties) == 4
    assert "read scope" in caplog.text


def test_no_log_line_has_an_identifier(
    register: Register, sink: GemmaSink, keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`httpx` logs the address of each request, and the standard wants the identifier in there."""
    caplog.set_level(logging.DEBUG)
    register.faults += ["cut after", (400, {}, FOUT)]
    with pytest.raises(BatchRefused):
        deliver_whole(a_batch(keys, 2), sink, wait=lambda _: False)
    assert register.asked
    assert BSN not in caplog.text


def test_confirmed_means_logged_before_it_goes_on(
    register: Register, settings: Settings, keys: Path, tmp_path: Path
) -> None:
    """IR-02 to IR-04: with level `confirmed` the register has the entry when `end()` returns, or there is an error."""
    delivery = DurableDelivery(GemmaSink(settings), tmp_path, level="confirmed", confirm_seconds=20)
    delivery.submit(a_record(1, keys))
    assert names(register) == ["Zoeken 1"]
    register.faults.append((400, {}, FOUT))
    with pytest.raises(LogboekUnavailable, match="refuses"):
        delivery.submit(a_record(2, keys))
    assert not delivery.shutdown(5)
    register.away = (503, {}, FOUT)
    impatient = DurableDelivery(GemmaSink(settings), tmp_path, level="confirmed", confirm_seconds=0.1)
    with pytest.raises(LogboekUnavailable, match="did not confirm"):
        impatient.submit(a_record(3, keys))
    impatient.shutdown(0.1)
    register.away = None
    assert drain(GemmaSink(settings), tmp_path) == (1, 0)
    assert names(register) == ["Zoeken 1", "Zoeken 3"]


def test_a_record_that_is_refused_is_set_apart_with_its_reason(
    register: Register, settings: Settings, keys: Path, tmp_path: Path
) -> None:
    """The others go through, each once; and it can be sent again when the register has changed its mind."""
    refused: Answer = (400, {}, {**FOUT, "invalidParams": [{"name": "systeem", "code": "unknown", "reason": "?"}]})
    register.faults += [None, None, refused]
    delivery = DurableDelivery(GemmaSink(settings), tmp_path)
    for record in a_batch(keys, 6).logregels:
        delivery.submit(record)
    assert not delivery.shutdown(20)
    (apart,) = Quarantine(tmp_path / QUARANTINE_NAME).records()
    assert "systeem, unknown" in apart.reason
    assert len(set(names(register))) == len(register.acties) == 5
    assert retry_quarantine(GemmaSink(settings), tmp_path) == (1, 0)
    assert Quarantine(tmp_path / QUARANTINE_NAME).records() == []
    assert len(set(names(register))) == len(register.acties) == 6


def test_no_right_stops_nothing_from_being_kept(
    register: Register, settings: Settings, keys: Path, tmp_path: Path
) -> None:
    """401 and 403 are for an administrator to put right; records wait on disk meanwhile."""
    register.away = (401, {}, FOUT)
    with closing(GemmaSink(settings)) as sink, pytest.raises(ConfigurationError, match="LDV_LOGBOEK"):
        sink.open()
    delivery = DurableDelivery(GemmaSink(settings), tmp_path)
    delivery.submit(a_record(1, keys))
    assert not delivery.shutdown(0.1)
    register.away = None
    assert drain(GemmaSink(settings), tmp_path) == (1, 0)
    assert names(register) == ["Zoeken 1"]


def test_what_one_caller_made_confidential_holds_up_nobody_else(
    register: Register, settings: Settings, keys: Path, tmp_path: Path
) -> None:
    """Without a right to it, that record is quarantined until there is one; those after it go on."""
    confidential = {"gemma.vertrouwelijkheid": "vertrouwelijk", "ldv.confidential": "true"}
    register.faults += [None, (403, {}, FOUT)]
    delivery = DurableDelivery(GemmaSink(settings), tmp_path)
    delivery.submit(a_record(1, keys))
    delivery.submit(a_record(2, keys, attributes=confidential))
    delivery.submit(a_record(3, keys))
    assert not delivery.shutdown(20)
    assert sorted(names(register)) == ["Zoeken 1", "Zoeken 3"]
    (apart,) = Quarantine(tmp_path / QUARANTINE_NAME).records()
    assert "create:confidential" in apart.reason


def test_what_was_never_sent_is_not_asked_for(
    register: Register, settings: Settings, keys: Path, tmp_path: Path
) -> None:
    """A question is on record at the register as a processing itself; after an outage there would be one a record."""
    delivery = DurableDelivery(GemmaSink(settings), tmp_path)
    register.faults = [(503, {}, FOUT)] * 100
    delivery.submit(a_record(1, keys))
    assert register.was_posted_to.wait(20)
    for number in range(2, 61):
        delivery.submit(a_record(number, keys))
    delivery.shutdown(0.1)
    register.faults.clear()
    asked = register.asked
    assert drain(GemmaSink(settings), tmp_path) == (60, 0)
    assert register.asked - asked == 1
    assert len(set(names(register))) == len(register.acties) == 60


@pytest.mark.parametrize(
    ("away", "error"),
    [
        ((404, {}, FOUT), ConfigurationError),
        ((200, {}, {}), ConfigurationError),
        ((400, {"Content-Type": "text/html"}, FOUT), ConfigurationError),
        ((503, {}, FOUT), LogboekUnavailable),
    ],
)
def test_what_is_no_register_is_told_at_the_start(
    register: Register, settings: Settings, away: Any, error: type[LdvError]
) -> None:
    """And one that is away is no reason not to start."""
    register.away = away
    with closing(GemmaSink(settings)) as sink, pytest.raises(error):
        sink.open()


def test_whom_nobody_can_name_is_set_apart(register: Register, sink: GemmaSink, keys: Path) -> None:
    """A record that was made with a key that does not seal has a pseudonym only, which means nothing there."""
    record = msgspec.structs.replace(a_record(1, keys), data_subject_sealed="")
    with pytest.raises(BatchRefused, match="not sealed"):
        sink.send(number_batch(new_writer_id(), 0, [record]))
    with pytest.raises(BatchRefused, match="40 characters"):
        sink.send(number_batch(new_writer_id(), 0, [a_record(1, keys, bsn="1" * 41)]))
    assert not register.acties


def test_mistakes_stop_the_start(register: Register, keys: Path, tmp_path: Path) -> None:
    """Each names the way out."""
    plain = tmp_path / "plain.json"
    add_key(plain)
    with pytest.raises(ConfigurationError, match="ldv key new --seal"):
        make_sink(settings_for(register, plain))
    with pytest.raises(ConfigurationError, match="LDV_LOGBOEK_PASSWORD"):
        make_sink(settings_for(register, keys, LDV_LOGBOEK_PASSWORD=""))
    with pytest.raises(ConfigurationError, match="openssl rand"):
        make_sink(settings_for(register, keys, LDV_LOGBOEK_PASSWORD="short"))  # a test of one
    with pytest.raises(ConfigurationError, match="plain http"):
        read_settings({"LDV_LOGBOEK": "gemma+http://register.example/api/v1"})
    with pytest.raises(ConfigurationError, match="written to but not read"):
        LogboekClient(settings_for(register, keys))


def test_a_service_needs_no_server_for_it() -> None:
    """The extra [gemma] is httpx and joserfc; what `ldv serve` is made of stays out of services that only log."""
    script = (
        "import sys, ldv_otel._internal.gemma.consumer.sink, ldv_otel._internal.gemma.consumer.doelbinding\n"
        "print([name for name in ('fastapi', 'starlette', 'uvicorn', 'clickhouse_connect') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_address_is_shown_as_it_was_given(register: Register, keys: Path) -> None:
    """Spools are by address, so it has to be the same each time; and a token may stand in place of a secret."""
    settings = settings_for(register, keys)
    assert str(settings.logboek) == f"gemma+http://{CLIENT_ID}@127.0.0.1:{register.port}/api/v1"
    assert str(read_settings({"LDV_LOGBOEK": "gemma+https://register.example/api/v1"}).logboek) == (
        "gemma+https://register.example:443/api/v1"
    )
    assert spool_base(Path(), settings.logboek) == spool_base(Path(), settings_for(register, keys).logboek)
    bare = settings_for(register, keys, LDV_LOGBOEK=f"gemma+http://127.0.0.1:{register.port}/api/v1")
    sink = make_sink(bare)
    assert isinstance(sink, Sink)
    with pytest.raises(ConfigurationError, match="401"):
        sink.open()
    sink.close()


@given(any_logregels())
def test_any_record_about_nobody_is_a_verwerkingsactie(server: Register, keys: Path, record: Logregel) -> None:
    """Whatever an application logs, the contract has a place for it, or it is told why not."""
    record = msgspec.structs.replace(record, data_subject_id=b"")
    sent = GemmaSink(settings_for(server, keys)).verwerkingsactie(record)
    status, _, answer = server.store(sent)
    assert status == 201, answer


@property_settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    status=st.sampled_from((200, 201, 201, 201, 202, 204, 302, 400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503)),
    kind=st.sampled_from(("application/json", "application/problem+json", "text/html", "")),
    body=st.sampled_from((None, {}, [], {"actieId": "abc"}, {"actieId": ""}, {"actieId": 7}, {"status": 201})),
)
def test_only_a_register_that_names_the_actie_confirms(  # noqa: PLR0917  (what an answer consists of)
    register: Register, sink: GemmaSink, keys: Path, status: int, kind: str, body: Any
) -> None:
    """Status 201 and JSON with the `actieId` that it gave; no gateway on the way can make one up."""
    register.faults[:] = [(status, {"Content-Type": kind}, body)]
    batch = a_batch(keys, 1)
    confirmed = True
    try:
        sink.send(batch)
    except LdvError:
        confirmed = False
    assert confirmed == (status == 201 and "json" in kind and body == {"actieId": "abc"})
    register.faults.clear()


@pytest.mark.parametrize("body", [None, {}, {"results": None}, {"results": {}}, {"count": 0}])
def test_an_answer_without_a_list_is_not_an_empty_one(
    register: Register, sink: GemmaSink, keys: Path, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any] | None
) -> None:
    """Otherwise what the register has would be sent to it a second time."""
    batch = a_batch(keys, 1)
    register.faults += ["cut after"]
    with pytest.raises(LogboekUnavailable):
        sink.send(batch)
    with monkeypatch.context() as patched:
        patched.setattr(register, "list", lambda _: (200, {}, body))
        with pytest.raises(LdvError):
            sink.read_back(batch)
    assert sink.read_back(batch) == {0}
    assert len(register.acties) == 1


def test_a_gateways_refusal_is_not_the_registers(register: Register, settings: Settings) -> None:
    """Status 403 of a gateway, JSON or not, is no answer of a register that knows us; its cause is named."""
    for body in (None, {"message": "Forbidden"}):
        register.away = (403, {"Content-Type": "application/json"}, body)
        with closing(GemmaSink(settings)) as sink, pytest.raises(ConfigurationError, match=r"403 Forbidden.*gateway"):
            sink.open()


def test_a_gateways_api_key_goes_with_every_request(register: Register, keys: Path, tmp_path: Path) -> None:
    """In the header that the gateway wants, beside our own token."""
    (tmp_path / "key").write_text("sleutel-van-de-poort\n")
    environ = {"LDV_GEMMA_API_KEY_FILE": str(tmp_path / "key"), "LDV_GEMMA_API_KEY_HEADER": "apikey"}
    register.api_key = ("apikey", "sleutel-van-de-poort")
    with closing(GemmaSink(settings_for(register, keys))) as sink, pytest.raises(LdvError):
        sink.open()
    with closing(GemmaSink(settings_for(register, keys, **environ))) as sink:
        sink.open()
        sink.send(a_batch(keys))
        assert len(register.acties) == 3
    assert "sleutel" not in repr(settings_for(register, keys, **environ))


@pytest.mark.parametrize(
    ("content", "header"),
    [("", "apikey"), ("two\nlines", "apikey"), ("s\u00e9", "apikey"), (None, "apikey"), ("key", "Authorization")],
)
def test_an_api_key_that_cannot_be_sent_stops_the_start(
    settings: Settings, tmp_path: Path, content: str | None, header: str
) -> None:
    """With the name of its variable, and without the key."""
    if content is not None:
        (tmp_path / "key").write_text(content, encoding="utf-8")
    gemma = GemmaSettings(api_key_file=tmp_path / "key", api_key_header=header)
    named = "LDV_GEMMA_API_KEY_HEADER" if content == "key" else "LDV_GEMMA_API_KEY_FILE"
    with pytest.raises(ConfigurationError, match=named) as caught:
        GemmaSink(msgspec.structs.replace(settings, gemma=gemma))
    assert "two" not in str(caught.value)
