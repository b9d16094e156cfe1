"""All checks of `ldv doctor`, in the order in which they are shown. Each is made whatever became of the others."""

from __future__ import annotations

import functools
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from ldv_otel._internal.clickhouse.checks import check_clock, check_tables
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.config.checks import CheckOutcome
from ldv_otel._internal.config.embedded_directory import has_records
from ldv_otel._internal.config.logboeken import LogboekenFile
from ldv_otel._internal.config.mounts import warning_about_place
from ldv_otel._internal.config.settings import Settings, read_service_settings, unknown_variables
from ldv_otel._internal.config.variables import VARIABLES
from ldv_otel._internal.delivery.paths import spool_root
from ldv_otel._internal.privacy.key_file import place_of_keys, read_keys
from ldv_otel._internal.privacy.tenant_keys import read_tenant_keys
from ldv_otel._internal.sdk.environment_checks import (
    check_conventions,
    check_exporter,
    check_instrumentations,
    check_reader,
)
from ldv_otel.errors import LdvError


def _check_variables(environ: Mapping[str, str]) -> CheckOutcome:
    sentences = unknown_variables(environ)
    defined = {variable.name for variable in VARIABLES}
    others = sorted(name for name in environ if name.startswith("LDV_") and name not in defined)
    if sentences:
        return CheckOutcome("variables", "wrong", " ".join(sentences), "Correct the name, or unset it.")
    if others:
        return CheckOutcome(
            "variables", "look", f"Not variables of ldv_otel: {', '.join(others)}.", "docs/settings.md has all."
        )
    return CheckOutcome("variables", "ok", "Every LDV_ variable that is set is one of ldv_otel.")


def _check_spool(settings: Settings) -> CheckOutcome:
    if settings.delivery == "memory":
        return CheckOutcome(
            "spool",
            "look",
            "LDV_DELIVERY=memory: records wait in memory, and are lost with the process.",
            "LDV_DELIVERY=durable puts them on disk first.",
        )
    root = spool_root(settings)
    if warning := warning_about_place(root, "LDV_SPOOL"):
        finding, _, advice = warning.rpartition(". ")
        return CheckOutcome("spool", "wrong", f"{finding}.", advice)
    return CheckOutcome("spool", "ok", f"Records wait in {root} until the Logboek has them.")


