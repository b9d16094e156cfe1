"""Figures as text: read by the parser of Prometheus' own client, which is strict."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.http.openmetrics import Counts, Histogram, MetricFamily, openmetrics
from ldv_otel._internal.http.process_figures import process_figures
from tests.support.figures import read_openmetrics


@given(label=st.text(), value=st.floats(allow_nan=False))
def test_every_label_and_number_comes_back(label: str, value: float) -> None:
    """Whatever it is: quotes, line ends, infinities."""
    label = label.encode("utf-8", "replace").decode()
    text = openmetrics([MetricFamily("a", "gauge", f"Of {label}", {(("name", label),): value})]).decode()
    (family,) = read_openmetrics(text)
    (sample,) = family.samples
    assert (sample.labels, sample.value) == ({"name": label}, value)


def test_counters_histograms_and_facts() -> None:
    """Each with the endings that its kind has."""
    counts = Counts("ldv_requests", "Requests.")
    counts.add((("status", "200"),))
    counts.add((("status", "200"),), 2)
    seconds = Histogram("ldv_seconds", "Time.", buckets=(0.1, 1))
    for took in (0.05, 0.1, 0.5, 7):
        seconds.observe((("route", "/a"),), took)
    build = MetricFamily("ldv_build", "info", "Version.", {(("version", "1"),): 1})
    text = openmetrics([counts, seconds, build, *process_figures()]).decode()
    families = {family.name: family for family in read_openmetrics(text)}
    assert [(each.name, each.value) for each in families["ldv_requests"].samples] == [("ldv_requests_total", 3)]
    assert [(each.labels.get("le"), each.value) for each in families["ldv_seconds"].samples] == [
        ("0.1", 2),
        ("1", 3),
        ("+Inf", 4),
        (None, 4),
        (None, 7.65),
    ]
    assert families["ldv_build"].samples[0].name == "ldv_build_info"
    assert families["process_resident_memory_bytes"].samples[0].value > 1e6


def test_memory_has_a_bound() -> None:
    """Whoever chooses what is counted cannot fill it."""
    counts, seconds = Counts("a", "A."), Histogram("b", "B.")
    for number in range(1_500):
        counts.add((("route", str(number)),))
        seconds.observe((("route", str(number)),), 1)
    for family in read_openmetrics(openmetrics([counts, seconds]).decode()):
        routes = {sample.labels["route"] for sample in family.samples}
        assert len(routes) == 1_001
        assert "other" in routes
