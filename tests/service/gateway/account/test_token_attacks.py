"""What is tried with tokens: the attacks of the public lists, at a gateway with a provider's keys and a secret."""

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from tests.service.gateway.fakes import World
from tests.stand_ins.identity_provider import KEYS_PATH, Provider, public_jwk, public_pem, running_provider, sign

SECRET = "a-secret-of-at-least-thirty-two-bytes"


@dataclass
class Scene:
    """A provider with a key of each kind, and a gateway that believes it and its own secret."""

    provider: Provider
    http: httpx2.AsyncClient


@pytest.fixture(scope="module")
async def scene() -> AsyncIterator[Scene]:
    async with running_provider() as provider:
        provider.keys = [public_jwk("k1", "ES256"), public_jwk("r1", "RS256"), public_jwk("e1", "EdDSA")]
        settings = provider.settings(jwt_secret=SecretStr(SECRET))
        async with World(settings=settings).client() as http:
            yield Scene(provider, http)


def spelled(part: bytes | dict[str, Any]) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(**more: Any) -> dict[str, Any]:
    return {"sub": "u1", "exp": int(time.time()) + 600, "role": "admin", **more}


def unsigned(algorithm: Any, signature: str = "", **headers: Any) -> str:
    return f"{spelled({'alg': algorithm, **headers})}.{spelled(claims())}.{signature}"


def by_hmac(key: bytes, header: bytes | dict[str, Any], payload: bytes | dict[str, Any]) -> str:
    """Sign by HMAC whatever is there: what a library would refuse to write."""
    said = f"{spelled(header)}.{spelled(payload)}"
    return f"{said}.{spelled(hmac.digest(key, said.encode(), 'sha256'))}"


def ours(header: bytes | dict[str, Any] | None = None, payload: bytes | dict[str, Any] | None = None) -> str:
    """Sign with our own secret, as whoever makes tokens badly does."""
    given = {"alg": "HS256", "typ": "JWT"} if header is None else header
    return by_hmac(SECRET.encode(), given, claims() if payload is None else payload)


def raw_point(name: str) -> bytes:
    return base64.urlsafe_b64decode(public_jwk(name, "EdDSA")["x"] + "==")


def key_of_the_attacker() -> dict[str, Any]:
    return {**public_jwk("attackers", "ES256"), "kid": "k1"}


def with_another_payload(token: str) -> str:
    header, _, signature = token.split(".")
    return f"{header}.{spelled(claims(sub='somebody else'))}.{signature}"


def made(maker: Callable[..., str], *arguments: Any, **named: Any) -> Callable[[Scene], str]:
    """Make a token when it is sent, and not before: a claim may be a time."""
    return lambda _: maker(*arguments, **named)


