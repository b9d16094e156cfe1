"""What a log line says of an error that nobody foresaw: its type, and the places in code that it came through.

Its message is left out, and with it the traceback, which ends in that message, and whose causes have messages of their
own: an error quotes the value that it failed on, and that value may be an identifier of a data subject.
"""

from __future__ import annotations

import traceback
from pathlib import PurePath
from typing import Final

#: The innermost ones; they are enough to find the mistake.
_PLACES: Final = 4


def type_and_places(error: BaseException) -> str:
    """Return an error's type and the functions it came through, innermost first, without any value.

    Neither names variables nor shows lines of source, which may hold values too.
    """
    frames = traceback.StackSummary.extract(
        traceback.walk_tb(error.__traceback__), limit=-_PLACES, lookup_lines=False, capture_locals=False
    )
    places = [f"{frame.name} ({PurePath(frame.filename).name}:{frame.lineno})" for frame in reversed(frames)]
    return f"{type(error).__name__} in {' < '.join(places) or 'unknown code'}"
