"""A key that is missing here, in the APIs of GEMMA: whoever asks about a person is told that there may be more."""

from __future__ import annotations

from pathlib import Path

from ldv_otel._internal.privacy.key_file import add_key
from tests.gemma.provider import provided
from tests.support.chance import new_bsn


def test_a_list_says_that_it_may_not_be_complete(tmp_path: Path) -> None:
    """Both lists do, with a member that the served document has, and only where a key is missing."""
    logboek, bsn = f"chdb://{tmp_path / 'logboek'}", new_bsn()
    with provided(tmp_path, logboek) as before:
        client = before.client()
        client.post(bsns=[bsn])
        for answer in (client.list(bsn), client.inzage(bsn)):
            assert answer.json()["count"] > 0
            assert "ontbrekendeSleutels" not in answer.json()
    keys = tmp_path / "keys.json"
    keys.unlink()
    add_key(keys, name="ander", sealing=True)
    with provided(tmp_path, logboek) as after:
        client = after.client()
        for answer in (client.list(bsn), client.inzage(bsn), client.list(new_bsn())):
            assert answer.json()["ontbrekendeSleutels"] is True
