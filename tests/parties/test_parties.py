from __future__ import annotations

import re
from pathlib import Path

import pytest

from ldv_otel._internal.config.yaml_file import parse_yaml
from ldv_otel._internal.parties.evidence import Certificate, Evidence, parse_subject
from ldv_otel._internal.parties.parties import Parties, PartiesFile, read_parties
from ldv_otel.errors import ConfigurationError

OIN = "serialNumber=00000001821002198000"
FILE = f"""
gateways: [10.0.0.5, 10.1.0.0/16, "fd00::/8"]
callers:
  - name: gemeente
    processor: https://parkeren.gemeente.example
    proven_by:
      - certificate: {{subject: "{OIN},O=Gemeente Voorbeeld"}}
      - certificate: {{fingerprint: "{"AB:" * 31}AB"}}
      - {{header: X-Consumer, value: gemeente-parkeren}}
  - name: buurman
    processor: https://buurman.example/app
    trace: restart
    proven_by: [{{claim: buurman}}]
called:
  - at: https://api.rdw.example
    read_api: https://ldv.rdw.example/v1
  - at: [kvk.example, "kvk.example:8443", "[fd00::1]:99"]
    read_api: https://ldv.kvk.example
claim: parkeren
"""


@pytest.fixture
def parties(tmp_path: Path) -> Parties:
    """The parties of a file."""
    (tmp_path / "parties.yaml").write_text(FILE, encoding="utf-8")
    return read_parties(tmp_path / "parties.yaml", None)


def test_the_file_in_the_documentation_is_one() -> None:
    """Whoever copies it starts from something that works."""
    page = (Path(__file__).parents[2] / "docs" / "organisations.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    parties = Parties(parse_yaml(example, "organisations.md", PartiesFile))
    assert name_of(parties, Evidence(claim="balie")) == "eigen balie"
    assert parties.read_api("api.kvk.example", 443) == "https://ldv.kvk.example/v1"


def with_header(peer: str, *values: str) -> Evidence:
    """Return a call with these values of the gateway's header."""
    return Evidence(peer_address=peer, header=lambda name: values if name == "X-Consumer" else ())


def name_of(parties: Parties, evidence: Evidence) -> str:
    """Return who is found to call."""
    found = parties.caller(evidence)
    return found.name if found is not None else ""


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        (f"{OIN},O=Gemeente Voorbeeld", "gemeente"),
        (f"CN=parkeren.gemeente.example,O=Gemeente Voorbeeld,{OIN},C=NL", "gemeente"),
        (f"{OIN},O=Gemeente Voorbeeld BV", ""),
        ("O=Gemeente Voorbeeld", ""),
        (r"CN=serialNumber\=00000001821002198000\,O\=Gemeente Voorbeeld", ""),
    ],
)
def test_a_certificate_has_all_parts_that_were_named(parties: Parties, subject: str, name: str) -> None:
    """Its other parts, and their order, change with the next certificate."""
    assert name_of(parties, Evidence(certificate=Certificate(parse_subject(subject), "00" * 32))) == name


def test_a_certificate_by_its_fingerprint(parties: Parties) -> None:
    """With colons and capitals, as tools print it."""
    assert name_of(parties, Evidence(certificate=Certificate(frozenset(), "ab" * 32))) == "gemeente"


@pytest.mark.parametrize(
    ("evidence", "name"),
    [
        (with_header("10.0.0.5", "gemeente-parkeren"), "gemeente"),
        (with_header("10.1.200.3", "gemeente-parkeren"), "gemeente"),
        (with_header("::ffff:10.0.0.5", "gemeente-parkeren"), "gemeente"),
        (with_header("fd00::7", "gemeente-parkeren"), "gemeente"),
        (with_header("10.0.0.6", "gemeente-parkeren"), ""),
        (with_header("10.0.0.5", "gemeente"), ""),
        (with_header("10.0.0.5", "gemeente-parkeren", "gemeente-parkeren"), ""),
        (with_header("10.0.0.5"), ""),
        (with_header("", "gemeente-parkeren"), ""),
        (with_header("unix", "gemeente-parkeren"), ""),
        (with_header("no address", "gemeente-parkeren"), ""),
    ],
)
def test_a_header_counts_from_a_gateway_only(parties: Parties, evidence: Evidence, name: str) -> None:
    """Anybody can send a header."""
    assert name_of(parties, evidence) == name


