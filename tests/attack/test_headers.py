"""Hostile headers and framing: nobody gets in, no address of theirs gets out, and nothing is used up."""

from __future__ import annotations

import base64
import gzip
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx
import pytest

from tests.api.conftest import TRACES
from tests.attack.conftest import CANARY, GEMMA_BSN, Target
from tests.attack.tally import rounds, tally
from tests.gemma.provider import DOELBINDING, about, body
from tests.support.chance import dice
from tests.support.logboek import AUTHORISED
from tests.support.tls import Authority

EVIL: Final = "kwaad.example"
#: What proxies and frameworks take for the address of the server, or for that of the client.
HOSTS: Final[list[dict[str, str]]] = [
    {"Host": EVIL},
    {"Host": f"{EVIL}:443"},
    {"Host": f"logboek.voorbeeld.example@{EVIL}"},
    {"Host": f"{EVIL}/x?"},
    {"Host": f"{EVIL}#"},
    {"Host": f"[{EVIL}"},
    {"Host": f"user:password@{EVIL}"},
    {"Forwarded": f"host={EVIL};proto=https;for=127.0.0.1"},
    {"Forwarded": f'for="[::1]";host="{EVIL}"'},
    {"X-Forwarded-Host": EVIL},
    {"X-Forwarded-Host": f"{EVIL}, logboek.voorbeeld.example"},
    {"X-Forwarded-Server": EVIL},
    {"X-Forwarded-Proto": f"https://{EVIL}"},
    {"X-Forwarded-Prefix": f"/{EVIL}"},
    {"X-Forwarded-Port": "1"},
    {"X-Host": EVIL},
    {"X-Original-Host": EVIL},
    {"X-Original-URL": f"/{EVIL}"},
    {"X-Rewrite-URL": f"/{EVIL}"},
    {"X-HTTP-Host-Override": EVIL},
    {"Referer": f"https://{EVIL}/"},
    {"Origin": f"https://{EVIL}"},
    {"Accept": f"text/{EVIL}"},
    {"Accept-Language": EVIL},
    {"User-Agent": EVIL},
    {"Cookie": f"a={EVIL}"},
    {"X-Request-Id": EVIL},
    {"traceparent": EVIL},
]


