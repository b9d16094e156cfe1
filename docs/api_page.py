"""Makes the page of the Python API for the site, from the public modules and their docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import ldv_otel
from ldv_otel import attributes, errors, plugins, testing

PAGE: Final = "api.md"
DOORS: Final = (ldv_otel, testing, errors, plugins, attributes)
_HEADING: Final = re.compile(r"^(Args|Returns|Raises|Attributes|Yields|Source):(.*)$", re.MULTILINE)
_BEGINNING: Final = """# Python API

What five modules promise; everything below `ldv_otel._internal` may change at any time. This page is made from their
docstrings.
"""


def text() -> str:
    """Return the page."""
    return _BEGINNING + "".join(part for door in DOORS for part in _of_module(door))


def _of_module(module: ModuleType) -> Iterator[str]:
    yield f"\n## {module.__name__}\n\n{_prose(module.__doc__ or '')}\n"
    if module is attributes:
        yield "\n| name | attribute |\n| --- | --- |\n"
        for name in module.__all__:
            value = getattr(module, name)
            values = [value] if isinstance(value, str) else sorted(value)
            yield f"| `{name}` | {', '.join(f'`{each}`' for each in values)} |\n"
        return
    for name in module.__all__:
        member = getattr(module, name)
        if not name.startswith("__"):
            yield from _of_member(name, member)


def _of_member(name: str, member: Any) -> Iterator[str]:
    yield f"\n### `{name}`\n\n"
    if inspect.ismodule(member):
        yield f"{_prose(member.__doc__ or '')}\n"
        return
    if inspect.isroutine(member) or (inspect.isclass(member) and not issubclass(member, Exception)):
        yield f"```text\n{name}{_signature(member)}\n```\n\n"
    yield f"{_prose(inspect.getdoc(member) or '')}\n"


def _signature(member: Any) -> str:
    parameters = inspect.signature(member).parameters.values()
    shown = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    # Values of defaults that have no short form, such as an object of another class.
    plain = [
        parameter.replace(default=inspect.Parameter.empty if parameter.default is inspect.Parameter.empty else ...)
        if not isinstance(parameter.default, str | int | float | bool | tuple | type(None))
        else parameter
        for parameter in shown
    ]
    lines = ", ".join(map(str, plain)).replace("=Ellipsis", "=...")
    return f"({lines})"


def _prose(docstring: str) -> str:
    """Return a docstring with its sections as lists."""
    paragraphs = []
    for paragraph in inspect.cleandoc(docstring).split("\n\n"):
        heading, _, rest = paragraph.partition("\n")
        match = _HEADING.fullmatch(heading)
        if match is None:
            code = all(line.startswith(("    ", "from ", "def ", "with ")) for line in paragraph.splitlines())
            paragraphs.append(f"```text\n{paragraph}\n```" if code else paragraph)
            continue
        items = re.split(r"\n(?=    \S)", "\n" + rest)[1:]
        if items:
            body = "\n".join(f"- {' '.join(item.split())}" for item in items)
            paragraphs.append(f"**{match[1]}**\n\n{body}")
        else:
            paragraphs.append(f"**{match[1]}**: {match[2].strip()}")
    return "\n\n".join(paragraphs)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page to those of the site."""
    files.append(File.generated(config, PAGE, content=text()))
    return files
