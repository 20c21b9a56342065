"""Turns that nobody comes back to are ended and told of, each once, by the one gateway that sweeps."""

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from services.gateway.turns.starting import StaleHistory
from services.gateway.turns.turn import Turn, text_parts
from shared.events import MessageAnswered, MessageEvent
from shared.publisher import Publisher
from tests.connected.gateway.turns.turn_stage import Gateway, finished
from tests.waiting import until

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


async def test_a_row_that_cannot_be_read_stops_nobody(
    gateway: Gateway, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.turns.sweeper.TWICE_S", 0.0)
    bad = await gateway.store.claim(gateway.claim("bad", session="s1"))
    assert isinstance(bad, Turn)
    await gateway.store.claim(gateway.claim("good", session="s2"))
    await owner.execute("UPDATE gateway.turns SET question = '[]' WHERE turn_id = $1", bad.turn_id)
    await owner.execute(PAST_ITS_LEASE)
    sweeper = gateway.sweeper()
    await sweeper.end_abandoned()
    assert await owner.fetchval("SELECT count(*) FROM gateway.turns WHERE state = 'interrupted'") == 1
    await owner.execute(
        "UPDATE gateway.turns SET state = 'failed', answer = '[]', answered_at = now() WHERE turn_id = $1", bad.turn_id
    )
    await owner.execute(LONG_AGO)
    await sweeper.tell_untold()
    assert (
        await owner.fetchval("SELECT count(*) FROM gateway.turns WHERE state = 'failed' AND NOT answer_published") == 1
    )


async def test_what_a_later_release_has_added_to_a_row_is_passed_over(
    gateway: Gateway, owner: asyncpg.Connection
) -> None:
    ended = await finished(gateway, gateway.claim("hello"))
    await owner.execute(
        """UPDATE gateway.turns SET answer = answer || '{"later": 1}', question = question || '{"later": 1}'"""
    )
    read = await gateway.store.find(ended.turn_id)
    assert read is not None
    assert (read.answer, read.question) == (ended.answer, ended.question)


async def test_two_who_mark_at_once_forget_nothing(gateway: Gateway, owner: asyncpg.Connection) -> None:
    for session in ("s1", "s2", "s3"):
        gateway.runner.tell(await finished(gateway, gateway.claim("hello", session=session)))

    async def told() -> bool:
        await asyncio.gather(*(gateway.runner.mark_told() for _ in range(3)))
        return bool(await owner.fetchval(TOLD))

    await until(told, "all to be marked")


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
