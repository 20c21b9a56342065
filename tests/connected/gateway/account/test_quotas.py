"""What administrators say of users, and what of it outlives an erasure, on a real database."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.gateway.account.limits.quota import Quota, erased_name
from services.gateway.account.limits.quota_store import QuotaStore
from services.gateway.deletion.sweeps import SweepStore
from shared.database import Pool, open_pool
from shared.settings import Settings


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    async with open_pool(settings.gateway_database_url, "test") as pool:
        yield pool


@pytest.fixture
def quotas(pool: Pool) -> QuotaStore:
    return QuotaStore(pool)


async def test_what_is_left_out_stays_and_null_takes_it_back(quotas: QuotaStore) -> None:
    await quotas.set("ann", {"turns_per_day": 5, "tokens_per_day": 2**40})
    assert await quotas.set("ann", {"sessions_in_all": 0}) == Quota(5, 2**40, None, 0)
    assert await quotas.set("ann", {"tokens_per_day": None}) == Quota(5, None, None, 0)
    assert await quotas.set("ann", {}) == Quota(5, None, None, 0)


async def test_gateways_hear_of_what_is_new_and_of_what_is_taken_back(quotas: QuotaStore) -> None:
    await quotas.set("ann", {"turns_per_day": 5})
    heard, at = await quotas.said(None)
    assert [(each.user_id, each.quota) for each in heard] == [("ann", Quota(5))]
    await quotas.set("ann", {"turns_per_day": None})
    later, _ = await quotas.said(at)
    assert [(each.user_id, each.quota) for each in later] == [("ann", Quota())]


async def test_nothing_said_is_nothing_heard(quotas: QuotaStore, owner: asyncpg.Connection) -> None:
    await owner.execute("INSERT INTO gateway.users (user_id) VALUES ('ann')")
    heard, _ = await quotas.said(None)
    assert heard == []


async def test_who_is_erased_gets_no_new_quota_and_is_named_nowhere(
    quotas: QuotaStore, pool: Pool, owner: asyncpg.Connection
) -> None:
    await quotas.set("ann", {"turns_per_day": 5})
    day = "(now() AT TIME ZONE 'UTC')::date"
    await owner.execute(f"INSERT INTO gateway.usage (user_id, day, turns) VALUES ('ann', {day}, 3)")  # noqa: S608
    await owner.execute(f"INSERT INTO gateway.usage (user_id, day, turns) VALUES ('ann', {day} - 1, 9)")  # noqa: S608
    erased_at = await owner.fetchval("SELECT clock_timestamp()")
    for _ in range(2):  # as it is done again and again until nobody adds to it
        await SweepStore(pool).sweep_user("ann", erased_at)
        await owner.execute(f"INSERT INTO gateway.usage (user_id, day, turns) VALUES ('ann', {day}, 1)")  # noqa: S608
    await SweepStore(pool).sweep_user("ann", erased_at)
    assert await owner.fetchval("SELECT count(*) FROM gateway.usage WHERE user_id = 'ann'") == 0
    assert await owner.fetchval("SELECT count(*) FROM gateway.users WHERE user_id = 'ann'") == 0
    assert (await quotas.today(erased_name("ann"))).turns == 5
    assert await quotas.set("ann", {"tokens_per_day": 7}) == Quota(5, 7)  # what was said before holds for the rest


async def test_refusals_are_added_to_the_day_but_not_of_who_is_being_erased(
    quotas: QuotaStore, owner: asyncpg.Connection
) -> None:
    for counts in ({"ann": 2, "bob": 1}, {"ann": 3}, {"ann": 2**31 - 1}):
        await quotas.add_refused(counts)
        if counts == {"ann": 3}:
            assert ((await quotas.today("ann")).refused, (await quotas.today("bob")).refused) == (5, 1)
    assert (await quotas.today("ann")).refused == 2**31 - 1
    await owner.execute(
        "INSERT INTO gateway.erasures (user_hash, user_id, event_id, correlation_id)"
        " VALUES (tripthread.user_hash('bob'), 'bob', gen_random_uuid(), gen_random_uuid())"
    )
    await quotas.add_refused({"bob": 9})
    assert (await quotas.today("bob")).refused == 1
