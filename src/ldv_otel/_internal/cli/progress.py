"""A bar for what takes long: how much is done, and how much time is left."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ldv_otel._internal.cli.output import console
from ldv_otel._internal.cli.words import DUTCH, words_for
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.running import RowsRead, rows_read
from ldv_otel._internal.config.daemon_thread import start_thread
from ldv_otel._internal.config.settings import Settings
from ldv_otel.errors import LdvError

#: What is answered sooner needs no bar.
_SOON_SECONDS: Final = 2.0
_LOOK_EVERY_SECONDS: Final = 0.5


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show progress on standard error at a terminal; elsewhere nobody sees it.

    Args:
        name: Of what is under way.

    Yields:
        What to call with how many are done, and how many there are.
    """
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield lambda _done, _total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def question_progress(
    client: LogboekClient, settings: Settings, *, after_seconds: float = _SOON_SECONDS
) -> Iterator[None]:
    """Show on standard error, at a terminal, how far the queries of a block are, as soon as they take long.

    The rows are those that the engine says it has read. Where it does not say so, it is told how long it takes so far.

    Args:
        client: What the queries of the block go over.
    """
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield
        return
    done = threading.Event()
    watcher = start_thread(functools.partial(_watch, client, settings, done, after_seconds), "ldv question progress")
    try:
        yield
    finally:
        done.set()
        # None where a process may have no more threads; then there is no bar.
        if watcher is not None:
            watcher.join()


def _watch(client: LogboekClient, settings: Settings, done: threading.Event, after_seconds: float) -> None:
    begin = time.monotonic()
    if done.wait(after_seconds):
        return
    dutch = words_for(settings.language) is DUTCH
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rows]}"))
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None, rows="")
        for rows in _looks(client, settings, done):
            seconds = int(time.monotonic() - begin)
            progress.update(task, description=f"{'is bezig' if dutch else 'working'}, {seconds} s")
            if rows is None:
                progress.update(task, total=None, rows="")
            else:
                of = f"{rows.done:,} van {rows.total:,} regels" if dutch else f"{rows.done:,} of {rows.total:,} rows"
                progress.update(task, completed=rows.done, total=rows.total, rows=of.replace(",", ".") if dutch else of)


def _looks(client: LogboekClient, settings: Settings, done: threading.Event) -> Iterator[RowsRead | None]:
    """Look every half second, until it is done; without what the engine says where this account may not see that."""
    try:
        with LogboekClient(settings) as watching:
            while not done.is_set():
                yield rows_read(watching, client)
                done.wait(_LOOK_EVERY_SECONDS)
    except LdvError:
        while not done.is_set():
            yield None
            done.wait(_LOOK_EVERY_SECONDS)
