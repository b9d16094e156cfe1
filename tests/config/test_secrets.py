from __future__ import annotations

from pathlib import Path
from traceback import format_exception

import pytest

from ldv_otel._internal.config.secrets import logboek_client_certificate, logboek_password, read_token
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.privacy.key_file import add_key, keys_for
from ldv_otel.errors import ConfigurationError

LOGBOEK = {"LDV_LOGBOEK": "clickhouse+https://ldv@logboek.example/ldv"}


@pytest.mark.parametrize("written", ["s3cret", "s3cret\n", "s3cret\r\n", " s3cret \n\n"])
def test_a_token_has_no_white_space_around_it(tmp_path: Path, written: str) -> None:
    """Editors and `echo` add some, and a header with it would be another token."""
    (tmp_path / "token").write_text(written, encoding="utf-8", newline="")
    assert read_token(tmp_path / "token", "LDV_PARTIES: token_file") == "s3cret"


@pytest.mark.parametrize(("written", "password"), [("a b", "a b"), (" ab \n", " ab "), ("ab\r\n", "ab"), ("\n", "")])
def test_a_password_is_the_line(tmp_path: Path, written: str, password: str) -> None:
    """It may begin or end with a space, which is of the password and not of the file."""
    (tmp_path / "password").write_text(written, encoding="utf-8", newline="")
    settings = read_settings(LOGBOEK | {"LDV_LOGBOEK_PASSWORD_FILE": str(tmp_path / "password")})
    assert logboek_password(settings) == password


def test_a_password_from_its_variable() -> None:
    """As it is; none is empty text."""
    assert logboek_password(read_settings(LOGBOEK | {"LDV_LOGBOEK_PASSWORD": " x "})) == " x "
    assert logboek_password(read_settings(LOGBOEK)) == ""


def test_a_file_that_is_not_there_is_named_with_its_setting(tmp_path: Path) -> None:
    """The administrator finds both ends of the mistake in one line."""
    missing = tmp_path / "missing"
    settings = read_settings(LOGBOEK | {"LDV_LOGBOEK_PASSWORD_FILE": str(missing)})
    with pytest.raises(ConfigurationError, match=rf"^LDV_LOGBOEK_PASSWORD_FILE: {missing} cannot be read \(No such"):
        logboek_password(settings)
    with pytest.raises(ConfigurationError, match=rf"^LDV_PARTIES: token_file: {missing} cannot be read"):
        read_token(missing, "LDV_PARTIES: token_file")


def test_a_secret_that_is_no_text_is_not_shown(tmp_path: Path) -> None:
    """Python's own error has the bytes in it, and tracebacks end up in logs."""
    (tmp_path / "token").write_bytes(b"s3cret\xff")
    with pytest.raises(ConfigurationError, match="not UTF-8") as raised:
        read_token(tmp_path / "token", "LDV_PARTIES: token_file")
    assert "s3cret" not in "".join(format_exception(raised.value))
    assert raised.value.__cause__ is None


def test_a_credential_of_systemd_is_named_and_never_guessed(tmp_path: Path) -> None:
    """By its name alone; what has none, or leads elsewhere, stops the start and names variable and unit."""
    named = LOGBOEK | {"LDV_KEYS": "credential:ldv-keys", "LDV_LOGBOEK_PASSWORD_FILE": "credential:wachtwoord"}
    with pytest.raises(ConfigurationError, match=r"LDV_LOGBOEK_PASSWORD_FILE names.*LoadCredential=wachtwoord:"):
        read_settings(named)
    here = named | {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    add_key(tmp_path / "ldv-keys")
    (tmp_path / "wachtwoord").write_text("geheim\n")
    # As systemd makes them: readable for the service, and nothing more.
    (tmp_path / "ldv-keys").chmod(0o400)
    tmp_path.chmod(0o500)
    settings = read_settings(here)
    assert settings.keys == tmp_path / "ldv-keys"
    assert (len(keys_for(settings).keys), logboek_password(settings)) == (1, "geheim")
    (tmp_path / "ldv-keys").chmod(0o444)
    with pytest.raises(ConfigurationError, match="others may read"):
        keys_for(settings)
    for name in ("", "../keys.json", "a/b", ".", ".."):
        with pytest.raises(ConfigurationError, match="LDV_KEYS cannot be used: after `credential:`"):
            read_settings(here | {"LDV_KEYS": f"credential:{name}"})
    # What is there is not used unless it is named.
    assert read_settings(LOGBOEK | {"CREDENTIALS_DIRECTORY": str(tmp_path)}).keys is None
    with pytest.raises(ConfigurationError, match="CREDENTIALS_DIRECTORY is not set"):
        read_settings(named | {"CREDENTIALS_DIRECTORY": "relative"})


def test_a_certificate_goes_with_its_key(tmp_path: Path) -> None:
    """One without the other, and one that cannot be read, are named before a connection is tried."""
    both = {name: str(tmp_path / name) for name in ("cert.pem", "key.pem")}
    environ = {
        "LDV_LOGBOEK_CLIENT_CERT_FILE": both["cert.pem"],
        "LDV_LOGBOEK_CLIENT_KEY_FILE": both["key.pem"],
    }
    assert logboek_client_certificate(read_settings(LOGBOEK)) is None
    for name, value in environ.items():
        with pytest.raises(ConfigurationError, match="go together"):
            logboek_client_certificate(read_settings(LOGBOEK | {name: value}))
    (tmp_path / "cert.pem").touch()
    with pytest.raises(ConfigurationError, match=r"LDV_LOGBOEK_CLIENT_KEY_FILE: .*key\.pem cannot be read"):
        logboek_client_certificate(read_settings(LOGBOEK | environ))
    (tmp_path / "key.pem").touch()
    assert logboek_client_certificate(read_settings(LOGBOEK | environ)) == (both["cert.pem"], both["key.pem"])
