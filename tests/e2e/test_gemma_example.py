"""The four implementation variants of GEMMA Verwerkingenlogging, each as the services that its example runs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def variants() -> ModuleType:
    """The module that runs them."""
    spec = importlib.util.spec_from_file_location("gemma_variants", ROOT / "examples" / "gemma" / "variants.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["apart", "each", "process", "data"])
def test_a_variant(variant: str, tmp_path: Path) -> None:
    """Both sides are on record where the variant says, before anything is shared, and the called one knows why."""
    services = variants().Services(variant, tmp_path)
    with services.running():
        answer = services.apply()
        assert answer.json() == "Verleend voor Dorpsstraat 1, Voorbeeld", answer.text
        seen = {register: services.seen(register) for register in services.registers}
        for register, acties in seen.items():
            wanted = {
                "Beoordelen aanvraag": "vergunningen",
                "Opvragen adres": "vergunningen",
                "Verstrekken adres": "personen",
            }
            here = [name for name, component in wanted.items() if services.logs_at[component] == register]
            assert sorted(actie["actieNaam"] for actie in acties) == here
            assert all(actie["url"].startswith(f"http://{services.api(register)}/") for actie in acties)
        by_name = {actie["actieNaam"]: actie for acties in seen.values() for actie in acties}
        asking, told = by_name["Opvragen adres"], by_name["Verstrekken adres"]
        assert asking["verwerkingNaam"] == "Aanvraag parkeervergunning"
        assert told["afnemerId"] == variants().OIN
        assert told["verwerkingIdAfnemer"] == asking["verwerkingId"] == by_name["Beoordelen aanvraag"]["verwerkingId"]
        assert told["verwerkingsactiviteitIdAfnemer"] == asking["verwerkingsactiviteitId"]
        assert told["verwerkingsactiviteitIdAfnemer"] != told["verwerkingsactiviteitId"]
        assert {told["bewaartermijn"], asking["bewaartermijn"]} == {"P5Y"}


@pytest.mark.slow
def test_without_a_register_nothing_is_done(tmp_path: Path) -> None:
    """IR-03: what could not be logged is not done; the application says so, and asks nobody for an address."""
    services = variants().Services("apart", tmp_path)
    with services.running("vergunningen", LDV_CONFIRM_SECONDS="0.1", LDV_FLUSH_SECONDS="0"):
        answer = services.apply()
        assert answer.status_code == 503
        assert answer.json() == {"detail": "De verwerking kon niet worden vastgelegd."}
