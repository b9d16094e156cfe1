"""The pages and letters of an organisation with words, colours and a logo of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from starlette.testclient import TestClient

from ldv_otel._internal.api.app import create_app
from ldv_otel._internal.api.pages.assets import OPMAAK
from ldv_otel._internal.api.pages.officer.router import TOEZICHT
from ldv_otel._internal.config.settings import Settings
from ldv_otel.errors import ConfigurationError
from tests.api.conftest import BSN, Named
from tests.config.test_house_style import SVG, folder_with
from tests.pages.test_officer import ACTIVITY, CLIENTS, SAME_SITE


@pytest.fixture(scope="module")
def styled(served_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The pages, in this process."""
    folder = folder_with(
        tmp_path_factory.mktemp("style"),
        texts_yaml=b"letter: Wij <b>antwoorden</b> u graag.\nletter_closing: Groeten van ons\n",
        tokens_yaml=b"main: '#660033'\n",
        logo_svg=SVG,
    )
    settings = msgspec.structs.replace(served_settings, toezicht_activity=ACTIVITY, house_style=folder)
    with TestClient(create_app(settings, Named(**CLIENTS), apis=[TOEZICHT, OPMAAK], writes=True)) as client:
        yield client


def test_a_letter_has_the_words_and_the_logo(styled: TestClient) -> None:
    """As texts: nothing in them is HTML."""
    form = {"soort": "BSN", "nummer": BSN, "reden": "Klacht 2026-17 van een inwoner", "vorm": "brief"}
    text = styled.post("/toezicht/persoon", data=form, headers={"X-Client": "officer", **SAME_SITE}).text
    assert "Wij &lt;b&gt;antwoorden&lt;/b&gt; u graag." in text
    assert "U vroeg ons" not in text
    assert "Groeten van ons" in text
    assert 'src="data:image/svg+xml;base64,' in text


def test_pages_have_the_colours_and_the_logo(styled: TestClient) -> None:
    """The colours come last in the stylesheet, so that they count."""
    page = styled.get("/toezicht", headers={"X-Client": "officer"}).text
    assert '<img class="logo" src="/opmaak/logo" alt="">' in page
    assert styled.get("/opmaak/stijl.css").text.rstrip().endswith("--ground: #f3f6f9; }")
    assert "--main: #660033" in styled.get("/opmaak/stijl.css").text
    logo = styled.get("/opmaak/logo")
    assert (logo.content, logo.headers["Content-Type"]) == (SVG, "image/svg+xml")
    assert "default-src 'none'" in logo.headers["Content-Security-Policy"]


def test_what_cannot_be_used_stops_the_start(served_settings: Settings, tmp_path: Path) -> None:
    """Before anything is served."""
    settings = msgspec.structs.replace(served_settings, house_style=folder_with(tmp_path, logo_gif=b"GIF"))
    with pytest.raises(ConfigurationError, match=r"logo\.gif"):
        create_app(settings, Named(**CLIENTS), apis=[OPMAAK])
