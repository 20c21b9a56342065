"""How many of something there may be in a time, and when there may be more."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.account.limits.buckets import Buckets, Rate
from services.gateway.http.answers.openai_limits import openai_limits_in
from services.gateway.http.edge.rate_limit import as_headers
from shared.errors import TooMany


class Clock:
    def __init__(self) -> None:
        self.at = 600.0  # a window begins

    def __call__(self) -> float:
        return self.at


async def is_taken(buckets: Buckets, rate: Rate, whose: str = "ann") -> bool:
    try:
        await buckets.take(rate, whose)
    except TooMany:
        return False
    return True


THREE = Rate(3, "turns", "turns")


async def test_there_are_as_many_as_may_be_and_each_has_their_own() -> None:
    buckets = Buckets(Clock())
    assert [await is_taken(buckets, THREE) for _ in range(4)] == [True, True, True, False]
    assert await is_taken(buckets, THREE, "bob")
    assert await is_taken(buckets, Rate(3, "looks", "looks"))


async def test_what_is_left_is_told_as_the_draft_has_it() -> None:
    clock = Clock()
    buckets = Buckets(clock)
    clock.at += 20.5
    first = await buckets.take(THREE, "ann")
    assert first.headers == {"RateLimit-Policy": '"turns";q=3;w=60', "RateLimit": '"turns";r=2;t=40'}
    await buckets.take(THREE, "ann")
    assert (await buckets.take(THREE, "ann")).remaining == 0
    with pytest.raises(TooMany) as refused:
        await buckets.take(THREE, "ann")
    extra = refused.value.extra
    assert extra["headers"] == {"RateLimit-Policy": '"turns";q=3;w=60', "RateLimit": '"turns";r=0;t=40'}
    assert (extra["retry_after_s"], extra["limit"]) == (40, "turns")
    assert refused.value.detail == "at most 3 turns a minute: try again in 40 s"
    assert openai_limits_in(extra["headers"]) == {
        "x-ratelimit-limit-requests": "3",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "40s",
    }
    of_tokens = as_headers("visitor_tokens_per_day", 5, 86400, (0, 60))
    assert openai_limits_in(of_tokens)["x-ratelimit-limit-tokens"] == "5"
    assert openai_limits_in({}) == openai_limits_in({"Retry-After": "1"}) == {}


async def test_who_is_let_in_may_not_come_twice_as_often_at_the_border_of_two_windows() -> None:
    clock = Clock()
    buckets = Buckets(clock)
    clock.at += 59
    assert [await is_taken(buckets, THREE) for _ in range(4)] == [True, True, True, False]
    clock.at += 2
    assert [await is_taken(buckets, THREE) for _ in range(2)] == [True, False]


async def test_the_first_window_is_a_whole_one_whatever_the_clock_says() -> None:
    clock = Clock()
    clock.at += 59.9
    buckets = Buckets(clock)
    taken = [await is_taken(buckets, THREE) for _ in range(3)]
    clock.at += 59
    assert [*taken, await is_taken(buckets, THREE)] == [True, True, True, False]


async def test_what_is_older_than_a_window_is_forgotten() -> None:
    clock = Clock()
    buckets = Buckets(clock)
    for number in range(1000):
        await buckets.take(THREE, f"user {number}")
    clock.at += 180
    await buckets.take(THREE, "ann")
    (windows,) = buckets._windows.values()
    assert (len(windows.now), len(windows.before)) == (1, 0)


async def test_what_is_only_counted_fills_the_bucket_and_no_more() -> None:
    buckets = Buckets(Clock())
    await buckets.require(THREE, "ann", 3)
    for _ in range(9):
        await buckets.count(THREE, "ann")
    with pytest.raises(TooMany):
        await buckets.require(THREE, "ann")
    assert not await is_taken(buckets, THREE)


async def test_who_needs_more_room_than_there_ever_is_is_refused_and_may_ask_again() -> None:
    with pytest.raises(TooMany) as refused:
        await Buckets(Clock()).require(THREE, "ann", 4)
    assert refused.value.extra["retry_after_s"] == 60


@given(
    amount=st.integers(1, 20),
    waits=st.lists(st.floats(0, 90, allow_nan=False), min_size=1, max_size=60),
    per=st.sampled_from(["minute", "hour"]),
)
async def test_who_comes_when_they_are_told_to_is_let_in_and_a_second_before_is_not(
    amount: int, waits: list[float], per: str
) -> None:
    clock = Clock()
    buckets, rate = Buckets(clock), Rate(amount, "turns", "turns", per)  # type: ignore[arg-type]  # one of the two
    for wait in waits:
        clock.at += wait
        try:
            await buckets.take(rate, "ann")
        except TooMany as refused:
            retry_after = refused.extra["retry_after_s"]
            then = clock.at
            if retry_after > 2:
                clock.at = then + retry_after - 2
                assert not await is_taken(buckets, rate)
            clock.at = math.ceil(then + retry_after + 1e-3)
            assert await is_taken(buckets, rate)
