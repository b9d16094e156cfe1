"""A directory of spools that several accounts use: each has its own, and none can take or plant another's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.delivery.paths import spool_base
from ldv_otel._internal.delivery.spool.inspect import backlog_of, inspect_spools
from ldv_otel._internal.delivery.spool.ownership import claim_base
from ldv_otel._internal.delivery.spool.room import DiskRoom, room_of
from ldv_otel._internal.delivery.spool.writer import SpoolWriter
from ldv_otel._internal.record.logregel import encode_logregel
from ldv_otel.errors import ConfigurationError
from tests.torture.rig import record

ADDRESS = LogboekAddress(scheme="clickhouse+https", host="logboek.example", port=8443)
OTHERS = (12_345, 23_456)
_WRITE = """
import os, sys
from pathlib import Path
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.delivery.batch import new_writer_id
from ldv_otel._internal.delivery.paths import spool_base
from ldv_otel._internal.delivery.spool.writer import SpoolWriter
from ldv_otel.errors import LdvError
os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
address = LogboekAddress(scheme="clickhouse+https", host="logboek.example", port=8443)
base = spool_base(Path(sys.argv[1]), address)
try:
    spool = SpoolWriter(base, new_writer_id())
    spool.append(b"record of " + sys.argv[2].encode())
    spool.close()
    print(base)
except LdvError as error:
    print(error)
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="other accounts take root")


def write_as(root: Path, account: int) -> str:
    """Commit a record as another account; return its directory, or the error."""
    command = [sys.executable, "-c", _WRITE, str(root), str(account)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def shared(open_path: Path) -> Path:
    """What the message of the error says: `install -d -m 1777`."""
    root = open_path / "spools"
    subprocess.run(["install", "-d", "-m", "1777", str(root)], check=True)
    return root


@as_root
def test_each_account_has_its_own_below_a_shared_directory(shared: Path) -> None:
    """With the same Logboek, too; nobody can read what is another's."""
    directories = {write_as(shared, account) for account in OTHERS}
    assert directories == {str(shared / path.name) for path in shared.iterdir()}
    assert len(directories) == 2
    for directory in map(Path, directories):
        assert directory.stat().st_mode & 0o777 == 0o700


@as_root
def test_a_directory_of_the_first_account_is_told_with_the_command(shared: Path) -> None:
    """It was made for one account only; what the message says makes it one for several."""
    root = shared / "of the first"
    assert write_as(root, OTHERS[0]).startswith(str(root))
    told = write_as(root, OTHERS[1])
    assert f"install -d -m 1777 {root}" in told
    subprocess.run(["install", "-d", "-m", "1777", str(root)], check=True)
    assert write_as(root, OTHERS[1]).startswith(str(root))
    assert write_as(root, OTHERS[0]).startswith(str(root))


@as_root
def test_a_planted_directory_is_refused(shared: Path) -> None:
    """Another account made it first, open to all, to read or to change what is put there."""
    base = spool_base(shared, ADDRESS)
    base.mkdir()
    base.chmod(0o777)
    with pytest.raises(ConfigurationError, match="others may write"):
        SpoolWriter(base, "0011223344556677")
    base.chmod(0o700)
    os.chown(base, OTHERS[0], OTHERS[0])
    with pytest.raises(ConfigurationError, match="another account"):
        SpoolWriter(base, "0011223344556677")
    base.rmdir()
    base.symlink_to(shared)
    with pytest.raises(ConfigurationError, match="is no directory"):
        SpoolWriter(base, "0011223344556677")


def test_a_directory_of_an_earlier_version_stays_in_use(tmp_path: Path) -> None:
    """Its spools are adopted as before."""
    fresh = spool_base(tmp_path, ADDRESS)
    assert fresh.name.endswith(f"-{os.geteuid()}")
    earlier = tmp_path / fresh.name.rpartition("-")[0]
    claim_base(earlier)
    assert spool_base(tmp_path, ADDRESS) == earlier


def test_the_room_of_a_disk_is_asked_above_what_is_not_there_yet(tmp_path: Path) -> None:
    """A status can be shown before the first record."""
    assert room_of(tmp_path / "a" / "b") == room_of(tmp_path)
    assert DiskRoom(0, 10).full
    assert not DiskRoom(None, 0).full


def test_a_backlog_tells_how_long_its_disk_lasts(tmp_path: Path) -> None:
    """By what has gathered since the oldest; of a minute's backlog nobody can tell."""
    spool = SpoolWriter(tmp_path, "0011223344556677")
    for number in range(10):
        spool.append(encode_logregel(record(number)))
    spool.close()
    spools = inspect_spools(tmp_path)
    assert spools[0].pending_bytes > 500
    oldest = spools[0].oldest_ms
    assert oldest is not None
    backlog = backlog_of(tmp_path, spools, oldest + 100_000)
    assert (backlog.pending, backlog.oldest_ms) == (10, oldest)
    assert backlog.free_bytes is not None
    assert backlog.lasts_seconds == pytest.approx(backlog.free_bytes * 100 / spools[0].pending_bytes, rel=0.2)
    assert backlog_of(tmp_path, spools, oldest + 1_000).lasts_seconds is None
