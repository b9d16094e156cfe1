"""A bar for what takes long: how much is done, and how much time is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ldv_otel._internal.cli.output import console


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
