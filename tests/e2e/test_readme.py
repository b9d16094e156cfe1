"""What the README shows works as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DUTCH = (ROOT / "README.nl.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_ten_lines_come_early_and_work(tmp_path: Path) -> None:
    """Promise, install, and lines that write and read back one record, before line 40."""
    ten_lines = blocks("python")[0]
    assert len(ten_lines.splitlines()) <= 10
    assert README[: README.index(ten_lines) + len(ten_lines)].count("\n") < 40
    assert README[: README.index("ldv inzage --type BSN")].count("\n") < 40
    (place,) = re.findall(r"^\$ export LDV_LOGBOEK=(\S+)", blocks("console")[1], re.MULTILINE)
    assert f'"{place}"' in ten_lines
    # As it stands there: in the current directory, which nobody else can prepare as they can a name below /tmp.
    environ = {name: value for name, value in os.environ.items() if name != "LDV_LOGBOEK"}
    done = subprocess.run(
        [sys.executable, "-c", ten_lines], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"True [0-9a-f]{32}\n", done.stdout)
    shown = subprocess.run(
        [sys.executable, "-m", "ldv_otel._internal.cli", "inzage", "--type", "BSN"],
        cwd=tmp_path,
        env=environ | {"LDV_LOGBOEK": place},
        input="123456782\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Wijzig kenteken" in shown.stdout, shown.stderr
    made = tmp_path / place.removeprefix("chdb:")
    assert made.stat().st_mode & 0o777 == made.parent.stat().st_mode & 0o777 == 0o700


def test_the_example_for_peoples_own_tests_works(tmp_path: Path) -> None:
    """With somebody's function in place of the one it names."""
    example = blocks("python")[1]
    script = tmp_path / "test_example.py"
    # By the name of its module, whether this environment has the entry point or not.
    plugins = ["-p", "no:cacheprovider", "-p", "no:logfire", "-p", "no:ldv_otel", "-p", "ldv_otel_pytest"]
    script.write_text(
        "import ldv_otel as ldv\n"
        "@ldv.processing('https://register.example/a', name='Change number plate')\n"
        "def change_number_plate(bsn, plate):\n    ldv.data_subject(bsn, type='BSN')\n" + example
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout


def test_links_lead_somewhere() -> None:
    """Files that the README points at are there."""
    targets = [target for text in (README, DUTCH) for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", text)]
    targets += [target for text in (README, DUTCH) for target in re.findall(r"src=\"([^\"]+)", text)]
    assert len(targets) > 40
    for target in targets:
        assert (ROOT / target).exists(), target


def test_it_is_short_and_the_dutch_one_shows_the_same() -> None:
    """Whoever opens the repository reads one page; the code in both is the same but for its comments."""
    assert README.count("\n") < 120
    assert DUTCH.count("\n") < 120

    def code(text: str) -> str:
        (first, *_) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        return re.sub(r" *#.*", "", first)

    assert code(README) == code(DUTCH)