def test_a_claim_counts_where_it_was_configured(parties: Parties) -> None:
    """For `buurman` it was; the name of another caller is no claim."""
    assert name_of(parties, Evidence(claim="buurman")) == "buurman"
    assert name_of(parties, Evidence(claim="gemeente")) == ""


def test_read_apis_by_host_and_port(parties: Parties) -> None:
    """The exact port goes first, then the host with any port."""
    assert parties.read_api("API.RDW.example.", 443) == "https://ldv.rdw.example/v1"
    assert parties.read_api("api.rdw.example", 80) == ""
    assert parties.read_api("kvk.example", 1) == parties.read_api("fd00::1", 99) == "https://ldv.kvk.example"
    assert parties.read_api("other.example", 443) == ""


def test_unknown_callers_restart_where_callers_can_be_known(parties: Parties, tmp_path: Path) -> None:
    """Otherwise nobody is told apart, and traces go on as OpenTelemetry lets them."""
    assert parties.unknown == "restart"
    (tmp_path / "called.yaml").write_text("called: [{at: a.example, read_api: 'https://l.example'}]", encoding="utf-8")
    assert read_parties(tmp_path / "called.yaml", None).unknown == "continue"
    assert read_parties(tmp_path / "parties.yaml", "continue").unknown == "continue"
    assert read_parties(None, None).unknown == "continue"
    assert read_parties(None, "restart").unknown == "restart"
    assert not read_parties(None, None).tell_callers_apart


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("processor: https://", "processor: ", ":4: processor is no URL"),
        (",O=Gemeente Voorbeeld", ",Gemeente Voorbeeld", ":7: subject is not like"),
        ("AB:AB:AB:", "", ":8: fingerprint is not 64 hexadecimal digits"),
        ("certificate: {fingerprint", "certificate: {sha256", ":8: unknown field `sha256`; it may be"),
        ("X-Consumer", "X Consumer", ":9: The header is no header name"),
        (
            "trace: restart",
            "trace: no such thing",
            ":12: 'no such thing' is none of its values; it may be `continue`, `restart`",
        ),
        ("[{claim: buurman}]", "[]", ":10: A caller without a proof would never be recognised"),
        ("https://api.rdw.example", "https://api.rdw.example/path", ":15: An address is like"),
        ("https://ldv.rdw.example/v1", "ldv.rdw.example", ":15: read_api is no URL"),
        ("10.0.0.5", "ten", ":2: 'ten' does not appear to be an IPv4 or IPv6 network"),
        ("claim: parkeren", 'claim: "a b"', ":2: The claim is not 1 to 64 letters"),
    ],
)
def test_a_mistake_stops_the_start_with_its_line(tmp_path: Path, right: str, wrong: str, said: str) -> None:
    """Whoever made it finds it."""
    assert right in FILE
    (tmp_path / "parties.yaml").write_text(FILE.replace(right, wrong, 1), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"^LDV_PARTIES: ") as raised:
        read_parties(tmp_path / "parties.yaml", None)
    assert f"parties.yaml{said}" in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "callers: [{name: a, processor: 'https://a.example', proven_by: [{header: X-A, value: b}]}]",
        "callers: [{name: a, processor: 'https://a.example', proven_by: [{claim: b, header: X-A}]}]",
        "callers: [{name: a, processor: 'https://u:p@a.example', proven_by: [{claim: b}]}]",
        "gateways: [unix]\ncallers: [{name: a, processor: 'https://a.example', proven_by: [{header: X-A}]}]",
        "called: [{at: [], read_api: 'https://a.example'}]",
        "called: [{at: a.example, read_api: 'https://u:p@a.example'}]",
    ],
)
def test_what_could_never_work_stops_the_start(tmp_path: Path, text: str) -> None:
    """A header without gateways, two proofs in one, a password in a URL, a party without an address."""
    (tmp_path / "parties.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError):
        read_parties(tmp_path / "parties.yaml", None)
