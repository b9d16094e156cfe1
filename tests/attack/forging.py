"""Tokens that nobody should take: other signatures, other claims, other forms, and good ones with something changed."""

from __future__ import annotations

import base64
import hmac
import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import ECKey

_CURVE_BYTES: Final = 32
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_SQL: Final = "one' OR '1'='1"
KIDS: Final[list[Any]] = [
    "one", "two", "", None, 0, True, _SQL, "../../../../dev/null", "/dev/null", "one\x00", "ONE", " one", "one ",
    ["one"], {"kid": "one"}, "x" * 4_000, "\u202eeno", "http://127.0.0.1:9/key", "file:///dev/null", "-", "*",
]  # fmt: skip
ALGORITHMS: Final[list[Any]] = [
    "none", "None", "NONE", "nOnE", "none ", "", None, 0, ["none"], ["ES256"], "HS256", "HS384", "HS512", "ES384",
    "ES512", "ES256K", "RS256", "RS1", "PS256", "EdDSA", "A128KW", "dir", "RSA-OAEP", "PBES2-HS256+A128KW", "es256",
    "ES256\x00", " ES256",
]  # fmt: skip
#: Of the header beside `alg` and `kid`; the addresses are those of a listener that has to hear nothing.
EXTRAS: Final[list[dict[str, Any]]] = [
    {}, {"typ": "JWT"}, {"crit": ["b64"], "b64": False}, {"b64": False}, {"zip": "DEF"}, {"enc": "A128GCM"},
    {"crit": ["exp"]}, {"crit": []}, {"cty": "JWT"}, {"typ": "at+jwt", "alg2": "none"}, {"p2c": 10_000_000},
]  # fmt: skip
TYPES: Final[list[Any]] = [
    "logout+jwt", "dpop+jwt", "secevent+jwt", "JOSE", "jose+json", "at+jwt2", "application/logout+jwt", 7, ["at+jwt"],
    "client-authentication+jwt", "token-introspection+jwt", "statuslist+jwt", "vc+sd-jwt", "kb+jwt",
]  # fmt: skip


def base64url(content: bytes) -> str:
    """Return the encoding of JOSE."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def wrong_claims(now: int, issuer: str) -> list[dict[str, Any]]:
    """Return claims each of which is enough to refuse a token of the right issuer's own key."""
    audiences: list[Any] = [None, "", [], {}, 7, ["https://elders.example"], "https://logboek.example.evil"]
    times: list[Any] = [None, 0, -1, now - 3_600, "tomorrow", [], {}, str(now + 600)]
    later: list[Any] = [now + 7_200, "tomorrow", []]
    issuers: list[Any] = [None, "", f"{issuer}/", issuer.upper(), f"{issuer}.evil.example", [issuer], 7, {"a": issuer}]
    issuers += [f" {issuer}", f"{issuer}\x00", f"https://evil.example/?{issuer}"]
    audiences += ["https://logboek.example/", "HTTPS://LOGBOEK.EXAMPLE", "*", [["https://x"]]]
    wrong = {"iss": issuers, "aud": audiences, "exp": times, "nbf": later}
    return [{name: value} for name, values in wrong.items() for value in values]


