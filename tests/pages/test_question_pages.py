"""The ten questions in a browser: each has a page, a table and files, on a telephone and on paper too."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from ldv_otel._internal.api.pages.assets import NL_DESIGN_SYSTEM, OWN
from ldv_otel._internal.api.pages.rendering import _environment
from ldv_otel._internal.questions.catalogue import QUESTIONS
from ldv_otel._internal.questions.model import Question
from ldv_otel._internal.tamper.proof import check_proof, proofs_in
from tests.pages.conftest import PLAIN, ROBIN, WATCHED, Opened, World
from tests.pages.test_officer_pages import PERIOD, REASON
from tests.pages.test_pages import AXE_OPTIONS, tab_to, with_look

ABOUT_ALL = [question for question in QUESTIONS if not question.about_person]
OTHER = "111222333"
#: How many tables have columns that are not to be seen.
SCROLLING = """
Array.from(document.querySelectorAll('.scroll')).filter(box => box.scrollWidth > box.clientWidth).length
"""


def about(world: World, number: str, form: str) -> httpx.Response:
    """The answer to the form for one person."""
    fields = {"soort": "BSN", "nummer": number, "reden": REASON, "vorm": form}
    return httpx.post(
        f"{world.address}/toezicht/persoon", data=fields, headers={"Sec-Fetch-Site": "same-origin"}, timeout=60
    )


def test_from_the_list_to_an_answer_with_the_keyboard(opened: Opened, world: World) -> None:
    """Every question is on the list; the answer says what may not be concluded, and leads to files."""
    with opened(script=False) as page:
        page.goto(f"{world.address}/toezicht/vragen")
        for question in QUESTIONS:
            expect(page.get_by_role("link", name=question.title.nl)).to_have_count(1)
    with opened() as page:
        page.goto(f"{world.address}/toezicht/vragen")
        tab_to(page, "Wat lukte niet, waar en waarom?")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        page.get_by_label("Eerste dag").fill("2026-09-01")
        page.get_by_label("Laatste dag").fill("2026-09-30")
        tab_to(page, "Geef antwoord")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        main = page.get_by_role("main")
        expect(main).to_contain_text("Niet gelukt: 1 handeling in 1 applicatie.")
        expect(main).to_contain_text("Wat u hieruit niet mag opmaken")
        with page.expect_download() as download:
            page.get_by_role("link", name="JSON").click()
        answer = json.loads(download.value.path().read_bytes())
        assert answer["tables"]["mislukt"][0]["mislukt"] == 1


@pytest.mark.parametrize("question", ABOUT_ALL, ids=lambda question: question.name)
@pytest.mark.parametrize("form", ["csv", "xlsx", "json"])
def test_each_answer_is_there_as_a_file(world: World, question: Question, form: str) -> None:
    """With the period of the page, and never shown by the browser itself."""
    address = question.address
    file = httpx.get(f"{world.address}/toezicht/vragen/{address}/antwoord.{form}?{PERIOD}", timeout=60)
    assert file.status_code == 200
    assert file.headers["Content-Disposition"] == f'attachment; filename="{address}.{form}"'
    if form == "json":
        assert file.json()["notConcluded"]
    elif form == "xlsx":
        assert zipfile.ZipFile(io.BytesIO(file.content)).testzip() is None
    else:
        assert file.content.startswith("\N{ZERO WIDTH NO-BREAK SPACE}".encode())


@pytest.mark.parametrize(
    "path", ["weer", "persoon", "klacht", "mislukt/antwoord.exe", "persoon/antwoord.csv", "mislukt?verwerking=0123"]
)
def test_what_is_not_there(world: World, path: str) -> None:
    """Nothing about a person is behind an address, and an activity that is not there is not taken for all of them."""
    assert httpx.get(f"{world.address}/toezicht/vragen/{path}", timeout=60).status_code == 404


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("datalek?van=2026-09-22&tot=2026-09-21", "De eerste dag moet voor de laatste dag liggen."),
        (
            "datalek?van=2026-09-21&tot=2026-09-21&van_tijd=16:00&tot_tijd=15:00",
            "Het begin moet voor het einde liggen.",
        ),
        ("datalek?van=2026-09-21&tot=2026-09-21&van_tijd=kwart", "Dit is geen tijd."),
        ("verwijderen?op=2020-01-01", "Kies een dag die nog komt."),
    ],
)
def test_a_wrong_form_says_so_and_gives_no_answer(world: World, query: str, said: str) -> None:
    """Rather than the answer to a question that nobody asked."""
    shown = httpx.get(f"{world.address}/toezicht/vragen/{query}", timeout=60).text
    assert said in shown
    assert 'id="antwoord"' not in shown


def test_a_breach_between_two_times_of_a_day(world: World) -> None:
    """Half past four to five in the afternoon, on the clock here."""
    address = f"{world.address}/toezicht/vragen/datalek/antwoord.json?van=2026-09-21&tot=2026-09-21"
    whole = httpx.get(address, timeout=60).json()
    part = httpx.get(f"{address}&van_tijd=16:13&tot_tijd=16:14", timeout=60).json()
    assert (part["from"], part["to"]) == ("2026-09-21T14:13:00.000Z", "2026-09-21T14:14:00.000Z")
    assert 0 < part["tables"]["mensen"][0]["handelingen"] < whole["tables"]["mensen"][0]["handelingen"]


def every_question(page: Page, world: World) -> Iterator[str]:
    """Go to every page of questions and letters, and say which it is."""
    for path in ("", *(f"/{question.address}?{PERIOD}" for question in ABOUT_ALL), "/datalek?van=onzin"):
        page.goto(f"{world.address}/toezicht/vragen{path}")
        yield path
    for form in ("Als brief aan de persoon", "Als brief in het Engels"):
        page.goto(f"{world.address}/toezicht/persoon")
        page.get_by_label("Nummer van de persoon").fill(ROBIN)
        page.get_by_label("Waarom wilt u dit zien?").fill(REASON)
        page.get_by_label("Hoe wilt u het hebben?").select_option(form)
        with page.expect_navigation():
            page.get_by_role("button", name="Leg vast en laat zien").click()
        yield form


@pytest.mark.parametrize("look", [with_look(OWN), with_look(NL_DESIGN_SYSTEM)])
def test_no_violation_of_wcag_and_no_sideways_scrolling(opened: Opened, world: World, look: str) -> None:
    """axe-core finds nothing, and at 320 px only tables scroll, by themselves."""
    axe = Axe()
    with opened(width=320, look=look) as page:
        for state in every_question(page, world):
            found = axe.run(page, options=AXE_OPTIONS)
            assert not found.response["violations"], (state, found.generate_report())
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, state


@pytest.mark.parametrize("look", [with_look(OWN), with_look(NL_DESIGN_SYSTEM)])
def test_no_table_is_cut_off_at_1200_pixels(opened: Opened, world: World, look: str) -> None:
    """All columns of the records of a period are to be seen without scrolling."""
    with opened(width=1200, look=look) as page:
        questions = [f"/vragen/{question.address}?{PERIOD}" for question in ABOUT_ALL]
        for path in (f"/regels?{PERIOD}", f"/regels?{PERIOD}&soort=aangepast", f"?{PERIOD}", *questions):
            page.goto(f"{world.address}/toezicht{path}")
            assert page.evaluate(SCROLLING) == 0, path


@pytest.mark.parametrize(
    ("form", "heading", "language"),
    [("brief", "Wat wij met uw gegevens deden", "nl"), ("brief-en", "What we did with your data", "en")],
)
def test_a_letter_is_on_record_and_has_no_number(world: World, form: str, heading: str, language: str) -> None:
    """It is one file without links to elsewhere; the access that made it is in it."""
    answer = about(world, ROBIN, form)
    assert answer.status_code == 200
    text = answer.text
    assert f'<html lang="{language}">' in text
    assert f"<h1>{heading}</h1>" in text
    assert "Wijzig kenteken" in text
    assert "Gegevens bekeken door de privacyofficer" in text
    assert "Gemeente Voorbeeld" in text
    assert ROBIN not in text
    assert REASON not in text
    assert "<script" not in text
    assert "http" not in text.replace("http://", "http").split("<body>")[0]


def test_a_letter_fits_on_a4(opened: Opened, world: World) -> None:
    """Printed it has pages of A4, and black text."""
    with opened() as page:
        list_of_states = every_question(page, world)
        for state in list_of_states:
            if state == "Als brief aan de persoon":
                break
        content = page.pdf(prefer_css_page_size=True)
        assert b"/MediaBox [0 0 594.95996 841.91998]" in content or b"595" in content
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"


def test_what_goes_out_has_nothing_confidential(world: World) -> None:
    """Letters and evidence are the same for a person with confidential records as for one without, but for names."""
    for form in ("brief", "brief-en"):
        watched, plain = about(world, WATCHED, form).text, about(world, PLAIN, form).text
        assert "misbruik" not in watched
        assert "geheim" not in watched.casefold()
        assert watched.count("Stap ") == plain.count("Stap ")
    with zipfile.ZipFile(io.BytesIO(about(world, WATCHED, "bewijs").content)) as evidence:
        rows = json.loads(evidence.read("handelingen.json"))["regels"]
        # A manifest counts the activities of its whole batch, whoever they are about: that is the same for everybody.
        shown = [{name: value for name, value in row.items() if name != "bewijs"} for row in rows]
        assert "misbruik" not in json.dumps(shown)
        for name in set(evidence.namelist()) - {"handelingen.json"}:
            assert b"misbruik" not in evidence.read(name), name
    assert "Onderzoek misbruik" in about(world, WATCHED, "csv").content.decode("utf-8-sig")


def test_evidence_is_one_file_that_can_be_checked(world: World) -> None:
    """Records, explanation, proofs, the page that checks them, and a print."""
    answer = about(world, OTHER, "bewijs")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as evidence:
        names = set(evidence.namelist())
        assert names == {
            "LEESMIJ.txt",
            "handelingen.html",
            "handelingen.csv",
            "handelingen.json",
            "bewijs-controleren.html",
        }
        proofs = proofs_in(evidence.read("handelingen.json"))
        assert "Vraag boetes" in evidence.read("handelingen.csv").decode("utf-8-sig")
        assert "niet mag opmaken" in evidence.read("LEESMIJ.txt").decode()
        assert all(OTHER.encode() not in evidence.read(name) for name in names)
    for proof in proofs:
        check_proof(proof, [])


@pytest.mark.parametrize("form", ["scherm", "brief", "csv", "xlsx", "json", "bewijs"])
def test_each_form_is_offered(world: World, form: str) -> None:
    """And each is answered, also for somebody about whom nothing is recorded."""
    assert f'<option value="{form}"' in httpx.get(f"{world.address}/toezicht/persoon", timeout=60).text
    assert about(world, "999990056", form).status_code == 200


def test_a_form_that_is_not_there_is_not_answered(world: World) -> None:
    """And nothing is put on record for it."""
    assert about(world, ROBIN, "fax").status_code == 404


def test_a_command_in_a_sentence_is_shown_as_one(world: World) -> None:
    """Backticks are for a terminal; a page has none."""
    for question in ABOUT_ALL:
        text = httpx.get(f"{world.address}/toezicht/vragen/{question.address}", timeout=60).text
        assert "`" not in text, question.name
    text = httpx.get(f"{world.address}/toezicht/vragen/veranderd", timeout=60).text
    assert '<span class="nl-code">ldv verify</span>' in text


def test_what_stands_around_a_command_is_escaped() -> None:
    """A sentence may name a user or an application, whatever they call themselves."""
    template = '{% from "toezicht/velden.html" import code %}{{ code(sentence) }}'
    shown = _environment.from_string(template).render(sentence="<b>`<i>`</b> `odd")
    assert shown == '&lt;b&gt;<span class="nl-code">&lt;i&gt;</span>&lt;/b&gt; <span class="nl-code">odd</span>'
