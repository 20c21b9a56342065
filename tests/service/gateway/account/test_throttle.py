"""How many turns of one user may begin, and run at once."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from services.gateway.account.limits.buckets import Buckets
from services.gateway.account.limits.throttle import Throttle, user_account, visitors_account
from services.gateway.turns.here.counts import TurnCounts
from shared.errors import Crowded, TooMany
from shared.settings import Settings


def throttle(at_once: int, running: TurnCounts | None = None, **values: int) -> Throttle:
    limits = {"turns_at_once": at_once, "turns_per_minute": 3, **values}
    settings = Settings(_env_file=None, environment="test", **limits)  # type: ignore[arg-type]  # fields by name
    return Throttle(settings, running or TurnCounts(), Buckets())


async def is_admitted(limits: Throttle, account: str = "u1") -> bool:
    try:
        async with limits.admitted(account):
            return True
    except TooMany:
        return False


async def test_turns_that_are_only_beginning_count_and_each_user_has_their_own() -> None:
    limits = throttle(at_once=2)
    async with limits.admitted("u1"), limits.admitted("u1"):
        assert not await is_admitted(limits)
        assert await is_admitted(limits, "u2")
    assert await is_admitted(limits)


async def test_turns_that_run_count() -> None:
    running = TurnCounts()
    limits = throttle(2, running)
    with running.counting("u1"), running.counting("u1"):
        with pytest.raises(TooMany) as refused:
            async with limits.admitted("u1"):
                pass
        assert await is_admitted(limits, "u2")
    assert refused.value.extra["retry_after_s"] >= 1
    assert await is_admitted(limits)


async def test_all_together_may_have_so_many_and_visitors_half_of_them() -> None:
    limits = throttle(at_once=9, all_turns_at_once=4)
    visitors = [visitors_account(f"192.0.2.{number}") for number in range(3)]
    async with limits.admitted("u1"), limits.admitted(visitors[0]), limits.admitted(visitors[1]):
        with pytest.raises(Crowded):
            await is_admitted(limits, visitors[2])
        async with limits.admitted("u2"):
            with pytest.raises(Crowded) as refused:
                await is_admitted(limits, "u3")
    assert (refused.value.status, refused.value.retry_after_s) == (503, 2)
    assert await is_admitted(limits, "u3")


async def test_all_visitors_of_one_address_are_one_and_new_ones_count_too() -> None:
    limits = throttle(at_once=9, visitor_turns_per_minute=3)
    here = visitors_account("2001:db8::1")
    await limits.count_visitor(here)
    for host in ("2001:db8::2", "2001:db8:0:0:ffff::3"):
        assert await is_admitted(limits, visitors_account(host))
    assert not await is_admitted(limits, visitors_account("2001:db8::4"))
    with pytest.raises(TooMany):
        await limits.count_visitor(here)
    assert await is_admitted(limits, visitors_account("2001:db8:0:1::1"))
    assert await is_admitted(limits, user_account("2001:db8::1"))


async def test_a_place_is_given_back_by_whoever_fails_is_refused_or_goes_away() -> None:
    limits = throttle(at_once=1)

    async def hold(failure: Exception | None, began: asyncio.Event) -> None:
        async with limits.admitted("u1"):
            began.set()
            if failure is not None:
                raise failure
            await asyncio.Event().wait()

    with pytest.raises(LookupError):
        await hold(LookupError(), asyncio.Event())
    began = asyncio.Event()
    holding = asyncio.create_task(hold(None, began))
    await began.wait()
    holding.cancel()
    await asyncio.wait({holding})
    assert await is_admitted(limits)
    for _ in range(2):  # by the minute's limit, not for want of a place
        with pytest.raises(TooMany, match="a minute"):
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(limits.admitted("u1"))


async def test_so_many_look_at_turns_a_minute_beside_those_that_begin() -> None:
    limits = throttle(at_once=9, turns_per_minute=2)
    for _ in range(2):
        await limits.count_look("u1")
    with pytest.raises(TooMany) as refused:
        await limits.count_look("u1")
    assert refused.value.extra["retry_after_s"] >= 1
    await limits.count_look("u2")
    assert await is_admitted(limits)


async def test_so_many_follow_at_once_until_they_leave() -> None:
    limits = throttle(at_once=2)
    leave, _ = limits.begin_following("u1"), limits.begin_following("u1")
    with pytest.raises(TooMany):
        limits.begin_following("u1")
    limits.begin_following("u2")
    leave()
    limits.begin_following("u1")
