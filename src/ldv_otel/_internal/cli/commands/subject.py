"""`ldv subject`: numbers that are one person's, such as a temporary number and the BSN that came after it."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ldv_otel._internal.cli.identifiers import ask_identifier, pseudonymiser_of_reader
from ldv_otel._internal.cli.output import AsJson, console, page_out, print_json
from ldv_otel._internal.cli.periods import parse_period
from ldv_otel._internal.cli.recording import store_confirmed
from ldv_otel._internal.cli.rendering import moment, plain
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.subject_links import (
    MAX_LINKS,
    LinkedPerson,
    SubjectLink,
    all_links,
    end_link,
    link_with,
    person_of,
    store_link,
)
from ldv_otel._internal.clickhouse.schema.migrations import checked
from ldv_otel._internal.config.settings import Settings, read_settings
from ldv_otel._internal.privacy.key_file import keys_for
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from ldv_otel._internal.privacy.stray_numbers import stray_numbers
from ldv_otel._internal.record.subject_link import ENDED, LINKED, LinkRecords
from ldv_otel._internal.times.instants import ms_from_datetime, now_ms
from ldv_otel.errors import ConfigurationError, QueryError

subject_app = typer.Typer(
    help="Numbers that are one person's: a corrected BSN, a temporary number.", no_args_is_help=True
)

_REASON_LEAST: Final = 10

Reason = Annotated[
    str, typer.Option("--reason", help="Why, in a sentence without numbers; it is in the records of it.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask; for a script, which gives the numbers as lines.")]


def add_to(app: typer.Typer) -> None:
    """Add the group to the application."""
    subject_app.command("link")(link)
    subject_app.command("end")(end)
    subject_app.command("list")(list_links)
    app.add_typer(subject_app, name="subject")


def link(
    *,
    former_type: Annotated[str, typer.Option("--former-type", help="Type of the former number.")] = "BSN",
    type_: Annotated[str, typer.Option("--type", help="Type of the present number.")] = "BSN",
    since: Annotated[
        str | None, typer.Option("--from", help="Questions asked from then on find both: a date or time; default now.")
    ] = None,
    reason: Reason,
    yes: Yes = False,
) -> None:
    """Say that two numbers are one person's; nothing is rewritten. They are asked for, or are two lines of input."""
    settings, pseudonymiser = _opened(reason)
    begin, _ = parse_period(since, None, now=datetime.now(UTC))
    identifiers = [
        (ask_identifier(f"Former number ({former_type})", former_type), former_type),
        (ask_identifier(f"Present number ({type_})", type_), type_),
    ]
    subjects = [pseudonymiser.subject(*each) for each in identifiers]
    if not all(subject.pseudonym for subject in subjects):
        raise QueryError("Two numbers are needed. Nothing was linked.")
    # The active key last: it names the data subjects when the link is ended.
    keys = sorted(pseudonymiser.keys.keys, key=lambda key: key == pseudonymiser.keys.active.id)
    by_key = [dict(zip(pseudonymiser.keys.keys, pseudonymiser.candidates(*each), strict=True)) for each in identifiers]
    new = SubjectLink(
        id=str(uuid.uuid4()),
        holds_from_ms=now_ms() if begin is None else ms_from_datetime(begin),
        former=tuple(by_key[0][key] for key in keys),
        present=tuple(by_key[1][key] for key in keys),
        former_type=subjects[0].type,
        present_type=subjects[1].type,
        keys=tuple(keys),
        linked_ms=now_ms(),
    )
    with checked(LogboekClient(settings)) as client:
        _check_new(new, person_of(client, new.former), person_of(client, new.present))
        _confirm(
            f"{_counted(client, new.former)} under the former number, {_counted(client, new.present)} under the "
            "present one. Are they one person's? Whoever asks about one is shown those of the other.",
            yes=yes,
        )
        records = LinkRecords(settings.link_activity, new.id, reason, stray_numbers(settings))
        store_confirmed(settings, records.logregels(LINKED, subjects, identifiers))
        store_link(client, new)
    typer.echo(f"linked {new.id}, from {moment(new.holds_from_ms)[:19]} on")


