"""Which upstream is asked next: shares by weight, health first, and no more calls than may help."""

from collections import Counter
from uuid import UUID, uuid5

import pytest
from pydantic import SecretStr

from services.gateway.model.asking.choosing import LONGEST_WAIT_S, MOST_CALLS, Attempts, Next, choose
from services.gateway.model.asking.circuit import OPENS_AFTER, Circuit
from services.gateway.model.asking.failures import (
    BROKEN,
    BUSY,
    DOWN,
    ELSEWHERE,
    HOPELESS,
    Outlook,
    outlook_of,
    wanted_wait_s,
)
from services.gateway.model.chunks import Complaint
from services.gateway.model.configured.catalog import Offer, UpstreamSpec
from services.gateway.model.configured.patience import Limits
from services.gateway.model.reading.complaints import complaint_in, told
from shared.backoff import Delays

SESSION = UUID(int=1)
SESSIONS = [uuid5(SESSION, str(number)) for number in range(2000)]


def offers(**weights: float) -> list[Offer]:
    limits = Limits(1, 1, 1, 1)
    specs = [
        UpstreamSpec(name, "http://x", SecretStr(""), "p", limits, weight=weight) for name, weight in weights.items()
    ]
    return [Offer(spec, "m") for spec in specs]


def circuits(given: list[Offer], *, opened: str = "", resting_until: float = 0) -> dict[str, Circuit]:
    made = {offer.upstream.name: Circuit() for offer in given}
    for name in opened:
        for _ in range(OPENS_AFTER):
            made[name].failed(0)
    if resting_until:
        made["a"].leave_alone(resting_until)
    return made


def attempts(given: list[Offer], known: dict[str, Circuit] | None = None) -> Attempts:
    return Attempts(given, known or circuits(given), SESSION, lambda: Delays(first_s=1, longest_s=1))


def called(given: list[Offer], *outlooks: Outlook, wait_s: float | None = None) -> list[str]:
    """Return who is asked, where each call fails so, one after the other."""
    tries, now = attempts(given), 0.0
    names, following = [], tries.first(now)
    for outlook in outlooks:
        assert following is not None
        names.append(following.offer.upstream.name)
        now = following.at
        following = tries.after(following.offer, outlook, wait_s, now)
    return [*names, following.offer.upstream.name] if following else names


def test_sessions_are_shared_out_by_weight() -> None:
    given = offers(a=3, b=1)
    shares = Counter(choose(given, circuits(given), session, 0).upstream.name for session in SESSIONS)
    assert shares["a"] / len(SESSIONS) == pytest.approx(0.75, abs=0.03)


def test_a_session_stays_with_its_upstream_and_only_those_of_one_that_is_away_move() -> None:
    given = offers(a=1, b=1, c=1)
    well, without_a = circuits(given), circuits(given, opened="a")
    for session in SESSIONS[:200]:
        own = choose(given, well, session, 0).upstream.name
        meanwhile = choose(given, without_a, session, 0).upstream.name
        assert own in (meanwhile, "a")
        assert meanwhile != "a"


def test_where_nobody_is_well_the_one_that_is_so_soonest_is_asked() -> None:
    given = offers(a=1, b=1)
    known = circuits(given, opened="ab")
    known["b"].call_begins(1)
    assert choose(given, known, SESSION, 1).upstream.name == "a"
    known = circuits(given, opened="ab")
    known["a"].call_begins(1)
    assert choose(given, known, SESSION, 1).upstream.name == "b"


def test_each_is_asked_once_before_one_is_asked_again() -> None:
    assert sorted(called(offers(a=1, b=1, c=1, d=1), BROKEN, BROKEN, BROKEN)) == ["a", "b", "c", "d"]
    assert len(called(offers(a=1, b=1, c=1, d=1), *[BROKEN] * 4)) == 4


def test_one_alone_is_asked_so_many_times_where_that_may_help() -> None:
    assert called(offers(a=1), *[BUSY] * MOST_CALLS) == ["a"] * MOST_CALLS
    assert called(offers(a=1), DOWN) == ["a"]
    assert called(offers(a=1), ELSEWHERE) == ["a"]
    assert called(offers(a=1), HOPELESS) == ["a"]


