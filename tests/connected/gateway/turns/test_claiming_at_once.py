"""Of those who say something in one session at the same time, each knows of the one before."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Literal

import asyncpg
import pytest

from services.gateway.turns.stored.claims import Claim, Lost, claim_in, claim_posted, lock_sessions
from services.gateway.turns.turn import Turn
from shared.database import Pool, open_pool, transaction
from tests.connected.gateway.turns.turn_stage import Gateway
from tests.connected.locks import until_blocked

State = Literal["running", "posted"]


def says(gateway: Gateway, text: str, state: State, session: str = "s1") -> Claim:
    return replace(gateway.claim(text, session=session), state=state)


@pytest.fixture
async def pool(gateway: Gateway) -> AsyncIterator[Pool]:
    async with open_pool(gateway.settings.gateway_database_url, "test") as pool:
        yield pool


async def test_of_two_messages_in_one_group_one_is_accepted(gateway: Gateway, pool: Pool) -> None:
    texts = [("one", "s1"), ("two", "s2"), ("three", "s1")]
    claims = [says(gateway, text, "posted", session) for text, session in texts]
    one, two, three = await claim_posted(pool, claims)
    assert isinstance(one, Turn)
    assert isinstance(two, Turn)
    assert (one.question.content, two.question.content, three) == ("one", "two", Lost.STALE)


@pytest.mark.parametrize(("first", "second"), [("posted", "posted"), ("running", "posted"), ("posted", "running")])
async def test_who_claims_waits_for_who_is_being_committed(
    gateway: Gateway, pool: Pool, owner: asyncpg.Connection, first: State, second: State
) -> None:
    async with transaction(pool) as db:
        if first == "posted":
            await lock_sessions(db, [("ann", "s1")])
        [one] = await claim_in(db, [says(gateway, "one", first)])
        assert isinstance(one, Turn)
        claiming = asyncio.create_task(gateway.store.claim(says(gateway, "two", second)))
        await until_blocked(owner)
    assert await claiming is Lost.STALE


async def test_a_message_is_accepted_while_a_turn_runs(gateway: Gateway) -> None:
    running = await gateway.store.claim(gateway.claim("one"))
    assert isinstance(running, Turn)
    posted = await gateway.store.claim(replace(says(gateway, "two", "posted"), known_until=running.place))
    assert isinstance(posted, Turn)
    assert posted.place > running.place
