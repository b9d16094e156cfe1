"""Sealing: the key, what a batch is stored with, and that logging goes on without it."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sealing import BatchSealer
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.tamper.manifest import SALT_BYTES, SEALER_NAME, open_manifest
from ldv_otel._internal.tamper.note import NoteSigner
from ldv_otel._internal.tamper.signing_key import make_signer, read_signer
from ldv_otel.errors import ConfigurationError
from tests.clickhouse.test_verify import record

STORED = Sql("SELECT manifest, manifest_salts FROM logregel ORDER BY seq")


@pytest.fixture
def fresh(settings: Settings, tmp_path: Path) -> Settings:
    """A Logboek with tables, embedded and over HTTP, and a place for a key."""
    apply_schema(settings)
    return msgspec.structs.replace(settings, seal_key=tmp_path / "keys" / "seal.key")


def send(settings: Settings, count: int = 3) -> None:
    """Store a batch as a service does."""
    sink = ClickHouseSink(settings)
    sink.open()
    try:
        sink.send(number_batch(new_writer_id(), 0, [record(number) for number in range(count)]))
    finally:
        sink.close()


def test_a_batch_is_stored_with_its_manifest(fresh: Settings) -> None:
    """In its first row, and nothing in the others."""
    send(fresh)
    with LogboekClient(fresh) as client:
        (note, salts), *others = client.rows(STORED, bytes_columns=("manifest_salts",))
    manifest = open_manifest(note)
    assert (manifest.seqs, manifest.number, len(salts)) == (((0, 2),), 0, 3 * SALT_BYTES)
    assert others == [("", b"")] * 2


def test_the_key_is_made_at_first_use_and_kept(fresh: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """For its owner only; its public key is shown once, and the next process has the same."""
    assert fresh.seal_key is not None
    send(fresh)
    send(fresh)
    assert stat.S_IMODE(fresh.seal_key.stat().st_mode) == 0o600
    key = read_signer(fresh.seal_key, "LDV_SEAL_KEY").key
    assert [str(key) in line for line in caplog.messages if "key" in line] == [True]
    with LogboekClient(fresh) as client:
        notes = [note for note, _ in client.rows(STORED, bytes_columns=("manifest_salts",)) if note]
    assert {open_manifest(note).key for note in notes} == {key.public}
    assert len({open_manifest(note).sealer for note in notes}) == 2


def spoil(key_file: Path, how: str) -> None:
    """Make a key unusable."""
    key_file.parent.mkdir()
    make_signer(key_file, SEALER_NAME, "LDV_SEAL_KEY")
    if how == "open to others":
        key_file.chmod(0o644)
    elif how == "no key":
        key_file.write_text("PRIVATE+KEY+something\n")
    elif how == "another id":
        key_file.write_text(key_file.read_text().replace("+KEY+ldv-sealer", "+KEY+ldv-other"))
    elif how == "a directory":
        key_file.unlink()
        key_file.mkdir()


@pytest.mark.parametrize("how", ["open to others", "no key", "another id", "a directory"])
def test_without_a_usable_key_records_are_stored_and_an_error_says_so(
    fresh: Settings, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Logging never stops for a seal; and no private key is in the message."""
    assert fresh.seal_key is not None
    spoil(fresh.seal_key, how)
    private = fresh.seal_key.read_text().strip() if fresh.seal_key.is_file() else "nothing"
    send(fresh)
    errors = [line.getMessage() for line in caplog.records if line.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "WITHOUT a seal" in errors[0]
    assert "LDV_SEAL_KEY" in errors[0]
    assert private not in errors[0]
    with LogboekClient(fresh) as client:
        assert client.rows(STORED) == [("", "")] * 3


def test_a_place_where_no_key_can_be_made_is_an_error(tmp_path: Path) -> None:
    """It names the variable and the place."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"LDV_SEAL_KEY: the signing key .* cannot be made"):
        make_signer(tmp_path / "file" / "seal.key", SEALER_NAME, "LDV_SEAL_KEY")


def test_of_two_processes_that_make_a_key_both_use_one(tmp_path: Path) -> None:
    """Whoever was first."""
    first = make_signer(tmp_path / "seal.key", SEALER_NAME, "LDV_SEAL_KEY")
    second = make_signer(tmp_path / "seal.key", SEALER_NAME, "LDV_SEAL_KEY")
    assert first.key == second.key
    assert [path.name for path in tmp_path.iterdir()] == ["seal.key"]


def test_what_is_switched_off_is_not_sealed(fresh: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """`LDV_SEAL=0`; and nothing is said."""
    send(msgspec.structs.replace(fresh, seal=False))
    assert caplog.messages == []
    with LogboekClient(fresh) as client:
        assert client.rows(STORED) == [("", "")] * 3


def test_an_unexpected_failure_leaves_a_batch_unsealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it is: here there is no more randomness. It is counted."""
    sealer = BatchSealer()
    sealer.open(lambda: make_signer(tmp_path / "seal.key", SEALER_NAME, "LDV_SEAL_KEY"))
    monkeypatch.setattr(sealer._sealer, "_random_bytes", None)
    batch = number_batch("w", 0, [record(1)])
    columns = sealer.columns_of(batch)
    sealer.stored(batch)
    assert [values for _, values in columns.values()] == [[""], [b""]]
    assert "failed unexpectedly" in caplog.text
    assert sealer.state.unsealed == 1


_OF_64_BITS = st.integers(-(2**63), 2**63 - 1)  # what a spool holds


@given(start=_OF_64_BITS, end=_OF_64_BITS, subject=st.binary(max_size=20), outbound=st.binary(max_size=10))
def test_what_does_not_fit_is_not_the_sealers_to_refuse(start: int, end: int, subject: bytes, outbound: bytes) -> None:
    """The sink refuses such a record by itself, so that its neighbours are stored; no other error may come before."""
    odd = msgspec.structs.replace(
        record(1), start_time_ms=start, end_time_ms=end, data_subject_id=subject, outbound_span_ids=(outbound,)
    )
    sealer = BatchSealer()
    sealer.open(lambda: NoteSigner(SEALER_NAME, b"1" * 32))
    columns = sealer.columns_of(number_batch("w", 0, [record(1), odd]))
    assert [len(values) for _, values in columns.values()] == [2, 2]


def test_a_failure_to_look_for_the_key_leaves_logging_alone(caplog: pytest.LogCaptureFixture) -> None:
    """An error that nobody thought of is none of the application."""

    def broken() -> None:
        raise ZeroDivisionError

    sealer = BatchSealer()
    sealer.open(broken)
    assert "ZeroDivisionError" in sealer.state.problem
    assert "WITHOUT a seal" in caplog.text
