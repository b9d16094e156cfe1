"""How a sink is made from an entry point, and what is said of one that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.sink import make_sink
from ldv_otel._internal.parties.parties import read_parties
from ldv_otel._internal.sdk.extensions import load_extensions
from ldv_otel.errors import ConfigurationError, LogboekUnavailable
from ldv_otel.plugins import SinkTraits
from ldv_otel.testing import InMemoryLogboek, check_sink
from tests.support.package import write_package

SOURCE = """
from ldv_otel.testing import InMemoryLogboek

class NoReadBack:
    traits = InMemoryLogboek().traits
    def open(self): ...
    def send(self, batch): ...
    def close(self): ...

class OldTraits(NoReadBack):
    traits = None
    batch_records = 50
    def read_back(self, batch): ...

no_read_back = lambda settings: NoReadBack()
old_traits = lambda settings: OldTraits()
nothing = lambda settings: None
no_function = 7
half_an_extension = lambda options: NoReadBack()
"""
POINTS = {
    "lacks": "faulty_plugin:no_read_back",
    "old": "faulty_plugin:old_traits",
    "nothing": "faulty_plugin:nothing",
    "number": "faulty_plugin:no_function",
    "gone": "faulty_plugin:not_there",
    "unbuilt": "faulty_plugin_that_is_not_there:open_sink",
}


@pytest.fixture(autouse=True)
def faulty_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package whose entry points are wrong in one way each."""
    groups = {"ldv_otel_sink": POINTS, "ldv_otel_extension": {"half": "faulty_plugin:half_an_extension"}}
    write_package(tmp_path, "faulty-plugin", groups, version="2.3")
    (tmp_path / "faulty_plugin.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("scheme", "said"),
    [
        ("lacks", "made a NoReadBack, which is no Sink: it lacks the method read_back()."),
        ("old", "made a OldTraits, which is no Sink: it lacks `traits`, an instance of SinkTraits."),
        (
            "nothing",
            "made a NoneType, which is no Sink: it lacks the method open(), the method send(), the method read_back(),",
        ),
        ("number", "is no function."),
        ("gone", "cannot be loaded: AttributeError"),
        ("unbuilt", "cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_what_is_no_sink_is_refused_at_the_start(scheme: str, said: str) -> None:
    """The error names the entry point, its package, and all that is missing; it does not wait for the first record."""
    with pytest.raises(ConfigurationError) as caught:
        make_sink(read_settings({"LDV_LOGBOEK": f"{scheme}://localhost/x"}))
    assert str(caught.value).startswith(
        f"The entry point `{scheme} = {POINTS[scheme]}` (ldv_otel_sink) of faulty-plugin 2.3 {said}"
    )
    assert "Logging did not start." in str(caught.value)


def test_what_is_no_extension_is_refused_at_the_start(tmp_path: Path) -> None:
    """As for a sink."""
    (tmp_path / "parties.yaml").write_text("extensions: {half: {}}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_extensions(read_parties(tmp_path / "parties.yaml", None))
    assert str(caught.value).startswith(
        "The entry point `half = faulty_plugin:half_an_extension` (ldv_otel_extension) of faulty-plugin 2.3 made a "
        "NoReadBack, which is no Extension: it lacks the method record_attributes(), the method call_headers(), the "
        "method read_headers(), `attributes`, an instance of frozenset, `inherited`, an instance of frozenset."
    )


def test_an_unknown_scheme_says_which_are_known() -> None:
    """A slip in the address, or a package that is not installed."""
    with pytest.raises(ConfigurationError, match=r"did you mean clickhouse\+https\?.*chdb:"):
        make_sink(read_settings({"LDV_LOGBOEK": "clickhuose+https://localhost/x"}))
    with pytest.raises(ConfigurationError, match=r"which nothing installed here understands.*chdb.*lacks"):
        make_sink(read_settings({"LDV_LOGBOEK": "kafka://localhost/x"}))


def test_a_batch_has_records() -> None:
    """A size that no batch can have is a slip of the sink's author."""
    with pytest.raises(ValueError, match="at least one record"):
        SinkTraits(batch_records=0)


class Doubling(InMemoryLogboek):
    """Stores a batch again under its own key each time it comes."""

    def send(self, batch: Batch) -> None:
        """Forget the token."""
        self._batches[f"{batch.token} {len(self._batches)}"] = batch


class Trusting(InMemoryLogboek):
    """Says that it has whatever it is asked for."""

    def read_back(self, batch: Batch) -> frozenset[int]:
        """Have everything."""
        return frozenset(batch.seqs)


class Losing(InMemoryLogboek):
    """Stores only the first records of a batch."""

    def read_back(self, batch: Batch) -> frozenset[int]:
        """Have some."""
        return frozenset(seq for seq in super().read_back(batch) if seq < 1_000)


class ForWriters(InMemoryLogboek):
    """Does not tell writers apart."""

    def read_back(self, batch: Batch) -> frozenset[int]:
        """Look at numbers only."""
        return frozenset(set(batch.seqs) & {seq for held in self._batches.values() for seq in held.seqs})


class OpenOnce(InMemoryLogboek):
    """Cannot be opened again."""

    opened = 0

    def open(self) -> None:
        """Count."""
        self.opened += 1
        if self.opened > 1:
            raise LogboekUnavailable("open already")
        super().open()


@pytest.mark.parametrize("sink", [Doubling, Trusting, Losing, ForWriters])
def test_the_conformance_suite_finds_a_faulty_sink(sink: type[InMemoryLogboek]) -> None:
    """Each rule of the contract by a sink that breaks it."""
    faulty = sink()

    def count_rows(writer_id: str) -> int:
        return sum(len(batch.seqs) for batch in faulty._batches.values() if batch.writer_id == writer_id)

    with pytest.raises(AssertionError):
        check_sink(faulty, count_rows=count_rows)


def test_the_conformance_suite_shows_errors_of_a_sink() -> None:
    """What it raises is not hidden behind an assertion."""
    with pytest.raises(LogboekUnavailable, match="open already"):
        check_sink(OpenOnce())
