"""The files that `ldv init` writes: rules, a Register and variables, with comments for whoever goes on from there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ldv_otel._internal.cli.beginning.proposal import Proposal, ProposedRule, ProposedSource, activities_of

RULES_NAME: Final = "rules.yaml"
REGISTER_NAME: Final = "register.yaml"
VARIABLES_NAME: Final = "ldv.env"
#: Where the activities are until somebody says where they really are; a domain that is nobody's (RFC 2606).
PLACE_OF_ACTIVITIES: Final = "https://register.example/activiteiten/"


def texts(proposal: Proposal, place: str) -> dict[str, str]:
    """Return the files by their names.

    Args:
        place: The beginning of the URI of every activity.
    """
    return {
        RULES_NAME: _rules(proposal, place),
        REGISTER_NAME: _register(proposal, place),
        VARIABLES_NAME: _variables(),
    }


def write_new(directory: Path, files: dict[str, str]) -> list[str]:
    """Write those files that are not there yet, and return their names; none is ever written over."""
    written = []
    for name, text in files.items():
        try:
            with (directory / name).open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            continue
        written.append(name)
    return written


def _rules(proposal: Proposal, place: str) -> str:
    lines = [
        "# Which requests are Acties (docs/rules.md). Written by `ldv init`; the rest is yours:",
        "# - `activity` is the URI of an activity of your Register (register.yaml); the ones here are made up;",
        "# - `subject` says where the number of the person is; a rule without one logs an Actie about nobody;",
        "# - take out a rule whose requests process no data that has to be accounted for.",
        "rules:",
    ]
    for rule in proposal.rules:
        lines += _rule(rule, place)
    if not proposal.rules:
        lines[-1] = "rules: []"
    if proposal.left_out:
        lines += ["", "# Left out, because they seem to serve machines:"]
        lines += [f"#   {'/'.join(route.methods) or 'any'} {route.path}" for route in proposal.left_out]
    return "\n".join(lines) + "\n"


def _rule(rule: ProposedRule, place: str) -> Iterator[str]:
    route = rule.route
    yield ""
    title = f"{'/'.join(route.methods)} {route.path}".strip()
    yield f"  - rule: {json.dumps(title)}"
    yield "    match:"
    yield "      kind: server"
    yield "      attributes:"
    yield f"        http.route: {json.dumps(route.path)}"
    if route.methods:
        yield f"        http.request.method: [{', '.join(route.methods)}]"
    yield f"    activity: {place}{rule.slug}"
    yield f"    name: {json.dumps(rule.name, ensure_ascii=False)}"
    if len(rule.sources) == 1:
        yield f"    subject: {_source(rule.sources[0])}"
    elif rule.sources:
        yield "    subject:"
        yield from (f"      - {_source(source)}" for source in rule.sources)
    for source in rule.maybe:
        yield f"    # subject: {_source(source)}   # is `{source.name}` a person's? Then say of which kind"
    for field in rule.in_body:
        yield f"    # `{field}` is in the body, which no rule reads: call ldv_otel.data_subject in the code"
    if not rule.sources and not rule.maybe and not rule.in_body:
        yield "    # subject: nothing in this route looks like a person's number"


def _source(source: ProposedSource) -> str:
    return f"{{{source.kind}: {source.name}, type: {source.type or '...'}}}"


def _register(proposal: Proposal, place: str) -> str:
    lines = [
        "# The Register (docs/register.md): what the URIs of activities in Logregels mean. Written by `ldv init`.",
        "# Ask your privacy officer: most organisations have one, and then its URIs belong into rules.yaml.",
        "# controller: https://identifier.overheid.nl/tooi/id/gemeente/gm0000   # your organisation",
        "activities:",
    ]
    for slug, name in activities_of(proposal.rules).items():
        lines += [
            f"  - id: {place}{slug}",
            f"    name: {json.dumps(name, ensure_ascii=False)}",
            "    # purpose: ...         # why it is done (doel)",
            "    # legal_ground: ...    # the article of law that allows it (grondslag)",
            "    # retention: P5Y       # how long its records stay; without one they stay for ever",
        ]
    if not proposal.rules:
        lines[-1] = "activities: []"
    return "\n".join(lines) + "\n"


def _variables() -> str:
    return f"""\
# The environment of the service: `set -a; . ./{VARIABLES_NAME}; set +a`, or EnvironmentFile= in systemd.
# To try it out, the Logboek is embedded, in a directory here; on a server clickhouse+https://user@host:8443/database.
LDV_LOGBOEK=chdb:logboek
LDV_RULES={RULES_NAME}
LDV_REGISTER={REGISTER_NAME}
# No tracing backend; take these out where you have one.
OTEL_TRACES_EXPORTER=none
OTEL_METRICS_EXPORTER=none
OTEL_LOGS_EXPORTER=none
"""
