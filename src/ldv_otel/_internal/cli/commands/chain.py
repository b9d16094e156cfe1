"""`ldv chain`: one trace over several organisations."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree

from ldv_otel._internal.api.read_api.openapi import own_url
from ldv_otel._internal.cli import rendering
from ldv_otel._internal.cli.listing import ListingTexts, texts_for
from ldv_otel._internal.cli.output import AsJson, Wide, console, label_of, print_json
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.models import parse_trace_id
from ldv_otel._internal.clickhouse.schema.migrations import check_schema
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.parties.parties import parties_for
from ldv_otel._internal.record.standard_json import as_standard
from ldv_otel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ldv_otel._internal.chain.model import Chain, ChainLogregel
    from ldv_otel._internal.clickhouse.queries.models import Page

_STATES = {
    "here": "",
    "reached": "",
    "unreachable": "onbereikbaar",
    "refused": "laat ons niet toe",
    "unreadable": "geeft een onleesbaar antwoord",
    "not_configured": "niet ingesteld in LDV_PARTIES, dus niet bevraagd",
    "no_api": "heeft geen lezen API; dit adres zegt waar het na te vragen is",
}


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(chain)


def chain(
    trace_id: Annotated[str, typer.Argument(help="32 hex digits or a UUID.")],
    *,
    seconds: Annotated[float, typer.Option("--seconds", help="Wait so long for other parties.", min=0.1)] = 20.0,
    as_json: AsJson = False,
    wide: Wide = False,
) -> None:
    """Show a trace over organisations: what was done here, and what the parties of LDV_PARTIES say they did.

    Exit code 1 when it is not complete.
    """
    try:
        from ldv_otel._internal.chain.follow import follow  # needs the extra [api]
        from ldv_otel._internal.chain.remote import Remotes
        from ldv_otel._internal.chain.source import ThisLogboek
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"Following a chain needs {error.name}, which is not installed. Run `pip install 'ldv-otel[api]'`."
        ) from error
    settings = read_settings(os.environ)
    first_trace = parse_trace_id(trace_id)
    parties = parties_for(settings)
    with LogboekClient(settings) as client:
        check_schema(client)

        async def ask(query: Callable[..., Page], *arguments: Any, **keywords: Any) -> Page:
            return query(client, *arguments, **keywords)

        async def followed() -> Chain:
            async with Remotes(parties.read_apis, proxy=settings.proxy) as remotes:
                logboek = ThisLogboek(ask, confidential=True)
                return await follow(first_trace, logboek, remotes, own_url=own_url(settings.serve), seconds=seconds)

        whole = asyncio.run(followed())
        texts = texts_for(settings, client, wide=wide, for_people=not as_json)
    if as_json:
        print_json(_as_json(whole))
    elif not whole.logregels:
        console(stderr=True).print("No Logregels with this trace.")
    else:
        _print(whole, texts)
    if not whole.complete:
        raise typer.Exit(1)


def _as_json(chain: Chain) -> dict[str, Any]:
    return {
        "trace_id": chain.trace_id.hex(),
        "complete": chain.complete,
        "parties": chain.parties,
        "logregels": [
            {
                **as_standard(item.logregel),
                "party": item.party,
                "parent": item.parent,
                "relation": item.relation,
                "circle": item.circle,
                "repeated": item.repeated,
            }
            for item in chain.logregels
        ],
    }


def _print(chain: Chain, texts: ListingTexts) -> None:
    tree = Tree(Text(f"keten {chain.trace_id.hex()}", style="bold"))
    nodes: dict[int | None, Tree] = {None: tree}
    for index in range(len(chain.logregels)):
        # Clocks of organisations differ, so a record may come before the one that it belongs below.
        path = [index]
        while (parent := chain.logregels[path[-1]].parent) is not None and parent not in nodes:
            path.append(parent)
        for step in reversed(path):
            if step not in nodes:
                item = chain.logregels[step]
                nodes[step] = nodes[item.parent].add(_label(chain, item, texts))
    out = console()
    out.print(tree)
    for party in chain.parties:
        if party.complete:
            continue
        line = Text(rendering.plain(party.name or party.url or "dit Logboek"), style="bold red")
        line.append(f": {_STATES[party.state] or 'onvolledig'}")
        more = [rendering.plain(text) for text in (party.detail, party.url if party.name else "") if text]
        if more:
            line.append(f" ({'; '.join(more)})", style="not bold")
        out.print(line, soft_wrap=True)


def _label(chain: Chain, item: ChainLogregel, texts: ListingTexts) -> Text:
    party = chain.parties[item.party]
    make = label_of(texts) or rendering.logregel_label
    label = make(item.logregel, repeated=item.repeated)
    if party.url:
        label.append("\npartij: ", style="dim")
        label.append(rendering.plain(party.name or party.url), style="cyan")
    if item.relation == "asked":
        label.append("\nverband: ", style="dim")
        label.append("alleen de trace; de aanroepende Actie is niet te vinden")
    if item.circle:
        label.append("\nin een kring", style="bold red")
    return label
