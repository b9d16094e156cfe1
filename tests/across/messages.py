"""A Celery application on a broker of files, with OpenTelemetry's instrumentation: a desk sends, a worker does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from celery import Celery
from opentelemetry import trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor

import ldv_otel as ldv

ACTIVITY: Final = "https://register.example/activiteiten/"
_FILES: Final = Path(os.environ["CELERY_FILES"])

ldv.install()
CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]  # as above

app = Celery("messages", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": str(_FILES / "messages"),
    "data_folder_out": str(_FILES / "messages"),
    "control_folder": str(_FILES / "control"),
    "polling_interval": 0.05,
}
app.conf.task_ignore_result = True


@app.task(name="besluit")  # type: ignore[untyped-decorator]  # as above
def besluit(number: str) -> None:
    """Do what was asked for, and pass it on."""
    with ldv.processing(ACTIVITY + "besluiten", name="besluit"):
        ldv.data_subject(number, type="BSN")
        bericht.delay()


@app.task(name="bericht")  # type: ignore[untyped-decorator]  # as above
@ldv.processing(ACTIVITY + "berichten", name="bericht")
def bericht() -> None:
    """End of the line."""
    span = trace.get_current_span()
    with Path(os.environ["ACKNOWLEDGEMENTS"]).open("a", encoding="ascii") as file:
        file.write(f"{trace.format_trace_id(span.get_span_context().trace_id)}\n")


if __name__ == "__main__":
    with ldv.processing(ACTIVITY + "aanvragen", name="aanvraag"):
        besluit.delay("123456782")
