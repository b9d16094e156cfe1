"""Whether a directory outlives what it is there to outlive: a restart of the machine, a container that is replaced.

Source: proc(5), `/proc/self/mountinfo`; without it nothing is said.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

_MOUNTS: Final = Path("/proc/self/mountinfo")
_OCTAL: Final = re.compile(r"\\([0-7]{3})")
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
#: Id, parent, device, root, point, options; those after them differ.
_FIELDS: Final = 6
#: Whose lock and sync calls do not promise what a spool needs.
_ON_A_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "fuse.glusterfs", "ceph"})


class Mount(NamedTuple):
    """Where a file system is, and of which kind it is."""

    point: Path
    kind: str


def warning_about_place(directory: Path, named_by: str) -> str:
    """Return a sentence where a directory of records is on something that does not keep them; empty text otherwise.

    Args:
        named_by: The variable or option that names the directory.
    """
    try:
        mount = mount_of(directory.resolve(), _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, ValueError, RuntimeError):
        return ""
    if mount.kind in _IN_MEMORY:
        return (
            f"{named_by}: {directory} is on {mount.kind}, in memory. Logging goes on, and what waits there is lost "
            f"when the machine or the container starts anew. Let {named_by} name a directory on a disk."
        )
    if mount.kind == "overlay" and mount.point == Path("/"):
        return (
            f"{named_by}: {directory} is on the container's own layer. Logging goes on, and what is there is gone when "
            f"the container is replaced. Mount a volume, and let {named_by} name a directory on it."
        )
    if mount.kind in _ON_A_NETWORK:
        return (
            f"{named_by}: {directory} is on a network file system ({mount.kind}). Logging goes on, but what such a one "
            f"acknowledges may not be on a disk yet. Let {named_by} name a directory on a local disk."
        )
    return ""


def mount_of(directory: Path, mountinfo: str) -> Mount:
    """Return what a directory is on; of two mounts at one point the later one, which hides the other.

    Args:
        directory: Absolute and without links; need not be there.
        mountinfo: The content of `/proc/PID/mountinfo`.

    Raises:
        ValueError: There is no mount above it, so the text is something else.
    """
    above = {directory, *directory.parents}
    best: Mount | None = None
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if not separator or len(fields) < _FIELDS:
            continue
        point = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        if point in above and (best is None or len(point.parts) >= len(best.point.parts)):
            best = Mount(point, after.split(" ", 1)[0])
    if best is None:
        raise ValueError("no mount")
    return best
