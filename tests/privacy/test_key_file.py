from __future__ import annotations

import logging
from pathlib import Path

import pytest

from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.privacy.key_file import add_key, keys_for, read_keys
from ldv_otel.errors import ConfigurationError


def test_a_new_ring_is_for_its_owner_only(tmp_path: Path) -> None:
    """The file that turns pseudonyms into guesses is 0600."""
    path = tmp_path / "sub" / "keys.json"
    key = add_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_keys(path).active == key


def test_older_keys_stay_for_reading(tmp_path: Path) -> None:
    """A new key becomes active; what was written under the old one is still found."""
    path = tmp_path / "keys.json"
    first, second, third = add_key(path), add_key(path), add_key(path, key_id="eigen", sealing=True)
    ring = read_keys(path)
    assert list(ring.keys) == [first.id, second.id, "eigen"]
    assert ring.active == third
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigurationError, match="twice"):
        add_key(path, key_id="eigen")


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        (None, 0o600, "cannot be read"),
        ("{}", 0o600, "not a key ring"),
        ("\xff", 0o600, "not a key ring"),
        ('{"active": "a", "keys": [{"id": "a", "secret": 5}]}', 0o600, "not a key ring"),
        ('{"active": "a", "keys": []}', 0o600, "not among"),
        ("{}", 0o644, "chmod 600"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, content: str | None, mode: int, says: str) -> None:
    """It names the file and the way out."""
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content, encoding="latin-1")
        path.chmod(mode)
    with pytest.raises(ConfigurationError, match=says) as caught:
        read_keys(path)
    assert str(path) in str(caught.value) or says == "not among"


def test_an_embedded_logboek_gets_a_key_and_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Trying it out needs no key made by hand, and says where the key is, once."""
    settings = Settings(logboek=LogboekAddress(scheme="chdb", path=str(tmp_path / "logboek")))
    with caplog.at_level(logging.WARNING):
        first = keys_for(settings)
        again = keys_for(settings)
    assert first.active == again.active
    assert len(caplog.records) == 1
    assert "logboek.keys.json" in caplog.text
    assert first.active.secret not in caplog.text


def test_a_server_logboek_without_keys_is_refused() -> None:
    """A key somewhere on a server's client would be lost with the container: somebody has to choose."""
    settings = Settings(logboek=LogboekAddress(scheme="clickhouse+https", host="db.example", port=8443))
    with pytest.raises(ConfigurationError, match=r"LDV_KEYS.*ldv key new"):
        keys_for(settings)
