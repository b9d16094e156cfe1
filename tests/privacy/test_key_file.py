from __future__ import annotations

import hashlib
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.privacy.key_file import add_key, keys_for, read_keys
from ldv_otel._internal.privacy.pseudonyms import KeyRing, fingerprint, new_key
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
    first, second, third = add_key(path), add_key(path), add_key(path, name="eigen", sealing=True)
    ring = read_keys(path)
    assert list(ring.keys) == [first.id, second.id, third.id]
    assert ring.active == third
    assert path.stat().st_mode & 0o777 == 0o600
    # As of before fingerprints.
    with pytest.raises(ConfigurationError, match="twice"):
        KeyRing([new_key("2026"), new_key("2026")], active="2026")


def test_the_id_of_a_key_says_which_secret_it_has(tmp_path: Path) -> None:
    """Another secret under the same id would find nobody of before, and nothing would say so."""
    path = tmp_path / "keys.json"
    first, second = add_key(path, name="eigen"), add_key(path, name="eigen")
    assert first.id != second.id
    for key in (first, second):
        assert re.fullmatch(r"eigen\.fp-[a-p]{8}", key.id)
    content = path.read_text(encoding="utf-8").replace(first.secret, new_key("x").secret)
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=re.escape(first.id)) as caught:
        read_keys(path)
    assert first.secret not in str(caught.value)


@given(st.binary(min_size=0, max_size=4))
def test_a_fingerprint_is_of_one_secret_and_no_number(salt: bytes) -> None:
    """It stands in records, where digits are looked at as somebody's number."""
    secret, other = (hashlib.sha256(salt + end).hexdigest() for end in (b"1", b"2"))
    assert fingerprint(secret) == fingerprint(secret) != fingerprint(other)
    assert re.fullmatch("[a-p]{8}", fingerprint(secret))


#: In a process of its own: an engine opens one directory in a process.
_STORE = """
import sys
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.record.logregel import Logregel
sink = ClickHouseSink(Settings(logboek=LogboekAddress(scheme="chdb", path=sys.argv[1])))
sink.open()
for name in sys.argv[2:]:
    record = Logregel(trace_id=b"t" * 16, span_id=b"s" * 8, name=name, start_time_ms=1, end_time_ms=2)
    sink.send(number_batch(new_writer_id(), 0, [record]))
sink.close()
"""


def store(directory: Path, *names: str) -> None:
    """Make the tables of a Logboek, and store a record for each name."""
    subprocess.run([sys.executable, "-c", _STORE, str(directory), *names], check=True, capture_output=True)


def test_a_lost_key_file_is_no_reason_for_a_new_key(tmp_path: Path) -> None:
    """With records in an embedded Logboek that has none, nobody in them would be found, and nothing would say so."""
    settings = Settings(logboek=LogboekAddress(scheme="chdb", path=str(tmp_path / "logboek")))
    lost = keys_for(settings).active
    store(tmp_path / "logboek")
    # Tables alone hold nobody.
    (tmp_path / "logboek.keys.json").unlink()
    assert keys_for(settings).active != lost
    store(tmp_path / "logboek", "Stap")
    (tmp_path / "logboek.keys.json").unlink()
    with pytest.raises(ConfigurationError, match=r"logboek\.keys\.json.*Put the file back"):
        keys_for(settings)
    assert list(tmp_path.glob("*.json")) == []
    # Who says so may begin anew.
    replaced = add_key(tmp_path / "logboek.keys.json")
    assert keys_for(settings).active == replaced


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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """They know the key, and may change it."""
    path = tmp_path / "keys.json"
    add_key(path)
    os.chown(path, 12_345, -1)
    with pytest.raises(ConfigurationError, match="belongs to user 12345"):
        read_keys(path)
