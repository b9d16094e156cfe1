"""The pages of the ten questions: one for each, and its answer as a file.

A question about a person is asked with the form for one person, which puts the access on record first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date, datetime, time
from functools import partial
from http import HTTPStatus
from typing import Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.auth.clients import Client
from ldv_otel._internal.api.envelope import log_records
from ldv_otel._internal.api.pages.officer.access import Officer, OfficerRoute, sees_confidential
from ldv_otel._internal.api.pages.officer.answer_files import FileForm, answer_file, offered_forms
from ldv_otel._internal.api.pages.officer.view import Period, period_of
from ldv_otel._internal.api.pages.page import page
from ldv_otel._internal.api.pages.requests import chosen_activity, texts_of, zone_of
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.api.services import services_of
from ldv_otel._internal.clickhouse.queries import oversight
from ldv_otel._internal.clickhouse.queries.oversight import ActivityCounts
from ldv_otel._internal.parties.party_names import PartyNames
from ldv_otel._internal.questions.asking import Choices, answer_question
from ldv_otel._internal.questions.catalogue import BY_ADDRESS, QUESTIONS
from ldv_otel._internal.questions.cells import AnswerReader, notes, table_texts
from ldv_otel._internal.questions.model import Answer, Asked, CellKind, Parameter, Question
from ldv_otel._internal.times.instants import ms_from_datetime, now_ms

#: A page shows so many rows of a table; the files have all.
_SHOWN_ROWS: Final = 200
_SERVICE_CHARACTERS: Final = 256
_NUMBERS: Final = frozenset({CellKind.NUMBER, CellKind.HIDDEN_NUMBER})

router: Final = APIRouter(prefix="/vragen", route_class=OfficerRoute)


@router.get("")
async def questions(request: Request, client: Officer) -> Response:
    """List the questions."""
    del client
    return page(request, "toezicht/vragen.html", section="vragen", questions=QUESTIONS)


@router.get("/{address}")
async def question_page(request: Request, address: str, client: Officer) -> Response:
    """Show the answer to a question."""
    question = _question(address)
    form = _QuestionForm(request, client)
    if form.wrong:
        # The form, with what is wrong in it; nothing is read for a period that nobody asked about.
        return page(request, "toezicht/vraag.html", section="vragen", question=question, form=form, answer=None)
    asked, answer = await _answered(request, question, form, client)
    texts, used = await asyncio.gather(
        texts_of(request, confidential=sees_confidential(client)),
        _used(request, form.period, client) if Parameter.ACTIVITY in question.parameters else _nothing(),
    )
    reader = AnswerReader("nl", zone_of(request))
    return page(
        request,
        "toezicht/vraag.html",
        section="vragen",
        question=question,
        form=form,
        answer=answer,
        asked=asked,
        activities=[texts.activity(each.activity, now_ms()) for each in used],
        tables=[
            (table, rows[0], rows[1 : _SHOWN_ROWS + 1], len(table.rows) - _SHOWN_ROWS)
            for table in answer.tables
            for rows in [list(table_texts(table, reader))]
        ],
        numbers=_NUMBERS,
        notes=notes(question, answer, reader),
        forms=offered_forms(),
    )


@router.get("/{address}/{file}")
async def question_file(request: Request, address: str, file: str, client: Officer) -> Response:
    """Return the answer to a question as a file."""
    question = _question(address)
    form = _QuestionForm(request, client)
    try:
        wanted = FileForm(file.removeprefix("antwoord."))
    except ValueError:
        raise Problem(HTTPStatus.NOT_FOUND, "") from None
    if form.wrong:
        raise Problem(HTTPStatus.NOT_FOUND, "")
    asked, answer = await _answered(request, question, form, client)
    return answer_file(wanted, question, answer, asked)


class _QuestionForm:
    """What the address of a question says; for its form, and for the addresses of its files.

    Attributes:
        wrong: What is wrong with it; empty when nothing is.
        on: A day to come; None for none.
    """

    def __init__(self, request: Request, client: Client) -> None:
        fields: Mapping[str, str] = request.query_params
        self.period = period_of(fields, zone_of(request))
        self.has_period = bool(fields.get("van") or fields.get("tot"))
        self.service = fields.get("toepassing", "")[:_SERVICE_CHARACTERS]
        self.activity_key = fields.get("verwerking", "")
        self.may_see_confidential = sees_confidential(client)
        self.confidential = fields.get("vertrouwelijk", "") == "ja"
        self.first_time, self.last_time = fields.get("van_tijd", ""), fields.get("tot_tijd", "")
        self.on, self.wrong = None, self.period.wrong
        self.query = request.url.query
        try:
            self.on = date.fromisoformat(text) if (text := fields.get("op", "")) else None
            self.since_ms = _moment(self.period, self.first_time, self.period.since_ms, self.period.first)
            self.until_ms = _moment(self.period, self.last_time, self.period.until_ms, self.period.last)
        except ValueError:
            self.wrong = "Dit is geen tijd. Schrijf een dag zo: 2026-11-22, en een tijd zo: 16:30."
            return
        if self.on is not None and self.on <= datetime.now(self.period.zone).date():
            self.wrong = "Kies een dag die nog komt."
        if self.since_ms >= self.until_ms:
            self.wrong = "Het begin moet voor het einde liggen."

    def choices(self, question: Question, activity: str) -> Choices:
        """Return what of it a question is asked with; the rest is not heeded, for an address may have any."""
        wanted = question.parameters
        with_period = Parameter.PERIOD in wanted and self.has_period
        with_on = Parameter.ON in wanted and self.on is not None
        chosen = None if question.for_officer else self.confidential
        return Choices(
            since_ms=self.since_ms if with_period else None,
            until_ms=self.until_ms if with_period else None,
            on=datetime.combine(self.on, time(), self.period.zone) if with_on and self.on is not None else None,
            activity=activity,
            service=self.service if Parameter.SERVICE in wanted else "",
            confidential=chosen if self.may_see_confidential else False,
        )


def _moment(period: Period, clock: str, whole_day_ms: int, day: date) -> int:
    """Return the moment of a day and a time of it, in ms; without a time that of the whole day.

    Raises:
        ValueError: That is no time.
    """
    if not clock:
        return whole_day_ms
    zone: ZoneInfo = period.zone
    return ms_from_datetime(datetime.combine(day, time.fromisoformat(clock).replace(tzinfo=None), zone))


def _question(address: str) -> Question:
    """Return the question of an address.

    Raises:
        Problem: 404, there is none, or it is about a person: that has a form of its own.
    """
    question = BY_ADDRESS.get(address)
    if question is None or question.about_person:
        raise Problem(HTTPStatus.NOT_FOUND, "")
    return question


async def _answered(request: Request, question: Question, form: _QuestionForm, client: Client) -> tuple[Asked, Answer]:
    services = services_of(request)
    activity = ""
    if Parameter.ACTIVITY in question.parameters:
        activity = await chosen_activity(request, partial(_used, request, form.period, client)) or ""
    asked, answer = await services.reader.ask(
        answer_question,
        question,
        services.settings,
        form.choices(question, activity),
        PartyNames(services.remotes.apis.values()),
    )
    log_records(request, sum(len(table.rows) for table in answer.tables))
    return asked, answer


async def _nothing() -> list[ActivityCounts]:
    return []


async def _used(request: Request, period: Period, client: Client) -> list[ActivityCounts]:
    return await services_of(request).reader.ask(
        oversight.used_in_period, period.since_ms, period.until_ms, confidential=sees_confidential(client)
    )
