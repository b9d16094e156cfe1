"""That a check was made is on record, with what came out of it."""

from __future__ import annotations

import getpass

import pytest

from ldv_otel._internal.clickhouse.verification.made import latest_verifications, write_verification
from ldv_otel._internal.delivery.batch import number_batch
from tests.clickhouse.test_verify import SealedStore, record, store

__all__ = ["store"]


def test_a_check_is_on_record_with_its_outcome(store: SealedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest first: what is unsealed is counted apart from what shows tampering; a user may have no name."""
    assert latest_verifications(store.client) == []
    store.insert(number_batch("fedcba9876543210", 0, [record(0), record(1)]))
    write_verification(store.client, store.check(), keys_named=True)
    store.alter("UPDATE name = 'x' WHERE seq = 4")

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)
    write_verification(store.client, store.check(), keys_named=False)
    after, before = latest_verifications(store.client)
    assert (before.records, before.not_sealed, before.tampering, before.keys_named) == (14, 2, 0, True)
    assert (after.records, after.not_sealed, after.tampering, after.keys_named) == (14, 2, 1, False)
    assert after.everything
    assert after.verified_by.startswith("user ")
    assert "@" in before.verified_by
    assert before.at_ms <= after.at_ms