def test_what_nobody_will_answer_is_asked_once() -> None:
    assert len(called(offers(a=1, b=1), HOPELESS)) == 1


def test_one_that_asks_for_time_is_given_it_unless_it_is_too_much() -> None:
    [alone] = offers(a=1)
    tries = attempts([alone])
    tries.first(0)
    following = tries.after(alone, BUSY, 7, 100)
    assert following is not None
    assert 107.5 <= following.at <= 108
    tries = attempts([alone])
    tries.first(0)
    assert tries.after(alone, BUSY, LONGEST_WAIT_S + 1, 100) is None


@pytest.mark.parametrize(("first_s", "second_s", "is_first"), [(9, 1, False), (1, 9, True)])
def test_of_two_that_ask_for_time_the_one_that_asks_for_less_is_asked_again(
    first_s: float, second_s: float, is_first: bool
) -> None:
    given = offers(a=1, b=1)
    tries = attempts(given)
    first = tries.first(0)
    assert first is not None
    second = tries.after(first.offer, BUSY, first_s, 0)
    assert second is not None
    following = tries.after(second.offer, BUSY, second_s, 0)
    assert following is not None
    assert following.offer == (first if is_first else second).offer


def test_waits_without_a_word_are_jittered() -> None:
    [alone] = offers(a=1)
    found = set()
    for _ in range(5):
        tries = attempts([alone])
        tries.first(0)
        following = tries.after(alone, BUSY, None, 0)
        assert following is not None
        assert 0.5 <= following.at <= 1
        found.add(following.at)
    assert len(found) > 1


def test_one_whose_circuit_is_open_is_asked_once() -> None:
    [alone] = offers(a=1)
    tries = attempts([alone], circuits([alone], opened="a"))
    assert tries.first(0) == Next(alone, 0)
    assert tries.after(alone, BROKEN, None, 0) is None


def test_a_model_that_nobody_has_is_asked_of_nobody() -> None:
    assert attempts([]).first(0) is None


@pytest.mark.parametrize(
    ("status", "name", "outlook"),
    [
        (500, "exceed_context_size_error", HOPELESS),
        (None, "context_length_exceeded", HOPELESS),
        (400, "context_length_exceeded", HOPELESS),
        (404, None, ELSEWHERE),
        (401, None, DOWN),
        (302, None, ELSEWHERE),
        (429, None, BUSY),
        (429, "insufficient_quota", DOWN),
        (500, None, BROKEN),
        (529, "overloaded_error", BROKEN),
        (None, "overloaded_error", BUSY),
        (None, "rate_limit_exceeded", BUSY),
        (None, "content_policy_violation", ELSEWHERE),
        (None, None, ELSEWHERE),
    ],
)
def test_an_error_says_what_may_help(status: int | None, name: str | None, outlook: Outlook) -> None:
    assert outlook_of(status, Complaint(name=name)) == outlook
    if status:
        assert outlook_of(None, Complaint(status=status, name=name)) == outlook


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], wait_s: float | None) -> None:
    assert wanted_wait_s(headers, None) == wait_s
    assert wanted_wait_s(headers, Complaint(wait_s=39)) == (39 if wait_s is None else wait_s)


def test_who_loads_a_model_says_for_how_long() -> None:
    said = {"error": "Model m is currently loading", "estimated_time": 20.5}
    assert wanted_wait_s({}, complaint_in(said, is_error=True)) == 20.5


@pytest.mark.parametrize(
    "text",
    [
        "Your credit balance is too low to access the Anthropic API.",
        "insufficient balance (1008)",
        "API key not valid. Please pass a valid API key.",
        "Incorrect API key provided: x",
    ],
)
@pytest.mark.parametrize("status", [400, 429, 500, None])
def test_what_is_said_of_the_account_is_no_fault_of_the_question(status: int | None, text: str) -> None:
    complaint = Complaint(text=text)
    assert outlook_of(status, complaint) == DOWN
    assert "key" not in told(status, complaint)
    assert "balance" not in told(status, complaint)
