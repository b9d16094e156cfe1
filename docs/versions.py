"""Lists the versions of the site that stand beside one another, for the menu that each page has: `make docs-version`.

The menu is Material's own, which reads the file that the program `mike` writes. That program keeps the sites in a
branch of the repository; a directory does as well, on any server of files.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Final

_VERSION: Final = re.compile(r"\d+(?:\.\d+)+")
_FORWARD: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>ldv_otel</title>
<meta http-equiv="refresh" content="0; url={version}/index.html">
<p><a href="{version}/index.html">ldv_otel {version}</a></p>
</html>
"""


def write_list(directory: Path) -> list[str]:
    """Write `versions.json` and a page that leads to the newest version; return the versions, newest first."""
    names = [path.name for path in directory.iterdir() if path.is_dir() and _VERSION.fullmatch(path.name)]
    names.sort(key=lambda name: [int(part) for part in name.split(".")], reverse=True)
    entries = [{"version": name, "title": name, "aliases": ["latest"] if name == names[0] else []} for name in names]
    (directory / "versions.json").write_text(json.dumps(entries), encoding="utf-8")
    if names:
        (directory / "index.html").write_text(_FORWARD.format(version=names[0]), encoding="utf-8")
    return names


if __name__ == "__main__":
    print(*write_list(Path(sys.argv[1])))
