"""The pages of the repository: links that resolve, words of the glossary, decisions in their index."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    (
        *DOCS.rglob("*.md"),
        *(
            ROOT / name
            for name in ("README.md", "README.nl.md", "CONTRIBUTING.md", "CHANGELOG.md", "collector-config/README.md")
        ),
        *(path for path in (ROOT / "examples").rglob("*.md") if "node_modules" not in path.parts),
    )
)
CODE_BLOCK = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)")
HEADING = re.compile(r"^#{1,6} +(.+?)\s*#*$", re.MULTILINE)


def relative(page: Path) -> str:
    """Path of a page as it is named in messages."""
    return page.relative_to(ROOT).as_posix()


def links(page: Path) -> Iterator[str]:
    """Targets of a page's links that lead to no other site, wherever a line was broken."""
    text = CODE_SPAN.sub("", CODE_BLOCK.sub("", page.read_text(encoding="utf-8")))
    for target in LINK.findall(text):
        if not re.match(r"[a-z][a-z0-9+.-]*:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """Anchors that GitHub and most other renderers give the headings of a page."""
    slugs: set[str] = set()
    for heading in HEADING.findall(CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
        repeated = slug
        count = 0
        while repeated in slugs:
            count += 1
            repeated = f"{slug}-{count}"
        slugs.add(repeated)
    return slugs


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    """A page that was renamed, or a heading that was reworded, takes its links along."""
    for target in links(page):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.is_relative_to(ROOT), f"{relative(page)} links out of the repository: {target}"
        assert linked.exists(), f"{relative(page)} links to {target}, which is not there"
        if anchor:
            assert linked.suffix == ".md", f"{relative(page)} links to a heading of {path}, which is no page"
            assert anchor in anchors(linked), f"{relative(page)} links to {target}, and that page has no such heading"


def test_the_links_are_seen() -> None:
    """A pattern that matches nothing would let every link through."""
    assert sum(len(list(links(page))) for page in PAGES) > 100
    assert "missed-and-what-was-tried" in anchors(DOCS / "lab" / "table.md")


def test_every_decision_is_in_the_index_under_its_title() -> None:
    """The index names each decision by the sentence that is its title."""
    index = (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")
    listed = {
        (file, f"# {number}. {title}")
        for number, file, title in re.findall(r"^\| \[(\d+)\]\((\S+)\) \| (.+) \|$", index, re.MULTILINE)
    }
    written = {
        (path.name, path.read_text(encoding="utf-8").split("\n", 1)[0]) for path in (DOCS / "decisions").glob("0*.md")
    }
    assert listed == written


def glossary_names() -> Iterator[tuple[str, str]]:
    """Each term of the glossary with each of its names in code."""
    terms, _ = (DOCS / "glossary.md").read_text(encoding="utf-8").split("\n## Words we do not use", 1)
    for term, names in re.findall(r"^\| (?!term |---|\*\*)(.+?) \| .+ \|(.*)\|$", terms, re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", names):
            yield term, name


def test_the_glossary_has_the_names_that_the_code_has() -> None:
    """A name that was changed in the code is changed in the glossary."""
    files = [path for path in (ROOT / "src").rglob("*") if path.suffix in {".py", ".sql"}]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    known = set(re.findall(r"\w+", text)) | {path.name for path in files}
    names = list(glossary_names())
    assert len(names) > 60
    missing = [(term, name) for term, name in names if name not in known and name not in text]
    assert not missing


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "glossary.md"], ids=relative)
def test_no_page_has_a_word_that_the_glossary_replaces(page: Path) -> None:
    """Words with several meanings come back one by one; those that plain English never needs are refused."""
    text = CODE_SPAN.sub("", CODE_BLOCK.sub("", page.read_text(encoding="utf-8")))
    replaced = re.findall(r"\b(?:told|bent|wish(?:es)?|glance|strangers?|set\s+apart|put\s+right)\b", text)
    assert not replaced


def test_the_results_are_one_page() -> None:
    """What was tried, and how it was measured, belongs into the lab book."""
    assert len((DOCS / "performance.md").read_text(encoding="utf-8").split()) < 1_200
    assert {path.name for path in (DOCS / "lab").glob("*.md")} - {"README.md"} == set(
        re.findall(r"\]\((\w[\w-]*\.md)\) \|", (DOCS / "lab" / "README.md").read_text(encoding="utf-8"))
    )


def test_every_page_of_the_docs_is_in_the_menu_of_the_site() -> None:
    """Nobody finds a page that no menu has: put it into `nav` of mkdocs.yml."""
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    listed = set(re.findall(r"([\w/.-]+\.md)$", menu, re.MULTILINE))
    # These are made from the code when the site is built.
    assert listed - {"api.md", "messages.md"} == {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}


#: Looked up, not read: tables of everything there is, and the lab book, which keeps what was tried.
REFERENCES = {
    "settings.md",
    "glossary.md",
    "requirements.md",
    "conformance.md",
    "compatibility.md",
    "torture.md",
    "toezicht/README.md",
    *(f"lab/{page.name}" for page in (DOCS / "lab").glob("*.md")),
}


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=relative)
def test_a_page_is_read_in_five_minutes(page: Path) -> None:
    """At most 1,200 words; code is not counted, and neither is a list of the tests that show what a page claims."""
    name = page.relative_to(DOCS).as_posix()
    text = CODE_BLOCK.sub("", page.read_text(encoding="utf-8")).partition("\n## The tests\n")[0]
    words = len(text.split())
    if name in REFERENCES:
        assert words > 200, "a page this short is no reference; take it off the list"
        return
    assert words <= 1_200, "split the page: the ordinary case first, the rest on a page of its own"
