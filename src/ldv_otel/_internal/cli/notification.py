"""`ldv question breach --notify`: the list of whom to notify, written after the Logboek confirmed that it is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import typer

from ldv_otel._internal.api.pages.officer.access_record import OFFICER_TYPE
from ldv_otel._internal.cli.answer_output import write_new_file
from ldv_otel._internal.cli.recording import oversight_activity, store_confirmed, user_name
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import checked
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.parties.party_names import PartyNames
from ldv_otel._internal.privacy.key_file import pseudonymiser_for
from ldv_otel._internal.privacy.stray_numbers import stray_numbers
from ldv_otel._internal.questions.asking import Choices, asked_of
from ldv_otel._internal.questions.breach import BREACH
from ldv_otel._internal.questions.notification import NumbersOpened, as_list, people_to_notify
from ldv_otel.errors import ConfigurationError, QueryError

_REASON_LEAST: Final = 10


def write_notification(settings: Settings, choices: Choices, path: Path, reason: str | None) -> None:
    """Write the numbers of the people that a breach is about into a new file, for its owner only.

    That each number was opened, by whom and why, is a record about that person, which is confirmed first.

    Raises:
        ConfigurationError: The file is there, or there is no activity to log it under; nothing was opened.
        QueryError: There is no reason, or nobody whose number can be opened; nothing was written.
        LdvError: The records are not confirmed; nothing was written.
    """
    activity = oversight_activity(settings)
    sentence = " ".join((reason or "").split())
    if len(sentence) < _REASON_LEAST:
        raise QueryError("--reason has to say why, in a sentence: each person can read it. Nothing was opened.")
    if path.exists():
        raise ConfigurationError(f"--notify: {path} is there already. Nothing was opened. Name a new file.")
    pseudonymiser, stray = pseudonymiser_for(settings), stray_numbers(settings)
    if stray.policy == "refuse" and stray.finds(sentence):
        raise QueryError("--reason has a BSN in it. Nothing was opened. Take it out.")
    with checked(LogboekClient(settings)) as client:
        asked = asked_of(BREACH, settings, client, choices, PartyNames())
        listed = people_to_notify(client, asked, pseudonymiser)
        if not listed.people:
            raise QueryError(
                f"Nobody's number can be opened ({listed.unopened} pseudonyms). Nothing was written. It takes records "
                "whose key seals (`ldv key new --seal`), and that key in LDV_KEYS."
            )
        officer = pseudonymiser.subject(user_name(), OFFICER_TYPE)
        opened = NumbersOpened(activity, sentence, officer, stray)
        store_confirmed(settings, list(opened.logregels(listed.people, pseudonymiser)))
    write_new_file(path, as_list(listed.people), "--notify")
    typer.echo(f"written: {path}, {len(listed.people)} people; each is on record", err=True)
    if listed.unopened:
        typer.echo(
            f"NOT ON THE LIST: {listed.unopened} pseudonyms without a sealed number, or of a key that LDV_KEYS lacks",
            err=True,
        )
