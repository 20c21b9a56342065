"""Turns, tokens and sessions count against a quota where they are claimed and finished, once, wherever that is."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from services.gateway.account.limits.quota_store import QuotaStore, count_session, uncount_session
from services.gateway.sessions.openings import SessionOpenings
from services.gateway.turns.quota import Quota, UsedUp
from services.gateway.turns.stored.claims import Claim, Lost, claim_in
from services.gateway.turns.stored.finishes import Finish
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.turn import Answer, Turn
from shared.database import Pool, open_pool, transaction
from shared.errors import QuotaUsedUp
from shared.ids import new_id
from tests.connected.gateway.turns.turn_stage import Gateway
from tests.connected.locks import until_blocked

pytestmark = pytest.mark.no_broker

TODAY = "(now() AT TIME ZONE 'UTC')::date"


def quota(by: str = "ann", *others: str, **most: Any) -> Quota:
    return {"by": by, "with": [by, *others], **most}


def asks(gateway: Gateway, session: str, within: Quota | None, **changes: Any) -> Claim:
    changes = {"begins": True, **changes}
    return replace(gateway.claim("hello", session=session), quota=within, **changes)


def answer(text: str = "hi", tokens: int = 10, **changes: Any) -> Answer:
    trace = {"trace_id": str(new_id()), "model": "m", "input_tokens": tokens, "output_tokens": 1}
    return Answer(**{"content": text, "parts": [], "status": "complete", "trace": trace, **changes})


@pytest.fixture
async def pool(gateway: Gateway) -> AsyncIterator[Pool]:
    async with open_pool(gateway.settings.gateway_database_url, "test") as pool:
        yield pool


class Used:
    def __init__(self, owner: asyncpg.Connection) -> None:
        self._owner = owner

    async def of(self, user: str = "ann") -> tuple[int, int, int, int]:
        row = await self._owner.fetchrow(
            f"""
            SELECT turns, input_tokens, output_tokens, sessions FROM gateway.usage
            WHERE user_id = $1 AND day = {TODAY}
            """,  # noqa: S608
            user,
        )
        return tuple(row) if row else (0, 0, 0, 0)


@pytest.fixture
def used(owner: asyncpg.Connection) -> Used:
    return Used(owner)


async def test_who_has_no_quota_is_counted_nowhere(gateway: Gateway, owner: asyncpg.Connection) -> None:
    turn = await gateway.store.claim(asks(gateway, "s1", None))
    assert isinstance(turn, Turn)
    await gateway.store.finish(Finish(turn, answer()))
    assert turn.counted is None
    assert await owner.fetchval("SELECT count(*) FROM gateway.usage") == 0


async def test_turns_count_until_there_are_as_many_as_may_be(gateway: Gateway, used: Used) -> None:
    claims = [asks(gateway, f"s{number}", quota(turns_per_day=2)) for number in range(4)]
    results = [await gateway.store.claim(each) for each in claims]
    assert [type(each) for each in results] == [Turn, Turn, UsedUp, UsedUp]
    assert isinstance(results[2], UsedUp)
    assert results[2].kind == "turns_per_day"
    assert await used.of() == (2, 0, 0, 2)
    assert await gateway.store.running(["ann"], "s2") is None  # nothing is left of what was refused


async def test_nobody_passes_a_quota_by_asking_in_many_places_at_once(gateway: Gateway, used: Used) -> None:
    async with open_pool(gateway.settings.gateway_database_url, "other") as other:
        stores = (gateway.store, TurnStore(other))
        claims = [asks(gateway, f"s{number}", quota(turns_per_day=7, sessions_in_all=9)) for number in range(40)]
        results = await asyncio.gather(*(stores[each % 2].claim(claim) for each, claim in enumerate(claims)))
    assert sum(isinstance(each, Turn) for each in results) == 7
    assert await used.of() == (7, 0, 0, 7)


async def test_groups_that_count_for_the_same_users_wait_for_each_other(
    gateway: Gateway, pool: Pool, owner: asyncpg.Connection
) -> None:
    """In one order, whichever order they come in: else each might wait for the other."""
    async with transaction(pool) as db:
        await claim_in(db, [asks(gateway, "s1", quota("bob", turns_per_day=9))])
        both = [asks(gateway, f"t{by}", quota(by, turns_per_day=9)) for by in ("cat", "bob", "ann")]
        claiming = asyncio.create_task(gateway.store.claim(both[0]))
        others = [asyncio.create_task(gateway.store.claim(each)) for each in both[1:]]
        await until_blocked(owner)
        [mine] = await claim_in(db, [asks(gateway, "s2", quota("cat", turns_per_day=9))])
        assert isinstance(mine, Turn)
    assert all(isinstance(each, Turn) for each in await asyncio.gather(claiming, *others))


async def test_a_repeat_counts_nothing_and_neither_does_who_comes_too_late(gateway: Gateway, used: Used) -> None:
    within = quota(turns_per_day=9)
    first = asks(gateway, "s1", within, key="k")
    assert isinstance(await gateway.store.claim(first), Turn)
    assert await gateway.store.claim(replace(first, turn_id=new_id())) is Lost.TAKEN
    turn = await gateway.store.by_key("ann", "k")
    assert turn is not None
    await gateway.store.finish(Finish(turn, answer(), counts=True))
    assert await gateway.store.claim(asks(gateway, "s1", within)) is Lost.STALE
    assert await used.of() == (1, 10, 1, 1)


async def test_a_repeat_is_found_also_by_who_may_ask_nothing_more(gateway: Gateway) -> None:
    first = asks(gateway, "s1", quota(turns_per_day=1), key="k")
    await gateway.store.claim(first)
    assert await gateway.store.claim(replace(first, turn_id=new_id())) is Lost.TAKEN


async def test_tokens_of_each_attempt_count_once_whoever_ends_it(gateway: Gateway, used: Used) -> None:
    turn = await gateway.store.claim(asks(gateway, "s1", quota(turns_per_day=9)))
    assert isinstance(turn, Turn)
    finish = Finish(turn, answer("part", 10, status="interrupted"), counts=True)
    for _ in range(2):  # as where nobody heard that it was committed
        assert await gateway.store.finish(finish)
    assert await used.of() == (1, 10, 1, 1)
    await gateway.store.finish(replace(finish, answer=answer("part, and the rest", 25)))  # instead of that one
    assert await used.of() == (1, 25, 1, 1)


async def test_tokens_of_all_calls_of_the_model_count(gateway: Gateway, used: Used) -> None:
    turn = await gateway.store.claim(asks(gateway, "s1", quota(turns_per_day=9)))
    assert isinstance(turn, Turn)
    rounds = [{"trace_id": str(new_id()), "input_tokens": 100, "output_tokens": tokens} for tokens in (20, None)]
    finish = Finish(turn, answer("part", 10, status="interrupted", rounds=rounds[:1]), counts=True)
    await gateway.store.finish(finish)
    assert await used.of() == (1, 110, 21, 1)
    await gateway.store.finish(replace(finish, answer=answer("all", 10, rounds=rounds)))  # instead of that one
    assert await used.of() == (1, 210, 21, 1)


async def test_a_turn_that_runs_again_is_one_turn_and_its_tokens_are_those_of_both(
    gateway: Gateway, used: Used
) -> None:
    turn = await gateway.store.claim(asks(gateway, "s1", quota(turns_per_day=1)))
    assert isinstance(turn, Turn)
    await gateway.store.finish(Finish(turn, answer("", 10, status="failed"), counts=True))
    again = await gateway.store.rerun(turn, "test")
    assert again is not None
    await gateway.store.finish(Finish(again, answer("hi", 7), counts=again.counted is not None))
    assert await used.of() == (1, 17, 2, 1)


async def test_tokens_of_a_turn_that_somebody_else_ends_count(
    gateway: Gateway, used: Used, owner: asyncpg.Connection
) -> None:
    text = "x" * 400
    for session, ends in (("s1", gateway.store.stop), ("s2", gateway.store.interrupt_expired)):
        turn = await gateway.store.claim(asks(gateway, session, quota(turns_per_day=9)))
        assert isinstance(turn, Turn)
        await gateway.store.checkpoint([(turn.turn_id, 1, 0, [{"type": "text", "text": text}])])
        await owner.execute("UPDATE gateway.turns SET lease_until = now() - interval '1 s' WHERE state = 'running'")
        now = await gateway.store.find(turn.turn_id)
        assert now is not None
        assert await ends(now) is not None
    assert await used.of() == (2, 0, 200, 2)
    lengthened = answer(text + text, 0, status="stopped", revision=9)
    lengthened = replace(lengthened, trace={**(lengthened.trace or {}), "input_tokens": 5, "output_tokens": 200})
    turn_id = await owner.fetchval("SELECT turn_id FROM gateway.turns WHERE session_id = 's1'")
    stopped = await gateway.store.find(turn_id)
    assert stopped is not None
    assert await gateway.store.lengthen(stopped, lengthened) is not None
    assert await used.of() == (2, 5, 300, 2)


async def test_who_has_had_their_tokens_begins_no_turn(gateway: Gateway) -> None:
    within = quota(tokens_per_day=11)
    turn = await gateway.store.claim(asks(gateway, "s1", within))
    assert isinstance(turn, Turn)
    await gateway.store.finish(Finish(turn, answer(), counts=True))
    refused = await gateway.store.claim(asks(gateway, "s2", within))
    assert isinstance(refused, UsedUp)
    assert refused.kind == "tokens_per_day"


async def test_what_a_visitor_used_counts_when_they_have_signed_in(gateway: Gateway, used: Used) -> None:
    visitor, user = quota("visitor_1", turns_per_day=2), quota("ann", "visitor_1", turns_per_day=2)
    await gateway.store.claim(asks(gateway, "s1", visitor))
    await gateway.store.claim(asks(gateway, "s2", user))
    assert isinstance(await gateway.store.claim(asks(gateway, "s3", user)), UsedUp)
    assert (await used.of("visitor_1"), await used.of()) == ((1, 0, 0, 1), (1, 0, 0, 1))


async def test_visitors_of_one_address_are_one(gateway: Gateway, used: Used) -> None:
    address = {**quota("from a", turns_per_day=2), "prefix": "visitor_"}
    claims = [asks(gateway, f"s{each}", {**quota(f"visitor_{each}"), "address": address}) for each in range(3)]
    *_, last = [await gateway.store.claim(each) for each in claims]
    assert isinstance(last, UsedUp)
    assert last.kind == "visitor_turns_per_day"
    assert await used.of("from a") == (2, 0, 0, 2)
    assert await used.of("visitor_2") == (0, 0, 0, 0)
    assert "your address" in str(last.refusal(claims[2].quota or {}))


def from_address(visitor: str, address: str, **most: Any) -> Quota:
    return {**quota(visitor), "address": {**quota(address, **most), "prefix": "visitor_"}}


async def test_an_address_has_had_the_tokens_too_and_not_what_was_withdrawn(gateway: Gateway, used: Used) -> None:
    claims = [asks(gateway, f"s{each}", from_address("visitor_1", "from a", turns_per_day=9)) for each in range(2)]
    turn, _ = [await gateway.store.claim(each) for each in claims]
    assert isinstance(turn, Turn)
    await gateway.store.finish(Finish(turn, answer(), counts=True))
    await gateway.store.withdraw(claims[1].turn_id, claims[1].nonce)
    assert (await used.of("visitor_1"), await used.of("from a")) == ((1, 10, 1, 1),) * 2


async def test_groups_of_visitors_whose_addresses_cross_wait_for_each_other(
    gateway: Gateway, pool: Pool, owner: asyncpg.Connection
) -> None:
    """Each group takes the rows of all of it in one order, before it counts any."""

    async def claim_all(*those: tuple[str, str]) -> list[Any]:
        claims = [asks(gateway, f"s-{each}", from_address(each, address)) for each, address in those]
        async with transaction(pool) as db:
            return [*await claim_in(db, claims)]

    await owner.execute(f"INSERT INTO gateway.usage (user_id, day) VALUES ('visitor_5', {TODAY})")  # noqa: S608
    async with owner.transaction():
        await owner.execute("SELECT FROM gateway.usage WHERE user_id = 'visitor_5' FOR UPDATE")
        one = asyncio.create_task(claim_all(("visitor_1", "from b"), ("visitor_5", "from c"), ("visitor_9", "from a")))
        await until_blocked(owner)
        other = asyncio.create_task(claim_all(("visitor_2", "from a"), ("visitor_6", "from b")))
        await until_blocked(owner, 2)
    claimed = [*await one, *await other]
    assert [type(each) for each in claimed] == [Turn] * 5


async def test_an_opening_that_nobody_was_told_of_is_no_session_of_the_day(pool: Pool, used: Used) -> None:
    openings, within = SessionOpenings(pool), quota(sessions_per_day=1)
    event_id = new_id()
    for proposed in (event_id, new_id()):  # the same again counts once
        await openings.take("ann", b"hash", "s1", proposed, opening={}, quota=within)
        assert await used.of() == (0, 0, 0, 1)
    with pytest.raises(QuotaUsedUp):
        await openings.take("ann", b"other", "s2", new_id(), opening={}, quota=within)
    await openings.withdraw("ann", event_id, within)
    assert await used.of() == (0, 0, 0, 0)
    assert (await openings.take("ann", b"other", "s2", new_id(), opening={}, quota=within)).session_id == "s2"


async def test_a_day_begins_with_nothing_used(gateway: Gateway, owner: asyncpg.Connection) -> None:
    await owner.execute(f"INSERT INTO gateway.usage (user_id, day, turns) VALUES ('ann', {TODAY} - 1, 9)")  # noqa: S608
    assert isinstance(await gateway.store.claim(asks(gateway, "s1", quota(turns_per_day=1))), Turn)


async def test_a_day_is_one_of_utc_wherever_the_database_is(gateway: Gateway, owner: asyncpg.Connection) -> None:
    """In a zone in which it is another day now; what was counted is taken from the day on which it was."""
    now = datetime.now(UTC)
    zone = "Pacific/Kiritimati" if now.hour >= 12 else "Etc/GMT+12"
    database = urlsplit(gateway.settings.database_url).path.removeprefix("/")
    await owner.execute(f"ALTER DATABASE \"{database}\" SET timezone = '{zone}'")
    within = quota(turns_per_day=2)
    async with open_pool(gateway.settings.gateway_database_url, "elsewhere") as there:
        store = TurnStore(there)
        claims = [asks(gateway, f"s{each}", within) for each in range(3)]
        first, second, refused = [await store.claim(each) for each in claims]
        assert isinstance(first, Turn)
        assert isinstance(second, Turn)
        assert isinstance(refused, UsedUp)
        assert refused.next_day == datetime.combine(now.date() + timedelta(days=1), time(), UTC)
        assert {row["day"] for row in await owner.fetch("SELECT day FROM gateway.usage")} == {now.date()}
        assert (await QuotaStore(there).today("ann")).turns == 2
        await store.finish(Finish(second, answer(), counts=True))
        async with there.acquire() as db:
            assert await count_session(db, within, "f1", is_fork=True) is None
            await uncount_session(db, within, "f1")
        rows = await owner.fetch("SELECT day, turns, input_tokens, sessions, forks FROM gateway.usage")
        assert [tuple(row) for row in rows] == [(now.date(), 2, 10, 2, [])]


async def test_what_was_claimed_yesterday_is_taken_back_from_yesterday(
    gateway: Gateway, owner: asyncpg.Connection, used: Used
) -> None:
    claims = [asks(gateway, f"s{each}", quota(turns_per_day=9)) for each in range(2)]
    await gateway.store.claim(claims[0])
    await owner.execute(
        f"""
        WITH moved AS (UPDATE gateway.usage SET day = {TODAY} - 1)
        UPDATE gateway.turns SET counted = counted || jsonb_build_object('day', {TODAY} - 1)
        """  # noqa: S608
    )
    await gateway.store.claim(claims[1])
    await gateway.store.withdraw(claims[0].turn_id, claims[0].nonce)
    assert await used.of() == (1, 0, 0, 1)
    yesterday = await owner.fetchrow(f"SELECT turns, sessions FROM gateway.usage WHERE day = {TODAY} - 1")  # noqa: S608
    assert yesterday is not None
    assert tuple(yesterday) == (0, 0)


async def test_sessions_count_where_they_begin(gateway: Gateway, used: Used) -> None:
    within = quota(sessions_per_day=1)
    first = await gateway.store.claim(asks(gateway, "s1", within))
    assert isinstance(first, Turn)
    await gateway.store.finish(Finish(first, answer(), counts=True))
    ended = await gateway.store.find(first.turn_id)
    assert ended is not None
    goes_on = asks(gateway, "s1", within, begins=False, known_until=ended.place)
    assert isinstance(await gateway.store.claim(goes_on), Turn)
    refused = await gateway.store.claim(asks(gateway, "s2", within))
    posted = await gateway.store.claim(asks(gateway, "s3", within, state="posted"))
    assert [getattr(each, "kind", each) for each in (refused, posted)] == ["sessions_per_day"] * 2
    assert await used.of() == (2, 10, 1, 1)


async def test_a_message_that_asks_nothing_is_no_turn(gateway: Gateway, used: Used) -> None:
    """And so it is nothing to who has had their turns, or their tokens."""
    await gateway.store.claim(asks(gateway, "s1", quota(turns_per_day=9)))
    within = quota(turns_per_day=0, tokens_per_day=0, sessions_per_day=2)
    assert isinstance(await gateway.store.claim(asks(gateway, "s2", within, state="posted")), Turn)
    assert await used.of() == (1, 0, 0, 2)
    assert isinstance(await gateway.store.claim(asks(gateway, "s3", within, state="posted")), UsedUp)


async def test_a_fork_counts_once_on_whichever_day_it_is_repeated_and_asks_for_no_turn(
    owner: asyncpg.Connection, pool: Pool, used: Used
) -> None:
    await owner.execute(f"INSERT INTO gateway.usage (user_id, day, forks) VALUES ('ann', {TODAY} - 1, '{{f1}}')")  # noqa: S608
    within = {
        **quota(turns_per_day=0, tokens_per_day=0, sessions_per_day=1),
        "address": {**quota("from a"), "prefix": "visitor_"},
    }
    async with pool.acquire() as db:
        assert await count_session(db, within, "f1", is_fork=True) is None
        assert await used.of() == (0, 0, 0, 0)
        assert await count_session(db, within, "f2", is_fork=True) is None
        assert (await used.of(), await used.of("from a")) == ((0, 0, 0, 1), (0, 0, 0, 1))
        forks = "SELECT forks FROM gateway.usage WHERE user_id = 'from a'"
        assert await owner.fetchval(forks) == []  # whose an address is there nobody may tell
        await uncount_session(db, within, "f2")
    assert (await used.of(), await used.of("from a")) == ((0, 0, 0, 0), (0, 0, 0, 0))


async def test_of_sessions_that_begin_at_once_only_those_begin_that_may(pool: Pool, used: Used) -> None:
    async def begin(number: int) -> UsedUp | None:
        async with pool.acquire() as db:
            return await count_session(db, quota(sessions_per_day=3), f"f{number}", is_fork=True)

    begun = await asyncio.gather(*(begin(number) for number in range(20)))
    assert begun.count(None) == 3
    assert await used.of() == (0, 0, 0, 3)


async def test_sessions_in_all_are_those_that_are_there(
    gateway: Gateway, owner: asyncpg.Connection, pool: Pool
) -> None:
    within = quota(sessions_in_all=3)
    stored = "INSERT INTO chat.sessions (user_id, session_id, created_at, updated_at, last_activity_at) VALUES"
    await owner.execute(f"{stored} ('ann', 'stored', now(), now(), now()), ('bob', 'bobs', now(), now(), now())")
    assert isinstance(await gateway.store.claim(asks(gateway, "s1", within)), Turn)
    async with pool.acquire() as db:
        assert await count_session(db, within, "f1", is_fork=True) is None
        assert await count_session(db, within, "f1", is_fork=True) is None  # the same again
        refused = await count_session(db, within, "f2", is_fork=True)
        assert refused is not None
        assert refused.kind == "sessions_in_all"
        assert isinstance(await gateway.store.claim(asks(gateway, "s2", within)), UsedUp)
        await uncount_session(db, within, "f1")
    assert isinstance(await gateway.store.claim(asks(gateway, "s2", within)), Turn)
    await owner.execute(
        "INSERT INTO gateway.deletions (user_id, session_id, event_id, correlation_id)"
        " VALUES ('ann', 'stored', gen_random_uuid(), gen_random_uuid())"
    )
    assert isinstance(await gateway.store.claim(asks(gateway, "s3", within)), Turn)
    assert isinstance(await gateway.store.claim(asks(gateway, "s4", within)), UsedUp)


THERE = f"""
    INSERT INTO chat.sessions (user_id, session_id, created_at, updated_at, last_activity_at, deleted_at)
    SELECT split_part(name, ' ', 1), split_part(name, ' ', 2), now(), now(), now(),
        CASE WHEN name = 'ann gone' THEN now() END
    FROM unnest('{{ann stored, ann gone, ann going, ann back, ann this, bob his}}'::text[]) AS name;
    INSERT INTO gateway.session_openings (user_id, session_id, body_hash, event_id, accepted_at, opening)
    SELECT 'ann', name, convert_to(name, 'UTF8'), gen_random_uuid(), now(), '{{}}'
    FROM unnest('{{opened, stored, unopened, this too}}'::text[]) AS name;
    INSERT INTO gateway.deletions (user_id, session_id, event_id, correlation_id, settled_at)
    SELECT 'ann', name, gen_random_uuid(), gen_random_uuid(), CASE WHEN name = 'back' THEN now() END
    FROM unnest('{{going, back, unopened}}'::text[]) AS name;
    INSERT INTO gateway.usage (user_id, day, forks) VALUES
        ('ann', {TODAY}, '{{fork, stored}}'), ('ann', {TODAY} - 1, '{{late}}'), ('ann', {TODAY} - 2, '{{lost}}');
