"""Pages that are made of a file are those of the file, so that nobody changes one of them by hand."""

from __future__ import annotations

from tests.docs.reference_pages import PAGES
from tests.docs.requirement_pages import DOCS, conformance_page, read_source, requirements_page


def test_requirements_and_conformance_are_those_of_the_file() -> None:
    """Of docs/requirements.yaml; `make pages` writes them anew."""
    source = read_source()
    assert (DOCS / "requirements.md").read_text(encoding="utf-8") == requirements_page(source)
    assert (DOCS / "conformance.md").read_text(encoding="utf-8") == conformance_page(source)


def test_flags_metrics_and_views_are_those_of_the_code() -> None:
    """Whoever adds one, or changes what is said of it, runs `make pages`."""
    for page, text_of in PAGES.items():
        assert (DOCS / page).read_text(encoding="utf-8") == text_of()
