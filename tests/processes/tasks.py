"""A Celery application on a broker of files: each task is an Actie that is named after its oracle id."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from celery import Celery

import ldv_otel as ldv
from tests.processes.children import log

ldv.install()

_FILES: Final = Path(os.environ["CELERY_FILES"])

app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": str(_FILES / "messages"),
    "data_folder_out": str(_FILES / "messages"),
    "control_folder": str(_FILES / "control"),
    "polling_interval": 0.01,
}
app.conf.task_ignore_result = True
app.conf.worker_prefetch_multiplier = 1


@app.task(name="log")  # type: ignore[untyped-decorator]  # as above
def log_task(oracle_id: str) -> None:
    """Log one Actie."""
    log(oracle_id)


def main(count: int) -> None:
    """Put tasks on the queue."""
    for number in range(count):
        log_task.delay(f"id-{number:04d}")


if __name__ == "__main__":
    import sys

    main(int(sys.argv[1]))
