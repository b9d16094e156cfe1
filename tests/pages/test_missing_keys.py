"""A key that is missing here, on the pages: whoever reads them is told that the answer may not be complete."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
from starlette.testclient import TestClient

from ldv_otel._internal.api.app import create_app
from ldv_otel._internal.api.pages.citizen.identity import DemoIdentity
from ldv_otel._internal.api.pages.citizen.router import INZAGE, install_inzage
from ldv_otel._internal.api.pages.officer.router import TOEZICHT
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.privacy.key_file import read_keys
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from tests.api.conftest import BSN, Named
from tests.pages.test_officer import ACTIVITY, SAME_SITE, ask, officer

CITIZEN_NOTICE = "Er kunnen handelingen over u ontbreken."
OFFICER_NOTICE = "regels staan onder de sleutel old, die hier ontbreekt."


def pages_with(settings: Settings, keys: Path) -> TestClient:
    """Both kinds of pages, in this process, with these keys."""
    settings = msgspec.structs.replace(settings, toezicht_activity=ACTIVITY, keys=keys)
    app = create_app(settings, Named(officer=officer()), apis=[TOEZICHT, INZAGE], writes=True)
    install_inzage(app.state, DemoIdentity("BSN", Pseudonymiser(read_keys(keys)), minutes=15))
    return TestClient(app)


def test_a_missing_key_is_said(served_settings: Settings, tmp_path: Path) -> None:
    """To the officer with its id and how many records, to the citizen in plain words, and in the files."""
    assert served_settings.keys is not None
    ring = json.loads(served_settings.keys.read_text(encoding="utf-8"))
    keys = tmp_path / "keys.json"
    keys.touch(0o600)
    keys.write_text(json.dumps({"active": "new", "keys": [key for key in ring["keys"] if key["id"] == "new"]}))
    for path, missing in ((served_settings.keys, False), (keys, True)):
        with pages_with(served_settings, path) as pages:
            pages.post("/inzage/aanmelden", data={"nummer": BSN}, headers=SAME_SITE)
            shown = pages.get("/inzage").text
            assert ("Stap 1<" in shown, CITIZEN_NOTICE in shown) == (not missing, missing)
            assert json.loads(pages.get("/inzage/mijn-gegevens.json").text)["volledig"] is not missing
            assert ("niet volledig" in pages.get("/inzage/mijn-gegevens.csv").text) is missing
            assert (OFFICER_NOTICE in ask(pages, nummer=BSN).text) is missing
