"""The verifier page as a person uses it: in a browser, from a file."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from ldv_otel._internal.tamper.proof import encode_proof
from ldv_otel._internal.tamper.verifier_page import verifier_page
from tests.tamper.test_verifier_page import log_key, proofs

pytestmark = pytest.mark.slow


def test_a_person_checks_a_file_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    """From a file, without any server: a good proof, one that was edited, and a downloaded file with two rows."""
    page_file = tmp_path / "controleren.html"
    page_file.write_bytes(verifier_page())
    good = json.loads(encode_proof(proofs()[1]))
    changed = good | {
        "record": base64.b64encode(base64.b64decode(good["record"]).replace(b"Wijzig", b"Bekijk")).decode()
    }
    files = {
        "goed.json": good,
        "anders.json": changed,
        "mijn-gegevens.json": {"regels": [{"bewijs": good}, {"bewijs": None}, {"bewijs": changed}]},
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    page = browser.new_page()
    errors: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file.as_uri())
    page.fill("#sleutel", log_key())
    for name, verdicts in (
        ("goed.json", ["Het bewijs klopt"]),
        ("anders.json", ["Het bewijs klopt niet"]),
        ("mijn-gegevens.json", ["Het bewijs klopt", "Het bewijs klopt niet"]),
    ):
        page.set_input_files("#bestand", tmp_path / name)
        page.locator("article h2").nth(len(verdicts) - 1).wait_for()
        assert page.locator("article h2").all_inner_texts() == verdicts
    assert "De lijst is ondertekend door logboek.example/tamper-vectors op" in page.inner_text("#uitkomst")
    page.close()
    assert errors == []
    assert asked == [page_file.as_uri()]
