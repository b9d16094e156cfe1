"""Places that do not keep what is put there are named at the start, and by `ldv status`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from ldv_otel._internal.config import mounts
from ldv_otel._internal.config.mounts import mount_of, warning_about_place

IN_MEMORY = Path("/", "dev", "shm")
#: As in a container of Docker with a volume, and one whose name has a space.
CONTAINER = """\
612 486 0:58 / / rw,relatime master:263 - overlay overlay rw,lowerdir=/l/A:/l/B,upperdir=/d/diff,workdir=/d/work
613 612 0:61 / /proc rw,nosuid - proc proc rw
614 612 0:62 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k
620 612 254:1 /docker/volumes/ldv/_data /var/lib/ldv rw,relatime master:1 - ext4 /dev/vda1 rw
621 612 0:70 / /var/lib/met\\040spatie rw - nfs4 opslag.example:/ldv rw,vers=4.2
622 620 0:71 / /var/lib/ldv/snel rw - ext4 /dev/vdb rw
623 622 0:72 / /var/lib/ldv/snel rw - tmpfs tmpfs rw
"""
SERVICE = """
import ldv_otel
ldv_otel.install()
with ldv_otel.processing("https://register.example/a", name="Stap"):
    pass
ldv_otel.force_flush(20)
"""


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/", "overlay"),
        ("/home/ldv/.local/state/ldv_otel/spool", "overlay"),
        ("/var/lib/ldv", "ext4"),
        ("/var/lib/ldv/spool", "ext4"),
        ("/var/lib/ldv-ander", "overlay"),
        ("/var/lib/met spatie/spool", "nfs4"),
        ("/var/lib/ldv/snel/spool", "tmpfs"),
        (str(IN_MEMORY), "tmpfs"),
    ],
)
def test_what_a_place_is_on(place: str, kind: str) -> None:
    """The deepest mount above it, and of two at one point the later."""
    assert mount_of(Path(place), CONTAINER).kind == kind


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("/home/ldv/spool", "own layer"),
        (str(IN_MEMORY / "spool"), "in memory"),
        ("/var/lib/met spatie", "network file system (nfs4)"),
        ("/var/lib/ldv/spool", ""),
    ],
)
def test_the_sentence_names_variable_and_way_out(
    place: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is said of a volume, or where the system does not say what is mounted."""
    (tmp_path / "mountinfo").write_text(CONTAINER)
    monkeypatch.setattr(mounts, "_MOUNTS", tmp_path / "mountinfo")
    sentence = warning_about_place(Path(place), "LDV_SPOOL")
    assert (words in sentence, "et LDV_SPOOL name" in sentence) == (True, bool(words))
    (tmp_path / "mountinfo").write_text("something else")
    assert warning_about_place(Path(place), "LDV_SPOOL") == ""
    monkeypatch.setattr(mounts, "_MOUNTS", tmp_path / "nothing")
    assert warning_about_place(Path(place), "LDV_SPOOL") == ""


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A directory on a real tmpfs."""
    if mount_of(IN_MEMORY, Path("/proc/self/mountinfo").read_text()).kind != "tmpfs":
        pytest.skip(f"{IN_MEMORY} is no tmpfs here")
    directory = Path(mkdtemp(dir=IN_MEMORY, prefix="ldv"))
    yield directory
    shutil.rmtree(directory)


def test_a_service_with_its_spool_in_memory_says_so(in_memory: Path, tmp_path: Path) -> None:
    """Once, with a variable that it does not know beside it; and so does `ldv status` as long as something waits."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LDV_")} | {
        "LDV_LOGBOEK": "clickhouse+http://127.0.0.1:9/ldv",
        "LDV_KEYS": str(tmp_path / "keys.json"),
        "LDV_SPOOL": str(in_memory),
        "LDV_STATE": str(tmp_path / "state"),
        "LDV_FLUSH_SECONDS": "0",
        "LDV_DELIVRY": "durable",
    }
    ldv = [sys.executable, "-m", "ldv_otel._internal.cli"]
    subprocess.run([*ldv, "key", "new"], env=environ, check=True, capture_output=True)
    service = SERVICE.replace("force_flush(20)", "force_flush(0.1)")
    ran = subprocess.run([sys.executable, "-c", service], env=environ, check=True, capture_output=True, text=True)
    assert ran.stderr.count(f"LDV_SPOOL: {in_memory} is on tmpfs") == 1
    assert "was LDV_DELIVERY meant?" in ran.stderr
    status = subprocess.run([*ldv, "status"], env=environ, check=False, capture_output=True, text=True)
    assert f"LDV_SPOOL: {in_memory} is on tmpfs" in status.stdout
    assert status.stderr.count("was LDV_DELIVERY meant?") == 1
    elsewhere = environ | {"LDV_SPOOL": str(tmp_path / "spool")}
    ran = subprocess.run([sys.executable, "-c", service], env=elsewhere, check=True, capture_output=True, text=True)
    assert "is on tmpfs" not in ran.stderr
