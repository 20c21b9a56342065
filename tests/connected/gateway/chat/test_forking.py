"""The model remembers in a fork what was said before it, and not what was said beside it or since."""

from collections.abc import AsyncIterator

import pytest

from services.logger.handlers import ChatHandler
from services.logger.store import Store
from shared.database import open_pool
from shared.events import SessionForked
from tests.connected.gateway.stage import Stage
from tests.pure.gateway.samples import minutes
from tests.pure.logger.samples import answered, posted


@pytest.fixture
async def logger(stage: Stage) -> AsyncIterator[ChatHandler]:
    async with open_pool(stage.settings.logger_database_url, "test", size=1) as pool:
        yield ChatHandler(Store(pool))


async def test_the_next_turn_of_a_fork_remembers_its_past(stage: Stage, logger: ChatHandler) -> None:
    said = {"user_id": "ann", "session_id": "s1"}
    await logger.commit(
        [
            posted("m1", 1, content="one", **said),
            answered("a1", 2, parent_id="m1", **said),
            posted("m2", 3, content="two", parent_id="a1", **said),
            answered("a2", 4, parent_id="m2", **said),
            posted("m3", 5, content="three", parent_id="a2", **said),
        ]
    )
    about = {"user_id": "ann", "source_id": "s1", "accepted_at": minutes(60 * 24 * 365 * 7)}
    await logger.commit([SessionForked.model_validate({**about, "session_id": "f1", "message_id": "a2"})])
    body = {"message": "[recall]", "stream": False}
    answers = [await stage.post("/api/chat", {**body, "session_id": each}) for each in ("f1", "s1")]
    told = [answer.json()["message"]["content"] for answer in answers]
    assert told == ['["one", "two", "[recall]"]', '["one", "two", "three", "[recall]"]']
