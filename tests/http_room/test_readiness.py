"""Readiness: positive evidence, in bounded time, asked once for all who ask."""

from __future__ import annotations

import asyncio
import threading

from ldv_otel._internal.http.readiness import Readiness
from ldv_otel.errors import LogboekUnavailable


def test_many_who_ask_are_one_question() -> None:
    """Those who nobody knows cannot load the store: one query a second, whoever asks how often."""
    asked = []

    def check() -> str:
        asked.append(1)
        return ""

    async def scenario() -> list[str]:
        readiness = Readiness(check, fresh_seconds=60)
        answers = await asyncio.gather(*(readiness.problem() for _ in range(200)))
        answers.append(await readiness.problem())
        readiness.close()
        return answers

    assert set(asyncio.run(scenario())) == {""}
    assert len(asked) == 1


def test_an_answer_does_not_hold_for_long() -> None:
    """What was ready a second ago is asked again."""
    problems = iter(["", "gone"])

    async def scenario() -> list[str]:
        readiness = Readiness(lambda: next(problems), fresh_seconds=0)
        answers = [await readiness.problem(), await readiness.problem()]
        readiness.close()
        return answers

    assert asyncio.run(scenario()) == ["", "gone"]


def test_a_question_that_hangs_is_not_ready_and_not_asked_beside_itself() -> None:
    """The answer comes in time, and when the store is back it is ready again."""
    release, asked = threading.Event(), []

    def hangs() -> str:
        asked.append(1)
        release.wait(300)
        return ""

    async def scenario() -> tuple[str, str]:
        readiness = Readiness(hangs, seconds=0.2, fresh_seconds=60)
        problem = await readiness.problem()
        await asyncio.gather(*(readiness.problem() for _ in range(50)))
        # All of them were answered, and the question hangs still.
        release.set()
        # The thread that hung goes before it.
        await asyncio.get_running_loop().run_in_executor(None, readiness.close)
        after = await readiness.problem()
        return problem, after

    problem, after = asyncio.run(scenario())
    assert problem == "the Logboek gave no answer within 0.2 s"
    assert after == ""
    assert len(asked) == 1


def test_whatever_goes_wrong_is_not_ready() -> None:
    """Our own errors are said; of others only the kind, because their texts may quote anything."""

    def ours() -> str:
        raise LogboekUnavailable("It is away.")

    def other() -> str:
        raise RuntimeError("123456782")

    async def problem_of(readiness: Readiness) -> str:
        problem = await readiness.problem()
        readiness.close()
        return problem

    assert asyncio.run(problem_of(Readiness(ours))) == "It is away."
    assert asyncio.run(problem_of(Readiness(other))) == "the check failed with RuntimeError"
