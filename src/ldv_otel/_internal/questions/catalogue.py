"""The ten questions, in the order in which they are shown."""

from __future__ import annotations

from typing import Final

from ldv_otel._internal.questions.breach import BREACH
from ldv_otel._internal.questions.complaint import COMPLAINT
from ldv_otel._internal.questions.completeness import COMPLETENESS
from ldv_otel._internal.questions.failed import FAILED
from ldv_otel._internal.questions.figures import FIGURES
from ldv_otel._internal.questions.model import Question
from ldv_otel._internal.questions.person import PERSON
from ldv_otel._internal.questions.recipients import RECIPIENTS
from ldv_otel._internal.questions.register_gaps import REGISTER_GAPS
from ldv_otel._internal.questions.removals import REMOVALS
from ldv_otel._internal.questions.tampering import TAMPERING

QUESTIONS: Final[tuple[Question, ...]] = (
    PERSON,
    REGISTER_GAPS,
    FAILED,
    COMPLETENESS,
    TAMPERING,
    BREACH,
    RECIPIENTS,
    REMOVALS,
    COMPLAINT,
    FIGURES,
)
BY_NAME: Final = {question.name: question for question in QUESTIONS}
BY_ADDRESS: Final = {question.address: question for question in QUESTIONS}
