"""Turns that nobody comes back to are ended and told of, each once, by the one gateway that sweeps."""

from dataclasses import replace

import asyncpg
import pytest

from services.gateway.turns.starting import StaleHistory
from services.gateway.turns.turn import Turn, text_parts
from shared.events import MessageAnswered, MessageEvent
from shared.publisher import Publisher
from tests.connected.gateway.turns.turn_stage import Gateway, finished

LONG_AGO = "UPDATE gateway.turns SET answered_at = answered_at - interval '1 minute' WHERE answer IS NOT NULL"
PAST_ITS_LEASE = "UPDATE gateway.turns SET lease_until = clock_timestamp() - interval '1 second'"
TOLD = "SELECT bool_and(question_published AND answer_published) FROM gateway.turns"


async def test_what_an_owner_did_not_tell_is_told_in_order(gateway: Gateway, owner: asyncpg.Connection) -> None:
    texts = ["one", "two", "three"]
    known_until = None
    for text in texts:
        ended = await finished(gateway, replace(gateway.claim(text), known_until=known_until))
        known_until = ended.place
    sweeper = gateway.sweeper()
    assert not await sweeper.tell_untold(), "their owner may be about to"
    await owner.execute(LONG_AGO)
    assert await sweeper.tell_untold()
    events = [event for event in await gateway.events(6) if isinstance(event, MessageEvent)]
    assert [event.content for event in events] == ["one", "hi", "two", "hi", "three", "hi"]
    assert await owner.fetchval(TOLD)
    assert not await sweeper.tell_untold()


async def test_what_is_told_and_cannot_be_marked_is_not_told_again_and_again(
    gateway: Gateway, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_turns: object) -> None:
        raise ConnectionRefusedError

    await finished(gateway, gateway.claim("hello"))
    await owner.execute(LONG_AGO)
    monkeypatch.setattr(gateway.store, "mark_published", refuse)
    sweeper = gateway.sweeper()
    assert await sweeper.tell_untold()
    assert not await sweeper.tell_untold(), "there is nothing to do at once"
    monkeypatch.undo()
    assert not await sweeper.tell_untold()
    assert await owner.fetchval(TOLD)


async def test_nothing_is_told_and_nothing_forgotten_without_a_broker(
    gateway: Gateway, owner: asyncpg.Connection
) -> None:
    await finished(gateway, gateway.claim("hello"))
    await owner.execute(LONG_AGO)
    nowhere = gateway.settings.model_copy(update={"amqp_url": "amqp://nobody:x@127.0.0.1:9/"})
    async with Publisher(nowhere, "gateway") as away:
        assert away.away is not None
        assert not await gateway.sweeper(away).tell_untold()
    assert not await owner.fetchval(TOLD)
    assert await gateway.sweeper().tell_untold()
    assert len(await gateway.events(2)) == 2


async def test_a_turn_is_ended_when_its_lease_was_seen_expired_twice(
    gateway: Gateway, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    abandoned = await gateway.store.claim(gateway.claim("never answered"))
    assert isinstance(abandoned, Turn)
    await gateway.store.checkpoint([(abandoned.turn_id, 1, text_parts("so far"))])
    sweeper = gateway.sweeper()
    await sweeper.end_abandoned()
    await owner.execute(PAST_ITS_LEASE)
    await sweeper.end_abandoned()
    await sweeper.end_abandoned()
    assert (await gateway.store.running(["ann"], "s1")) is not None, "its owner may only have lost the database"
    await gateway.store.renew([(abandoned.turn_id, 1)])
    await sweeper.end_abandoned()
    await owner.execute(PAST_ITS_LEASE)
    monkeypatch.setattr("services.gateway.turns.sweeper.TWICE_S", 0.0)
    await sweeper.end_abandoned()
    answered = (await gateway.events(2))[1]
    assert isinstance(answered, MessageAnswered)
    assert (answered.status, answered.content) == ("interrupted", "so far")
    assert answered.trace is not None
    assert (answered.trace.status, answered.trace.finish_reason) == ("interrupted", "error")


async def test_a_turn_that_runs_here_is_not_swept(
    gateway: Gateway, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.turns.sweeper.TWICE_S", 0.0)
    running = await gateway.ask("[slow 50] [chunks 10]")
    await running.accepted()
    await owner.execute(PAST_ITS_LEASE)
    await gateway.sweeper().end_abandoned()
    assert (await running.result()).state == "complete"


async def test_what_was_swept_is_known_to_the_next_turn(
    gateway: Gateway, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.turns.sweeper.TWICE_S", 0.0)
    await gateway.store.claim(gateway.claim("never answered"))
    stale = gateway.claim("too late to know of it")
    await owner.execute(PAST_ITS_LEASE)
    await gateway.sweeper().end_abandoned()
    with pytest.raises(StaleHistory):
        await gateway.turns.start(stale, [])
    assert (await gateway.say("hello again")).state == "complete"
