"""Of those who say something in one session at the same time, each knows of the one before."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Literal

import asyncpg
import pytest

from services.gateway.turns.stored.claims import Claim, Claimed, Lost, claim_in, lock_sessions
from services.gateway.turns.stored.posted import claim_posted
from services.gateway.turns.turn import Question, Turn
from shared.database import Pool, open_pool, transaction
from tests.connected.gateway.turns.turn_stage import Gateway
from tests.connected.locks import until_blocked

ERASED = """
    INSERT INTO gateway.erasures (user_hash, event_id, correlation_id, done_at)
    VALUES (tripthread.user_hash('ann'), gen_random_uuid(), gen_random_uuid(), now())
"""
DELETED = """
    INSERT INTO gateway.deletions (user_id, session_id, event_id, correlation_id)
    VALUES ('ann', 's1', gen_random_uuid(), gen_random_uuid())
"""
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


async def test_who_has_not_read_a_session_knows_its_end_as_long_as_that_is_there(
    gateway: Gateway, pool: Pool, owner: asyncpg.Connection
) -> None:
    async def next_one(known: Turn) -> Claimed:
        claim = replace(says(gateway, "next", "posted"), known_until=known.place, is_recalled=True)
        return (await claim_posted(pool, [claim]))[0]

    first = await gateway.store.claim(says(gateway, "one", "posted"))
    assert isinstance(first, Turn)
    second = await next_one(first)
    assert isinstance(second, Turn)
    assert second.place > first.place
    assert await next_one(first) is Lost.STALE, "more was said"
    await owner.execute(ERASED)
    assert await next_one(second) is Lost.STALE, "it was erased meanwhile"
    await owner.execute("DELETE FROM gateway.erasures")
    await owner.execute("DELETE FROM gateway.turns WHERE turn_id = $1", second.turn_id)
    assert await next_one(second) is Lost.STALE, "it is not there"
    third = await next_one(first)
    assert isinstance(third, Turn)
    await owner.execute(DELETED)
    assert await next_one(third) is Lost.STALE, "it was deleted"


async def test_a_message_is_returned_as_it_is_read(gateway: Gateway) -> None:
    said = Question("m1", "hello", [{"type": "text", "text": "hello"}], "m0", None, {"b": 1, "aa": [1.5, None]})
    wanted = says(gateway, "hello", "posted")
    wanted = replace(
        wanted, question=replace(said, role="tool", client={"address": "10.0.0.0/24"}), key="k", helper="h"
    )
    posted = await gateway.store.claim(wanted)
    assert isinstance(posted, Turn)
    assert posted == await gateway.store.find(posted.turn_id)
    assert [*posted.question.metadata] == ["b", "aa"], "as the relay will tell of it"
