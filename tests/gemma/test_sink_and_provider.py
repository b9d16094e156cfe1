"""Delivery to our own provider, `ldv serve --gemma`, over a network that fails in every way."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest

from ldv_otel._internal.config.settings import Settings, read_settings
from ldv_otel._internal.delivery.durable import DurableDelivery, drain
from ldv_otel._internal.gemma.consumer.sink import GemmaSink
from ldv_otel._internal.gemma.zgw_token import zgw_token
from ldv_otel._internal.privacy.key_file import add_key
from tests.gemma.register import CLIENT_ID, SECRET
from tests.gemma.test_sink import BSN, a_record
from tests.support.faults import FaultFront, Request, cut_after, cut_before, pass_on, refuse
from tests.support.serving import ServeProcess

ACTIVITY: Final = "https://var.example/0a3c1e5b-525a-4a57-9d0e-6a4f7f5b2c11"
_TODAY_MS: Final = int(datetime.now(UTC).timestamp() * 1_000)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The key ring of the service; the provider has one of its own."""
    path = tmp_path_factory.mktemp("service") / "keys.json"
    add_key(path, sealing=True)
    return path


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The provider's address."""
    home = tmp_path_factory.mktemp("provider")
    add_key(home / "keys.json", sealing=True)
    (home / "secret").write_text(SECRET, encoding="utf-8")
    clients = home / "clients.yaml"
    clients.write_text(
        f"clients: [{{id: {CLIENT_ID}, secret_file: secret, bewerking: ['create:confidential', 'read:normal']}}]\n",
        encoding="utf-8",
    )
    environ = {
        "LDV_LOGBOEK": f"chdb://{home}/logboek",
        "LDV_KEYS": str(home / "keys.json"),
        "LDV_GEMMA_CLIENTS": str(clients),
        "LDV_GEMMA_ACTIVITY": ACTIVITY,
        "LDV_SERVE_REQUESTS_PER_MINUTE": "100000",
    }
    with ServeProcess(environ, "--gemma", log=home / "log") as process:
        yield process.address


@pytest.fixture
def front(provider: str) -> Iterator[FaultFront]:
    """The network before it."""
    with FaultFront(urlsplit(provider).port or 0) as found:
        yield found


def settings_for(front: FaultFront, keys: Path) -> Settings:
    """A service behind that network."""
    address = f"gemma+http://{CLIENT_ID}@127.0.0.1:{front.port}/api/v1"
    return read_settings({"LDV_LOGBOEK": address, "LDV_LOGBOEK_PASSWORD": SECRET, "LDV_KEYS": str(keys)})


def stored(provider: str, bsn: str) -> list[dict[str, Any]]:
    """What the provider has about somebody."""
    question = {"objecttype": "persoon", "soortObjectId": "BSN", "objectId": bsn, "vertrouwelijkheid": "normaal"}
    answer = httpx.get(
        f"{provider}/api/v1/verwerkingsacties",
        params={**question, "pageSize": "1000"},
        headers={"Authorization": f"Bearer {zgw_token(CLIENT_ID, SECRET)}"},
        timeout=30,
    )
    answer.raise_for_status()
    # The questions to the register are on record there too.
    found = [each for each in answer.json()["results"] if each["verwerkingsactiviteitUrl"] != ACTIVITY]
    assert len(found) < 1_000
    return found


def is_post(request: Request) -> bool:
    """Whether a request stores something."""
    return request.head.startswith(b"POST")


def test_nothing_is_lost_and_nothing_doubled(provider: str, front: FaultFront, keys: Path, tmp_path: Path) -> None:
    """Cut before and after it took effect, busy, away, and a process that is gone in the middle of it."""
    dice = random.Random(7)  # a test
    for _ in range(6):
        fault = dice.choice([cut_before(), cut_after(), refuse(503), refuse(429, retry_after="0"), refuse(500)])
        front.add(pass_on(), when=is_post, times=dice.randrange(1, 5))
        front.add(fault, when=is_post, times=1)
    first = DurableDelivery(GemmaSink(settings_for(front, keys)), tmp_path)
    for number in range(1, 31):
        first.submit(a_record(number, keys, start_time_ms=_TODAY_MS, end_time_ms=_TODAY_MS))
    first.shutdown(0.3)
    left = first.pending
    confirmed, apart = drain(GemmaSink(settings_for(front, keys)), tmp_path)
    assert (confirmed, apart) == (left, 0)
    names = sorted(actie["actieNaam"] for actie in stored(provider, BSN))
    assert names == sorted(f"Zoeken {number}" for number in range(1, 31))


def test_what_is_sent_comes_back(provider: str, front: FaultFront, keys: Path, tmp_path: Path) -> None:
    """Both directions of the mapping after each other: what the consumer sends the provider shows, unchanged."""
    said = {
        "gemma.verwerking_naam": "Aanvraag",
        "gemma.handeling_naam": "Intake",
        "gemma.bewaartermijn": "P5Y",
        "gemma.betrokkenheid": "Aanvrager",
        "gemma.gegevensbron": "BRP",
        "gemma.soorten_gegevens": '["Adres","Naam"]',
    }
    record = a_record(1, keys, bsn="999990019", attributes=said, start_time_ms=_TODAY_MS, end_time_ms=_TODAY_MS)
    sink = GemmaSink(settings_for(front, keys))
    delivery = DurableDelivery(sink, tmp_path, level="confirmed", confirm_seconds=30)
    delivery.submit(record)
    assert delivery.shutdown(5)
    (found,) = stored(provider, "999990019")
    sent = json.loads(json.dumps(sink.verwerkingsactie(record)))
    (about,) = found.pop("verwerkteObjecten")
    (sent_about,) = sent.pop("verwerkteObjecten")
    assert sent.items() <= found.items()
    assert about | sent_about == about
