"""Dead letters and what operators decide about them, in any order, on a real PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from services.logger.dead_letters.known import DeadLetter, make_letter
from services.logger.store import Store
from shared.database import open_pool
from shared.events import DeadLetterDropped, DeadLetterReplayed
from shared.settings import Settings
from tests.pure.logger.samples import posted

pytestmark = pytest.mark.no_broker

EVENT = posted()
SKEWS_S = (0, 3600, -3600)  # of the operator's clock against the database's


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    async with open_pool(settings.logger_database_url, "test", size=2) as pool:
        yield Store(pool)


def letter(body: bytes | None = None, reason: str = "unstorable") -> DeadLetter:
    headers: dict[str, object] = {"x-queue": "logger.chat", "x-reason": reason, "x-error": "no"}
    return make_letter(body or EVENT.body(), headers, name="MessagePosted", message_id=str(EVENT.event_id))


def replayed(arrivals: int = 1, *, skew_s: float = 0) -> DeadLetterReplayed:
    """Make the decision of an operator who saw so many arrivals, by a clock that is ahead by `skew_s`."""
    return DeadLetterReplayed(
        dead_letter_id=letter().dead_letter_id, operator="eve", arrivals=arrivals, occurred_at=now(skew_s)
    )


def dropped(*, skew_s: float = 0) -> DeadLetterDropped:
    return DeadLetterDropped(dead_letter_id=letter().dead_letter_id, operator="eve", occurred_at=now(skew_s))


def now(skew_s: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=skew_s)


async def row(owner: asyncpg.Connection) -> dict[str, Any]:
    (found,) = await owner.fetch("SELECT * FROM chat.dead_letters")
    return dict(found)


async def state(owner: asyncpg.Connection) -> str:
    return str((await row(owner))["state"])


async def test_letter_is_kept_whole(store: Store, owner: asyncpg.Connection) -> None:
    await store.park([letter()])
    found = await row(owner)
    assert (found["queue"], found["dedupe_key"]) == ("logger.chat", str(EVENT.event_id))
    assert (found["event_id"], found["event_name"], found["user_id"]) == (EVENT.event_id, "MessagePosted", "ada")
    assert (found["reason"], found["error"], found["state"]) == ("unstorable", "no", "parked")
    assert found["body"] == EVENT.body()
    assert await owner.fetchval("SELECT headers->>'x-reason' FROM chat.dead_letters") == "unstorable"


async def test_redelivered_letter_changes_nothing(store: Store, owner: asyncpg.Connection) -> None:
    await store.park([letter()])
    first = await row(owner)
    await store.park([letter(), letter()])
    again = await row(owner)
    assert (first.pop("arrivals"), again.pop("arrivals")) == (1, 2)
    assert again == first


async def test_letters_of_one_group_are_kept_side_by_side(store: Store, owner: asyncpg.Connection) -> None:
    await store.park([letter(b"one"), letter(b"other"), letter(b"one")])
    assert await owner.fetchval("SELECT count(*) FROM chat.dead_letters") == 2


async def test_decision_is_written_down(store: Store, owner: asyncpg.Connection) -> None:
    await store.park([letter()])
    decision = replayed()
    await store.store_chat((), [decision])
    found = await row(owner)
    assert (found["state"], found["decided_by"], found["decided_at"]) == ("replayed", "eve", decision.occurred_at)


async def test_replayed_letter_that_comes_again_is_parked_again(store: Store, owner: asyncpg.Connection) -> None:
    await store.park([letter()])
    first = await row(owner)
    await store.store_chat((), [replayed()])
    await store.park([letter(reason="delivery_limit")])
    found = await row(owner)
    assert (found["state"], found["decided_by"], found["decided_at"]) == ("parked", None, None)
    assert (found["reason"], found["received_at"] > first["received_at"]) == ("delivery_limit", True)


@pytest.mark.parametrize("skew_s", SKEWS_S)
async def test_replay_that_was_refused_before_it_is_written_down_stays_parked(
    store: Store, owner: asyncpg.Connection, skew_s: float
) -> None:
    await store.park([letter()])
    decision = replayed(skew_s=skew_s)
    await store.park([letter()])
    await store.store_chat((), [decision])
    assert await state(owner) == "parked"


@pytest.mark.parametrize("skew_s", SKEWS_S)
async def test_repeated_replay_does_not_hide_a_letter_that_came_back(
    store: Store, owner: asyncpg.Connection, skew_s: float
) -> None:
    await store.park([letter()])
    decision = replayed(skew_s=skew_s)
    await store.store_chat((), [decision])
    assert await state(owner) == "replayed"
    await store.park([letter()])
    await store.store_chat((), [decision])
    assert await state(owner) == "parked"
    await store.store_chat((), [replayed(2, skew_s=skew_s)])
    assert await state(owner) == "replayed"


async def test_dropped_letter_that_comes_again_stays_dropped(store: Store, owner: asyncpg.Connection) -> None:
    await store.park([letter()])
    decision = dropped()
    await store.park([letter()])
    await store.store_chat((), [decision])
    assert await state(owner) == "dropped"
    await store.park([letter()])
    found = await row(owner)
    assert (found["state"], found["decided_by"], found["decided_at"]) == ("dropped", "eve", decision.occurred_at)


@pytest.mark.parametrize("skew_s", SKEWS_S)
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("reverse", [True, False])
async def test_drop_is_final_beside_a_replay(
    store: Store, owner: asyncpg.Connection, skew_s: float, together: bool, reverse: bool
) -> None:
    await store.park([letter()])
    decisions: list[DeadLetterReplayed | DeadLetterDropped] = [replayed(), dropped(skew_s=skew_s)]
    if reverse:
        decisions.reverse()
    for group in [decisions] if together else [[decision] for decision in decisions]:
        await store.store_chat((), group)
    assert await state(owner) == "dropped"


async def test_decision_about_an_unknown_letter_changes_nothing(store: Store, owner: asyncpg.Connection) -> None:
    await store.park([letter(b"other")])
    await store.store_chat((), [replayed()])
    assert await state(owner) == "parked"


async def test_letter_that_comes_again_says_why_it_was_refused_last(store: Store, owner: asyncpg.Connection) -> None:
    """Sent back by itself, it may be refused for another reason before anybody has written that it was sent back."""
    await store.park([letter(reason="unknown_type")])
    await store.park([letter(reason="undecodable")])
    found = await row(owner)
    assert (found["reason"], found["state"], found["arrivals"]) == ("undecodable", "parked", 2)
    assert await owner.fetchval("SELECT headers ->> 'x-reason' FROM chat.dead_letters") == "undecodable"
