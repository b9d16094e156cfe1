"""Files of others: what another account may have a hand in is refused, with the remedy; what root mounts is taken."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ldv_otel._internal.clickhouse.embedded.server import Listening, serve
from ldv_otel._internal.config.private_directories import claim_directory, trusted_path
from ldv_otel._internal.config.private_files import read_private_file
from ldv_otel._internal.delivery.spool.ownership import claim_base
from ldv_otel.errors import ConfigurationError

STRANGER = 12_345
US = 23_456
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="other accounts take root")

_AS_US = """
import os, sys
from pathlib import Path
from ldv_otel._internal.config.private_directories import claim_directory
from ldv_otel._internal.config.private_files import read_private_file
from ldv_otel.errors import LdvError
os.setgroups([int(group) for group in sys.argv[3:]]); os.setgid(23456); os.setuid(23456)
try:
    if sys.argv[1] == "read":
        print(read_private_file(Path(sys.argv[2]), "LDV_KEYS").decode())
    else:
        claim_directory(Path(sys.argv[2]), "LDV_LOGBOEK")
        print(oct(Path(sys.argv[2]).stat().st_mode & 0o777))
except (LdvError, OSError) as error:
    print(error)
"""


def as_us(what: str, path: Path, *groups: int) -> str:
    """Read a file, or claim a directory, as an account that is not root; return what came of it."""
    command = [sys.executable, "-c", _AS_US, what, str(path), *map(str, groups)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def place(open_path: Path) -> Path:
    """A directory that all accounts can get to."""
    return open_path


def _owned_by_a_stranger(directory: Path) -> None:
    os.chown(directory, STRANGER, STRANGER)


def _open_to_all(directory: Path) -> None:
    directory.chmod(0o777)


def _open_to_a_group(directory: Path) -> None:
    os.chown(directory, -1, STRANGER)
    directory.chmod(0o770)


def _a_link_of_a_stranger(directory: Path) -> None:
    elsewhere = directory.with_name(directory.name + ".elsewhere")
    directory.rename(elsewhere)
    directory.symlink_to(elsewhere)
    os.chown(directory, STRANGER, STRANGER, follow_symlinks=False)


def _a_file(directory: Path) -> None:
    directory.rmdir()
    directory.touch()


FAULTS = [_owned_by_a_stranger, _open_to_all, _open_to_a_group, _a_link_of_a_stranger, _a_file]


@as_root
@pytest.mark.parametrize("spoil", FAULTS)
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_logboek_that_others_can_exchange_is_refused(
    tmp_path: Path, spoil: Callable[[Path], None], depth: int
) -> None:
    """Its own directory, the one above it, and the one above that; the message says what to do, and nothing is made."""
    logboek = tmp_path / "one" / "two" / "logboek"
    spoiled = (logboek, *logboek.parents)[depth]
    spoiled.mkdir(parents=True)
    spoil(spoiled)
    before = sorted(tmp_path.rglob("*"))
    uses: list[Callable[[], None]] = [
        lambda: claim_directory(logboek, "LDV_LOGBOEK"),
        lambda: serve(logboek, Listening("127.0.0.1", 0)),
    ]
    for use in uses:
        with pytest.raises(ConfigurationError, match="Nothing was opened") as caught:
            use()
        assert str(spoiled) in str(caught.value)
        assert sorted(tmp_path.rglob("*")) == before


@as_root
@pytest.mark.parametrize("spoil", FAULTS)
def test_a_directory_of_spools_is_judged_by_the_same_rule(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """Also where its parent is nobody else's."""
    base = tmp_path / "spools"
    base.mkdir()
    spoil(base)
    with pytest.raises(ConfigurationError, match=r"LDV_SPOOL: .*spools"):
        claim_base(base)


def test_what_is_made_is_for_its_owner_only(tmp_path: Path) -> None:
    """With everything above it that was missing, whatever the umask."""
    mask = os.umask(0)
    try:
        claim_directory(tmp_path / "a" / "b", "LDV_LOGBOEK")
    finally:
        os.umask(mask)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")} == {0o700}


def test_our_own_links_lead_where_we_want(tmp_path: Path) -> None:
    """To a directory on another disk, by a link that nobody else can put there; `..` behind one as the kernel does."""
    (tmp_path / "disk" / "ldv").mkdir(parents=True)
    (tmp_path / "state").symlink_to("disk/ldv")
    (tmp_path / "again").symlink_to(tmp_path / "state")
    expected = (tmp_path / "disk" / "logboek").resolve()
    assert trusted_path(tmp_path / "again" / ".." / "logboek", "LDV_LOGBOEK") == expected
    claim_directory(tmp_path / "again" / "logboek", "LDV_LOGBOEK")
    assert (tmp_path / "disk" / "ldv" / "logboek").is_dir()


