"""Turns that nobody comes back to are ended, each once, by the one gateway that sweeps."""

import asyncpg
import pytest

from services.gateway.turns.starting import StaleHistory
from services.gateway.turns.turn import Turn, text_parts
from shared.events import MessageAnswered
from tests.connected.gateway.turns.turn_stage import Gateway

PAST_ITS_LEASE = "UPDATE gateway.turns SET lease_until = clock_timestamp() - interval '1 second'"


async def test_a_turn_is_ended_when_its_lease_was_seen_expired_twice(
    gateway: Gateway, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    abandoned = await gateway.store.claim(gateway.claim("never answered"))
    assert isinstance(abandoned, Turn)
    await gateway.store.checkpoint([(abandoned.turn_id, 1, 0, text_parts("so far"))])
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


async def test_a_turn_that_runs_here_is_not_swept(
    gateway: Gateway, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.turns.sweeper.TWICE_S", 0.0)
    running = await gateway.ask("[slow 50] [chunks 10]")
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
