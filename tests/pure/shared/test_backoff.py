"""Waits between tries double, up to the longest, and replicas do not come in step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.backoff import Backoff, Delays, patiently


@pytest.mark.parametrize(("attempts", "wait_s"), [(0, 1), (1, 1), (2, 2), (5, 16), (100, 300), (10**9, 300)])
def test_waits_double_up_to_the_longest(attempts: int, wait_s: float) -> None:
    assert Backoff(1.0, 300.0).wait_s(attempts) == wait_s


@given(st.lists(st.booleans(), max_size=60))
def test_a_delay_is_between_half_and_all_of_what_its_attempt_waits(failed: list[bool]) -> None:
    delays, attempts, usual = Delays(0.1, 3.0), 0, Backoff(0.1, 3.0)
    for is_failed in failed:
        if not is_failed:
            delays.reset()
            attempts = 0
            continue
        attempts += 1
        assert usual.wait_s(attempts) / 2 <= delays.next() <= usual.wait_s(attempts)


@pytest.mark.parametrize(
    ("error", "patience_s", "attempts"), [(OSError, 30.0, 3), (OSError, 0.0, 1), (ValueError, 30.0, 1)]
)
async def test_what_may_pass_is_attempted_again_as_long_as_there_is_patience(
    error: type[Exception], patience_s: float, attempts: int
) -> None:
    made = 0

    async def attempt() -> int:
        nonlocal made
        made += 1
        if made < 3:
            raise error
        return made

    try:
        assert await patiently(attempt, lambda error: isinstance(error, OSError), patience_s) == attempts
    except error:
        assert made == attempts < 3
