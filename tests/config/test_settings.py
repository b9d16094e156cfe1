from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.config.address import LogboekAddress, is_loopback
from ldv_otel._internal.config.settings import (
    GemmaSettings,
    InzageSettings,
    ServeSettings,
    Settings,
    read_settings,
    unknown_variables,
)
from ldv_otel._internal.config.variables import VARIABLES
from ldv_otel.errors import ConfigurationError

GOOD = {"LDV_LOGBOEK": "chdb:///var/lib/ldv/logboek"}


def test_an_embedded_logboek_needs_nothing_else() -> None:
    """One variable is enough."""
    assert read_settings(GOOD) == Settings(logboek=LogboekAddress(scheme="chdb", path="/var/lib/ldv/logboek"))


def test_a_server_address_is_taken_apart() -> None:
    """User, host, port and database come from the address."""
    found = read_settings({"LDV_LOGBOEK": "clickhouse+https://schrijver@db.example:9443/logboek"}).logboek
    assert (found.user, found.host, found.port, found.database) == ("schrijver", "db.example", 9443, "logboek")
    assert str(found) == "clickhouse+https://schrijver@db.example:9443/logboek"


@pytest.mark.parametrize("value", ["chdb:logboek", "chdb:./logboek", "chdb:a/../logboek", "chdb:/b/logboek"])
def test_an_embedded_logboek_may_be_below_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """It is that directory from then on, wherever the process goes afterwards."""
    monkeypatch.chdir(tmp_path)
    address = read_settings({"LDV_LOGBOEK": value}).logboek
    assert address.path == os.path.join(tmp_path, value.removeprefix("chdb:").removeprefix("./"))  # noqa: PTH118  (`..` stays)
    monkeypatch.chdir("/")
    assert read_settings({"LDV_LOGBOEK": str(address)}).logboek == address


def test_a_current_directory_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing that the Logboek could be below."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ConfigurationError, match="cannot be found"):
        read_settings({"LDV_LOGBOEK": "chdb:logboek"})


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({}, "LDV_LOGBOEK"),
        ({"LDV_LOGBOEK": ""}, "LDV_LOGBOEK"),
        ({"LDV_LOGBOEK": "/var/lib/ldv"}, "LDV_LOGBOEK"),
        ({"LDV_LOGBOEK": "chdb://relative/path"}, "LDV_LOGBOEK"),
        ({"LDV_LOGBOEK": "chdb:///"}, "LDV_LOGBOEK"),
        ({"LDV_LOGBOEK": "chdb:"}, "LDV_LOGBOEK"),
        ({"LDV_LOGBOEK": "chdb:."}, "LDV_LOGBOEK"),
        ({"LDV_LOGBOEK": "chdb:logboek/.."}, "LDV_LOGBOEK"),
        ({"LDV_LOGBOEK": "chdb:logboek?x=1"}, "LDV_LOGBOEK"),
        ({"LDV_LOGBOEK": "clickhouse+https:///ldv"}, "LDV_LOGBOEK"),
        ({"LDV_LOGBOEK": "clickhouse+https://h/a;b"}, "LDV_LOGBOEK"),
        ({"LDV_LOGBOEK": "clickhouse+https://h:notaport/ldv"}, "LDV_LOGBOEK"),
        ({"LDV_LOGBOEK": "clickhouse+https://h/ldv?secure=0"}, "LDV_LOGBOEK"),
        ({"LDV_LOGBOEK": "clickhouse+http://db.example:8123/ldv"}, "LDV_ALLOW_INSECURE"),
        ({**GOOD, "LDV_ALLOW_INSECURE": "perhaps"}, "LDV_ALLOW_INSECURE"),
        ({**GOOD, "LDV_DELIVERY": "hopeful"}, "LDV_DELIVERY"),
        ({**GOOD, "LDV_INZAGE_TIMEZONE": "Europe/Amstredam"}, "LDV_INZAGE_TIMEZONE"),
        ({**GOOD, "LDV_UNKNOWN_CALLERS": "trust"}, "LDV_UNKNOWN_CALLERS"),
        ({**GOOD, "LDV_SPOOL": "~nobody-of-that-name/spool"}, "LDV_SPOOL"),
        ({**GOOD, "LDV_QUEUE_RECORDS": "0"}, "LDV_QUEUE_RECORDS"),
        ({**GOOD, "LDV_QUEUE_RECORDS": "many"}, "LDV_QUEUE_RECORDS"),
        ({**GOOD, "LDV_FLUSH_SECONDS": "-1"}, "LDV_FLUSH_SECONDS"),
        ({**GOOD, "LDV_FLUSH_SECONDS": "nan"}, "LDV_FLUSH_SECONDS"),
        ({**GOOD, "LDV_EXCEPTION_MESSAGES": "sometimes"}, "LDV_EXCEPTION_MESSAGES"),
        ({**GOOD, "LDV_LOGBOEK_PASSWORD": "x", "LDV_LOGBOEK_PASSWORD_FILE": "/f"}, "LDV_LOGBOEK_PASSWORD_FILE"),
    ],
)
def test_a_bad_value_stops_the_start_and_is_named(environ: dict[str, str], variable: str) -> None:
    """Each wrong setting fails loudly, names the variable and says that logging did not start."""
    with pytest.raises(ConfigurationError, match=variable) as caught:
        read_settings(environ)
    assert "did not start" in str(caught.value)


