"""The Logboek in a file that these tests kill: what its writer was killed in the middle of is not there."""

from __future__ import annotations

from pathlib import Path

from ldv_otel._internal.delivery.batch import number_batch
from tests.torture.rig import FileLogboek, record


def test_a_torn_line_is_no_batch(tmp_path: Path) -> None:
    """Wherever it was torn; what is sent afterwards is there, and so is what was there before."""
    path = tmp_path / "store"
    store = FileLogboek(path)
    store.open()
    store.send(number_batch("a" * 16, 0, [record(1)]))
    store.close()
    whole = path.read_bytes()
    for length in range(len(whole) - 1):
        path.write_bytes(whole + whole[:length])
        store = FileLogboek(path)
        store.open()
        store.send(number_batch("b" * 16, 0, [record(2)]))
        store.close()
        assert sorted(store.names()) == [record(1).name, record(2).name]