def _check_keys(settings: Settings) -> CheckOutcome:
    path = place_of_keys(settings)
    if path is None:
        return CheckOutcome(
            "keys",
            "wrong",
            "LDV_KEYS is not set, and a Logboek on a server needs a key for pseudonyms.",
            "Make one with `ldv key new --file FILE`, keep a copy in a safe place, and let LDV_KEYS name the file.",
        )
    if settings.keys is None and not path.exists():
        return CheckOutcome(
            "keys", "ok", f"The first service makes a key in {path}. Keep a copy of that file in a safe place."
        )
    ring = read_keys(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    names = ", ".join(f"{key_id} (active)" if key_id == ring.active.id else key_id for key_id in ring.keys)
    return CheckOutcome("keys", "ok", f"{path}, mode {mode:04o}: {names}.")


def _check_rules(settings: Settings) -> CheckOutcome:
    if settings.rules is None:
        return CheckOutcome("rules", "ok", "LDV_RULES is not set: Acties are named in code.")
    from ldv_otel._internal.rules.rules import read_rules  # its extra may be missing

    rules = read_rules(settings.rules).rules
    return CheckOutcome("rules", "ok" if rules else "look", f"{settings.rules} has {len(rules)} rules.")


#: Checks of the environment alone, by name; they need no setting that works.
OF_ENVIRONMENT: Final[Mapping[str, Callable[[Mapping[str, str]], CheckOutcome]]] = {
    "variables": _check_variables,
    "started by environment": check_reader,
    "trace exporter": check_exporter,
    "semantic conventions": check_conventions,
    "instrumentations": check_instrumentations,
}
#: Checks of the settings, by name.
OF_SETTINGS: Final[Mapping[str, Callable[[Settings], CheckOutcome]]] = {
    "spool": _check_spool,
    "keys": _check_keys,
    "rules": _check_rules,
}
#: Checks that ask the Logboek, by name.
OF_LOGBOEK: Final[Mapping[str, Callable[[LogboekClient], CheckOutcome]]] = {
    "tables": check_tables,
    "clock": check_clock,
}
#: What no command can look at.
OF_PROCESS: Final = CheckOutcome(
    "running service",
    "unknown",
    "Only it knows whether it logs, what was set beside its provider and propagator, and which rules took no span.",
    "Let a page of the service show ldv_otel.health().checks (docs/start/doctor.md).",
)
#: Schemes of Logboeken that can be asked; others are written to only.
_ASKED: Final = frozenset({"chdb", "clickhouse"})


def all_checks(environ: Mapping[str, str]) -> Iterator[CheckOutcome]:
    """Give the outcome of every check; a check that cannot be made says why, and the others go on."""
    yield from _from_outside(environ)
    yield OF_PROCESS


def _from_outside(environ: Mapping[str, str]) -> Iterator[CheckOutcome]:
    settings: Settings | None = None
    try:
        settings = read_service_settings(environ)
    except LdvError as error:
        yield CheckOutcome("settings", "wrong", str(error), "docs/settings.md has every variable.")
    else:
        file = settings.logboeken
        whose = f"Logboek {settings.logboek}" if file is None else f"Logboeken of {len(file.content.tenants)} tenants"
        yield CheckOutcome("settings", "ok", f"{whose}, delivery {settings.delivery}.")
    for name, of_environment in OF_ENVIRONMENT.items():
        yield _made(name, functools.partial(of_environment, environ))
    if settings is not None and settings.logboeken is not None:
        yield from _of_several(settings.logboeken)
        return
    if settings is None:
        for name in (*OF_SETTINGS, *OF_LOGBOEK):
            yield CheckOutcome(name, "unknown", "Not looked at, because the settings cannot be used.")
        return
    for name, of_settings in OF_SETTINGS.items():
        yield _made(name, functools.partial(of_settings, settings))
    yield from _asked(settings)


def _of_several(file: LogboekenFile) -> Iterator[CheckOutcome]:
    """Give what can be said of many Logboeken without asking each."""
    for name in (*OF_SETTINGS, *OF_LOGBOEK):
        if name == "keys":
            yield _made(name, functools.partial(_check_tenant_keys, file))
        else:
            yield CheckOutcome(name, "unknown", "Looked at for one tenant: `ldv doctor --tenant ID`.")


def _check_tenant_keys(file: LogboekenFile) -> CheckOutcome:
    rings = read_tenant_keys(file)
    return CheckOutcome("keys", "ok", f"{len(rings)} key files; no two tenants have a key that they may not share.")


def _made(name: str, check: Callable[[], CheckOutcome]) -> CheckOutcome:
    try:
        return check()
    except LdvError as error:
        return CheckOutcome(name, "wrong", str(error))


def _asked(settings: Settings) -> Iterator[CheckOutcome]:
    if reason := _why_not_asked(settings):
        yield from (CheckOutcome(name, "unknown", reason) for name in OF_LOGBOEK)
        return
    try:
        with LogboekClient(settings) as client:
            checks = [_made(name, functools.partial(of_logboek, client)) for name, of_logboek in OF_LOGBOEK.items()]
    except LdvError as error:
        first, *others = OF_LOGBOEK
        checks = [CheckOutcome(first, "wrong", str(error))]
        checks += [
            CheckOutcome(name, "unknown", "Not looked at, because the Logboek could not be asked.") for name in others
        ]
    yield from checks


def _why_not_asked(settings: Settings) -> str:
    """Return why the Logboek is not asked; empty where it is."""
    if settings.logboek.scheme.partition("+")[0] not in _ASKED:
        return f"Not looked at: {settings.logboek.scheme} is for writing only."
    if settings.logboek.embedded and not has_records(Path(settings.logboek.path), settings.logboek.database):
        return "Nothing was logged here yet; the first service makes the tables."
    return ""
