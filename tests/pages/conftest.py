"""The parking permit at two organisations: the municipality's page, the vehicle authority's read API, and a browser."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from ldv_otel._internal.api.pages.assets import stylesheet_of
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.register_table import apply_register
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.verification.made import write_verification
from ldv_otel._internal.clickhouse.verification.verify import verify
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.privacy.key_file import add_key, read_keys
from ldv_otel._internal.privacy.pseudonyms import KeyRing
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.register.source import parse_register
from ldv_otel.attributes import CONFIDENTIAL, FLAGS
from tests.api.conftest import pseudonymiser, served_settings  # noqa: F401  (fixtures that test_identity.py shares)
from tests.support.logboek import LogboekProcess
from tests.support.serving import ServeProcess

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "parkeervergunning"
ACTIVITIES: Final = "https://register.gemeente.example/activiteiten/"
ADMINISTRATION: Final = f"{ACTIVITIES}parkeervergunningadministratie-voeren"
CHECKING: Final = f"{ACTIVITIES}tenaamstelling-controleren"
SECRET: Final = f"{ACTIVITIES}misbruik-onderzoeken"
OVERSEEING: Final = f"{ACTIVITIES}toezicht-op-het-logboek"
UNKNOWN: Final = "https://register.gemeente.example/activiteiten/nergens-beschreven"

ROBIN: Final = "123456782"  # whose permit it is
OTHER: Final = "111222333"  # whose trace names parties that do not answer
MANY: Final = "999990019"  # has a thousand records
ONE: Final = "999990020"  # has one, which the Register does not explain
PLAIN: Final = "999990032"  # has the same as the next, but for what is confidential
WATCHED: Final = "999990044"
NOBODY: Final = "999990056"  # has none
ODD: Final = "999990068"  # has one that was changed to be storable
LONG: Final = "999990070"  # has 105, over two pages
LONG_WATCHED: Final = "999990081"  # the same, and between them some that are confidential by themselves

PERMIT: Final = b"\x01" * 16
SILENT: Final = b"\x02" * 16
SHARED: Final = b"\x05" * 16
HIDDEN: Final = b"\x06" * 16
START: Final = 1_790_000_000_000  # 2026-09-21, 16.13 uur


class World:
    """What runs, and how to get in."""

    def __init__(self, gemeente: ServeProcess, log: Path) -> None:
        self.address = gemeente.address
        self.page = f"{gemeente.address}/inzage"
        self.log = log

    def signed_in(self, number: str) -> httpx.Client:
        """Return a client with a session of that person."""
        client = httpx.Client(base_url=self.address, headers={"Sec-Fetch-Site": "same-origin"}, timeout=30)
        answer = client.post("/inzage/aanmelden", data={"nummer": number})
        assert answer.status_code == 303
        return client


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Both organisations, with what they logged."""
    directory = tmp_path_factory.mktemp("inzage")
    with ExitStack() as stack:
        rdw_logboek = stack.enter_context(LogboekProcess(directory / "rdw"))
        rdw_environ = {
            "LDV_LOGBOEK": f"clickhouse+http://127.0.0.1:{rdw_logboek.port}/ldv",
            "LDV_KEYS": str(directory / "rdw.keys.json"),
        }
        add_key(directory / "rdw.keys.json")
        stored(rdw_logboek, directory / "rdw.keys.json", rdw_logregels)
        rdw = stack.enter_context(ServeProcess(rdw_environ, "--without-authentication", log=directory / "rdw.log"))
        add_key(directory / "keys.json")
        with LogboekProcess(directory / "gemeente") as process:
            stored(process, directory / "keys.json", lambda keys: gemeente_logregels(keys, rdw.base), registered=True)
        parties = {
            "read_apis": [
                {"url": rdw.base, "name": "RDW"},
                {"url": "http://127.0.0.1:9/v1", "name": "CJIB", "contact": "https://cjib.example/privacy"},
                {"url": "https://klein.example/contact", "name": "Klein", "offered": False},
            ]
        }
        (directory / "parties.json").write_text(json.dumps(parties))
        environ = {
            "LDV_LOGBOEK": f"chdb://{directory / 'gemeente'}",
            "LDV_KEYS": str(directory / "keys.json"),
            "LDV_PARTIES": str(directory / "parties.json"),
            "LDV_ORGANISATION": "Gemeente Voorbeeld",
            "LDV_TOEZICHT_ACTIVITY": OVERSEEING,
            "LDV_SERVE_REQUESTS_PER_MINUTE": "1000000",
            "LDV_SERVE_SECONDS": "30",
        }
        log = directory / "gemeente.log"
        yield World(stack.enter_context(ServeProcess(environ, "--demo", log=log)), log)


def stored(
    process: LogboekProcess, keys: Path, logregels: Callable[[KeyRing], list[Logregel]], *, registered: bool = False
) -> None:
    """Store records in a Logboek, and the example's Register when asked to."""
    address = LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=process.port, database="ldv")
    settings = Settings(logboek=address, keys=keys)
    apply_schema(settings)
    sink = ClickHouseSink(settings)
    sink.open()
    # The first place of the sequence is empty: a record that was lost.
    sink.send(number_batch(new_writer_id(), 1, logregels(read_keys(keys))))
    sink.close()
    if registered:
        register = EXAMPLE / "gemeente.register.yaml"
        with LogboekClient(settings) as client:
            apply_register(client, parse_register(register.read_text("utf-8"), source="register"))
            write_verification(client, verify(client), keys_named=True)