ATTACKS: dict[str, Callable[[Scene], str]] = {
    **{f"no algorithm: {name}": made(unsigned, name) for name in ("none", "None", "NONE", "nOnE", "")},
    "no algorithm, and a kid": lambda _: unsigned("none", kid="k1"),
    "no algorithm, and a signature": lambda _: unsigned("none", signature="AAAA"),
    "no algorithm at all": lambda _: f"{spelled({'typ': 'JWT'})}.{spelled(claims())}.",
    "an algorithm that is a list": lambda _: unsigned(["HS256", "none"]),
    "an algorithm that is a number": lambda _: unsigned(0),
    "an algorithm that is null": lambda _: unsigned(None),
    "an algorithm by another case": lambda _: by_hmac(SECRET.encode(), {"alg": "hs256"}, claims()),
    "HS512 by the secret": lambda _: by_hmac(SECRET.encode(), {"alg": "HS512"}, claims()),
    "HMAC by the public key as PEM": lambda _: by_hmac(
        public_pem("r1", "RS256").encode(), {"alg": "HS256", "kid": "r1"}, claims()
    ),
    "HMAC by the public key as PEM, without its last line end": lambda _: by_hmac(
        public_pem("r1", "RS256").strip().encode(), {"alg": "HS256", "kid": "r1"}, claims()
    ),
    "HMAC by the public key as JWK": lambda _: by_hmac(
        json.dumps(public_jwk("r1", "RS256")).encode(), {"alg": "HS256", "kid": "r1"}, claims()
    ),
    "HMAC by the public key of Ed25519": lambda _: by_hmac(raw_point("e1"), {"alg": "HS256", "kid": "e1"}, claims()),
    "HMAC by nothing": lambda _: by_hmac(b"", {"alg": "HS256"}, claims()),
    "HMAC by the kid's file": lambda _: by_hmac(b"", {"alg": "HS256", "kid": "../../../../dev/null"}, claims()),
    "HMAC where RS256 is said": lambda _: by_hmac(
        public_pem("r1", "RS256").encode(), {"alg": "RS256", "kid": "r1"}, claims()
    ),
    "another kind of the provider's keys": lambda _: sign("k1", "ES256", headers={"kid": "r1"}),
    "PS256": lambda _: unsigned("PS256", signature="AAAA", kid="r1"),
    **{
        f"kid: {kid!r}": made(sign, "attackers", headers={"kid": kid})
        for kid in (
            "../../../../dev/null",
            "/proc/sys/kernel/randomize_va_space",
            "k1' UNION SELECT 'AAAA'; --",
            "k1\x00",
            "k1\r\nX-Injected: yes",
            "| sleep 10",
            "http://169.254.169.254/latest/meta-data",
            "$ne",
            "K1",
            " k1",
            "",
            "x" * 4000,
        )
    },
    **{
        f"kid that is {kid!r}": made(by_hmac, b"", {"alg": "ES256", "kid": kid}, claims())
        for kid in (1, None, True, ["k1"], {"k1": "k1"})
    },
    "a key in the header": lambda _: sign("attackers", headers={"kid": "k1", "jwk": key_of_the_attacker()}),
    "a key in the header, and no kid": lambda _: sign("attackers", headers={"kid": ..., "jwk": key_of_the_attacker()}),
    "an address of keys": lambda scene: sign("attackers", headers={"kid": "k1", "jku": scene.provider.url + KEYS_PATH}),
    "an address of certificates": lambda scene: sign(
        "attackers", headers={"kid": "k1", "x5u": scene.provider.url + KEYS_PATH}
    ),
    "a certificate": lambda _: sign("attackers", headers={"kid": "k1", "x5c": ["MIIB"], "x5t": "AAAA"}),
    "an empty signature": lambda _: sign().rpartition(".")[0] + ".",
    "a signature of zeros": lambda _: f"{sign().rpartition('.')[0]}.{spelled(bytes(64))}",
    "another's signature": lambda _: with_another_payload(sign()),
    "an extension that nobody knows": lambda _: sign(headers={"crit": ["exp"], "exp": 1}),
    "an extension that is nothing": lambda _: sign(headers={"crit": []}),
    "a payload beside the token": lambda _: ours({"alg": "HS256", "b64": False, "crit": ["b64"]}),
    "five parts": lambda _: f"{sign()}.AAAA.AAAA",
    "two parts": lambda _: sign().rpartition(".")[0],
    "a token in JSON": lambda _: json.dumps(
        dict(zip(("protected", "payload", "signature"), sign().split("."), strict=True))
    ),
    "a token in a token": lambda _: ours({"alg": "HS256", "cty": "JWT"}, sign().encode()),
    "a claim that is huge": lambda _: sign(padding="x" * 9000),
    "a header that is nested": lambda _: spelled(b'{"alg":"HS256","x":' + b"[" * 4000) + ".e30.x",
    "a payload that is nested": lambda _: ours(payload=b'{"sub":"u1","exp":9999999999,"x":' + b"[" * 4000),
    "a header of no text": lambda _: ours(b'{"alg":"HS256","kid":"\xff\xfe"}'),
    "a payload of no text": lambda _: ours(payload=b'{"sub":"\xff\xfe","exp":9999999999}'),
    "a payload that is a list": lambda _: ours(payload=b"[]"),
    "a payload that is nothing": lambda _: ours(payload=b""),
    "half a character": lambda _: ours(payload=b'{"sub":"\\ud800","exp":9999999999}'),
    **{f"sub that is {json.dumps(sub)}": made(sign, sub=sub) for sub in ("", "a\x00b", "a\nb", "x" * 256, "visitor_1")},
    **{
        f"sub of another type, {json.dumps(sub)}": made(ours, payload=claims(sub=sub))
        for sub in (1, None, True, ["u1"], {"id": "u1"})
    },
    **{
        f"exp that is {exp!r}": made(ours, payload=b'{"sub":"u1","exp":' + exp + b"}")
        for exp in (
            b'"9999999999"',
            b"null",
            b"true",
            b"[9999999999]",
            b"{}",
            b"1e400",
            b"-1e400",
            b"NaN",
            b"Infinity",
            b"0",
            b"-1",
            b"9" * 5000,
        )
    },
    "two times, the last of them over": lambda _: ours(payload=b'{"sub":"u1","exp":9999999999,"exp":1}'),
    **{
        f"projects that are {projects!r}": made(sign, projects=projects)
        for projects in ("p1", "*", 1, True, {"p1": True}, [1], [None], [["p1"]], [""], ["a\x00b"], ["p" * 256])
    },
    "an nbf that is a list": lambda _: ours(payload=claims(nbf=[1])),
    "an iat that is text": lambda _: ours(payload=claims(iat="now")),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_attack_is_refused_as_any_bad_token_is(scene: Scene, attack: str) -> None:
    token = ATTACKS[attack](scene)
    answer = await scene.http.get("/api/me", headers=[(b"Authorization", b"Bearer " + token.encode("latin-1"))])
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert "set-cookie" not in answer.headers


async def test_what_the_attacks_are_made_of_is_good_in_itself(scene: Scene) -> None:
    """Else they would be refused for another reason than the one that they are named by."""
    for token in (ours(), sign(), sign("r1", "RS256"), sign("e1", "EdDSA"), sign(projects=[]), sign(role=["admin"])):
        answer = await scene.http.get("/api/me", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["user_id"]) == (200, "u1")


async def test_of_a_claim_that_stands_twice_the_last_counts_as_in_every_parser_of_ours(scene: Scene) -> None:
    token = ours(payload=b'{"sub":"u1","sub":"u2","exp":9999999999}')
    answer = await scene.http.get("/api/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.json()["user_id"] == "u2"


@pytest.mark.parametrize(
    "role", ["Admin", "admin ", "root", ["superadmin"], {"admin": True}, 1, True, [["admin"]], None]
)
async def test_a_role_that_is_written_otherwise_raises_nobody(scene: Scene, role: Any) -> None:
    answer = await scene.http.get("/api/me", headers={"Authorization": f"Bearer {sign(role=role)}"})
    assert answer.json()["role"] == "user"


async def test_two_authorization_headers_are_refused(scene: Scene) -> None:
    good, bad = ("Authorization", f"Bearer {sign()}"), ("Authorization", "Bearer nonsense")
    for headers in ([good, bad], [bad, good], [good, good]):
        assert (await scene.http.get("/api/me", headers=headers)).status_code == 401


async def test_nothing_that_a_token_says_reaches_the_provider_but_that_there_may_be_other_keys(scene: Scene) -> None:
    asked = scene.provider.asked
    for n in range(20):
        await scene.http.get(
            "/api/me", headers={"Authorization": f"Bearer {sign('attackers', headers={'kid': f'n{n}'})}"}
        )
    assert scene.provider.asked <= asked + 1
