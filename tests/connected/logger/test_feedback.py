"""What users think of messages, on a real PostgreSQL with the logger's own role."""

import random
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.logger.handlers import ChatHandler
from services.logger.store import Store
from shared.database import open_pool
from shared.events import FeedbackGiven, SessionDeleted, UserErased
from shared.settings import Settings
from tests.pure.logger.samples import at, posted


@pytest.fixture
async def logger(settings: Settings) -> AsyncIterator[ChatHandler]:
    async with open_pool(settings.logger_database_url, "test", size=2) as pool:
        yield ChatHandler(Store(pool))


def given(second: float, value: str = "up", message_id: str = "m1", **fields: object) -> FeedbackGiven:
    about = {"user_id": "ada", "session_id": "s1", "message_id": message_id, "accepted_at": at(second), "value": value}
    return FeedbackGiven.model_validate(about | fields)


async def kept(owner: asyncpg.Connection) -> list[tuple[str, str, str | None]]:
    rows = await owner.fetch("SELECT message_id, value, comment FROM chat.feedback ORDER BY message_id")
    return [tuple(row) for row in rows]


@pytest.mark.parametrize("seed", range(5))
async def test_the_newest_stands_in_any_order_and_grouping(
    logger: ChatHandler, owner: asyncpg.Connection, seed: int
) -> None:
    events = [given(n, "up" if n % 2 else "down", comment=f"word {n}") for n in range(6)]
    events += [
        given(5, "down", comment="tie", event_id="ffffffff-ffff-ffff-ffff-ffffffffffff"),
        given(9, message_id="m2"),
    ]
    order = random.Random(seed)
    order.shuffle(events)
    while events:
        group, events = events[: (size := order.randint(1, 4))], events[size:]
        await logger.commit([*group, *group])
    assert await kept(owner) == [("m1", "down", "tie"), ("m2", "up", None)]


async def test_who_waits_is_told_that_feedback_was_given(logger: ChatHandler) -> None:
    event = given(1)
    (outcome,) = await logger.commit([event])
    assert (outcome.causes, outcome.changed) == ((event.event_id,), ("feedback",))


async def test_of_a_deleted_session_and_of_an_erased_users_past_nothing_is_kept(
    logger: ChatHandler, owner: asyncpg.Connection
) -> None:
    await logger.commit([posted(), posted(session_id="s2", message_id="m9")])
    await logger.commit([SessionDeleted(user_id="ada", session_id="s1", accepted_at=at(3)), given(2)])
    await logger.commit([given(2), given(4)])
    assert await kept(owner) == []
    await logger.commit([UserErased(user_id="ada", erased_at=at(10)), given(9, session_id="s2", message_id="m9")])
    await logger.commit([given(10, session_id="s2", message_id="m9")])
    assert await kept(owner) == []
    await logger.commit([given(11, session_id="s2", message_id="m9")])
    assert await kept(owner) == [("m9", "up", None)]