def actie(keys: KeyRing, bsn: str, span: int, name: str, **more: Any) -> Logregel:
    """A record about somebody; spans are numbered over both organisations."""
    given: dict[str, Any] = {
        "trace_id": PERMIT,
        "start_time_ms": START + span * 1_000,
        "processing_activity_id": ADMINISTRATION,
    } | more
    given.setdefault("end_time_ms", given["start_time_ms"] + 40)
    return Logregel(
        span_id=span.to_bytes(8, "big"),
        name=name,
        data_subject_id=keys.pseudonym("BSN", bsn),
        data_subject_id_type="BSN",
        key_id=keys.active.id,
        **given,
    )


def gemeente_logregels(keys: KeyRing, rdw: str) -> list[Logregel]:
    """What the municipality did."""
    found = [
        actie(keys, ROBIN, 1, "Toon alle vergunningen"),
        actie(keys, ROBIN, 2, "Wijzig kenteken"),
        actie(
            keys,
            ROBIN,
            3,
            "Controleer tenaamstelling",
            processing_activity_id=CHECKING,
            parent_span_id=(2).to_bytes(8, "big"),
            external_read_api_id=rdw,
            outbound_span_ids=(b"\xa1" * 8,),
        ),
        # In the same trace, and about somebody else.
        actie(keys, OTHER, 4, "Iets van een ander", external_read_api_id=rdw, outbound_span_ids=(b"\xa2" * 8,)),
        actie(keys, OTHER, 5, "Vraag boetes", trace_id=SILENT, external_read_api_id="http://127.0.0.1:9/v1"),
        actie(keys, OTHER, 6, "Vraag klein", trace_id=SILENT, external_read_api_id="https://klein.example/contact"),
        actie(keys, OTHER, 7, "Vraag vreemd", trace_id=SILENT, external_read_api_id="https://vreemd.example/v1"),
        actie(
            keys,
            ONE,
            8,
            "=HYPERLINK(1)<script>",
            trace_id=b"\x08" * 16,
            processing_activity_id=UNKNOWN,
            status=Status.ERROR,
        ),
    ]
    for number, (bsn, first) in enumerate(((PLAIN, 100), (WATCHED, 200))):
        for step in range(3):
            moment = START + 5_000 + step * 1_000
            found.append(actie(keys, bsn, first + step, f"Stap {step}", trace_id=SHARED, start_time_ms=moment))
        if number:
            more = {"processing_activity_id": SECRET, "external_read_api_id": "https://geheim.example/v1"}
            found += [
                actie(keys, bsn, 210, "Onderzoek misbruik", trace_id=SHARED, **more),
                actie(keys, bsn, 211, "Onderzoek misbruik", trace_id=HIDDEN, **more),
                actie(keys, bsn, 212, "Stap geheim", trace_id=SHARED, attributes={CONFIDENTIAL: "true"}),
            ]
    odd = {FLAGS: "end_before_start,name_missing"}
    found.append(actie(keys, ODD, 300, "(naamloos)", attributes=odd, trace_id=b"\x09" * 16))
    for number in range(105):
        moment = START - number * 60_000
        for bsn, first in ((LONG, 1_000), (LONG_WATCHED, 2_000)):
            trace_id = (first + number).to_bytes(16, "big")
            found.append(actie(keys, bsn, first + number, f"Lang {number}", trace_id=trace_id, start_time_ms=moment))
        if number % 10 == 0:
            secret = actie(keys, LONG_WATCHED, 5_000 + number, "Geheim", start_time_ms=moment - 30_000)
            found.append(msgspec.structs.replace(secret, attributes={CONFIDENTIAL: "true"}))
    for number in range(1_000):
        moment = START - number * 3_600_000
        trace_id = (0xABCD0000 + number).to_bytes(16, "big")
        found.append(actie(keys, MANY, 10_000 + number, f"Van velen {number}", trace_id=trace_id, start_time_ms=moment))
    return found


def rdw_logregels(keys: KeyRing) -> list[Logregel]:
    """What the vehicle authority did for the municipality: for Robin, and for somebody else in the same trace."""
    more = {"processing_activity_id": "https://register.rdw.example/activiteiten/kentekenhoudergegevens-verstrekken"}
    return [
        actie(keys, ROBIN, 11, "Verstrek houdergegevens", parent_span_id=b"\xa1" * 8, **more),
        actie(keys, OTHER, 12, "Verstrek over een ander", parent_span_id=b"\xa2" * 8, **more),
    ]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium as the system has it."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        reason = "Chromium is missing: `apt-get install chromium` (Debian)."
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    with sync_playwright() as playwright:
        # As root, in a container, Chromium has no sandbox of its own.
        launched = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield launched
        launched.close()


Opened = Callable[..., AbstractContextManager[Page]]


@pytest.fixture
def opened(world: World, browser: Browser) -> Opened:
    """Open a page signed in as somebody, with a look or the server's own.

    It fails on an error in the console, and on a request to elsewhere.
    """

    @contextmanager
    def open_(number: str = "", *, width: int = 1_000, script: bool = True, look: str = "") -> Iterator[Page]:
        context = browser.new_context(
            viewport={"width": width, "height": 800}, java_script_enabled=script, timezone_id="Asia/Tokyo"
        )
        page = context.new_page()
        page.set_default_timeout(15_000)
        if look:
            sheet = stylesheet_of(look)
            page.route("**/opmaak/stijl.css", lambda route: route.fulfill(body=sheet, content_type="text/css"))
        wrong: list[str] = []
        page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
        page.on(
            "request",
            lambda sent: wrong.append(sent.url) if not sent.url.startswith((world.address, "data:")) else None,
        )
        page.goto(world.page)
        if number:
            page.get_by_label("Burgerservicenummer").fill(number)
            # A click does not wait for the page that it leads to, and between two pages there is no document.
            with page.expect_navigation():
                page.get_by_role("button", name="Log in").click()
        yield page
        context.close()
        assert not wrong

    return open_