def test_links_that_lead_to_themselves_end(tmp_path: Path) -> None:
    """As the kernel ends them."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(ConfigurationError, match="too many links"):
        claim_directory(tmp_path / "a" / "logboek", "LDV_LOGBOEK")


@as_root
def test_below_tmp_the_first_to_come_is_seen(place: Path) -> None:
    """The sticky bit keeps what is ours; it does not keep another from having been first."""
    shared = place / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    assert as_us("claim", shared / "ours" / "logboek") == "0o700"
    (shared / "theirs").mkdir()
    os.chown(shared / "theirs", STRANGER, STRANGER)
    assert "belongs to user 12345" in as_us("claim", shared / "theirs" / "logboek")


@as_root
def test_a_group_of_this_user_alone_is_no_other(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many distributions make everything writable for a group that has nobody else in it (umask 0002)."""
    import grp
    import pwd

    home = place / "home"
    home.mkdir()
    os.chown(home, US, US)
    home.chmod(0o775)
    monkeypatch.setattr(os, "geteuid", lambda: US)
    with pytest.raises(ConfigurationError, match=f"chmod go-w {home}"):
        trusted_path(home / "logboek", "LDV_LOGBOEK")  # nobody knows who is in a group without a name
    account = pwd.struct_passwd(("burger", "x", US, US, "", str(home), "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: account)
    for name, members, own in (
        ("burger", [], True),
        ("burger", ["burger"], True),
        ("burger", ["burger", "ander"], False),
        ("staff", [], False),
    ):
        group = grp.struct_group((name, "x", US, members))
        monkeypatch.setattr(grp, "getgrgid", lambda _gid, group=group: group)
        try:
            assert trusted_path(home / "logboek", "LDV_LOGBOEK") == home / "logboek"
        except ConfigurationError:
            assert not own
        else:
            assert own


@pytest.fixture
def volume(place: Path) -> Iterator[Path]:
    """A volume as Kubernetes mounts it into a container: of root, and open to all."""
    directory = place / "volume"
    directory.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=2777", "tmpfs", str(directory)], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip("mounting takes a right that this account lacks")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


@as_root
def test_a_volume_that_root_mounted_is_used(volume: Path) -> None:
    """Kubernetes' `emptyDir` has no other mode; without the mount the same directory is refused."""
    assert as_us("claim", volume / "ldv" / "logboek") == "0o700"
    plain = volume / "plain"
    plain.mkdir()
    plain.chmod(0o777)
    assert "others may write" in as_us("claim", plain / "ldv" / "logboek")


@pytest.fixture
def secret(place: Path) -> Path:
    """A Secret of Kubernetes with `defaultMode: 0400` and `fsGroup`, as the kubelet writes it."""
    mount = place / "secret"
    version = mount / "..2026_11_29_10_00_00.123456789"
    version.mkdir(parents=True)
    (version / "keys.json").write_text("the key")
    (version / "keys.json").chmod(0o440)
    (mount / "..data").symlink_to(version.name)
    (mount / "keys.json").symlink_to("..data/keys.json")
    if os.geteuid() == 0:
        for path in (mount, version, version / "keys.json"):
            os.chown(path, 0, US)
        version.chmod(0o2755)
        mount.chmod(0o3777)
    return mount / "keys.json"


@as_root
def test_a_mounted_secret_is_read(secret: Path) -> None:
    """By the account whose group it was given; not by another, which the kernel refuses."""
    assert as_us("read", secret, US) == "the key"
    assert read_private_file(secret, "LDV_KEYS") == b"the key"
    os.chown(secret.resolve(), 0, STRANGER)
    assert "Permission denied" in as_us("read", secret)
    assert as_us("read", secret, STRANGER) == "the key"


@as_root
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda key: key.resolve().chmod(0o444), "others may read or write"),
        (lambda key: key.resolve().chmod(0o460), "others may read or write"),
        (lambda key: os.chown(key.resolve(), STRANGER, US), "belongs to user 12345"),
        (lambda key: os.chown(key, STRANGER, -1, follow_symlinks=False), "symbolic link of user 12345"),
        (lambda key: os.chown(key.parent / "..data", STRANGER, -1, follow_symlinks=False), "symbolic link of user"),
        (lambda key: os.chown(key.resolve().parent, STRANGER, -1), "belongs to user 12345"),
        (lambda key: key.resolve().parent.chmod(0o2777), "others may write"),
        (lambda key: key.parent.chmod(0o777), "others may write"),
        (lambda key: os.chown(key.parent, STRANGER, -1), "belongs to user 12345"),
    ],
)
def test_a_secret_that_others_have_a_hand_in_is_refused(secret: Path, spoil: Callable[[Path], None], says: str) -> None:
    """At every link and directory on the way, and the file itself."""
    spoil(secret)
    said = as_us("read", secret, US)
    assert says in said
    assert "LDV_KEYS" in said
    with pytest.raises(ConfigurationError, match=says):
        read_private_file(secret, "LDV_KEYS")


def test_of_our_own_file_a_group_may_read_nothing(tmp_path: Path) -> None:
    """There the remedy is in our own hands."""
    path = tmp_path / "keys.json"
    path.write_text("the key")
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_private_file(path, "LDV_KEYS")
