"""`ldv rules`: try mapping rules on recorded spans before they log anything."""

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
from ldv_otel._internal.importer.rule_spans import RuleSpan, read_rule_spans
from ldv_otel._internal.privacy.redaction import Redactor
from ldv_otel._internal.record.actie import is_actie
from ldv_otel._internal.rules.rules import Rules, read_rules
from ldv_otel.errors import UnreadableInput

rules_app = typer.Typer(help="Mapping rules: which spans of existing instrumentation are Acties.")


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    rules_app.command("test")(try_rules)
    # A group of one command would otherwise be taken for that command.
    rules_app.callback()(_describe_group)
    app.add_typer(rules_app, name="rules")


def _describe_group() -> None:
    """Mapping rules: which spans of existing instrumentation are Acties."""


class RuleMatch(msgspec.Struct):
    """Spans alike that one rule takes, or that no rule takes.

    Attributes:
        rule: Its number in the file, from 1; 0 for no rule.
        name: Of the spans, without the identifiers that the rule reads.
        spans: How many.
        without_subject: In how many the rule has a source of data subjects and reads none from it.
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


class RuleTestResult(msgspec.Struct):
    """The spans of some files, by the rule that takes them."""

    spans: int
    matches: list[RuleMatch]
    never: list[str]


def try_rules(
    rules: Annotated[Path, typer.Argument(help="File of mapping rules.", dir_okay=False)],
    spans: Annotated[list[Path], typer.Argument(help="Files of spans: OTLP/JSON, or ConsoleSpanExporter's output.")],
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 when a rule takes no span at all.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show which rule takes which recorded spans, and which rule takes none. Nothing is logged."""
    outcome = judge(read_rules(rules), [span for path in spans for span in _read_spans(path)])
    if as_json:
        print_json(outcome)
    else:
        _print(outcome)
    if strict and outcome.never:
        raise typer.Exit(1)


def judge(rules: Rules, spans: Sequence[RuleSpan]) -> RuleTestResult:
    """Return which rule takes which spans."""
    labels = [f"{number} {rule.rule}".strip() for number, rule in enumerate(rules.rules, 1)]
    matches: dict[tuple[int, str, str, str], RuleMatch] = {}
    for span in spans:
        rule = rules.find(span.name, span.kind, span.scope, span.attributes)
        number = next((number for number, candidate in enumerate(rules.rules, 1) if candidate is rule), 0)
        sources = rule.subjects if rule is not None else ()
        subjects = [(value, source.type) for source in sources for value in source.identifiers(span.attributes)]
        key = (number, Redactor(subjects).text(span.name), span.kind, span.scope or "")
        match = matches.get(key)
        if match is None:
            match = matches[key] = RuleMatch(number, labels[number - 1] if number else "", *key[1:])
        match.spans += 1
        match.subjects += len(subjects)
        match.without_subject += bool(sources) and not subjects
        match.acties += is_actie(span.attributes)
    taken = {match.rule for match in matches.values()}
    in_order = sorted(matches.values(), key=lambda match: (match.rule or len(labels) + 1, -match.spans, match.name))
    return RuleTestResult(
        len(spans), in_order, [label for number, label in enumerate(labels, 1) if number not in taken]
    )


def _read_spans(path: Path) -> Sequence[RuleSpan]:
    try:
        return read_rule_spans(path.read_bytes())
    except OSError as error:
        raise UnreadableInput(f"{path} cannot be read ({error.strerror}).") from error
    except UnreadableInput as error:
        raise UnreadableInput(f"{path}: {error}.") from error


def _print(outcome: RuleTestResult) -> None:
    out = console()
    table = Table(header_style="bold", box=SIMPLE_HEAD)
    for caption in ("rule", "spans", "people", "name", "kind", "scope"):
        table.add_column(caption, overflow="fold")
    for match in outcome.matches:
        label = match.label or ("(none; an Actie by itself)" if match.acties == match.spans else "(none)")
        people = f"{match.subjects}" + (f", not found in {match.without_subject}" if match.without_subject else "")
        row = (label, str(match.spans), people, match.name, match.kind, match.scope)
        table.add_row(*(Text(plain(cell)) for cell in row))
    out.print(table)
    logged = sum(match.spans for match in outcome.matches if match.rule)
    out.print(f"{logged} of {outcome.spans} spans are taken by a rule.", soft_wrap=True)
    for label in outcome.never:
        out.print(f"Rule {label} takes none of them.", markup=False, soft_wrap=True)
