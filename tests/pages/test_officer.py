"""Who may look as a privacy officer, and that nothing is shown of anybody before it is on record."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from zoneinfo import ZoneInfo

import msgspec
import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from ldv_otel._internal.api.app import create_app
from ldv_otel._internal.api.auth.clients import Client, Scope
from ldv_otel._internal.api.pages.officer.access_record import NAME
from ldv_otel._internal.api.pages.officer.router import TOEZICHT
from ldv_otel._internal.api.pages.officer.view import FLAG_WORDS, period_of
from ldv_otel._internal.api.server import serve
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import oversight as overseeing
from ldv_otel._internal.clickhouse.queries.models import PageLimits
from ldv_otel._internal.clickhouse.queries.oversight import OversightKind
from ldv_otel._internal.clickhouse.queries.records import by_activity
from ldv_otel._internal.clickhouse.register_table import apply_register
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.register.register import ProcessingActivity, Register
from ldv_otel.attributes import OFFICER, REASON, Flag
from ldv_otel.errors import ConfigurationError
from tests.api.conftest import BSN, DEBTS, START, Named
from tests.support.faults import FaultFront, is_insert, refuse
from tests.support.logboek import SECRET

ACTIVITY = "https://register.example/activiteiten/toezicht"
SAME_SITE = {"Sec-Fetch-Site": "same-origin"}
DAY = "van=2026-01-01&tot=2026-01-01"


def officer(*without: Scope, activities: tuple[str, ...] = ()) -> Client:
    """Somebody with every right but these."""
    scopes = frozenset(Scope) - set(without)
    return Client(id="fg", scopes=scopes, activities=activities, requests_per_minute=1_000_000, person="jansen")


CLIENTS = {
    "officer": officer(),
    "ordinary": officer(Scope.OVERSEE),
    "counting": officer(Scope.IDENTIFY),
    "open": officer(Scope.CONFIDENTIAL),
    "narrow": officer(activities=(DEBTS,)),
}


@pytest.fixture(scope="module")
def settings(served_settings: Settings) -> Iterator[Settings]:
    """The Logboek of these tests, where debts are confidential meanwhile."""
    with LogboekClient(served_settings) as client:
        apply_register(client, Register([ProcessingActivity(id=DEBTS, name="Schulden", confidential=True)]), amend=True)
        yield msgspec.structs.replace(served_settings, toezicht_activity=ACTIVITY, confirm_seconds=0.5)
        apply_register(client, Register([ProcessingActivity(id=DEBTS, name="Schulden")]), amend=True)


@pytest.fixture(scope="module")
def pages(settings: Settings) -> Iterator[TestClient]:
    """The pages, in this process."""
    with TestClient(create_app(settings, Named(**CLIENTS), apis=[TOEZICHT], writes=True)) as client:
        yield client


def ask(client: TestClient, who: str = "officer", **given: str) -> Response:
    """Send the form for one person."""
    form = {"soort": "BSN", "nummer": BSN, "reden": "Klacht 2026-17 van een inwoner"} | given
    return client.post("/toezicht/persoon", data=form, headers={"X-Client": who, **SAME_SITE})


def looked(settings: Settings) -> list[Logregel]:
    """What is on record of looking into somebody's records."""
    with LogboekClient(settings) as client:
        return [found.logregel for found in by_activity(client, ACTIVITY).records]


def test_looking_is_an_actie_of_its_own(
    pages: TestClient, settings: Settings, pseudonymiser: Pseudonymiser, caplog: pytest.LogCaptureFixture
) -> None:
    """About whom, why and by whom stands in the Logboek, the first and the last as pseudonyms."""
    before = len(looked(settings))
    answer = ask(pages, reden=f"Klacht 2026-17\n van {BSN[:3]}.{BSN[3:6]}.{BSN[6:]}")
    assert answer.status_code == HTTPStatus.OK
    assert "Stap 1<" in answer.text
    assert "Stap 0<" not in answer.text
    assert NAME in answer.text
    assert BSN not in answer.text
    found = looked(settings)
    assert len(found) == before + 1
    assert found[-1].data_subject_id == pseudonymiser.subject(BSN, "BSN").pseudonym
    assert found[-1].attributes[REASON] == "Klacht 2026-17 van REDACTED"
    assert found[-1].attributes[OFFICER] == pseudonymiser.subject("jansen", "personeelsnummer").pseudonym.hex()
    assert not {BSN, "jansen"} & set(caplog.text.split())


def test_no_record_no_data(settings: Settings) -> None:
    """Where the Logboek does not take the record of looking, nothing is shown."""
    with FaultFront(settings.logboek.port) as front:
        address = msgspec.structs.replace(settings.logboek, port=front.port)
        through = msgspec.structs.replace(settings, logboek=address, password=SECRET)
        front.add(refuse(), when=is_insert)
        with TestClient(create_app(through, Named(**CLIENTS), apis=[TOEZICHT], writes=True)) as client:
            answer = ask(client)
            assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
            assert "Er is niets getoond" in answer.text
            assert "Stap" not in answer.text
            front.clear()
            assert "Stap 1<" in ask(client).text


