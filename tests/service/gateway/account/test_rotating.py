"""A secret is replaced at gateways that serve meanwhile: in three steps, of which nobody notices anything.

First every gateway also takes the new one, then it is the one that signs, then the old one is let go.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise

import httpx2
import jwt
import pytest
from pydantic import SecretStr

from services.gateway.account.logins.links import login_token, read_login
from services.gateway.account.visitors.cookies import TOKEN_HEADER
from services.gateway.turns.elsewhere.peers import internal_tokens
from shared.errors import Gone
from shared.settings import Settings
from tests.service.gateway.fakes import World
from tests.tokens import token_for

OLD, NEW = "old-secret-of-thirty-two-bytes-or-more", "new-secret-of-thirty-two-bytes-or-more"
LEAKED = "another-secret-of-thirty-two-bytes-or-more"


def settings(secret: str, previous: str = "") -> Settings:
    return Settings(
        _env_file=None,
        environment="test",
        allowed_hosts="gateway.test",
        jwt_secret=SecretStr(secret),
        cookie_secret=SecretStr(secret),
        jwt_previous_secret=SecretStr(previous),
        cookie_previous_secret=SecretStr(previous),
    )


BEFORE, FIRST, SECOND, AFTER = settings(OLD), settings(OLD, NEW), settings(NEW, OLD), settings(NEW)
STEPS = (BEFORE, FIRST, SECOND, AFTER)


@dataclass
class Gateways:
    """One at each step."""

    http: list[httpx2.AsyncClient]

    async def me(self, step: int, token: str) -> httpx2.Response:
        self.http[step].cookies.clear()
        return await self.http[step].get("/api/me", headers={"Authorization": f"Bearer {token}"})


@pytest.fixture(scope="module")
async def gateways() -> AsyncIterator[Gateways]:
    async with AsyncExitStack() as stack:
        yield Gateways([await stack.enter_async_context(World(settings=each).client()) for each in STEPS])


async def test_a_users_token_counts_as_long_as_its_secret_does(gateways: Gateways) -> None:
    old, new, leaked = (token_for(settings(each), "ann") for each in (OLD, NEW, LEAKED))
    assert [(await gateways.me(step, old)).status_code for step in range(4)] == [200, 200, 200, 401]
    assert [(await gateways.me(step, new)).status_code for step in range(4)] == [401, 200, 200, 200]
    assert [(await gateways.me(step, leaked)).status_code for step in range(4)] == [401] * 4


async def test_a_token_of_either_secret_is_looked_at_as_closely(gateways: Gateways) -> None:
    for secret in (OLD, NEW):
        over = token_for(settings(secret), "ann", expires_in_s=-1)
        assert "expired" in (await gateways.me(2, over)).json()["detail"]
        unsigned = jwt.encode({"sub": "ann", "exp": 9999999999}, "", "none")
        assert (await gateways.me(2, unsigned)).status_code == 401


async def test_two_gateways_at_neighbouring_steps_take_each_others_visitors(gateways: Gateways) -> None:
    for made_at in range(4):
        visitor = (await gateways.http[made_at].post("/api/auth/visitor")).json()
        for step in (made_at - 1, made_at, made_at + 1):
            if step in range(4):
                answer = await gateways.me(step, visitor["token"])
                assert (answer.status_code, answer.json()["visitor_id"]) == (200, visitor["visitor_id"])
        if made_at < 2:
            assert (await gateways.me(3, visitor["token"])).status_code == 401


async def test_a_visitor_who_comes_with_what_is_replaced_is_given_the_next(gateways: Gateways) -> None:
    """So whoever comes once in the second step is the same one in the third."""
    visitor = (await gateways.http[0].post("/api/auth/visitor")).json()
    assert TOKEN_HEADER not in (await gateways.me(1, visitor["token"])).headers, "which is good as it is"
    answer = await gateways.me(2, visitor["token"])
    renewed = await gateways.me(3, answer.headers[TOKEN_HEADER])
    assert renewed.json()["visitor_id"] == visitor["visitor_id"]
    by_cookie = await gateways.http[2].get("/api/me", headers={"Cookie": f"visitor={visitor['token']}"})
    assert (await gateways.me(3, by_cookie.cookies["visitor"])).json()["visitor_id"] == visitor["visitor_id"]


def test_a_link_is_good_as_long_as_its_secret_is() -> None:
    for made, good in ((BEFORE, (BEFORE, FIRST, SECOND)), (SECOND, (FIRST, SECOND, AFTER))):
        link = login_token(made, "ann", "user", 60)
        for each in STEPS:
            if each in good:
                assert read_login(link, each).user_id == "ann"
            else:
                with pytest.raises(Gone):
                    read_login(link, each)


def test_gateways_at_neighbouring_steps_know_each_other() -> None:
    for one, other in pairwise(STEPS):
        assert internal_tokens(one)[0] in internal_tokens(other)
        assert internal_tokens(other)[0] in internal_tokens(one)
    assert internal_tokens(BEFORE)[0] not in internal_tokens(AFTER)


def test_what_a_provider_signs_may_replace_a_secret() -> None:
    provided = Settings(
        _env_file=None, jwt_jwks_url="https://login.example/jwks.json", jwt_previous_secret=SecretStr(OLD)
    )
    assert provided.hs256_secrets == (OLD,)
    assert provided.hs256_secret is None, "so `tripthread token` makes none by it"
