"""`ldv chain`: one trace over several organisations."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.text import Text
from rich.tree import Tree

from ldv_otel._internal.api.read_api.openapi import own_url
from ldv_otel._internal.cli import rendering
from ldv_otel._internal.cli.listing import ListingTexts, texts_for
from ldv_otel._internal.cli.log_keys import keys_of_log
from ldv_otel._internal.cli.output import AsJson, Wide, console, label_of, print_json
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.models import parse_trace_id
from ldv_otel._internal.clickhouse.schema.migrations import check_schema
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.parties.parties import parties_for
from ldv_otel._internal.record.standard_json import as_standard
from ldv_otel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ldv_otel._internal.chain.model import Chain, ChainLogregel
    from ldv_otel._internal.chain.proofs import PartyProofs

_STATES = {
    "here": "",
    "reached": "",
    "unreachable": "onbereikbaar",
    "refused": "laat ons niet toe",
    "unreadable": "geeft een onleesbaar antwoord",
    "not_configured": "niet ingesteld in LDV_PARTIES, dus niet bevraagd",
    "no_api": "heeft geen lezen API; dit adres zegt waar het na te vragen is",
}


_PROOFS = {
    "proven": "bewezen",
    "unproven": "niet bewezen",
    "contradicted": "BEWIJS KLOPT NIET",
    "unreachable": "bewijs is niet te krijgen",
}
#: The chain is complete, and not all of it is proven.
_NOT_PROVEN: Final = 3


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(chain)


def chain(
    trace_id: Annotated[str, typer.Argument(help="32 hex digits or a UUID.")],
    *,
    seconds: Annotated[float, typer.Option("--seconds", help="Wait so long for other parties.", min=0.1)] = 20.0,
    verify: Annotated[
        bool, typer.Option("--verify", help="Ask each party for proofs of what it showed, and check them.")
    ] = False,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", help="With --verify: public key of this Logboek's log or a witness, or a file of them."),
    ] = None,
    as_json: AsJson = False,
    wide: Wide = False,
) -> None:
    """Show a trace over organisations: what was done here, and what the parties of LDV_PARTIES say they did.

    Exit code 1 when it is not complete, or a proof does not hold; 3 when with --verify not all is proven.
    """
    try:
        from ldv_otel._internal.chain.follow import follow  # needs the extra [api]
        from ldv_otel._internal.chain.proofs import ProvingParty, prove_chain, proving_parties
        from ldv_otel._internal.chain.remote import Remotes
        from ldv_otel._internal.chain.source import ThisLogboek
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"Following a chain needs {error.name}, which is not installed. Run `pip install 'ldv-otel[api]'`."
        ) from error
    settings = read_settings(os.environ)
    first_trace = parse_trace_id(trace_id)
    parties = parties_for(settings)
    if key and not verify:
        raise ConfigurationError("--key is about the proofs of --verify. Nothing was asked.")
    own_keys = keys_of_log(settings, key or []) if verify else []
    with LogboekClient(settings) as client:
        check_schema(client)

        async def ask(query: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
            return query(client, *arguments, **keywords)

        async def followed() -> tuple[Chain, list[PartyProofs]]:
            async with Remotes(parties.read_apis, proxy=settings.proxy) as remotes:
                logboek = ThisLogboek(ask, confidential=True)
                whole = await follow(first_trace, logboek, remotes, own_url=own_url(settings.serve), seconds=seconds)
                if not verify:
                    return whole, []
                proving = proving_parties(whole, remotes, ProvingParty(logboek, own_keys))
                return whole, await prove_chain(whole, proving, seconds=seconds)

        whole, proofs = asyncio.run(followed())
        texts = texts_for(settings, client, wide=wide, for_people=not as_json)
    if as_json:
        print_json(_as_json(whole) | ({"proofs": proofs} if verify else {}))
    else:
        _show(whole, proofs, texts)
    _end(whole, proofs)


def _show(chain: Chain, proofs: Sequence[PartyProofs], texts: ListingTexts) -> None:
    if not chain.logregels:
        console(stderr=True).print("No Logregels with this trace.")
        return
    _print(chain, texts)
    for each in proofs:
        _print_proofs(chain, each)


def _end(chain: Chain, proofs: Sequence[PartyProofs]) -> None:
    """End with the exit code that says what is missing."""
    states = {each.state.value for each in proofs}
    if not chain.complete or "contradicted" in states:
        raise typer.Exit(1)
    if states - {"proven"}:
        raise typer.Exit(_NOT_PROVEN)


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


def _print_proofs(chain: Chain, proofs: PartyProofs) -> None:
    """Print whether one party's part is proven, by whom its checkpoints were signed, and when."""
    party = chain.parties[proofs.party]
    is_proven = proofs.state == "proven"
    line = Text(rendering.plain(party.name or party.url or "dit Logboek"), style="bold" if is_proven else "bold red")
    line.append(f": {_PROOFS[proofs.state]}, {proofs.proven} van {proofs.records} logregels", style="not bold")
    if proofs.signers:
        line.append(f", getekend door {rendering.plain(', '.join(proofs.signers))}", style="not bold")
    if proofs.seen_seconds is not None:
        line.append(f" op {rendering.moment(proofs.seen_seconds * 1_000)}", style="not bold")
    if proofs.detail:
        line.append(f" ({rendering.plain(proofs.detail)})", style="not bold")
    console().print(line, soft_wrap=True)


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
