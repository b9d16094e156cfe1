"""`LDV_LOGBOEKEN`: what would mix two controllers is refused at the start, with line and reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ldv_otel._internal.config.logboeken import QUARANTINE, read_logboeken
from ldv_otel._internal.config.settings import read_service_settings, read_settings, tenant_settings
from ldv_otel._internal.config.variables import VARIABLES
from ldv_otel._internal.delivery.paths import spool_base, spool_root
from ldv_otel._internal.privacy.tenant_keys import read_tenant_keys
from ldv_otel.errors import ConfigurationError
from tests.support.tenants import write_logboeken

GOOD = """\
quarantine:
  logboek: clickhouse+https://ldv@logboek.example/quarantine
  keys: quarantine.json
tenants:
  - id: "0363"
    logboek: clickhouse+https://ldv@logboek.example/amsterdam
    keys: 0363.json
    spool: /var/spool/0363
    hosts: [amsterdam.example]
  - id: "0344"
    logboek: clickhouse+https://ldv@logboek.example/utrecht
    keys: 0344.json
"""


def written(directory: Path, text: str) -> Path:
    """Write a file of Logboeken."""
    path = directory / "logboeken.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("0344.json", "./0363.json", 12, "a key file that another has too"),
        ("0344.json", "0344.json\n    spool: /var/spool/x/../0363", 13, "the same spool as 0363"),
        ("/utrecht", "/amsterdam", 11, "the same Logboek as 0363"),
        ("https://ldv@logboek.example/utrecht", "https://other@LOGBOEK.example:8443/amsterdam", 11, "the same Logboek"),
        ("/utrecht", "/amsterdam\n    routed: true", 10, "routed is for the address of a Collector"),
        ("/utrecht", "/quarantine", 11, "the same Logboek as quarantine"),
        ('id: "0344"', 'id: "0363"', 10, "stands here twice"),
        ('id: "0344"', "id: 344", 10, "it has to be text, and is a whole number at tenants[1].id"),
        ('id: "0344"', 'id: "../0363"', 10, "letters, digits"),
        ('id: "0344"', "id: quarantine", 10, "that of the quarantine"),
        ("0344.json", "0344.json\n    key: x", 13, "unknown field `key`"),
        ("0344.json", "0344.json\n    hosts: [amsterdam.example]", 13, "0344 and 0363 have the same under hosts"),
        ("0344.json", '0344.json\n    values: ["0363"]', 13, "0344 and 0363 have the same under values"),
        ("0344.json", "0344.json\n    hosts: ['Utrecht:80']", 10, "lower case"),
        ("0344.json", "0344.json\n    paths: [utrecht]", 10, "begin with a slash"),
        ("0344.json", "0344.json\n    calls: ['https://api.example']", 10, "with or without a port"),
        ("    keys: 0344.json\n", "", 10, "the field `keys` is missing"),
        (
            "clickhouse+https://ldv@logboek.example/utrecht",
            "clickhouse+http://logboek.example/utrecht",
            11,
            "plain http",
        ),
        ("clickhouse+https://ldv@logboek.example/utrecht", "clickhouse+https://", 10, "it names no host"),
        ("quarantine:\n", "default: '0999'\nquarantine:\n", 1, "default names no tenant"),
        ("keys: quarantine.json\n", "keys: quarantine.json\nrules: {header: 'X Y'}\n", 4, "no name of a header"),
    ],
)
def test_a_file_that_would_mix_controllers_is_refused(tmp_path: Path, old: str, new: str, line: int, said: str) -> None:
    """Each with the line of the second of two."""
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ConfigurationError) as raised:
        read_logboeken(path, allow_insecure=False)
    assert str(raised.value).startswith(f"LDV_LOGBOEKEN: {path}:{line}: ")
    assert said in str(raised.value)


def test_a_process_has_one_embedded_logboek(tmp_path: Path) -> None:
    """The engine opens one directory, and would put the records of both into it."""
    path = write_logboeken(tmp_path, ["0363", "0344"], address_of="chdb:///srv/{}".format, with_keys=False)
    with pytest.raises(ConfigurationError, match="one embedded Logboek"):
        read_logboeken(path, allow_insecure=False)


def test_a_key_is_shared_knowingly_or_not_at_all(tmp_path: Path) -> None:
    """The same file, and the same secret in another file, by both or by none."""
    path = write_logboeken(tmp_path, ["0363", "0344", "0518"])
    assert len(read_tenant_keys(read_logboeken(path, allow_insecure=False))) == 4
    shutil.copy(tmp_path / "0363.json", tmp_path / "0344.json")
    text = path.read_text("utf-8")
    with pytest.raises(ConfigurationError, match=r"0344 has the key .*, whose secret 0363 has too") as raised:
        read_tenant_keys(read_logboeken(path, allow_insecure=False))
    line = next(number for number, row in enumerate(text.splitlines(), 1) if "0344" in row)
    assert f"{path}:{line}: " in str(raised.value)
    for sharers, allowed in ((["0344"], False), (["0363", "0344"], True)):
        shared = text
        for name in sharers:
            shared = shared.replace(f"keys: {name}.json", f"keys: {name}.json\n  shared_key: true")
        path.write_text(shared, encoding="utf-8")
        if allowed:
            assert len(read_tenant_keys(read_logboeken(path, allow_insecure=False))) == 4
        else:
            with pytest.raises(ConfigurationError, match="shared_key"):
                read_tenant_keys(read_logboeken(path, allow_insecure=False))


def test_a_key_file_that_cannot_be_used_is_named_with_its_line(tmp_path: Path) -> None:
    """There may be a thousand of them."""
    path = write_logboeken(tmp_path, ["0363", "0344"])
    (tmp_path / "0344.json").unlink()
    with pytest.raises(ConfigurationError, match=rf"{path}:\d+: .*0344\.json"):
        read_tenant_keys(read_logboeken(path, allow_insecure=False))


def test_settings_of_a_tenant_are_its_own(tmp_path: Path) -> None:
    """Address, keys, Register and spool; the rest is common."""
    path = write_logboeken(
        tmp_path, ["0363", "0344"], fields={"0363": {"register": "register.yaml", "spool": "spool-363"}}
    )
    environ = {"LDV_LOGBOEKEN": str(path), "LDV_SPOOL": str(tmp_path / "spool"), "LDV_DELIVERY": "write-ahead"}
    amsterdam = read_settings({**environ, "LDV_TENANT": "0363"})
    assert (amsterdam.logboek.host, amsterdam.keys) == ("0363.invalid", tmp_path / "0363.json")
    assert amsterdam.register == str(tmp_path / "register.yaml")
    assert spool_root(amsterdam) == tmp_path / "spool-363"
    assert amsterdam.delivery == "write-ahead"
    common = read_service_settings(environ)
    assert common.logboeken is not None
    assert tenant_settings(common, common.logboeken, "0363") == amsterdam
    bases = {
        spool_base(spool_root(settings), settings.logboek)
        for settings in (tenant_settings(common, common.logboeken, name) for name in ("0363", "0344", QUARANTINE))
    }
    assert len(bases) == 3
    assert sum(base.is_relative_to(tmp_path / "spool") for base in bases) == 2


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "Name it: `ldv --tenant ID"),
        ({"LDV_TENANT": "0999"}, "names no tenant of"),
        ({"LDV_TENANT": "../x"}, "it is no id of a tenant"),
        ({"LDV_LOGBOEK": "chdb:x"}, "LDV_LOGBOEK is set beside LDV_LOGBOEKEN"),
        ({"LDV_KEYS": "/x"}, "LDV_KEYS is set beside LDV_LOGBOEKEN"),
    ],
)
def test_which_logboek_is_meant_is_never_guessed(tmp_path: Path, environ: dict[str, str], said: str) -> None:
    """A command about one needs its name."""
    path = write_logboeken(tmp_path, ["0363", "0344"], with_keys=False)
    with pytest.raises(ConfigurationError) as raised:
        read_settings({"LDV_LOGBOEKEN": str(path), **environ})
    assert said in str(raised.value)


def test_a_tenant_without_a_file_is_refused() -> None:
    """Its records would go to the one Logboek that there is."""
    with pytest.raises(ConfigurationError, match="LDV_LOGBOEKEN, the file"):
        read_settings({"LDV_LOGBOEK": "chdb:x", "LDV_TENANT": "0363"})
    assert {"LDV_LOGBOEKEN", "LDV_TENANT"} <= {variable.name for variable in VARIABLES}


def test_one_collector_is_that_of_several_where_it_leads_records_on(tmp_path: Path) -> None:
    """All that have its address have to say so: a record that names no tenant would be led to nobody's Logboek."""
    collector = GOOD.replace("clickhouse+https://ldv@logboek.example/amsterdam", "otlp+https://collector.example:4318")
    collector = collector.replace(
        "clickhouse+https://ldv@logboek.example/utrecht", "otlp+https://collector.example:4318"
    )
    routed = collector.replace("hosts: [amsterdam.example]", "routed: true")
    with pytest.raises(ConfigurationError, match="the same Logboek as 0363"):
        read_logboeken(written(tmp_path, routed), allow_insecure=False)
    both = routed.replace("    keys: 0344.json", "    keys: 0344.json\n    routed: true")
    file = read_logboeken(written(tmp_path, both), allow_insecure=False)
    assert [tenant.routed for tenant in file.content.tenants] == [True, True]
