"""Which attributes of an OpenTelemetry resource a record keeps: those that name a system, application or component.

What can hold a person or a secret stays out (LDV-A9), and so does what names no system. Each name that stays out
stands in the resource itself, in `ldv.left_out`, so that it shows wherever records are read (LDV-N8). The Collector
follows the same rule, in `collector-config/ldvprocessor/resource.go` and `clickhouse/schema/collector.sql`; the cases
in `ldvprocessor/testdata/vectors.json` hold all three to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from ldv_otel._internal.config.settings import Settings
from ldv_otel.attributes import LEFT_OUT
from ldv_otel.errors import ConfigurationError

_KEPT_PREFIXES: Final = ("service.", "deployment.", "process.", "cmdb.", "nen7513.", "dpl.")
_KEPT_NAMES: Final = frozenset({"host.name"})
#: Command lines, owners, the environment, and paths that begin with somebody's home directory; in any spelling a data
#: subject, who belongs on a span and not on a process. No setting lets these through.
_NEVER: Final = re.compile(
    r"process[._](?:command|title|owner|user|real_user|saved_user|environment|executable[._]path|working_directory)"
    r"|dpl[^a-z]*core[^a-z]*data[^a-z]*subject",
    re.IGNORECASE,
)
#: Parts of names of which the values are people or secrets; a setting may name such an attribute in full.
_SUSPECT: Final = ("owner", "user", "mail", "passw", "secret", "token", "credential", "command")
#: Added by every SDK, about itself, and no part of what an application says; left out without a mention.
_OF_SDK: Final = ("telemetry.",)
#: A name that can hold no number of a person: it has fewer digits.
_SHOWN: Final = re.compile(r"[A-Za-z0-9_./-]{1,96}")
_DIGITS: Final = re.compile(r"[0-9]")
_FEWER_DIGITS: Final = 5
_NAMES_MAX: Final = 100

#: Takes the place of names that are not shown, and of those beyond the first hundred.
NOT_SHOWN: Final = "(a name that is not shown)"
MORE_NAMES: Final = "(more names)"


class RecordResource(msgspec.Struct, frozen=True):
    """The resource of a process as its records hold it; made once, by `resource_of`.

    Attributes:
        text: See `Logregel.resource`.
        flags: What was normalised in it.
        left_out: The names of the attributes that no record has, as they are shown.
        searched: In what of it somebody may be quoted; None for all of it. An instance is named by a random UUID, in
            which digits of anybody's number stand by chance.
    """

    text: str = "{}"
    flags: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    searched: str | None = None


NO_RESOURCE: Final = RecordResource()


class ResourceChoice:
    """The choice of one configuration.

    Args:
        further: What is kept beside the usual: names, and beginnings of names with a `*` behind them.
    """

    def __init__(self, further: Iterable[str] = ()) -> None:
        further = tuple(further)
        self._names = _KEPT_NAMES.union(name for name in further if not name.endswith("*"))
        self._prefixes = (*_KEPT_PREFIXES, *(name[:-1] for name in further if name.endswith("*")))

    def keeps(self, name: str) -> bool:
        """Return whether a record keeps the attribute of this name."""
        if _NEVER.match(name):
            return False
        if name in self._names:
            return True
        lowered = name.lower()
        return name.startswith(self._prefixes) and not any(part in lowered for part in _SUSPECT)

    def left_out(self, attributes: Mapping[str, object]) -> tuple[str, ...]:
        """Return the names that a record does not keep, sorted, each as it can be shown."""
        shown: set[str] = set()
        for name in attributes:
            if not self.keeps(name) and name != LEFT_OUT and not name.startswith(_OF_SDK):
                fits = _SHOWN.fullmatch(name) and len(_DIGITS.findall(name)) < _FEWER_DIGITS
                shown.add(name if fits else NOT_SHOWN)
        ordered = sorted(shown)
        return (*ordered[:_NAMES_MAX], *((MORE_NAMES,) if len(ordered) > _NAMES_MAX else ()))


USUAL_CHOICE: Final = ResourceChoice()


def resource_choice(settings: Settings) -> ResourceChoice:
    """Return the choice that the settings make.

    Raises:
        ConfigurationError: They ask for an attribute that no record may have.
    """
    for name in settings.resource_attributes:
        if _NEVER.match(name):
            raise ConfigurationError(
                f"LDV_RESOURCE_ATTRIBUTES names {name}, which can hold a person or a secret (LDV-A9). Logging did not "
                "start. Take it out of the list."
            )
    return ResourceChoice(settings.resource_attributes)
