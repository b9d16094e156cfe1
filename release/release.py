"""`make release`: wheel and sdist, checked, with checksums; the wheel installed in a bare environment, and used there.

The bill of materials is made by `make sbom`, which goes before it.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHECKSUMS = "SHA256SUMS"


def main() -> None:
    """Make what a release has, in `dist`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="where to put it")
    parser.add_argument("--pythons", default=sys.executable, help="comma separated; the wheel is tried with each")
    parser.add_argument(
        "--without-engine", action="store_true", help="do not fetch the engine (0.5 GB) to run the ten lines"
    )
    options = parser.parse_args()
    for old in (*options.dist.glob("ldv_otel-*.whl"), *options.dist.glob("ldv_otel-*.tar.gz")):
        old.unlink()
    run(sys.executable, "-m", "build", "--outdir", str(options.dist), str(ROOT))
    packages = sorted([*options.dist.glob("ldv_otel-*.whl"), *options.dist.glob("ldv_otel-*.tar.gz")])
    if len(packages) != 2:  # noqa: PLR2004  (a wheel and an sdist)
        sys.exit(f"{options.dist} has {len(packages)} packages, and not a wheel and an sdist")
    run(sys.executable, "-m", "twine", "check", "--strict", *map(str, packages))
    (wheel,) = options.dist.glob("ldv_otel-*.whl")
    for python in options.pythons.split(","):
        try_wheel(python, wheel, with_engine=not options.without_engine)
    write_checksums(options.dist)


def try_wheel(python: str, wheel: Path, *, with_engine: bool) -> None:
    """Install the wheel in an environment that has nothing else, and run the ten lines of the README there."""
    with tempfile.TemporaryDirectory() as directory:
        if python == sys.executable:
            venv.create(directory, with_pip=True)
        else:
            run(python, "-m", "venv", directory)
        program = f"{directory}/bin/python"
        extras = "[cli,embedded]" if with_engine else "[cli]"
        run(program, "-m", "pip", "install", "--quiet", f"{wheel}{extras}")
        run(f"{directory}/bin/ldv", "--version")
        if with_engine:
            lines = ten_lines()
            done = run(program, "-c", lines, cwd=directory)
            print(f"{python}: the ten lines gave {done.split()}")
            if not done.startswith("True "):
                sys.exit("the ten lines did not store their record")


def ten_lines() -> str:
    """The first program of the README."""
    match = re.search(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    if match is None:
        sys.exit("README.md has no program")
    return match[1]


def write_checksums(dist: Path) -> None:
    """Write the SHA-256 of everything in `dist`, as `sha256sum --check` reads it."""
    files = sorted(path for path in dist.iterdir() if path.is_file() and path.name != CHECKSUMS)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (dist / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
    print("".join(lines), end="")


def run(*command: str, cwd: str | None = None) -> str:
    """Run a command that has to work."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command[:4])} ... failed:\n{done.stdout[-4_000:]}{done.stderr[-4_000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