"""  # noqa: S608


async def test_each_session_that_is_there_is_one_however_it_is_known(
    gateway: Gateway, owner: asyncpg.Connection, pool: Pool
) -> None:
    """Stored, opened, forked a day ago at most, or spoken in; not what is gone, or is to go."""
    await owner.execute(THERE)
    for session in ("spoken", "stored"):
        await gateway.store.claim(asks(gateway, session, None))
    there = {"stored", "back", "this", "opened", "this too", "fork", "late", "spoken"}
    for besides in ("nothing", *there):
        counted = await pool.fetchval("SELECT gateway.sessions_of('{ann}', $1, 99)", besides)
        assert counted == len(there - {besides}), besides
    assert await pool.fetchval("SELECT gateway.sessions_of('{ann}', 'this', 2)") == 2  # and looks no further
    assert await pool.fetchval("SELECT gateway.sessions_of('{ann, bob}', 'this', 99)") == len(there)


async def test_a_claim_that_is_withdrawn_counts_nothing(gateway: Gateway, used: Used) -> None:
    claim = asks(gateway, "s1", quota(turns_per_day=1))
    await gateway.store.claim(claim)
    await gateway.store.withdraw(claim.turn_id, claim.nonce)
    assert await used.of() == (0, 0, 0, 0)


async def test_of_one_group_only_those_are_refused_who_have_had_enough(gateway: Gateway) -> None:
    claims = [
        asks(gateway, "s1", quota("ann", turns_per_day=0)),
        asks(gateway, "s2", None),
        asks(gateway, "s3", quota("bob", turns_per_day=1)),
    ]
    async with open_pool(gateway.settings.gateway_database_url, "test") as pool, transaction(pool) as db:
        results = await claim_in(db, claims)
    assert [type(each) for each in results] == [UsedUp, Turn, Turn]


async def test_today_is_what_was_used_today(gateway: Gateway, pool: Pool) -> None:
    await gateway.store.claim(asks(gateway, "s1", quota(turns_per_day=1)))
    today = await QuotaStore(pool).today("ann")
    assert (today.turns, today.sessions, today.refused) == (1, 1, 0)