class Forger:
    """Makes tokens that look like those of an issuer.

    Args:
        good: Returns a good token, with a header and claims of one's own.
        public: The issuer's public key, which everybody has.
        dice: Source of chance.
        address: Where an attacker listens.
    """

    def __init__(self, good: Callable[..., str], public: ECKey, dice: random.Random, address: str) -> None:
        self._good = good
        self._public = public
        self._dice = dice
        self._address = address
        self._own = ec.generate_private_key(ec.SECP256R1())

    def tokens(self, count: int) -> Iterator[str]:
        """Give all that are always tried, and then so many with chance in them."""
        yield from self._fixed()
        for _ in range(count):
            yield self._dice.choice([self._mutated, self._signed, self._shuffled])()

    def _fixed(self) -> Iterator[str]:
        head, claims, signature = self._good().split(".")
        yield from (
            "",
            ".",
            "..",
            "...",
            "a.b.c",
            head,
            f"{head}.{claims}",
            f"{head}.{claims}.",
            f".{claims}.{signature}",
        )
        yield from (
            f"{head}..{signature}",
            f"{head}.{claims}.{signature}.{signature}",
            f"{head}.{claims}.{signature}.x.y",
        )
        yield from (
            "x" * 8_193,
            "x" * 20_000,
            f"{head}.{claims}.{signature}{'A' * 9_000}",
            f"{head}.{claims}.{'A' * 86}",
        )
        yield from (
            "\u00e9",
            "\x7f",
            "null",
            "[]",
            json.dumps({"payload": claims, "signatures": [{"protected": head}]}),
        )
        yield from (f"{base64url(b'[]')}.{claims}.{signature}", f"{base64url(b'{}')}.{claims}.{signature}")
        yield from (f"{base64url(b'null')}.{claims}.{signature}", f"{base64url(b'{' * 1_000)}.{claims}.{signature}")
        yield f"{base64url(b'[' * 5_000)}.{claims}.{signature}"
        # The same name twice, so that who checks and who uses may read another one.
        twice = b'{"alg":"none","alg":"ES256","kid":"one","typ":"at+jwt"}'
        yield f"{base64url(twice)}.{claims}.{signature}"
        yield f"{base64url(twice)}.{claims}."
        for algorithm in ALGORITHMS:
            for kid in KIDS[:4]:
                yield self._compose({"alg": algorithm, "kid": kid, "typ": "at+jwt"}, claims, "")
                for secret in self._secrets():
                    yield self._compose({"alg": algorithm, "kid": kid, "typ": "at+jwt"}, claims, secret)
        for header in self._foreign_keys():
            yield self._compose({"alg": "ES256", "typ": "at+jwt", **header}, claims, self._own)
        for kid in KIDS:
            yield self._compose({"alg": "ES256", "kid": kid, "typ": "at+jwt"}, claims, self._own)
        for type_ in TYPES:
            yield (
                self._good(header={"typ": type_})
                if isinstance(type_, str)
                else self._compose({"typ": type_}, claims, "")
            )

    def claimed(self, issuer: str) -> Iterator[str]:
        """Give tokens of the issuer's own key that are not for this server, or not now."""
        for claims in wrong_claims(int(time.time()), issuer):
            yield self._good(**claims)

    def _secrets(self) -> list[bytes]:
        """Return what somebody may take for the secret of an HMAC: all forms of the public key."""
        as_dict = self._public.as_dict(private=False)
        return [
            b"",
            self._public.as_pem(private=False),
            self._public.as_pem(private=False).strip(),
            self._public.as_der(private=False),
            json.dumps(as_dict).encode(),
            str(as_dict["x"]).encode(),
        ]

    def _foreign_keys(self) -> list[dict[str, Any]]:
        """Return headers that bring a key along, or say where one is."""
        numbers = self._own.public_key().public_numbers()
        jwk = {
            "kty": "EC",
            "crv": "P-256",
            "kid": "one",
            "x": base64url(numbers.x.to_bytes(_CURVE_BYTES, "big")),
            "y": base64url(numbers.y.to_bytes(_CURVE_BYTES, "big")),
        }
        places = [self._address, f"{self._address}/jwks.json", f"{self._address}#https://login.example/jwks"]
        found: list[dict[str, Any]] = [{"jwk": jwk}, {"jwk": jwk, "kid": "one"}, {"jwk": jwk, "kid": "attacker"}]
        for kid in ({}, {"kid": "one"}, {"kid": "attacker"}):
            found += [{name: place, **kid} for name in ("jku", "x5u") for place in places]
            found += [{"x5c": ["MIIB"], **kid}, {"x5t": "AAAA", **kid}, {"x5t#S256": "A" * 43, **kid}]
        return found

    def _signed(self) -> str:
        """Return a token with a header by chance, signed by somebody else or with the public key."""
        header = {"alg": self._dice.choice(ALGORITHMS), "kid": self._dice.choice(KIDS), "typ": "at+jwt"}
        header |= self._dice.choice(EXTRAS) | self._dice.choice([{}, *self._foreign_keys()])
        claims = self._good().split(".")[1]
        keys: list[ec.EllipticCurvePrivateKey | bytes] = [self._own, *self._secrets()]
        return self._compose(header, claims, self._dice.choice(keys))

    def _mutated(self) -> str:
        """Return a good token with some characters changed, left out, or put in; never only its last one.

        The last character of a signature has bits that say nothing.
        """
        characters = list(self._good())
        for _ in range(self._dice.choice([1, 1, 2, 8])):
            place = self._dice.randrange(len(characters) - 1)
            before = characters[place]
            replaced = self._dice.choice([char for char in _ALPHABET if char != before])
            characters[place] = self._dice.choice([replaced, "", before + replaced])
        return "".join(characters)

    def _shuffled(self) -> str:
        """Return the parts of two good tokens mixed up, or claims of one's own under a good signature."""
        one, other = self._good().split("."), self._good(header={}, client_id="beheer", scope="ldv:oversee").split(".")
        claims = {"iss": "https://login.example", "sub": self._dice.choice(["123456782", "999990019", "admin"])}
        own = base64url(json.dumps(claims | {"exp": int(time.time()) + 600}).encode())
        return ".".join(
            self._dice.choice(
                [
                    [one[0], other[1], one[2]],
                    [one[0], one[1], other[2]] if one[1] != other[1] else [one[0], own, one[2]],
                    [one[0], own, one[2]],
                    [other[0], own, other[2]],
                    [one[2], one[1], one[0]],
                    [one[1], one[0], one[2]],
                ]
            )
        )

    def _compose(self, header: dict[str, Any], claims: str, key: ec.EllipticCurvePrivateKey | bytes | str) -> str:
        signed = f"{base64url(json.dumps(header).encode())}.{claims}"
        if isinstance(key, str):
            return f"{signed}.{key}"
        if isinstance(key, bytes):
            digest = {"HS384": "sha384", "HS512": "sha512"}.get(str(header.get("alg")), "sha256")
            return f"{signed}.{base64url(hmac.digest(key, signed.encode(), digest))}"
        r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(SHA256())))
        return f"{signed}.{base64url(r.to_bytes(_CURVE_BYTES, 'big') + s.to_bytes(_CURVE_BYTES, 'big'))}"
