"""`ldv question`: the ten questions of citizens, privacy officers and auditors."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from ldv_otel._internal.cli.answer_output import print_answer, reader_of, write_workbook
from ldv_otel._internal.cli.commands.verify import check_everything
from ldv_otel._internal.cli.identifiers import ask_identifier, ask_pseudonyms, pseudonymiser_of_reader
from ldv_otel._internal.cli.notification import write_notification
from ldv_otel._internal.cli.output import AsCsv, AsExcel, AsJson, OutputFormat, console, output_format, page_out
from ldv_otel._internal.cli.output import print_json as print_as_json
from ldv_otel._internal.cli.periods import Since, Until, day_to_come, parse_period
from ldv_otel._internal.cli.person_letters import write_letter
from ldv_otel._internal.cli.progress import question_progress
from ldv_otel._internal.cli.query_options import Reason
from ldv_otel._internal.cli.words import DUTCH, words_for
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.keys import records_under_other_keys, sentence_about_keys
from ldv_otel._internal.clickhouse.schema.migrations import checked
from ldv_otel._internal.config.settings import Settings, read_settings
from ldv_otel._internal.parties.parties import parties_for
from ldv_otel._internal.parties.party_names import PartyNames
from ldv_otel._internal.questions.asking import Choices, answer_question
from ldv_otel._internal.questions.breach import BREACH
from ldv_otel._internal.questions.catalogue import BY_NAME, QUESTIONS
from ldv_otel._internal.questions.cells import AnswerReader
from ldv_otel._internal.questions.complaint import COMPLAINT
from ldv_otel._internal.questions.model import Question
from ldv_otel._internal.questions.tampering import TAMPERING
from ldv_otel._internal.times.instants import ms_from_datetime
from ldv_otel.errors import QueryError


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("question")(ask_question)


def ask_question(
    name: Annotated[str, typer.Argument(help="Which question; without a name they are listed.")] = "",
    *,
    since: Since = None,
    until: Until = None,
    on: Annotated[
        str | None, typer.Option("--on", help="For a day to come, as 2026-12-31: what is removed by then.")
    ] = None,
    activity: Annotated[str, typer.Option("--activity", help="Only this processing activity: its URI.")] = "",
    service: Annotated[str, typer.Option("--service", help="Only this application: its service.name.")] = "",
    type_: Annotated[str, typer.Option("--type", help="Type of a person's identifier, which is asked for.")] = "BSN",
    confidential: Annotated[
        bool | None,
        typer.Option(
            "--confidential/--no-confidential",
            help="Whether to show confidential activities. Default: as the question has it.",
        ),
    ] = None,
    as_csv: AsCsv = False,
    as_excel: AsExcel = False,
    as_json: AsJson = False,
    xlsx: Annotated[
        Path | None, typer.Option("--xlsx", help="Write an Excel workbook: a file that is not there yet.")
    ] = None,
    evidence: Annotated[
        Path | None, typer.Option("--evidence", help="For `complaint`: write one zip file with everything, a new file.")
    ] = None,
    notify: Annotated[
        Path | None,
        typer.Option("--notify", help="For `breach`: write whom to notify, by number, into a new file (CSV)."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--verify", help="For `tampering`: check every record first, as `ldv verify` does.")
    ] = False,
    reason: Reason = None,
) -> None:
    """Answer one of ten questions about the Logboek, with what may not be concluded from the answer."""
    format_ = output_format(OutputFormat.TABLE, csv=as_csv, excel=as_excel, json=as_json)
    if not name:
        _list(format_)
        return
    question = BY_NAME.get(name)
    if question is None:
        raise QueryError(f"There is no question of that name. The questions are: {', '.join(BY_NAME)}.")
    _check_options(question, evidence=evidence is not None, notify=notify is not None, verify=check)
    begin, end = parse_period(since, until, now=datetime.now(UTC))
    day = day_to_come(on)
    settings = read_settings(os.environ)
    choices = Choices(
        since_ms=None if begin is None else ms_from_datetime(begin),
        until_ms=None if end is None else ms_from_datetime(end),
        on=day,
        activity=activity,
        service=service,
        confidential=confidential,
    )
    if evidence is not None:
        number = ask_identifier(type_, type_)
        who = (number, type_)
        write_letter(
            settings, pseudonymiser_of_reader(settings), choices, evidence, who=who, reason=reason, evidence=True
        )
        typer.echo(f"written: {evidence}", err=True)
        return
    if notify is not None:
        write_notification(settings, choices, notify, reason)
        return
    pseudonymiser = pseudonymiser_of_reader(settings) if question.about_person else None
    if pseudonymiser is not None:
        pseudonyms = tuple(ask_pseudonyms(pseudonymiser, type_))
        choices = msgspec.structs.replace(choices, pseudonyms=pseudonyms)
    with checked(LogboekClient(settings)) as client:
        if check:
            check_everything(settings, client)
        parties = PartyNames(parties_for(settings).read_apis)
        with question_progress(client, settings):
            asked, answer = answer_question(client, question, settings, choices, parties)
        if pseudonymiser is not None:
            missing = records_under_other_keys(client, pseudonymiser.keys.keys)
            if missing:
                console(stderr=True).print(sentence_about_keys(missing), markup=False, soft_wrap=True)
    reader = _reader(settings)
    if xlsx is not None:
        write_workbook(question, answer, reader, xlsx)
        typer.echo(f"written: {xlsx}", err=True)
    else:
        print_answer(question, answer, asked, format_, reader)


def _check_options(question: Question, **wanted: bool) -> None:
    """Refuse an option that a question does not have."""
    belong = {"evidence": COMPLAINT, "notify": BREACH, "verify": TAMPERING}
    for name, is_wanted in wanted.items():
        if is_wanted and question is not belong[name]:
            raise QueryError(f"--{name} is for the question {belong[name].name}. Nothing was asked.")


def _reader(settings: Settings) -> AnswerReader:
    language = "nl" if words_for(settings.language) is DUTCH else "en"
    return reader_of(language, settings.inzage.timezone)


def _list(format_: OutputFormat) -> None:
    dutch = words_for(os.environ.get("LDV_LANG")) is DUTCH
    reader = AnswerReader("nl" if dutch else "en")
    if format_ is OutputFormat.JSON:
        print_as_json([_described(question, reader) for question in QUESTIONS])
        return
    table = Table(header_style="bold", box=SIMPLE_HEAD, show_header=False)
    for question in QUESTIONS:
        table.add_row(question.name, reader.text(question.title))
    page_out(table)


def _described(question: Question, reader: AnswerReader) -> dict[str, object]:
    return {
        "name": question.name,
        "title": reader.text(question.title),
        "explanation": reader.text(question.explanation),
        "parameters": [f"--{parameter}" for parameter in question.parameters],
        "notConcluded": [reader.text(each) for each in question.limits],
    }
