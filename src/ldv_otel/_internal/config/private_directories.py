"""Directories that only their owner may have a hand in: made, checked, and with the way that leads to them.

Whoever may write a directory can exchange what is in it, and with it everything below. So a directory of records
belongs to this user alone, and where others could exchange a part of the way to it, it is refused, as ssh does.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path
from typing import Final

from ldv_otel.errors import ConfigurationError

_ROOT: Final = 0
#: As the kernel's own limit.
_MAX_LINKS: Final = 40


def make_directory(directory: Path) -> None:
    """Make a directory (0700), and those above it that are missing; their names are on disk when it returns.

    Raises:
        OSError: One of them cannot be made.
    """
    missing = [directory]
    while not missing[-1].is_dir() and missing[-1] != missing[-1].parent:
        missing.append(missing[-1].parent)
    for each in reversed(missing[:-1]):
        each.mkdir(mode=0o700, exist_ok=True)
        sync_directory(each.parent)


def sync_directory(directory: Path) -> None:
    """Flush a directory, so that names made or taken away in it survive power loss."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def claim_directory(path: Path, named_by: str) -> None:
    """Make a directory of records (0700), or check that one that is there, and the way to it, is nobody else's.

    Args:
        named_by: What names it in messages: a variable or an option.

    Raises:
        ConfigurationError: Another account could read, change or exchange it; with the way out.
        OSError: It cannot be made.
    """
    directory = trusted_path(path, named_by)
    if not os.path.lexists(directory):
        make_directory(directory)
        directory = trusted_path(path, named_by)  # again: below /tmp somebody else may have been quicker
    fault = fault_of(directory)
    if fault:
        raise ConfigurationError(f"{named_by}: {directory} {fault}")


def fault_of(directory: Path) -> str:
    """Return why a directory is not this user's alone, with the remedy, to be put after its name; empty if it is."""
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode):
        return "is no directory. Nothing was opened. Name another place, or move what is there."
    if status.st_uid != os.geteuid():
        return (
            f"belongs to another account (user {status.st_uid}), and this process is user {os.geteuid()}. "
            f"Nothing was opened. Run as its owner, or as root `chown -R {os.geteuid()} {directory}`."
        )
    if _others_may_write(status):
        return (
            f"is a directory that others may write (mode {stat.S_IMODE(status.st_mode):04o}). Nothing was opened. "
            f"Run `chmod 700 {directory}`."
        )
    return ""


def trusted_path(path: Path, named_by: str) -> Path:
    """Return where a path leads, after following links that nobody but root and this user can have put there.

    What is not there yet ends the way: it is for the caller to make, and to check again.

    Raises:
        ConfigurationError: Somebody else owns a link or directory on the way, or could exchange one; with the way out.
        OSError: It cannot be looked at.
    """
    reached = Path("/")
    parts = list(reversed((Path.cwd() / path).parts[1:]))
    _check_directory(reached, reached.lstat(), named_by)
    links = 0
    while parts:
        part = parts.pop()
        if part == "..":
            reached = reached.parent
            continue
        try:
            status = (reached / part).lstat()
        except FileNotFoundError:
            return reached.joinpath(part, *reversed(parts))
        if stat.S_ISLNK(status.st_mode):
            _check_link(reached / part, status, named_by)
            links += 1
            if links > _MAX_LINKS:
                raise ConfigurationError(f"{named_by}: {path} goes through too many links. Nothing was opened.")
            target = (reached / part).readlink()
            if target.is_absolute():
                reached = Path("/")
            parts += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            continue
        reached /= part
        if parts:  # what is at the end is judged by the caller, who knows what it should be
            _check_directory(reached, status, named_by)
    return reached


def _check_directory(directory: Path, status: os.stat_result, named_by: str) -> None:
    """Refuse a directory on the way in which somebody else could exchange the next part."""
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"{named_by}: {directory} is no directory. Nothing was opened.")
    if status.st_uid not in (_ROOT, os.geteuid()):
        raise ConfigurationError(
            f"{named_by}: {directory}, on the way, belongs to user {status.st_uid}, who could exchange what is in it. "
            "Nothing was opened. Choose a place below a directory of your own or of root."
        )
    # In a directory with the sticky bit (/tmp) nobody can take away what is another's; each part's owner is checked.
    if _others_may_write(status) and not status.st_mode & stat.S_ISVTX and not _is_mounted_by_root(directory, status):
        raise ConfigurationError(
            f"{named_by}: others may write {directory}, on the way (mode {stat.S_IMODE(status.st_mode):04o}), and "
            f"could exchange what is in it. Nothing was opened. Run `chmod go-w {directory}`, or choose another place."
        )


def _check_link(link: Path, status: os.stat_result, named_by: str) -> None:
    if status.st_uid not in (_ROOT, os.geteuid()):
        raise ConfigurationError(
            f"{named_by}: {link} is a symbolic link of user {status.st_uid}, and leads where that user wants. "
            "Nothing was opened. Name the place itself."
        )


def _is_mounted_by_root(directory: Path, status: os.stat_result) -> bool:
    """Return whether root mounted a volume here: Kubernetes gives a container its volumes open to all (2777).

    Only root can have put it there, and a container's own processes are all that see it. Everything below it is judged
    as anywhere.
    """
    return status.st_uid == _ROOT and os.path.ismount(directory)


def _others_may_write(status: os.stat_result) -> bool:
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not _is_own_group(status.st_gid)


def _is_own_group(group: int) -> bool:
    """Return whether a group is root's, or holds this user only.

    Distributions give each user a group of the same name, and let that group write what the user makes (umask 0002).
    """
    if group == _ROOT:
        return True
    try:
        account, entry = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    own = account.pw_gid == group and entry.gr_name == account.pw_name
    return own and set(entry.gr_mem) <= {account.pw_name}
