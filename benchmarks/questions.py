"""How long the ten questions take: p50 and p99 of each, about a person, a day and a month.

Run: `python -m benchmarks.questions [--rows N] [--times 15] [--keep DIR]`. It prints a table in Markdown.

How the figures are made:

- An embedded Logboek in this process, with 24 months of rows made by `generating.py` and a Register with a term for
  every activity, so that hiding what is past its term costs what it costs. It is not sealed.
- Each question is asked in turn, with another person, day or month each time; the first time of each is not counted.
- The time is what a reader waits: the query, and the answer made of it with the names of the Register. CPU is that of
  this process, engine included. The first two lines are the queries below the questions, without names.
"""

from __future__ import annotations

import argparse
import functools
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.generating import ACTIVITY, BEGIN, DAYS, Sample, load
from benchmarks.stores import filled

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.register_table import apply_register
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.parties.party_names import PartyNames
from ldv_otel._internal.questions.asking import Choices, answer_question
from ldv_otel._internal.questions.catalogue import QUESTIONS
from ldv_otel._internal.questions.model import Parameter, Question
from ldv_otel._internal.register.register import ProcessingActivity, Register
from ldv_otel._internal.times.instants import ms_from_datetime

GOAL_PERSON_OR_DAY_MS: Final = 200
GOAL_MONTH_MS: Final = 2_000
_TRACES_IN_INSERT: Final = 400_000
_ACTIVITIES: Final = 300


def main() -> int:
    """Ask, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--keep", type=Path)
    wanted = parser.parse_args()
    with filled(wanted.keep, _fill, wanted.rows) as directory:
        settings = _settings(directory)
        sample = Sample(wanted.rows).part(1.0)
        with LogboekClient(settings) as client:
            print(f"{wanted.rows:,} rows, {wanted.times} times each\n")
            print(
                "| question | about | p50 ms | p99 ms | CPU p50 ms | goal ms |\n| --- | --- | --- | --- | --- | --- |"
            )
            subjects = sample.find(client, "hex(data_subject_id)", "data_subject_id_type = 'BSN'", wanted.times + 1)
            traces = sample.find(client, "hex(trace_id)", "1", wanted.times + 1)
            _report(
                ("records", "a person", GOAL_PERSON_OR_DAY_MS),
                lambda key: read.latest_by_subject(client, [bytes.fromhex(key[0])]),
                subjects,
            )
            _report(("records", "a trace", GOAL_PERSON_OR_DAY_MS), lambda key: read.by_trace(client, key[0]), traces)
            for question in QUESTIONS:
                for about, goal_ms in _spans(question):
                    choices = _choices(client, question, about, sample, wanted.times + 1)
                    _report(
                        (question.name, about, goal_ms), functools.partial(_answer, client, settings, question), choices
                    )
    return 0


def _answer(client: LogboekClient, settings: Settings, question: Question, choices: Choices) -> None:
    answer_question(client, question, settings, choices, PartyNames())


def _report(line: tuple[str, str, int], ask: Callable[[Any], object], keys: Sequence[Any]) -> None:
    """Ask about each of the keys, the first of which does not count; print a line of the table."""
    waits, cpu = [], []
    for key in keys:
        begin, cpu_begin = time.perf_counter(), time.process_time()
        ask(key)
        waits.append((time.perf_counter() - begin) * 1_000)
        cpu.append((time.process_time() - cpu_begin) * 1_000)
    waits, cpu = waits[1:], cpu[1:]
    p99 = statistics.quantiles(waits, n=100, method="inclusive")[98] if len(waits) > 1 else waits[0]
    name, about, goal_ms = line
    figures = (statistics.median(waits), p99, statistics.median(cpu))
    cells = (name, about, *(f"{figure:,.0f}" for figure in figures), f"{goal_ms:,}" if goal_ms else "")
    print(f"| {' | '.join(cells)} |", flush=True)


def _spans(question: Question) -> Iterator[tuple[str, int]]:
    """Give what a question is asked about, with its goal in ms; 0 for none."""
    if question.about_person:
        yield "a person", GOAL_PERSON_OR_DAY_MS
    elif Parameter.PERIOD in question.parameters:
        if question.by_the_minute or Parameter.SERVICE in question.parameters:
            yield "a day", GOAL_PERSON_OR_DAY_MS
        yield "a month", GOAL_MONTH_MS
    else:
        yield "everything", GOAL_MONTH_MS if Parameter.ON in question.parameters else GOAL_PERSON_OR_DAY_MS


def _choices(client: LogboekClient, question: Question, about: str, sample: Sample, count: int) -> Sequence[Choices]:
    if question.about_person:
        subjects = sample.find(client, "hex(data_subject_id)", "data_subject_id_type = 'BSN'", count)
        return [Choices(pseudonyms=(bytes.fromhex(raw),)) for (raw,) in subjects]
    if Parameter.PERIOD not in question.parameters:
        return [Choices()] * count
    draw = random.Random(question.name)
    length = timedelta(days=1 if about == "a day" else 30)
    begins: list[datetime] = [BEGIN + timedelta(days=draw.randrange(DAYS - length.days)) for _ in range(count)]
    return [Choices(since_ms=ms_from_datetime(each), until_ms=ms_from_datetime(each + length)) for each in begins]


def _settings(directory: Path) -> Settings:
    return Settings(logboek=LogboekAddress(scheme="chdb", path=str(directory / "store")))


def _fill(directory: Path, rows: int) -> None:
    settings = _settings(directory)
    apply_schema(settings)
    sample = Sample(rows).part(1.0)
    entries = [
        ProcessingActivity(
            id=f"{ACTIVITY}{number}",
            name=f"Activiteit {number}",
            purpose="Een doel",
            legal_ground="Een grondslag",
            retention="P20Y",
        )
        for number in range(_ACTIVITIES)
    ]
    with LogboekClient(settings) as client:
        apply_register(client, Register(entries))
        for first in range(0, sample.end, _TRACES_IN_INSERT):
            load(client, "logregel", sample, first, min(first + _TRACES_IN_INSERT, sample.end))


if __name__ == "__main__":
    sys.exit(main())