@pytest.mark.parametrize(
    "given",
    [{"nummer": ""}, {"nummer": "12ab"}, {"soort": "naam"}, {"reden": ""}, {"reden": "  zomaar "}, {"van": "x"}],
)
def test_half_a_question_shows_nothing_and_records_nothing(
    pages: TestClient, settings: Settings, given: dict[str, str]
) -> None:
    """Whom, and why: without one of these there is no looking."""
    before = len(looked(settings))
    answer = ask(pages, **given)
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "Stap" not in answer.text
    assert len(looked(settings)) == before


def test_rights(pages: TestClient, settings: Settings) -> None:
    """The pages need one scope, one person another; who may see a part only would take it for the whole."""
    before = len(looked(settings))
    for who in ("ordinary", "narrow"):
        for path in ("", "/regels", "/reeksen", "/controles", "/persoon"):
            answer = pages.get(f"/toezicht{path}", headers={"X-Client": who})
            assert answer.status_code == HTTPStatus.FORBIDDEN
            assert "U mag deze pagina niet zien" in answer.text
        assert ask(pages, who).status_code == HTTPStatus.FORBIDDEN
    assert pages.get("/toezicht", headers={"X-Client": "counting"}).status_code == HTTPStatus.OK
    assert pages.get("/toezicht/persoon", headers={"X-Client": "counting"}).status_code == HTTPStatus.FORBIDDEN
    assert ask(pages, "counting").status_code == HTTPStatus.FORBIDDEN
    assert pages.get("/toezicht", headers={"X-Client": "nobody"}).status_code == HTTPStatus.UNAUTHORIZED
    assert len(looked(settings)) == before


def test_a_form_of_another_site_does_nothing(pages: TestClient, settings: Settings) -> None:
    """An officer who is signed in cannot be made to look by another page."""
    before = len(looked(settings))
    form = {"soort": "BSN", "nummer": BSN, "reden": "Klacht 2026-17 van een inwoner"}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://kwaad.example"}, {}):
        assert pages.post("/toezicht/persoon", data=form, headers=headers).status_code == HTTPStatus.FORBIDDEN
    assert len(looked(settings)) == before


def test_what_is_confidential_needs_its_own_right(pages: TestClient) -> None:
    """Who may not see it does not see it counted either."""
    seen, hidden = (pages.get(f"/toezicht?{DAY}", headers={"X-Client": who}).text for who in ("officer", "open"))
    assert "Schulden" in seen
    assert "Schulden" not in hidden
    assert DEBTS not in hidden
    assert "26: bekijk alle handelingen" in seen
    assert "21: bekijk alle handelingen" in hidden
    assert "Stap 9<" in ask(pages).text
    assert "Stap 9<" not in ask(pages, "open").text


def test_the_period_limits_a_person_too(pages: TestClient) -> None:
    """An officer sees no more than is needed."""
    assert "Stap 1<" in ask(pages, van="2026-01-01", tot="2026-01-01").text
    assert "Stap 1<" not in ask(pages, van="2026-01-02", tot="2026-01-03").text


def test_figures_are_those_of_the_period(settings: Settings) -> None:
    """Counts, failures and flags by activity, from and until whole milliseconds."""
    with LogboekClient(settings) as client:
        all_of_it = overseeing.used_in_period(client, START, START + 7_200_000)
        assert [one.logregels for one in all_of_it] == [20, 5, 1]
        first = overseeing.used_in_period(client, START, START + 60_000)
        assert sum(one.logregels for one in first) == 2
        failed = overseeing.latest_in_period(
            client, PageLimits(since_ms=START, until_ms=START + 7_200_000), kind=OversightKind.FAILED
        ).records
        assert len(failed) == sum(one.failed for one in all_of_it) == 8


def test_every_flag_has_words() -> None:
    """What was changed in a record is never shown as a code."""
    assert set(FLAG_WORDS) == set(Flag)


@pytest.mark.parametrize(
    "given", ["2026-01-31", "1970-01-01", "2261-12-30", "9999-12-31", "0001-01-01", "1-1-2026", "é"]
)
def test_any_period_can_be_asked(pages: TestClient, given: str) -> None:
    """The first and the last day there are, and garbage."""
    for path in ("", "/regels"):
        answer = pages.get(f"/toezicht{path}", params={"van": given, "tot": given})
        assert answer.status_code == HTTPStatus.OK


def test_a_day_is_one_of_here() -> None:
    """From midnight until the next, on this clock, also when it goes back."""
    period = period_of({"van": "2026-10-25", "tot": "2026-10-25"}, ZoneInfo("Europe/Amsterdam"))
    assert period.until_ms - period.since_ms == 25 * 3_600_000


def test_officers_are_known_or_the_server_does_not_start(settings: Settings) -> None:
    """Without clients, anybody could be an officer."""
    with pytest.raises(ConfigurationError, match="LDV_SERVE_ISSUER"):
        serve(settings, "127.0.0.1", 0)
