"""What a check of `ldv doctor` and of `health()` says: its name, what it saw, and what to do."""

from __future__ import annotations

from typing import Literal

import msgspec

#: `wrong` loses or hides something, or will; `look` may be meant so; `unknown` could not be looked at.
CheckState = Literal["ok", "look", "wrong", "unknown"]


class CheckOutcome(msgspec.Struct, frozen=True):
    """The outcome of one check.

    Attributes:
        check: Its name, the same wherever it is shown.
        state: How it is.
        finding: What was seen, as a sentence; never a data subject's identifier, nor another secret.
        advice: What to do next; empty where there is nothing to do.
    """

    check: str
    state: CheckState
    finding: str
    advice: str = ""
