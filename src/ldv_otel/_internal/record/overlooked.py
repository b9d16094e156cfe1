"""Attributes of the standard's namespace on spans that are no Actie: named and counted, so that a misspelling shows.

Source: LDV-N9. An attribute is shown by its name, never with its value; and a name that may hold a number of somebody
is not shown either.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

import ldv_otel.attributes as names

#: Takes the place of names that are not shown.
NOT_SHOWN: Final = "(a name that is not shown)"
#: Takes the place of names beyond the first hundred: who makes names of values makes ever more of them.
MORE_NAMES: Final = "(more names)"
_NAMES_MAX: Final = 100
#: A name that can hold no number of a person: it has fewer digits.
_SHOWN: Final = re.compile(r"dpl\.(?!(?:[^0-9]*[0-9]){5})[A-Za-z0-9_.-]{0,96}")
#: Names that an application may have meant. Others of *objecten* need no suggestion: they are marks, however spelled.
_KNOWN_NAMES: Final = (
    names.PROCESSING_ACTIVITY_ID,
    names.DATA_SUBJECT_ID,
    *sorted(names.FIELDS - {names.PROCESSING_ACTIVITY_ID, names.DATA_SUBJECT_ID}),
    *names.OBJECTS_PROCESSING_ACTIVITY_NAMES,
    "dpl.objects.algorithm_id",
    "dpl.objects.dataproduct_id",
    "dpl.objects.dataset",
)


class OverlookedAttribute(msgspec.Struct, frozen=True):
    """An attribute of the standard's namespace that stood on spans which made no Logregel.

    Attributes:
        name: Of the attribute.
        spans: On how many spans it stood.
        nearest: The known name that is most like it; empty when none is, and when it is a known name itself.
    """

    name: str
    spans: int
    nearest: str = ""


class OverlookedAttributes:
    """Counts them; threads may share it, and it stays small whatever the names are.

    Args:
        logger: Told of each name once.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger
        self._counting = threading.Lock()
        self._spans: Counter[str] = Counter()

    def add(self, attributes: Iterable[str]) -> None:
        """Count what a span that is no Actie has of them; for nearly every such span that is nothing."""
        if overlooked := overlooked_names(attributes):
            self.count(overlooked)

    def count(self, overlooked: Iterable[str]) -> None:
        """Count a span with these names, which `overlooked_names` gave."""
        new = []
        with self._counting:
            for attribute in overlooked:
                name = attribute if attribute in self._spans or len(self._spans) < _NAMES_MAX else MORE_NAMES
                if name not in self._spans:
                    new.append(name)
                self._spans[name] += 1
        if self._logger is not None:
            for name in new:
                self._logger.warning("%s", sentence_about(OverlookedAttribute(name, 1, nearest_known(name))))

    def report(self) -> tuple[OverlookedAttribute, ...]:
        """Return what was counted, the most frequent first."""
        with self._counting:
            counted = dict(self._spans)
        return overlooked_report(counted)


def overlooked_names(attributes: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the standard's namespace among these, each as it can be shown, each once."""
    shown_names: dict[str, None] = {}
    for name in attributes:
        if name.startswith(names.NAMESPACE):
            shown_names[name if _SHOWN.fullmatch(name) else NOT_SHOWN] = None
    return tuple(shown_names)


def overlooked_report(spans: Mapping[str, int]) -> tuple[OverlookedAttribute, ...]:
    """Return the counts of spans by name with what was probably meant, the most frequent first."""
    ordered = sorted(spans.items(), key=lambda item: (-item[1], item[0]))
    return tuple(OverlookedAttribute(name, count, nearest_known(name)) for name, count in ordered)


def nearest_known(name: str) -> str:
    """Return the known name that is most like this one; empty when none is, and when it is a known name itself."""
    if name in _KNOWN_NAMES or not name.startswith(names.NAMESPACE):
        return ""
    import difflib  # only of use to who misspells

    return next(iter(difflib.get_close_matches(name, _KNOWN_NAMES, n=1, cutoff=0.75)), "")


def sentence_about(attribute: OverlookedAttribute) -> str:
    """Return what to tell about one, in a line."""
    spans = "1 span that is no Actie" if attribute.spans == 1 else f"{attribute.spans} spans that are no Acties"
    meant = f" Did you mean {attribute.nearest}?" if attribute.nearest else ""
    return f"The attribute {attribute.name} is on {spans}: no Logregel was made.{meant}"
