"""Mistakes in configuration files: what may stand there, and what was probably meant."""

from __future__ import annotations

import pytest

from ldv_otel._internal.config.address import parse_address
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.config.yaml_file import parse_yaml
from ldv_otel._internal.rules.rule_file import RuleFile
from ldv_otel.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "rules:\n- match: {kind: srever}\n  activity: https://x.example\n",
            "file:2: 'srever' is none of its values; did you mean `server`? It may be `client`, `consumer`,",
        ),
        (
            "rules:\n- match: {kind: [client, x]}\n  activity: https://x.example\n",
            "'x' is none of its values; it may be",
        ),
        (
            "rules:\n- match: {name: x}\n  activty: https://x.example\n",
            "file:3: unknown field `activty`; did you mean `activity`? It may be `activity`, `match`, `name`,",
        ),
        (
            "rules:\n- match: {nmae: x}\n  activity: https://x.example\n",
            "unknown field `nmae`; did you mean `name`? It may be",
        ),
        ("rules:\n- match: {name: x}\n  subject: {typ: BSN, path: a}\n", "unknown field `typ`; did you mean `type`?"),
        (
            "rules:\n- match: {name: x}\n  subject: [{paht: a, type: BSN}]\n",
            "unknown field `paht`; did you mean `path`?",
        ),
        (
            "rules:\n- match: {name: x}\n  activity: [a]\n",
            "file:3: it has to be text, and is a list at rules[0].activity",
        ),
        ("rules: {}\n", "it has to be a list, and is a mapping (`name: value`)"),
        ("regels: []\n", "unknown field `regels`; it may be `rules`"),
        ("rules:\n- activity: https://x.example\n", "the field `match` is missing"),
    ],
)
def test_a_mistake_names_what_was_meant_and_what_may_stand_there(text: str, says: str) -> None:
    """With line and field, in plain words."""
    with pytest.raises(ConfigurationError) as failed:
        parse_yaml(text, "file", RuleFile)
    assert says in str(failed.value)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("clickhouse://db.example/ldv", "did you mean clickhouse+https?"),
        ("chbd:logboek", "did you mean chdb?"),
        ("https://db.example:8443", "did you mean clickhouse+https or otlp+https?"),
        ("otpl+https://collector:4318", "did you mean otlp+https?"),
    ],
)
def test_a_kind_of_logboek_that_is_none_names_the_nearest(address: str, says: str) -> None:
    """A scheme of another package, which is like none of ours, is let through: its sink may be installed."""
    with pytest.raises(ValueError, match="which is no kind of Logboek") as failed:
        parse_address(address)
    assert says in str(failed.value)
    assert parse_address("file+x://host/path").scheme == "file+x"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("LDV_FLUSH_SECONDS", "soon", "it is no number of seconds between 0 and 3600"),
        ("LDV_FLUSH_SECONDS", "99999", "it must lie between 0 and 3600 seconds"),
        ("LDV_QUEUE_RECORDS", "1.5", "it is no whole number of records between 1 and 1e+07"),
        ("LDV_INZAGE_MINUTES", "500", "it must lie between 1 and 120 minutes"),
        ("LDV_SERVE_REQUESTS_PER_MINUTE", "0", "between 1 and 1e+06 requests"),
    ],
)
def test_a_number_names_its_unit(name: str, value: str, says: str) -> None:
    """Whoever writes 10000 may mean milliseconds."""
    with pytest.raises(ConfigurationError) as failed:
        read_settings({"LDV_LOGBOEK": "chdb:x", name: value})
    assert says in str(failed.value)
