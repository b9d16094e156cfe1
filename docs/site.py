"""What the site needs beside the pages: links out of `docs` lead to files of the repository, which no site has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

_LINK: Final = re.compile(r"(?<!!)\[([^\]]+)\]\((\.\.?/[^)\s]+|[\w./-]+)\)")
_SEARCH: Final = 'data-md-component="search" role="dialog"'
_INLINE_CODE: Final = re.compile(r"<code>([^<\n]+)</code>")
_BREAKS: Final = re.compile(r"(?:[/_.,]|::)(?=\w)")
#: Code that has room in a line of a telephone.
_WHOLE_MAX: Final = 28
_PICTURE: Final = re.compile(r'<img alt="[^"]*" src="([^"]+)" ?/?>')
_DOCS: Final = Path(__file__).parent


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return a page with its links to files outside of `docs` as text that names the file."""
    directory = (_DOCS / page.file.src_uri).parent

    def as_text(match: re.Match[str]) -> str:
        path = (directory / match[2].partition("#")[0]).resolve()
        if path.is_relative_to(_DOCS) and (path.is_file() or not path.exists()):
            return match[0]
        # Outside, or a directory: strict mode still sees what is not there at all.
        named = path.relative_to(_DOCS.parent) if path.is_relative_to(_DOCS.parent) and path.exists() else None
        return match[0] if named is None else f"{match[1]} (`{named.as_posix()}`)"

    return _LINK.sub(as_text, markdown)


def on_post_page(output: str, **_: Any) -> str:
    """Return a page whose search has a name, for who hears it; whose code breaks well, whose pictures open."""
    named = output.replace(_SEARCH, f'{_SEARCH} aria-label="Search"')
    return _PICTURE.sub(r'<a href="\1">\g<0></a>', _INLINE_CODE.sub(_breaking, named))


def _breaking(code: re.Match[str]) -> str:
    """Return code in a line with the places at which it may break: where it is short, only in tables of a telephone."""
    kind = ' class="ldv-whole"' if len(code[1]) <= _WHOLE_MAX else ""
    return f"<code{kind}>" + _BREAKS.sub(r"\g<0><wbr>", code[1]) + "</code>"