@pytest.fixture(scope="module")
def der(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A client's certificate, in base64."""
    file = Authority(tmp_path_factory.mktemp("headers")).client("rdw")
    text = Path(file).read_text()
    return "".join(text.split("-----BEGIN CERTIFICATE-----")[1].split("-----END")[0].split())


def requests_of(target: Target) -> Iterator[tuple[httpx.Request, bool]]:
    """Give a request of each route with the right credentials, and whether it is answered with success."""
    bearer = {"Authorization": f"Bearer {target.token}"}
    citizen = {"X-Id-Token": target.assertion}
    gemma = {"Authorization": f"Bearer {target.gemma_token}"}
    lezen, page = "/lezenapi/v1", {"traceId": TRACES[0].hex()}
    for path in ("/openapi.json", f"/chains/{TRACES[0].hex()}", "/foreign-operations?traceId=" + "fa" * 16, "/nowhere"):
        yield target.http.build_request("GET", lezen + path, headers=bearer), True
    for path in ("", "/data-processing-operations?limit=2", "/processing-activities?limit=2", "/nowhere"):
        yield target.http.build_request("POST", lezen + path, json=page, headers=bearer), True
    batch = {"requests": [page, page]}
    yield (
        target.http.build_request(
            "POST", f"{lezen}/data-processing-operations/_batch?limit=1", json=batch, headers=bearer
        ),
        True,
    )
    yield target.http.build_request("POST", f"{lezen}/data-processing-operations", json=page), False
    for path in (
        "",
        "/verwerkingen",
        f"/handelingen/{TRACES[0].hex()}",
        "/downloaden",
        "/mijn-gegevens.json",
        "/nowhere",
    ):
        yield target.http.build_request("GET", f"/inzage{path}", headers=citizen), True
    yield target.http.build_request("GET", "/inzage"), False
    for path in ("", "/regels", "/reeksen", "/controles", "/persoon", "/nowhere"):
        yield target.http.build_request("GET", f"/toezicht{path}", headers=bearer), True
    api = "/api/v1"
    yield target.http.build_request("GET", f"{api}/openapi.json"), True
    yield (
        target.http.build_request(
            "GET", f"{api}/verwerkingsacties?pageSize=1", params=about(GEMMA_BSN) | {"pageSize": "1"}, headers=gemma
        ),
        True,
    )
    yield (
        target.http.build_request(
            "GET", f"{api}/verwerkte-objecten", params=about(GEMMA_BSN), headers=gemma | DOELBINDING
        ),
        True,
    )
    yield target.http.build_request("POST", f"{api}/verwerkingsacties", json=body(GEMMA_BSN), headers=gemma), True
    yield target.http.build_request("GET", "/"), False


def test_no_address_in_an_answer_is_that_of_a_header(target: Target) -> None:
    """Of any route: headers, pages, documents, links to the next page, errors."""
    with tally("hostile headers", "addresses in answers") as counts:
        for headers in HOSTS[:: rounds(5, 1)]:
            for request, _ in requests_of(target):
                for name, value in headers.items():
                    request.headers[name] = value
                answer = target.http.send(request)
                shown = str(answer.headers) + answer.text
                got_through = EVIL in shown or answer.status_code >= 500
                counts.note((headers, request.method, request.url.path, answer.status_code), got_through=got_through)


def test_a_certificate_in_a_header_is_none(target: Target, der: str) -> None:
    """No proxy is trusted with one here, so whoever sends it wrote it; nor does any other header let anybody in."""
    pem = f"-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n"
    forms = [
        f":{der}:",
        der,
        quote(pem),
        pem.strip().replace("\n", " "),
        f":{der}:, :{der}:",
        ":" + "A" * 20_000 + ":",
        "::",
        ":",
    ]
    names = [
        "Client-Cert", "Client-Cert-Chain", "X-Client-Cert", "X-SSL-Client-Cert", "X-SSL-CERT", "SSL_CLIENT_CERT",
        "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert", "X-ARR-ClientCert", "X-Amzn-Mtls-Clientcert",
    ]  # fmt: skip
    others: list[dict[str, str]] = [
        {"X-Forwarded-For": "127.0.0.1"}, {"X-Real-IP": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"},
        {"X-Remote-User": "auditor"}, {"REMOTE_USER": "auditor"}, {"X-Forwarded-User": "auditor"},
        {"X-Client": "auditor"},
        {"X-HTTP-Method-Override": "GET"}, {"X-Original-URL": "/lezenapi/v1/openapi.json"},
        {"X-Id-Token": target.assertion},
        {"Authorization": "Basic YXVkaXRvcjphdWRpdG9y"}, {"Authorization": "Negotiate x"}, {"Authorization": "Bearer"},
        {"Authorization": target.token}, {"Authorization": f"DPoP {target.token}"},
        {"Authorization": f"Bearer  x {target.token}"},
        {"Proxy-Authorization": f"Bearer {target.token}"}, {"Cookie": f"access_token={target.token}"},
        {"X-Access-Token": target.token}, {"X-Authorization": f"Bearer {target.token}"},
    ]  # fmt: skip
    query = {"traceId": TRACES[0].hex()}
    with tally("hostile headers", "credentials") as counts:
        for headers in [*({name: form} for name in names for form in forms), *others]:
            encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
            for path in ("/lezenapi/v1/data-processing-operations", "/lezenapi/v1/processing-activities"):
                answer = target.http.post(path, json=query, headers=encoded)
                got_through = answer.status_code not in {400, 401, 403, 431} or CANARY in answer.text
                counts.note((headers, answer.status_code), got_through=got_through)
            answer = target.http.get("/api/v1/verwerkingsacties", params=about(GEMMA_BSN), headers=encoded)
            counts.note((headers, answer.status_code), got_through=answer.status_code not in {400, 401, 403, 431})
        for place in ("?access_token=", "?token=", "?Authorization=Bearer%20"):
            answer = target.http.post(f"/lezenapi/v1/data-processing-operations{place}{target.token}", json=query)
            counts.note((place, answer.status_code), got_through=answer.status_code not in {400, 401, 403})


def test_a_browser_that_was_led_here(target: Target) -> None:
    """Forms of other sites, and `ldv logboek` from any page, also with the secret."""
    officer = {"Authorization": f"Bearer {target.token}"}
    sites: list[dict[str, str]] = [
        *(
            {"Sec-Fetch-Site": value}
            for value in ("cross-site", "same-site", "none", "", "SAME-ORIGIN", "same-origin, none")
        ),
        *(
            {"Origin": value}
            for value in (f"https://{EVIL}", "null", "", f"https://127.0.0.1.{EVIL}", "http://127.0.0.1:1")
        ),
        {},
        {"Referer": target.process.address},
        {"Sec-Fetch-Site": "cross-site", "Origin": target.process.address},
        {"Origin": f"http://{EVIL}@{target.process.address[7:]}.{EVIL}"},
    ]
    form = {"nummer": "123456782", "soort": "BSN", "reden": "een formulier van elders"}
    with tally("hostile headers", "browsers") as counts:
        for headers in sites:
            answer = target.http.post("/toezicht/persoon", data=form, headers=officer | headers)
            counts.note((headers, answer.status_code), got_through=answer.status_code != 403)
        for headers in (
            *(
                {name: value}
                for name in ("Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-User", "sec-fetch-x")
                for value in ("same-origin", "none", "navigate", "", "?1")
            ),
            *({"Origin": value} for value in ("null", "http://127.0.0.1", target.logboek.address, "")),
            *(
                {"Host": value}
                for value in (EVIL, f"127.0.0.1.{EVIL}", f"{EVIL}:{target.logboek.port}", f"localhost.{EVIL}")
            ),
        ):
            for method in ("GET", "POST"):
                with httpx.Client(trust_env=False) as http:
                    answer = http.request(
                        method,
                        f"{target.logboek.address}/",
                        params={"query": "SELECT 'reached'"},
                        headers=AUTHORISED | headers,
                    )
                counts.note((headers, method, answer.status_code), got_through="reached\n" in answer.text)


def _resident_bytes(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1_024


def bombs() -> Iterator[tuple[str, bytes]]:
    """Give bodies that are small as they are sent, by the encoding that would make them large."""
    plain = b'{"traceId": "' + b"a" * rounds(64 << 20, 512 << 20) + b'"}'
    once = gzip.compress(plain, 9)
    yield "gzip", once
    yield "gzip, gzip", gzip.compress(once, 9)
    yield "x-gzip", once
    yield "deflate", zlib.compress(plain, 9)
    yield "identity, gzip", once
    for name in ("br", "zstd", "compress", "lz4", "aws-chunked", "*"):
        yield name, once


def test_what_unpacks_to_much_is_not_unpacked(target: Target) -> None:
    """Neither server's memory grows with what a body would become."""
    bearer = {"Authorization": f"Bearer {target.token}", "Content-Type": "application/json"}
    gemma = {"Authorization": f"Bearer {target.gemma_token}", "Content-Type": "application/json"}
    pids = [target.process._process.pid, target.logboek.pid]
    target.lezen(target.token)
    before = [_resident_bytes(pid) for pid in pids]
    with tally("hostile headers", "packed bodies") as counts:
        for encoding, content in bombs():
            for path, headers in (
                ("/lezenapi/v1/data-processing-operations", bearer),
                ("/lezenapi/v1/data-processing-operations/_batch", bearer),
                ("/api/v1/verwerkingsacties", gemma),
            ):
                answer = target.http.post(path, content=content, headers=headers | {"Content-Encoding": encoding})
                counts.note((encoding, path, answer.status_code), got_through=not 400 <= answer.status_code < 500)
            grown = [_resident_bytes(pid) - size for pid, size in zip(pids, before, strict=True)]
            counts.note((encoding, grown), got_through=max(grown) > 48 << 20)


def _raw(address: tuple[str, int], content: bytes) -> bytes:
    """Send bytes, and return everything that comes back until the server closes or says nothing more."""
    with socket.create_connection(address, timeout=3) as connection:
        found = b""
        with suppress(OSError):
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65_536):
                found += part
        return found


def test_framing_that_two_servers_would_read_differently(target: Target) -> None:
    """One request is one request, whatever its lengths say; oversize and odd heads are refused; the server goes on."""
    host, port = target.http.base_url.host, target.http.base_url.port
    assert port
    inner = b"POST /lezenapi/v1/data-processing-operations HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    chunked = b"0\r\n\r\n" + inner
    length = str(len(chunked)).encode()
    first = b"POST /lezenapi/v1/processing-activities HTTP/1.1\r\nHost: x\r\n"
    heads = [
        b"Content-Length: " + length + b"\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: " + length + b"\r\n",
        b"Content-Length: 5\r\nContent-Length: " + length + b"\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 5, 6\r\n",
        b"Content-Length : 5\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"X: y\r\n Transfer-Encoding: chunked\r\n",
        b"X: y\x00z\r\n",
        b"X: y\rTransfer-Encoding: chunked\r\n",
        b"Host: other\r\n",
        b" leading: x\r\n",
        b"no colon\r\n",
        b": nameless\r\n",
        b"Expect: 200-maybe\r\nContent-Length: 5\r\n",
        b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        b"X: " + b"y" * 33_000 + b"\r\n",
        b"".join(b"X-%d: %s\r\n" % (number, b"y" * 300) for number in range(200)),
    ]
    lines = [
        b"GET /toezicht HTTP/9.9\r\n\r\n",
        b"GET  /toezicht HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT elders.example:443 HTTP/1.1\r\nHost: elders.example\r\n\r\n",
        b"TRACE / HTTP/1.1\r\nHost: x\r\nCookie: secret\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET http://elders.example/inzage HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /inzage\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
        b"\r\n" * 1_000,
    ]
    source = dice("framing")
    with tally("hostile headers", "framing") as counts:
        attempts = [first + head + b"\r\n" + chunked for head in heads] + lines
        for _ in range(rounds(40, 4_000)):
            changed = bytearray(source.choice(attempts[: len(heads)]))
            for _ in range(source.choice([1, 2, 8])):
                changed[source.randrange(len(changed))] = source.randrange(256)
            attempts.append(bytes(changed))
        for attempt in attempts:
            began = time.monotonic()
            answer = _raw((host, port), attempt)
            # Nobody said who they are: all that may come back is a refusal, and never the same twice as if for two.
            got_through = b"HTTP/1.1 20" in answer or b" 500 " in answer or CANARY.encode() in answer
            counts.note((attempt[:300], answer[:200], time.monotonic() - began), got_through=got_through)
        counts.note("afterwards it answers", got_through=target.lezen(target.token).status_code != 200)


def test_base64_of_nothing_is_no_secret(target: Target) -> None:
    """`ldv logboek` knows its own secret only, in whatever header it comes."""
    wrong = [
        "",
        "x",
        "default",
        "null",
        "undefined",
        "\x7f",
        "é",
        "*" * 10_000,
        "' OR 1=1 --",
        base64.b64encode(b":").decode(),
    ]
    with tally("hostile headers", "secret of ldv logboek") as counts, httpx.Client(trust_env=False) as http:
        for secret in wrong:
            for name in (
                "X-ClickHouse-Key",
                "Authorization",
                "X-ClickHouse-Quota",
                "X-ClickHouse-SSL-Certificate-Auth",
                "Cookie",
            ):
                for value in (
                    secret,
                    f"Basic {base64.b64encode(f'default:{secret}'.encode()).decode()}",
                    f"Bearer {secret}",
                ):
                    answer = http.post(
                        f"{target.logboek.address}/?user=default&password={quote(secret)}",
                        content=b"SELECT 'reached'",
                        headers=[(name.encode(), value.strip().encode())],
                    )
                    counts.note((name, value, answer.status_code), got_through="reached\n" in answer.text)
