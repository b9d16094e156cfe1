"""Commands for mapping rules: try them on recorded spans before they log anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ldv_otel._internal.cli.output import console, print_json
from ldv_otel._internal.cli.rendering import plain
from ldv_otel._internal.importer import PlainSpan, read_plain_spans
from ldv_otel._internal.privacy.redaction import Redactor, identifier
from ldv_otel._internal.record.actie import is_actie
from ldv_otel._internal.rules.rule_file import read_rule_file
from ldv_otel._internal.rules.rules import Rules
from ldv_otel.errors import UnreadableInput

rules_app = typer.Typer(help="Mapping rules: which spans of existing instrumentation are Acties.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    rules_app.command("test")(try_rules)
    # A group of one command would otherwise be taken for that command.
    rules_app.callback()(_group)
    app.add_typer(rules_app, name="rules")


def _group() -> None:
    """Mapping rules: which spans of existing instrumentation are Acties."""


class Hit(msgspec.Struct):
    """Spans alike that one rule took, or none did.

    Attributes:
        rule: Its place in the file, from 1; 0 for no rule.
        name: Of the spans, without the data subjects that the rule found.
        spans: How many.
        without_subject: In how many the rule found nobody though it names a place.
        acties: How many are Acties by their own attributes.
    """

    rule: int
    label: str
    name: str
    kind: str
    scope: str
    spans: int = 0
    subjects: int = 0
    without_subject: int = 0
    acties: int = 0


class Outcome(msgspec.Struct):
    """What rules do with the spans of some files."""

    spans: int
    hits: list[Hit]
    never: list[str]


def try_rules(
    rules: Annotated[Path, typer.Argument(help="File of mapping rules.", dir_okay=False)],
    spans: Annotated[list[Path], typer.Argument(help="Files of spans: OTLP/JSON, or ConsoleSpanExporter's output.")],
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 when a rule takes no span at all.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show which rule takes which recorded spans, and which rule takes none. Nothing is logged."""
    read = read_rule_file(rules)
    outcome = judge(read, [span for path in spans for span in _read(path)])
    if as_json:
        print_json(outcome)
    else:
        _print(outcome)
    if strict and outcome.never:
        raise typer.Exit(1)


def judge(rules: Rules, spans: Sequence[PlainSpan]) -> Outcome:
    """Return what rules do with spans."""
    labels = [f"{number} {rule.rule}".strip() for number, rule in enumerate(rules.rules, 1)]
    hits: dict[tuple[int, str, str, str], Hit] = {}
    for span in spans:
        rule = rules.find(span.name, span.kind, span.scope, span.attributes)
        number = next((place for place, one in enumerate(rules.rules, 1) if one is rule), 0)
        sources = rule.subjects if rule is not None else ()
        found = [identifier(one, source.type) for source in sources for one in source.identifiers(span.attributes)]
        key = (number, Redactor(found).text(span.name), span.kind, span.scope or "")
        hit = hits.get(key)
        if hit is None:
            hit = hits[key] = Hit(number, labels[number - 1] if number else "", *key[1:])
        hit.spans += 1
        hit.subjects += len(found)
        hit.without_subject += bool(sources) and not found
        hit.acties += is_actie(span.attributes)
    taken = {hit.rule for hit in hits.values()}
    in_order = sorted(hits.values(), key=lambda hit: (hit.rule or len(labels) + 1, -hit.spans, hit.name))
    return Outcome(len(spans), in_order, [label for number, label in enumerate(labels, 1) if number not in taken])


def _read(path: Path) -> Sequence[PlainSpan]:
    try:
        return read_plain_spans(path.read_bytes())
    except OSError as error:
        raise UnreadableInput(f"{path} cannot be read ({error.strerror}).") from error
    except UnreadableInput as error:
        raise UnreadableInput(f"{path}: {error}.") from error


def _print(outcome: Outcome) -> None:
    out = console()
    table = Table(header_style="bold", box=SIMPLE_HEAD)
    for caption in ("rule", "spans", "people", "name", "kind", "scope"):
        table.add_column(caption, overflow="fold")
    for hit in outcome.hits:
        label = hit.label or ("(none; an Actie by itself)" if hit.acties == hit.spans else "(none)")
        people = f"{hit.subjects}" + (f", not found in {hit.without_subject}" if hit.without_subject else "")
        row = (label, str(hit.spans), people, hit.name, hit.kind, hit.scope)
        table.add_row(*(Text(plain(one)) for one in row))
    out.print(table)
    logged = sum(hit.spans for hit in outcome.hits if hit.rule)
    out.print(f"{logged} of {outcome.spans} spans are taken by a rule.", soft_wrap=True)
    for label in outcome.never:
        out.print(f"Rule {label} takes none of them.", markup=False, soft_wrap=True)
