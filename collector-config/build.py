"""Builds the Collector of manifest.yaml with the OpenTelemetry Collector Builder, and prints where it is.

    python3 collector-config/build.py                 build unless that was done, needs Go 1.26
    python3 collector-config/build.py --if-possible   the same, and success where it cannot be built
    python3 collector-config/build.py --where         only print where it is or would be
    python3 collector-config/build.py --test          check the processor; without Go it fails only where CI is set

Outside the tree, in ${XDG_CACHE_HOME:-~/.cache}/ldv_otel/collector/HASH/, by the hash of the manifest and of our own
processor: a build costs some two minutes on two cores, and is done once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MANIFEST = Path(__file__).with_name("manifest.yaml")
PROCESSOR = MANIFEST.with_name("ldvprocessor")
NAME = "otelcol-ldv"


def where() -> Path:
    """Return the path of the binary, built or not."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256()
    for file in [MANIFEST, *built_from()]:
        digest.update(f"{file.relative_to(MANIFEST.parent)}\0".encode() + file.read_bytes() + b"\0")
    return cache / "ldv_otel" / "collector" / digest.hexdigest()[:16] / NAME


def built_from() -> list[Path]:
    """Return the files of our processor that are in the binary; its tests are not."""
    sources = [file for file in PROCESSOR.rglob("*.go") if not file.name.endswith("_test.go")]
    return sorted([*sources, *PROCESSOR.glob("go.*")])


def find_go() -> str:
    """Return Go's command, from PATH or from where its installer puts it."""
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if found is None:
        raise SystemExit("Go is not here, and the Collector is built with it. Install Go 1.26 or newer.")
    return found


def build(go: str, binary: Path) -> None:
    """Build the binary; of several builders at a time one works and the others wait."""
    binary.parent.mkdir(parents=True, exist_ok=True)
    with (binary.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if binary.exists():
            return
        text = MANIFEST.read_text(encoding="utf-8")
        version = re.search(r"receiver/otlpreceiver (v[\d.]+)", text)
        if version is None:
            raise SystemExit(f"{MANIFEST} names no version of receiver/otlpreceiver, so none for the builder.")
        with tempfile.TemporaryDirectory(dir=binary.parent) as directory:
            manifest = Path(directory, "manifest.yaml")
            text = re.sub(r"output_path: .*", f"output_path: {directory}/out", text)
            text = text.replace("path: ./ldvprocessor", f"path: {PROCESSOR}")
            manifest.write_text(text, encoding="utf-8")
            builder = f"go.opentelemetry.io/collector/cmd/builder@{version[1]}"
            command = [go, "run", builder, f"--config={manifest}"]
            path = os.pathsep.join([str(Path(go).parent), os.environ.get("PATH", "")])
            subprocess.run(command, check=True, stdout=sys.stderr, env={**os.environ, "PATH": path})
            Path(directory, "out", NAME).rename(binary)


def test_processor() -> int:
    """Check our processor with Go's own tools; return the exit code."""
    try:
        go = find_go()
    except SystemExit as error:
        sys.stderr.write(f"{error}\nThe tests of the Collector's processor are skipped, or fail where CI is set.\n")
        return int(os.environ.get("CI", "") not in ("", "false", "0"))
    gofmt = shutil.which("gofmt", path=os.pathsep.join([str(Path(go).resolve().parent), os.environ.get("PATH", "")]))
    unformatted = subprocess.run(
        [gofmt or "gofmt", "-l", "."], cwd=PROCESSOR, check=True, capture_output=True, text=True
    )
    if unformatted.stdout:
        sys.stderr.write(f"Not formatted, run gofmt -w on it:\n{unformatted.stdout}")
        return 1
    commands = [[go, "vet", "./..."], [go, "test", "./..."]]
    return max(subprocess.run(command, cwd=PROCESSOR, check=False).returncode for command in commands)


def main() -> None:
    """Do what the arguments say."""
    if "--test" in sys.argv:
        raise SystemExit(test_processor())
    binary = where()
    if "--where" not in sys.argv and not binary.exists():
        try:
            build(find_go(), binary)
        except (SystemExit, subprocess.CalledProcessError) as error:
            if "--if-possible" not in sys.argv:
                raise
            sys.stderr.write(f"{error}\nThe Collector is not built; its tests are skipped, or fail where CI is set.\n")
            return
    sys.stdout.write(f"{binary}\n")


if __name__ == "__main__":
    main()
