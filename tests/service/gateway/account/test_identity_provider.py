"""Tokens of an identity provider, whose keys a real HTTP server shows; and what it is like while that misbehaves."""

import asyncio
import json
import time
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import SecretStr

from services.gateway.account.authenticator import Authenticator, Credentials
from services.gateway.account.tokens import signing_keys
from services.gateway.http.handed import handed_over
from shared.settings import Settings
from tests.service.gateway.fakes import World
from tests.stand_ins.identity_provider import Provider, private_jwk, public_jwk, running_provider, sign
from tests.tokens import token_for
from tests.waiting import until, until_true


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with running_provider() as provider:
        yield provider


class Clock:
    """A clock that stands, until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.monotonic()
        monkeypatch.setattr(signing_keys, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


Ask = Callable[..., Any]


def asking(settings: Settings) -> Ask:
    """Return who asks one gateway `GET /api/me` with a token."""
    world = World(settings=settings)

    async def ask(token: str) -> Any:
        async with world.client() as client:
            return await client.get("/api/me", headers={"Authorization": f"Bearer {token}"})

    return ask


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_token_counts_that_a_key_of_the_provider_has_signed(provider: Provider, algorithm: str) -> None:
    provider.keys = [public_jwk("another", algorithm), public_jwk("k1", algorithm)]
    ask = asking(provider.settings())
    assert (await ask(sign("k1", algorithm))).json()["user_id"] == "u1"
    strangers = await ask(sign("strangers", algorithm, headers={"kid": "k1"}))
    assert (strangers.status_code, strangers.json()["code"]) == (401, "not_authenticated")


SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, list[str] | None]]] = {
    "supabase": (
        {"jwt_role_claim": "app_metadata.role", "jwt_projects_claim": "app_metadata.projects"},
        {
            "aud": "authenticated",
            "sub": "2b1f4b0e-6f0b-4a63-9c4e-6a4b2f6a7d10",
            "email": "ann@example.com",
            "phone": "",
            "role": "authenticated",
            "aal": "aal1",
            "amr": [{"method": "password", "timestamp": 1795000000}],
            "session_id": "5d9e2f6c-8c0f-4f5c-8d8b-0b8b7c1f3a55",
            "is_anonymous": False,
            "app_metadata": {"provider": "email", "providers": ["email"], "role": "admin", "projects": ["p1"]},
            "user_metadata": {"role": "service"},  # which users write themselves
        },
        ("admin", ["p1"]),
    ),
    "supabase, nothing said": (
        {"jwt_role_claim": "app_metadata.role", "jwt_projects_claim": "app_metadata.projects"},
        {"role": "authenticated", "app_metadata": {"provider": "email"}, "user_metadata": {"role": "admin"}},
        ("user", None),
    ),
    "clerk": (
        {"jwt_role_claim": "metadata.role", "jwt_projects_claim": "metadata.projects"},
        {
            "azp": "https://app.example.com",
            "fva": [5, -1],
            "sid": "sess_2NRsDyvJm2pHYxd7zVhHmGgJnYc",
            "sts": "active",
            "sub": "user_2NRsDyvJm2pHYxd7zVhHmGgJnYc",
            "v": 2,
            "o": {"id": "org_2NRsDyvJm2pHYxd7zVhHmGgJnYc", "rol": "admin", "slg": "example"},
            "metadata": {"role": "service", "projects": ["p1", "p2"]},
        },
        ("service", ["p1", "p2"]),
    ),
    "clerk, of an organisation": (
        {"jwt_role_claim": "o.rol"},
        {"sub": "user_2NRsDyvJm2pHYxd7zVhHmGgJnYc", "v": 2, "o": {"id": "org_2", "rol": "admin", "slg": "example"}},
        ("admin", None),
    ),
    "clerk, without an organisation": ({"jwt_role_claim": "o.rol"}, {"v": 2}, ("user", None)),
    "auth0": (
        {"jwt_role_claim": "https://example.com/role", "jwt_projects_claim": "https://example.com/app.projects"},
        {
            "sub": "auth0|64f1b2c3d4e5f60718293a4b",
            "aud": ["https://api.example.com", "https://tenant.eu.auth0.com/userinfo"],
            "azp": "pBzFQd9nQ3kHfV0mJc6lY2sT8uWx1aZr",
            "scope": "openid profile",
            "https://example.com/role": "admin",
            "https://example.com/app.projects": ["p1"],
        },
        ("admin", ["p1"]),
    ),
    "auth0, a list of roles": (
        {"jwt_role_claim": "https://example.com/roles"},
        {"sub": "auth0|64f1b2c3d4e5f60718293a4b", "https://example.com/roles": ["billing", "service", "admin"]},
        ("admin", None),
    ),
    "auth0, a name that is no URL": (
        {"jwt_role_claim": "example.com/role", "jwt_projects_claim": "example.com/projects"},
        {"sub": "auth0|64f1b2c3d4e5f60718293a4b", "example.com/role": "admin", "example.com/projects": ["p1"]},
        ("admin", ["p1"]),
    ),
    "keycloak": (
        {"jwt_role_claim": "realm_access.roles", "jwt_projects_claim": "projects"},
        {
            "typ": "Bearer",
            "aud": "account",
            "jti": "onrtac:5b2e",
            "realm_access": {"roles": ["offline_access", "service", "uma_authorization"]},
            "resource_access": {"account": {"roles": ["admin"]}},
            "projects": [],
        },
        ("service", []),
    ),
    "cognito": (
        {"jwt_role_claim": "cognito:groups", "jwt_projects_claim": "custom:projects"},
        {"token_use": "id", "cognito:groups": ["eu-west-1_AbC_Google", "admin"], "custom:projects": ["p1"]},
        ("admin", ["p1"]),
    ),
    "entra": (
        {"jwt_role_claim": "roles"},
        {"ver": "2.0", "tid": "9188040d", "oid": "1b2c", "roles": ["admin"], "wids": ["b79fbf4d"], "scp": "chat"},
        ("admin", None),
    ),
    "firebase": (
        {},
        {"user_id": "u1", "role": "service", "firebase": {"identities": {}, "sign_in_provider": "password"}},
        ("service", None),
    ),
    "okta": ({"jwt_role_claim": "groups"}, {"cid": "0oa1", "scp": ["openid"], "groups": ["Everyone"]}, ("user", None)),
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_role_and_projects_are_where_a_provider_writes_them(provider: Provider, shape: str) -> None:
    names, claims, (role, projects) = SHAPES[shape]
    issuer = "https://provider.example/auth/v1"
    settings = provider.settings(jwt_issuer=issuer, **names)
    me = (await asking(settings)(sign(iss=issuer, **claims))).json()
    assert (me["user_id"], me["role"], me["projects"]) == (claims.get("sub", "u1"), role, projects)


@pytest.mark.parametrize(
    "claims",
    [{"app_metadata": {"projects": "p1"}}, {"app_metadata": ["p1"]}, {"app_metadata": {"projects": [["p1"]]}}],
    ids=["a text", "nowhere", "a list of lists"],
)
async def test_projects_that_nobody_understands_limit_to_nothing_rather_than_not_at_all(
    provider: Provider, claims: dict[str, Any]
) -> None:
    ask = asking(provider.settings(jwt_projects_claim="app_metadata.projects"))
    assert (await ask(sign(**claims))).status_code == 401


async def test_audience_and_issuer_are_checked_where_they_are_set(provider: Provider) -> None:
    ask = asking(provider.settings(jwt_audience="api", jwt_issuer="https://p.example/"))
    good: dict[str, Any] = {"aud": ["api", "other"], "iss": "https://p.example/"}
    assert (await ask(sign(**good))).status_code == 200
    wrongs: list[dict[str, Any]] = [{"aud": "other"}, {"aud": ...}, {"iss": "https://p.example"}, {"iss": ...}]
    for wrong in wrongs:
        assert (await ask(sign(**(good | wrong)))).status_code == 401, wrong


async def test_a_clock_that_is_ahead_is_forgiven_as_far_as_it_is_said(provider: Provider) -> None:
    ahead = sign(iat=int(time.time()) + 90, nbf=int(time.time()) + 90)
    assert (await asking(provider.settings())(ahead)).status_code == 401
    assert (await asking(provider.settings(jwt_leeway_s=120))(ahead)).status_code == 200
    over = sign(exp=int(time.time()) - 90)
    assert (await asking(provider.settings(jwt_leeway_s=120))(over)).status_code == 401


async def test_a_secret_counts_beside_a_provider_only_where_one_is_set(provider: Provider) -> None:
    development = provider.settings()
    assert (await asking(development)(token_for(development, "u1"))).status_code == 401
    both = provider.settings(jwt_secret=SecretStr("a-secret-of-at-least-thirty-two-bytes"))
    assert (await asking(both)(token_for(both, "u1"))).status_code == 200
    assert (await asking(both)(sign())).status_code == 200


async def test_a_new_key_is_fetched_when_a_token_names_it_but_not_more_often_than_every_30_seconds(
    provider: Provider, clock: Clock
) -> None:
    ask = asking(provider.settings())
    assert (await ask(sign())).status_code == 200
    provider.keys.append(public_jwk("k2", "RS256"))
    for _ in range(3):
        assert (await ask(sign("k2", "RS256"))).status_code == 401
    assert provider.asked == 1
    clock.now += 30
    assert (await ask(sign("k2", "RS256"))).status_code == 200
    for unknown in ("k3", "k4"):
        assert (await ask(sign("strangers", headers={"kid": unknown}))).status_code == 401
    assert provider.asked == 2


async def test_all_who_come_at_once_wait_for_one_fetch(provider: Provider) -> None:
    ask = asking(provider.settings())
    provider.answers.clear()
    asked = [asyncio.create_task(ask(sign(sub=f"u{n}"))) for n in range(20)]
    await until_true(lambda: provider.asked == 1)
    provider.answers.set()
    assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
    assert provider.asked == 1


async def test_who_goes_away_takes_the_fetch_from_nobody(provider: Provider) -> None:
    authenticator = handed_over(World(settings=provider.settings()).api(), Authenticator)
    provider.answers.clear()
    first, second = (asyncio.create_task(authenticator.authenticate(Credentials(f"Bearer {sign()}"))) for _ in range(2))
    await until_true(lambda: provider.asked == 1)
    first.cancel()
    provider.answers.set()
    assert (await second).caller is not None


async def test_a_key_that_is_taken_back_counts_no_more_though_its_token_was_verified(
    provider: Provider, clock: Clock
) -> None:
    provider.keys.append(public_jwk("k2", "ES256"))
    ask = asking(provider.settings())
    assert (await ask(sign("k2"))).status_code == 200
    del provider.keys[1]
    clock.now += signing_keys.FRESH_S
    await ask(sign("k1"))  # begins a fetch, which nobody waits for
    await until_true(lambda: provider.asked == 2)

    async def refused() -> bool:
        return bool((await ask(sign("k2"))).status_code == 401)

    assert await until(refused, "the key to be forgotten")
    assert (await ask(sign("k1"))).status_code == 200


async def test_a_key_that_was_taken_back_while_nobody_called_counts_not_even_once(
    provider: Provider, clock: Clock
) -> None:
    provider.keys.append(public_jwk("k2", "ES256"))
    ask = asking(provider.settings())
    assert (await ask(sign("k2"))).status_code == 200
    del provider.keys[1]
    clock.now += signing_keys.FRESH_S + signing_keys.REFRESH_S + 1
    assert (await ask(sign("k2"))).status_code == 401
    assert (await ask(sign("k1"))).status_code == 200


async def test_keys_outlast_an_outage_for_as_long_as_is_said(provider: Provider, clock: Clock) -> None:
    ask = asking(provider.settings(jwt_keys_kept_s=3600))
    token = sign(exp=int(time.time()) + 10_000)
    assert (await ask(token)).status_code == 200
    provider.status = 500
    clock.now += 3599
    assert (await ask(token)).status_code == 200
    assert (await ask(sign(sub="u2"))).status_code == 200  # not only what was verified before
    clock.now += 2
    refused = await ask(token)
    assert (refused.status_code, refused.json()["code"]) == (503, "keys_away")
    assert int(refused.headers["retry-after"]) >= 1
    provider.status = 200
    clock.now += 30
    assert (await ask(token)).status_code == 200


FAULTS: dict[str, dict[str, Any]] = {
    "an error": {"status": 500},
    "HTML": {"body": b"<!doctype html><title>Sign in</title>"},
    "JSON that is no set": {"body": b'["keys"]'},
    "keys that are none": {"body": b'{"keys": {"kid": "k1"}}'},
    "no keys": {"body": b'{"keys": []}'},
    "nested": {"body": b'{"keys": ' + b"[" * 100_000},
    "bytes that are no text": {"body": b'{"keys": ["\xff\xfe"]}'},
    "nothing": {"body": b""},
    "huge": {"body": b" " * (signing_keys.MOST_BYTES + 1)},
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_without_keys_nobody_is_refused_for_good(provider: Provider, fault: str) -> None:
    vars(provider).update(FAULTS[fault])
    ask = asking(provider.settings())
    answer = await ask(sign())
    assert (answer.status_code, answer.json()["code"]) == (503, "keys_away")
    assert 1 <= int(answer.headers["retry-after"]) <= 30
    assert (await ask("nonsense")).status_code == 401


async def test_a_redirect_is_not_followed(provider: Provider) -> None:
    async with running_provider() as other:
        provider.status, provider.headers = 302, {"Location": f"{other.url}/.well-known/jwks.json"}
        assert (await asking(provider.settings())(sign())).status_code == 503
        assert other.asked == 0


async def test_a_provider_that_is_not_there_is_503(provider: Provider) -> None:
    assert (await asking(provider.settings(jwt_jwks_url="http://127.0.0.1:1/keys"))(sign())).status_code == 503


async def test_a_provider_that_hangs_holds_up_only_who_needs_it(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_keys, "FETCH_S", 0.2)
    both = provider.settings(jwt_secret=SecretStr("a-secret-of-at-least-thirty-two-bytes"))
    ask = asking(both)
    provider.answers.clear()
    waiting = asyncio.create_task(ask(sign()))
    await until_true(lambda: provider.asked == 1)
    assert (await ask(token_for(both, "u1"))).status_code == 200
    assert (await waiting).status_code == 503


async def test_a_provider_that_answers_a_byte_at_a_time_is_away_before_long(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_keys, "FETCH_S", 0.2)
    provider.drip_s = 0.02
    refused = await asking(provider.settings())(sign())
    assert (refused.status_code, refused.json()["code"]) == (503, "keys_away")


async def test_keys_that_are_no_good_are_passed_over(provider: Provider) -> None:
    good = public_jwk("k1", "RS256")
    secret = {"kty": "oct", "kid": "k2", "alg": "HS256", "k": "YS1zZWNyZXQtb2YtYXQtbGVhc3QtdGhpcnR5LXR3by1ieXRlcw"}
    provider.keys = [
        None,
        "k1",
        {"kty": []},
        secret,
        {**good, "kid": 5},
        {**good, "kid": "enc", "use": "enc"},
        {**good, "kid": "512", "alg": "RS512"},
        {**good, "kid": "wrap", "key_ops": ["wrapKey"]},
        {**private_jwk("k1", "RS256"), "kid": "private"},
        {**private_jwk("k1", "EdDSA"), "kid": "private"},
        {**good, "kid": "broken", "n": "!"},
        {**public_jwk("k1", "ES256"), "kid": "curve", "crv": "P-384"},
        good,
    ]
    ask = asking(provider.settings())
    assert (await ask(sign("k1", "RS256"))).status_code == 200
    for kid in ("enc", "512", "wrap", "private", "broken", "curve"):
        algorithm = "ES256" if kid == "curve" else "RS256"
        assert (await ask(sign("k1", algorithm, headers={"kid": kid}))).status_code == 401, kid
    assert (await ask(sign("k1", "EdDSA", headers={"kid": "private"}))).status_code == 401
    forged = token_for(Settings(_env_file=None, jwt_secret=SecretStr("a-secret-of-at-least-thirty-two-bytes")), "u1")
    assert (await ask(forged)).status_code == 401


@pytest.mark.parametrize(
    "fields",
    [{"use": None, "alg": None, "key_ops": None}, {"x5c": ["?"]}],
    ids=["nulls", "certificate"],
)
@pytest.mark.parametrize("mark", [b"", BOM_UTF8], ids=["plain", "marked"])
async def test_a_key_counts_however_its_provider_spells_it(
    provider: Provider, fields: dict[str, Any], mark: bytes
) -> None:
    key = public_jwk("k1", "EdDSA") | fields
    provider.body = mark + json.dumps({"keys": [key]}).encode()
    ask = asking(provider.settings())
    assert (await ask(sign("k1", "EdDSA"))).status_code == 200


async def test_a_token_without_a_kid_means_the_only_key_of_its_algorithm(provider: Provider) -> None:
    provider.keys = [public_jwk("k1", "ES256"), public_jwk("r1", "RS256")]
    ask = asking(provider.settings())
    assert (await ask(sign("k1", headers={"kid": ...}))).status_code == 200
    provider.keys.append(public_jwk("k2", "ES256"))
    assert (await asking(provider.settings())(sign("k1", headers={"kid": ...}))).status_code == 401
