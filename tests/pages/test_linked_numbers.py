"""A person with another number, on the pages: all records are there, and the page says when some may not be."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from starlette.testclient import TestClient

from ldv_otel._internal.api.app import create_app
from ldv_otel._internal.api.pages.citizen.identity import DemoIdentity
from ldv_otel._internal.api.pages.citizen.router import INZAGE, install_inzage
from ldv_otel._internal.api.pages.officer.router import TOEZICHT
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.subject_links import SubjectLink, end_link, store_link
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from tests.api.conftest import BSN, Named
from tests.pages.test_officer import ACTIVITY, SAME_SITE, ask, officer
from tests.support.chance import new_bsn

OFFICER_NOTICE = "Laat de nummers opnieuw koppelen."
CITIZEN_NOTICE = "Onder uw andere nummer kunnen handelingen ontbreken."


@pytest.fixture(scope="module")
def pages(served_settings: Settings, pseudonymiser: Pseudonymiser) -> Iterator[TestClient]:
    """Both kinds of pages, in this process."""
    settings = msgspec.structs.replace(served_settings, toezicht_activity=ACTIVITY)
    app = create_app(settings, Named(officer=officer()), apis=[TOEZICHT, INZAGE], writes=True)
    install_inzage(app.state, DemoIdentity("BSN", pseudonymiser, minutes=15))
    with TestClient(app) as client:
        yield client


@contextmanager
def linked(settings: Settings, pseudonymiser: Pseudonymiser, former: str, *keys: str) -> Iterator[None]:
    """The number is that of the person of these tests meanwhile, under these keys."""
    ring = pseudonymiser.keys
    link = SubjectLink(
        id=str(uuid.uuid4()),
        holds_from_ms=0,
        former=tuple(ring.pseudonym("BSN", former, key_id=key) for key in keys),
        present=tuple(ring.pseudonym("BSN", BSN, key_id=key) for key in keys),
        former_type="BSN",
        present_type="BSN",
        keys=keys,
        linked_ms=0,
    )
    with LogboekClient(settings) as client:
        store_link(client, link)
        yield
        end_link(client, link)


def test_the_pages_show_the_records_of_both_numbers(
    pages: TestClient, served_settings: Settings, pseudonymiser: Pseudonymiser
) -> None:
    """To the officer and to the citizen, from the number that has no record itself."""
    former = new_bsn()
    pages.post("/inzage/aanmelden", data={"nummer": former}, headers=SAME_SITE)
    assert "Stap 1<" not in pages.get("/inzage").text
    with linked(served_settings, pseudonymiser, former, "old", "new"):
        shown = pages.get("/inzage").text
        assert "Stap 1<" in shown
        assert "Stap 0<" not in shown
        assert CITIZEN_NOTICE not in shown
        shown = ask(pages, nummer=former, toch="ja").text
        assert "Stap 1<" in shown
        assert OFFICER_NOTICE not in shown
    assert "Stap 1<" not in pages.get("/inzage").text


def test_a_link_that_is_older_than_a_key_is_said(
    pages: TestClient, served_settings: Settings, pseudonymiser: Pseudonymiser
) -> None:
    """Records under the other number may be missing, and a page that is silent would seem complete."""
    former = new_bsn()
    pages.post("/inzage/aanmelden", data={"nummer": former}, headers=SAME_SITE)
    with linked(served_settings, pseudonymiser, former, "old"):
        shown = pages.get("/inzage").text
        assert CITIZEN_NOTICE in shown
        # Those with the key that the link knows, and none of the other.
        assert "Stap 1<" in shown
        assert "Stap 11<" not in shown
        assert OFFICER_NOTICE in ask(pages, nummer=former, toch="ja").text