def test_a_password_never_shows() -> None:
    """Not in an error about the address, and not in the settings' own text."""
    with pytest.raises(ConfigurationError) as caught:
        read_settings({"LDV_LOGBOEK": "clickhouse+https://me:hunter2@db.example/ldv"})
    assert "hunter2" not in str(caught.value)
    assert "LDV_LOGBOEK_PASSWORD" in str(caught.value)
    settings = read_settings({"LDV_LOGBOEK": "clickhouse+https://me@db.example/ldv", "LDV_LOGBOEK_PASSWORD": "hunter2"})
    assert settings.password == "hunter2"  # that is the point
    assert "hunter2" not in repr(settings) + str(settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.8.8.8"])
def test_plain_http_is_for_this_machine(host: str) -> None:
    """Loopback needs no TLS (LDV-L1)."""
    assert read_settings({"LDV_LOGBOEK": f"clickhouse+http://{host}:8123/ldv"}).logboek.port == 8123


def test_plain_http_elsewhere_can_be_allowed() -> None:
    """On a test network, on purpose."""
    environ = {"LDV_LOGBOEK": "clickhouse+http://db.example/ldv", "LDV_ALLOW_INSECURE": "1"}
    assert read_settings(environ).logboek.host == "db.example"
    assert not is_loopback("db.example")


@given(st.dictionaries(st.sampled_from([variable.name for variable in VARIABLES]), st.text(max_size=40)))
def test_any_environment_gives_settings_or_our_error(environ: dict[str, str]) -> None:
    """No value gets through to a stranger's exception."""
    try:
        read_settings(environ)
    except ConfigurationError as error:
        message = str(error)
    else:
        return
    assert re.search(r"LDV_\w+", message)


def test_a_slip_of_the_pen_is_pointed_out() -> None:
    """A variable that is nearly one of ours is worth a word; somebody else's is not."""
    (sentence,) = unknown_variables(["LDV_LOGBOK", "LDV_GRPC_ENDPOINT", "PATH"])
    assert "LDV_LOGBOK " in sentence
    assert "LDV_LOGBOEK" in sentence


def test_every_setting_has_a_variable() -> None:
    """The table is the only way in, so nothing in `Settings` may be missing from it."""
    fields = set(Settings.__struct_fields__) - {"serve", "inzage", "gemma"}
    fields |= {f"serve.{name}" for name in ServeSettings.__struct_fields__}
    fields |= {f"inzage.{name}" for name in InzageSettings.__struct_fields__}
    fields |= {f"gemma.{name}" for name in GemmaSettings.__struct_fields__}
    fields -= {"serve.outbound_proxy", "inzage.outbound_proxy"}  # LDV_PROXY, as for everything else
    fields -= {"own_spool", "routed", "serve.audiences"}  # come from the file of LDV_LOGBOEKEN
    assert {variable.field for variable in VARIABLES} == fields