def end(
    link_id: Annotated[str, typer.Argument(help="Id of the link: `ldv subject list` shows it.")],
    *,
    reason: Reason,
    yes: Yes = False,
) -> None:
    """End a link that is wrong, from now on; that it was there stays on record."""
    settings, _ = _opened(reason)
    with checked(LogboekClient(settings)) as client:
        wrong = link_with(client, link_id)
        if wrong.ended_ms is not None:
            raise QueryError(f"That link was ended on {moment(wrong.ended_ms)[:19]}. Nothing was changed.")
        _confirm(f"End the link of {moment(wrong.linked_ms)[:19]}?", yes=yes)
        records = LinkRecords(settings.link_activity, wrong.id, reason, stray_numbers(settings))
        store_confirmed(settings, records.logregels(ENDED, wrong.subjects))
        end_link(client, wrong)
        others = [each.id for each in person_of(client, wrong.former).between(wrong.former, wrong.present)]
    typer.echo(f"ended {wrong.id}")
    if others:
        console(stderr=True).print(
            f"The numbers are still one person's, by {', '.join(others)}. Where that is wrong too, end it as well.",
            soft_wrap=True,
        )


def list_links(*, as_json: AsJson = False) -> None:
    """Show all links, those that were ended too."""
    settings = read_settings(os.environ)
    keys = keys_for(settings).keys
    with checked(LogboekClient(settings)) as client:
        links = all_links(client)
    if as_json:
        print_json([_as_json(each, keys) for each in links])
        return
    table = Table(header_style="bold", box=SIMPLE_HEAD)
    for caption in ("link", "numbers", "in force from", "linked", "ended", "by", "not under key"):
        table.add_column(caption, overflow="fold")
    for each in links:
        table.add_row(
            each.id,
            Text(plain(f"{each.former_type}, {each.present_type}")),
            moment(each.holds_from_ms)[:19],
            moment(each.linked_ms)[:19],
            "" if each.ended_ms is None else moment(each.ended_ms)[:19],
            Text(plain(each.linked_by)),
            Text(plain(", ".join(each.without(keys)))),
        )
    page_out(table)


def _as_json(link: SubjectLink, keys: Iterable[str]) -> dict[str, object]:
    return {
        "id": link.id,
        "formerType": link.former_type,
        "presentType": link.present_type,
        "holdsFrom": link.holds_from_ms,
        "linked": link.linked_ms,
        "ended": link.ended_ms,
        "linkedBy": link.linked_by,
        "notUnderKeys": link.without(keys),
    }


def _opened(reason: str) -> tuple[Settings, Pseudonymiser]:
    settings = read_settings(os.environ)
    if not settings.link_activity:
        raise ConfigurationError(
            "LDV_LINK_ACTIVITY is not set. Nothing was changed. Let it name the Verwerkingsactiviteit in the Register "
            "under which it is recorded that numbers are one person's."
        )
    if len(" ".join(reason.split())) < _REASON_LEAST:
        raise QueryError("Say why, in a sentence: it is what a citizen and an auditor read. Nothing was changed.")
    return settings, pseudonymiser_of_reader(settings)


def _check_new(new: SubjectLink, former: LinkedPerson, present: LinkedPerson) -> None:
    """Refuse a link that says nothing new, or one too many."""
    if set(new.former) & set(new.present):
        raise QueryError("That is the same number twice. Nothing was linked.")
    if set(new.present) <= set(former.subjects) and set(new.former) <= set(present.subjects):
        raise QueryError("These numbers are linked already. Nothing was changed. `ldv subject list` shows it.")
    if len({link.id for link in (*former.links, *present.links)}) >= MAX_LINKS:
        raise QueryError(
            f"So many links would make numbers one person's that questions would not follow them all (at most "
            f"{MAX_LINKS}). Nothing was linked. Look at them with `ldv subject list`."
        )


def _counted(client: LogboekClient, pseudonyms: Sequence[bytes]) -> str:
    count = sum(used.logregels for used in read.activities_of_subject(client, pseudonyms))
    return f"{count} Logregel" + ("" if count == 1 else "s")


def _confirm(question: str, *, yes: bool) -> None:
    if yes:
        typer.echo(question, err=True)
        return
    if not sys.stdin.isatty():
        raise ConfigurationError("Nothing was changed: say --yes where nobody can be asked.")
    typer.confirm(question, abort=True, err=True)
