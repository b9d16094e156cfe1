"""docs/flags.md, docs/metrics.md and docs/views.md, from the code that has them; `make pages` writes them.

The code is read, not run: a figure that only a server with many tenants has is on the page as well.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ldv_otel._internal.api.pages.officer.view import FLAG_WORDS
from ldv_otel.attributes import Flag

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
PACKAGE: Final = ROOT / "src" / "ldv_otel"
VIEWS: Final = PACKAGE / "_internal" / "clickhouse" / "schema" / "views.sql"
_MADE: Final = "This page is made of {source} by `make pages`; a test compares them."

FLAGS_HEAD: Final = f"""\
# Flags

What was odd in a record, and was normalised so that it could be stored (`ldv.flags`, column `flags`). `health()`,
`ldv status` and the metric `ldv.logregel.flagged` count them.
{_MADE.format(source="`ldv_otel.attributes.Flag`")}

| flag | what happened | what to do | on the page of an officer: *dit ...* |
| --- | --- | --- | --- |
"""
METRICS_HEAD: Final = f"""\
# Metrics

When to look at them: [watch](operate/watch.md), [alerts](operate/alerts.md).
{_MADE.format(source="the code that has the figures")}

## Of a service

Of the meter `ldv_otel`, where the service has a metrics SDK. They are those of `ldv_otel.health()`
([what you see](delivery-sending.md#what-you-see)). With several Logboeken each value has `ldv.tenant`.

| metric | kind | unit | what |
| --- | --- | --- | --- |
"""
SERVERS_HEAD: Final = """
## Of `ldv serve` and `ldv logboek`

On `/metrics`, as OpenMetrics text. A server has those of its part.

| metric | kind | what |
| --- | --- | --- |
"""
COLLECTOR: Final = """
A Collector has its own, and `otelcol_ldv_flags` by `flag` ([watch](operate/watch.md#a-collector)).
"""
VIEWS_HEAD: Final = f"""\
# Views

What SQL may rely on, from one version to the next; the tables behind them may change. How to use them: [SQL](sql.md),
with tested queries for [auditors](auditor.md). {_MADE.format(source="`views.sql`")}

| view | parameters | what |
| --- | --- | --- |
"""


def flag_comments() -> Iterator[tuple[str, str, str]]:
    """Give each flag with what happened and what to do, of the comment above it."""
    text = (PACKAGE / "attributes.py").read_text(encoding="utf-8").partition("class Flag(")[2]
    for comment, word in re.findall(r'((?:^    #: .*\n)+)    [A-Z_]+ = "(\w+)"$', text, re.MULTILINE):
        happened, _, to_do = " ".join(comment.replace("#:", " ").split()).partition(" -> ")
        yield word, happened, to_do


def flags_page() -> str:
    """Return docs/flags.md."""
    rows = [
        f"| `{word}` | {happened} | {to_do} | {FLAG_WORDS[Flag(word)]} |\n" for word, happened, to_do in flag_comments()
    ]
    return FLAGS_HEAD + "".join(sorted(rows))


def _calls(path: Path) -> Iterator[tuple[str, list[object]]]:
    """Give the calls of a module: the function's name, and its arguments as far as they are written down there."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name, [argument.value if isinstance(argument, ast.Constant) else None for argument in node.args]


def service_metrics() -> Iterator[tuple[str, str, str, str]]:
    """Give the instruments of a service: name, kind, unit and meaning."""
    for call, arguments in _calls(PACKAGE / "_internal" / "sdk" / "metrics.py"):
        if call.startswith("create_observable_"):
            name, _, unit, meaning = arguments
            kind = call.removeprefix("create_observable_").replace("up_down", "up-down").replace("_", " ")
            yield str(name), kind, str(unit), str(meaning)


def server_metrics() -> Iterator[tuple[str, str, str]]:
    """Give the figures of servers: name as it is scraped, kind and meaning."""
    for path in sorted((PACKAGE / "_internal").rglob("*.py")):
        for call, arguments in _calls(path):
            texts = [argument for argument in arguments if isinstance(argument, str)]
            match call, texts:
                case "MetricFamily", [name, kind, meaning]:
                    yield name + {"counter": "_total", "info": "_info"}.get(kind, ""), kind, meaning
                case "Counts", [name, meaning]:
                    yield f"{name}_total", "counter", meaning
                case "Histogram", [name, meaning]:
                    yield name, "histogram", meaning
                case "of_each", [name, meaning]:
                    yield name, "gauge", f"{meaning.removesuffix('.')}; by `service`."
                case _:
                    continue


def metrics_page() -> str:
    """Return docs/metrics.md."""
    of_services = [f"| `{name}` | {kind} | `{unit}` | {what} |\n" for name, kind, unit, what in service_metrics()]
    of_servers = sorted(f"| `{name}` | {kind} | {what} |\n" for name, kind, what in server_metrics())
    return "".join((METRICS_HEAD, *of_services, SERVERS_HEAD, *of_servers, COLLECTOR))


def views() -> Iterator[tuple[str, list[str], str]]:
    """Give each view that is for users: name, parameters, and what its comment says."""
    text = VIEWS.read_text(encoding="utf-8")
    for comment, name, body in re.findall(
        r"((?:^--[^\n]*\n)+)CREATE OR REPLACE VIEW (\w+) AS\n(.*?);$", text, re.MULTILINE | re.DOTALL
    ):
        says = " ".join(line.removeprefix("--").strip() for line in comment.splitlines())
        if "not for users" in says.lower():
            continue
        parameters = list(dict.fromkeys(re.findall(r"\{(\w+):", body)))
        what = re.sub(rf"^{name}\([^)]*\)[:;] ", "", says)
        yield name, parameters, what[:1].upper() + what[1:]


def views_page() -> str:
    """Return docs/views.md."""
    rows = [
        f"| `{name}` | {', '.join(f'`{parameter}`' for parameter in parameters)} | {what} |\n"
        for name, parameters, what in views()
    ]
    return VIEWS_HEAD + "".join(rows)


PAGES: Final = {"flags.md": flags_page, "metrics.md": metrics_page, "views.md": views_page}

if __name__ == "__main__":
    for page, text_of in PAGES.items():
        (DOCS / page).write_text(text_of(), encoding="utf-8")
