"""A ZooKeeper of Debian for tests, on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Final, Self

import pytest

from tests.support.loopback import free_port

_JARS: Final = Path("/usr/share/java")
#: What the server loads, beside its own.
_LIBRARIES: Final = (
    *("zookeeper", "zookeeper-jute", "slf4j-api", "slf4j-simple", "netty-all", "commons-cli", "jackson-databind"),
    *("jackson-core", "jackson-annotations", "snappy-java", "metrics-core"),
)
_START_SECONDS: Final = 120


def skip_without_zookeeper() -> None:
    """Skip with a reason where it is not installed; in CI, which installs it, fail."""
    if shutil.which("java") is None or not (_JARS / "zookeeper.jar").exists():
        reason = "no ZooKeeper is installed (apt-get install zookeeper)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


class ZooKeeper:
    """A single server that keeps nothing.

    Args:
        directory: For its files.

    Attributes:
        port: On 127.0.0.1.
    """

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        directory.mkdir(parents=True)
        config = directory / "zoo.cfg"
        config.write_text(
            f"tickTime=2000\ndataDir={directory}/data\nclientPort={self.port}\nclientPortAddress=127.0.0.1\n"
            "admin.enableServer=false\n4lw.commands.whitelist=ruok\n"
        )
        libraries = os.pathsep.join(str(_JARS / f"{name}.jar") for name in _LIBRARIES)
        command = [
            "java",
            "-Xmx256m",
            "-cp",
            libraries,
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            str(config),
        ]
        with (directory / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                    connection.sendall(b"ruok")
                    if connection.recv(8) == b"imok":
                        return
            except OSError:
                time.sleep(0.1)
        self._process.kill()
        raise RuntimeError("ZooKeeper did not start; its log says why")

    def __enter__(self) -> Self:
        """Return itself, running."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
