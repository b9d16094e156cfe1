"""Both sides over TLS, with certificates of clients: the way between organisations."""

from __future__ import annotations

import ssl
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.gemma.consumer.sink import GemmaSink
from ldv_otel._internal.gemma.zgw_token import zgw_token
from ldv_otel._internal.privacy.key_file import add_key
from ldv_otel.errors import LogboekUnavailable
from tests.gemma.register import CLIENT_ID, SECRET
from tests.gemma.test_sink import a_record
from tests.support.serving import ServeProcess
from tests.support.tls import Authority

OIN = "00000001821002198000"


def test_a_service_and_a_register_prove_who_they_are(tmp_path: Path) -> None:
    """An authority that is not known is told as such; a header with another OIN than the certificate's is refused."""
    authority, keys = Authority(tmp_path), tmp_path / "keys.json"
    add_key(keys, sealing=True)
    (tmp_path / "secret").write_text(SECRET, encoding="utf-8")
    clients = tmp_path / "clients.yaml"
    clients.write_text(f"clients: [{{id: {CLIENT_ID}, secret_file: secret, bewerking: ['read:normal']}}]\n", "utf-8")
    server, client = authority.server(), authority.client("parkeren.example", oin=OIN)
    environ = {
        "LDV_LOGBOEK": f"chdb://{tmp_path}/logboek",
        "LDV_KEYS": str(keys),
        "LDV_GEMMA_CLIENTS": str(clients),
        "LDV_GEMMA_ACTIVITY": "https://var.example/activiteiten/verantwoorden",
        "LDV_SERVE_CERTIFICATE": str(server),
        "LDV_SERVE_PRIVATE_KEY": str(server),
        "LDV_SERVE_CLIENT_CA": str(authority.file),
    }
    with ServeProcess(environ, "--gemma", log=tmp_path / "log") as process:
        ours = {
            "LDV_LOGBOEK": f"gemma+https://{CLIENT_ID}@127.0.0.1:{urlsplit(process.address).port}/api/v1",
            "LDV_LOGBOEK_PASSWORD": SECRET,
            "LDV_KEYS": str(keys),
        }
        with (
            closing(GemmaSink(read_settings(ours))) as sink,
            pytest.raises(LogboekUnavailable, match="LDV_LOGBOEK_CA_FILE"),
        ):
            sink.open()
        ours |= {
            "LDV_LOGBOEK_CA_FILE": str(authority.file),
            "LDV_LOGBOEK_CLIENT_CERT_FILE": str(client),
            "LDV_LOGBOEK_CLIENT_KEY_FILE": str(client),
        }
        with closing(GemmaSink(read_settings(ours))) as sink:
            sink.open()
            sink.send(number_batch(new_writer_id(), 0, [a_record(1, keys)]))
        context = ssl.create_default_context(cafile=authority.file)
        context.load_cert_chain(client)
        question = {
            "objecttype": "persoon",
            "soortObjectId": "BSN",
            "objectId": "123456782",
            "vertrouwelijkheid": "normaal",
        }

        def ask(oin: str) -> httpx.Response:
            headers = {"Authorization": f"Bearer {zgw_token(CLIENT_ID, SECRET)}", "OIN": oin}
            url = f"{process.address}/api/v1/verwerkingsacties"
            return httpx.get(url, params=question, headers=headers, verify=context)

        assert ask(OIN).json()["count"] == 1
        assert ask("00000001002306608000").status_code == 403
