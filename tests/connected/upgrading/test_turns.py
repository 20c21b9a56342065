"""A database with turns in it is migrated while gateways of both versions may run."""

import asyncio
import json

import asyncpg

from deploy.migrate import downgrade, migrate
from services.gateway.turns.stored.finishes import Finish
from services.gateway.turns.stored.readings import TurnReadings
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.turn import Answer, Question, Turn
from shared.database import open_pool
from shared.settings import Settings
from tests.pure.gateway.samples import NOON, claim

# What a gateway of revision 0005 reads of a question; anything more is an error to it.
READ_BEFORE = {
    "message_id",
    "content",
    "parts",
    "parent_id",
    "client_message_id",
    "metadata",
    "is_known",
    "earlier",
}


async def insert_as_before(owner: asyncpg.Connection, session_id: str) -> None:
    """Claim a session as a gateway does that knows no revision after 0005."""
    await owner.execute(
        """
        INSERT INTO gateway.turns (turn_id, user_id, session_id, idempotency_key, body_hash, owner, correlation_id,
            traceparent, model, provider, project_id, helper, question, state, lease_until, asked_at)
        VALUES (gen_random_uuid(), 'ann', $1, NULL, '', 'old', gen_random_uuid(), NULL, 'm', 'p', NULL, NULL,
            '{"message_id": "m1", "content": "hello", "parts": [], "parent_id": null, "client_message_id": null,
              "metadata": {}, "is_known": true, "earlier": [{"message_id": "e1", "content": "first", "parts": [],
              "parent_id": null, "client_message_id": null, "metadata": {}, "is_known": false, "earlier": []}]}',
            'running', clock_timestamp() + interval '30 seconds', clock_timestamp())
        """,
        session_id,
    )


async def test_turns_of_an_older_gateway_are_read_and_ended(settings: Settings, owner: asyncpg.Connection) -> None:
    await asyncio.to_thread(downgrade, settings, "0005_workflow")
    await insert_as_before(owner, "before")
    await asyncio.to_thread(migrate, settings)
    await insert_as_before(owner, "after")  # until the last gateway is a new one
    async with open_pool(settings.gateway_database_url, "test") as pool:
        store = TurnStore(pool)
        for session_id in ("before", "after"):
            turn = await store.running(["ann"], session_id)
            assert turn is not None
            assert (turn.nonce, turn.posted().created_at) == (None, turn.asked_at)
            ended = await store.finish(Finish(turn, Answer("hi", [], "complete")))
            assert ended is not None
            assert [shown.place for shown in (await TurnReadings(pool).session(["ann"], session_id)).turns] == [
                ended.answered_at
            ]
            claimed = await store.claim(claim(session_id=session_id, known_until=ended.place))
            assert isinstance(claimed, Turn)


async def test_an_older_gateway_reads_the_questions_of_this_one(settings: Settings, owner: asyncpg.Connection) -> None:
    known = Question("m1", "hello", is_known=True, said_at=NOON, earlier=(Question("e1", "hm", said_at=NOON),))
    async with open_pool(settings.gateway_database_url, "test") as pool:
        turn = await TurnStore(pool).claim(claim(question=known))
    assert isinstance(turn, Turn)
    assert turn.question == known
    document = json.loads(await owner.fetchval("SELECT question FROM gateway.turns"))
    assert document.keys() == document["earlier"][0].keys() == READ_BEFORE
