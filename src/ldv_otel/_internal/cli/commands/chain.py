"""Commands that look over the fence: chain."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree

from ldv_otel._internal.api.read_api.openapi import own_url
from ldv_otel._internal.cli import rendering
from ldv_otel._internal.cli.output import AsJson, console, print_json
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.models import parse_trace_id
from ldv_otel._internal.clickhouse.schema.migrations import check_schema
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.parties.parties import parties_for
from ldv_otel._internal.record.standard_json import as_standard
from ldv_otel.errors import ConfigurationError

_WORDS = {
    "here": "",
    "reached": "",
    "unreachable": "onbereikbaar",
    "refused": "laat ons niet toe",
    "unreadable": "geeft een onleesbaar antwoord",
    "not_configured": "niet ingesteld in LDV_PARTIES, dus niet bevraagd",
    "no_api": "heeft geen lezen API; dit adres zegt waar het na te vragen is",
}


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(chain)


def chain(
    trace_id: Annotated[str, typer.Argument(help="32 hex digits or a UUID.")],
    *,
    seconds: Annotated[float, typer.Option("--seconds", help="Wait so long for other parties.", min=0.1)] = 20.0,
    as_json: AsJson = False,
) -> None:
    """Show a trace over organisations: what was done here, and what the parties of LDV_PARTIES say they did.

    Exit code 1 when it is not complete.
    """
    try:
        from ldv_otel._internal.chain.follow import follow  # noqa: PLC0415  (needs the extra [api])
        from ldv_otel._internal.chain.remote import Remotes  # noqa: PLC0415
        from ldv_otel._internal.chain.source import ThisLogboek  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"Following a chain needs {error.name}, which is not installed. Run `pip install 'ldv-otel[api]'`."
        ) from error
    settings = read_settings(os.environ)
    wanted = parse_trace_id(trace_id)
    parties = parties_for(settings)
    with LogboekClient(settings) as client:
        check_schema(client)

        async def ask(question: Any, *arguments: Any, **keywords: Any) -> Any:
            return question(client, *arguments, **keywords)

        async def followed() -> Any:
            async with Remotes(parties.read_apis) as remotes:
                here = ThisLogboek(ask, confidential=True)
                return await follow(wanted, here, remotes, own_url=own_url(settings.serve), seconds=seconds)

        found = asyncio.run(followed())
    if as_json:
        print_json(_as_json(found))
    elif not found.logregels:
        console(stderr=True).print("No Logregels with this trace.")
    else:
        _print(found)
    if not found.complete:
        raise typer.Exit(1)


def _as_json(found: Any) -> dict[str, Any]:
    return {
        "trace_id": found.trace_id.hex(),
        "complete": found.complete,
        "parties": found.parties,
        "logregels": [
            {
                **as_standard(item.logregel),
                "party": item.party,
                "parent": item.parent,
                "relation": item.relation,
                "circle": item.circle,
            }
            for item in found.logregels
        ],
    }


def _print(found: Any) -> None:
    tree = Tree(Text(f"keten {found.trace_id.hex()}", style="bold"))
    nodes: dict[int | None, Tree] = {None: tree}
    for place in range(len(found.logregels)):
        # Clocks of organisations differ, so a record may come before the one that it belongs below.
        path = [place]
        while (above := found.logregels[path[-1]].parent) not in nodes:
            path.append(above)
        for at in reversed(path):
            if at not in nodes:
                nodes[at] = nodes[found.logregels[at].parent].add(_label(found, found.logregels[at]))
    out = console()
    out.print(tree)
    for party in found.parties:
        if party.complete:
            continue
        line = Text(rendering.plain(party.name or party.url or "dit Logboek"), style="bold red")
        line.append(f": {_WORDS[party.state] or 'onvolledig'}")
        more = [rendering.plain(text) for text in (party.detail, party.url if party.name else "") if text]
        if more:
            line.append(f" ({'; '.join(more)})", style="not bold")
        out.print(line, soft_wrap=True)


def _label(found: Any, item: Any) -> Text:
    party = found.parties[item.party]
    label = rendering.logregel_label(item.logregel)
    if party.url:
        label.append("\npartij: ", style="dim")
        label.append(rendering.plain(party.name or party.url), style="cyan")
    if item.relation == "asked":
        label.append("\nverband: ", style="dim")
        label.append("alleen de trace; de aanroepende Actie is niet te vinden")
    if item.circle:
        label.append("\nin een kring", style="bold red")
    return label
