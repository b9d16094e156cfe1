from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ldv_otel._internal.clickhouse.directory_lock import DirectoryLock
from ldv_otel.errors import ConfigurationError

HOLD = """
    import sys
    from pathlib import Path
    from ldv_otel._internal.clickhouse.directory_lock import DirectoryLock
    DirectoryLock(Path(sys.argv[1])).acquire()
    print("held", flush=True)
    sys.stdin.read()
"""


def script(body: str, directory: Path) -> subprocess.Popen[str]:
    """Start Python on a few lines that get the directory as argument."""
    command = [sys.executable, "-c", textwrap.dedent(body), os.fspath(directory)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    """Read one line of its output."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_second_process_hears_who_has_the_directory_and_how_to_share_it(tmp_path: Path) -> None:
    """The refusal names the directory, the process that holds it, and the way to share it."""
    directory = tmp_path / "logboek"
    with script(HOLD, directory) as holder:
        assert line(holder) == "held"
        with pytest.raises(ConfigurationError) as refused:
            DirectoryLock(directory).acquire()
        message = str(refused.value)
        assert str(directory) in message
        assert f"process {holder.pid}" in message
        assert f"ldv logboek --path {directory} --listen 127.0.0.1:8123" in message
        assert "LDV_LOGBOEK=clickhouse+http://127.0.0.1:8123" in message
        holder.kill()


def test_a_killed_holder_leaves_the_directory_free(tmp_path: Path) -> None:
    """A crash never leaves a directory locked."""
    with script(HOLD, tmp_path / "logboek") as holder:
        assert line(holder) == "held"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with DirectoryLock(tmp_path / "logboek") as lock:
        assert lock.held


def test_one_process_shares_its_lock_and_keeps_it_until_the_last_release(tmp_path: Path) -> None:
    """Several users of one directory in a process hold one lock together, whatever name they know it by."""
    directory = tmp_path / "logboek"
    directory.mkdir()
    (tmp_path / "alias").symlink_to(directory)
    first, second = DirectoryLock(directory), DirectoryLock(tmp_path / "alias" / ".." / "alias")
    first.acquire()
    first.acquire()
    second.acquire()
    assert first.file == second.file
    first.release()
    first.release()
    assert (first.held, second.held) == (False, True)
    with script(HOLD, directory) as other:
        assert line(other) == ""
    second.release()
    with script(HOLD, directory) as other:
        assert line(other) == "held"
        other.kill()


def test_the_lock_file_is_private_and_holds_the_pid(tmp_path: Path) -> None:
    """The lock file lies beside the directory, is for its owner only, and says who holds it."""
    with DirectoryLock(tmp_path / "new" / "logboek") as lock:
        assert lock.file == tmp_path / "new" / "logboek.lock"
        assert stat.S_IMODE(lock.file.stat().st_mode) == 0o600
        assert lock.file.read_text() == f"{os.getpid()}\n"
        assert not (tmp_path / "new" / "logboek").exists()
    assert lock.file.exists()


def test_a_forked_child_owns_nothing_and_takes_nothing_away(tmp_path: Path) -> None:
    """A fork neither passes the lock on, nor lets a child release it, nor keeps it past the parent's death."""
    body = """
        import os, sys, time
        from pathlib import Path
        from ldv_otel.errors import ConfigurationError
        from ldv_otel._internal.clickhouse.directory_lock import DirectoryLock
        lock = DirectoryLock(Path(sys.argv[1]))
        lock.acquire()
        reader, writer = os.pipe()
        if os.fork():
            os.close(writer)
            print(os.read(reader, 100).decode(), flush=True)
            sys.stdin.read()
            os._exit(0)
        said = [str(lock.held)]
        lock.release()
        try:
            lock.acquire()
        except ConfigurationError as error:
            said.append(str(str(os.getppid()) in str(error)))
        os.write(writer, " ".join(said).encode())
        os.close(writer)
        time.sleep(60)
    """
    with script(body, tmp_path / "logboek") as parent:
        assert line(parent) == "False True"
        with pytest.raises(ConfigurationError):
            DirectoryLock(tmp_path / "logboek").acquire()
        child = int(Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text())
        parent.kill()
        parent.wait()
        try:
            with DirectoryLock(tmp_path / "logboek") as lock:
                assert lock.held
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_program_started_by_the_holder_does_not_keep_the_lock(tmp_path: Path) -> None:
    """The lock ends with its holder, also when a program that it started lives on."""
    body = """
        import subprocess, sys
        from pathlib import Path
        from ldv_otel._internal.clickhouse.directory_lock import DirectoryLock
        DirectoryLock(Path(sys.argv[1])).acquire()
        print(subprocess.Popen(["sleep", "60"], close_fds=False, stdout=subprocess.DEVNULL).pid, flush=True)
    """
    with script(body, tmp_path / "logboek") as holder:
        sleeper = int(line(holder))
    try:
        with DirectoryLock(tmp_path / "logboek") as lock:
            assert lock.held
    finally:
        os.kill(sleeper, signal.SIGKILL)


def test_a_place_without_room_for_the_lock_file_is_a_matter_of_configuration(tmp_path: Path) -> None:
    """Where the lock file cannot be, the message names it."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"logboek\.lock"):
        DirectoryLock(tmp_path / "file" / "logboek").acquire()
    (tmp_path / "logboek.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match=r"logboek\.lock"):
        DirectoryLock(tmp_path / "logboek").acquire()
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be locked, nothing is opened: two engines on one directory would destroy it."""

    def no_locks(_fd: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(ConfigurationError, match="no file locks"):
        DirectoryLock(tmp_path / "logboek").acquire()
