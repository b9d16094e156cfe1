"""The pages that are made of the code have all of it: flags, metrics, views and messages."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from ldv_otel._internal.config.settings import read_service_settings
from ldv_otel._internal.sdk.health import Health
from ldv_otel._internal.sdk.metrics import observe
from ldv_otel.attributes import Flag
from ldv_otel.errors import ConfigurationError
from tests.docs.reference_pages import DOCS, VIEWS, flag_comments, server_metrics, service_metrics, views


def messages_page() -> ModuleType:
    """The module that makes the page for the site."""
    spec = importlib.util.spec_from_file_location("messages_page", DOCS / "messages_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_flag_says_what_to_do() -> None:
    """In two parts, above each word."""
    comments = list(flag_comments())
    assert [word for word, *_ in comments] == [str(flag) for flag in Flag]
    for word, happened, to_do in comments:
        assert happened.endswith("."), word
        assert to_do.endswith("."), word


def test_every_metric_of_a_service_is_on_the_page() -> None:
    """Those that a reader gets of a process in which everything happened."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    health = Health(installed=True, flags={"name_cut": 1})
    observe(provider.get_meter("test"), lambda: health)
    data = reader.get_metrics_data()
    provider.shutdown()
    assert data is not None
    metrics = data.resource_metrics[0].scope_metrics[0].metrics
    assert {(each.name, each.unit, each.description) for each in metrics} == {
        (name, unit, what) for name, _, unit, what in service_metrics()
    }


def test_what_is_watched_is_on_the_page() -> None:
    """Each figure that the page for operators names, and no figure twice."""
    names = [name for name, *_ in server_metrics()]
    assert len(names) == len(set(names)) > 15
    watched = set(re.findall(r"`((?:ldv|process)_\w+)`", (DOCS / "operate" / "watch.md").read_text(encoding="utf-8")))
    assert watched - {"ldv_otel"} <= set(names)


def test_every_view_is_on_the_page() -> None:
    """But for those that say they are not for users; the page of SQL has the same."""
    made = set(re.findall(r"^CREATE OR REPLACE VIEW (\w+)", VIEWS.read_text(encoding="utf-8"), re.MULTILINE))
    names = {name for name, *_ in views()}
    assert made - names == {"logregel_shown", "technical_above"}
    shown = (DOCS / "sql.md").read_text(encoding="utf-8").partition("## Views")[2].partition("\n## ")[0]
    assert names == set(re.findall(r"`(\w+)(?:\([^`]*\))?`(?=[,| ].*\|)", "\n".join(_first_cells(shown))))


def _first_cells(text: str) -> list[str]:
    return [f"{line.split('|')[1]}|" for line in text.splitlines() if line.startswith("| `")]


def test_the_messages_are_those_that_people_get() -> None:
    """A message of a service that does not start, and a line of its log, are there as they are read."""
    module = messages_page()
    page = re.sub(r"\\(?=[|<>*_\[\]])", "", module.text())
    with pytest.raises(ConfigurationError) as raised:
        read_service_settings({})
    assert f"| {raised.value} | `ConfigurationError` |" in page
    assert "| Ready again. | WARNING |" not in page, "two words explain nothing"
    assert (
        "| The disk of the spool … is full. Until there is room the application is refused each record. | ERROR |"
        in page
    )
    assert page.count("`ConfigurationError` |") > 200


def test_every_room_with_messages_has_a_heading() -> None:
    """A room that is added stands below one of them."""
    module = messages_page()
    rooms = {path.name for path in Path(module._ROOMS).iterdir() if path.is_dir() and list(module.messages_of(path))}
    assert rooms <= {room for part in module._PARTS.values() for room in part}
