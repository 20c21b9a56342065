"""A turn is its owner's while the lease is renewed, and the text so far survives the owner."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from services.gateway.model.asking.upstreams import open_upstreams
from services.gateway.turns.here.runner import Runner
from services.gateway.turns.starting import StaleHistory
from services.gateway.turns.stored.finishes import Finish
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.stored.waiting import WaitingTurns
from services.gateway.turns.turn import Answer, Turn, text_parts
from shared.database import open_pool
from shared.errors import SessionBusy, ShuttingDown
from shared.events import MessageEvent
from tests.connected.gateway.turns.turn_stage import Gateway, answered
from tests.waiting import PATIENCE_S, until, until_true

PARTIAL = "SELECT partial_parts -> 0 ->> 'text' FROM gateway.turns"


async def test_a_turn_whose_owner_is_gone_frees_its_session(gateway: Gateway, owner: asyncpg.Connection) -> None:
    abandoned = await gateway.store.claim(gateway.claim("never answered"))
    assert isinstance(abandoned, Turn)
    await gateway.store.checkpoint([(abandoned.turn_id, 1, 0, text_parts("so far"))])
    with pytest.raises(SessionBusy):
        await gateway.ask("hello")
    await owner.execute("UPDATE gateway.turns SET lease_until = clock_timestamp() - interval '1 second'")
    with pytest.raises(StaleHistory):  # for what it said has become part of the session
        await gateway.ask("hello")
    turn = await gateway.say("[recall]")
    assert json.loads(answered(turn)[1]) == ["never answered", "[recall]"]
    row = await owner.fetchrow("SELECT state, answer ->> 'content' AS text FROM gateway.turns ORDER BY asked_at")
    assert dict(row or {}) == {"state": "interrupted", "text": "so far"}
    told = [event for event in await gateway.events(4) if isinstance(event, MessageEvent)]
    assert {abandoned.question.message_id, abandoned.answer_id} < {event.message_id for event in told}


async def test_a_turn_that_runs_here_is_not_taken_for_abandoned(gateway: Gateway, owner: asyncpg.Connection) -> None:
    running = await gateway.ask("[slow 50] [chunks 60]", key="k1")
    await owner.execute("UPDATE gateway.turns SET lease_until = clock_timestamp() - interval '1 second'")
    with pytest.raises(SessionBusy):
        await gateway.ask("hello")
    assert await gateway.ask("[slow 50] [chunks 60]", key="k1") is running
    turn = await running.result()
    assert (turn.state, turn.attempt) == ("complete", 1)
    assert len(await gateway.requests()) == 1
    assert gateway.runner.counts.total == 0


async def test_a_turn_that_two_attempts_are_at_here_is_counted_until_the_last_ends(
    gateway: Gateway, owner: asyncpg.Connection
) -> None:
    lost = await gateway.ask("[slow 100] [chunks 20]", key="k1")
    for _ in range(4):  # so that the next one ends a while later
        said = len(lost.text)
        await until_true(lambda said=said: len(lost.text) > said)  # type: ignore[misc]
    elsewhere = await owner.fetchrow(
        """
        UPDATE gateway.turns SET attempt = 2, lease_until = clock_timestamp() - interval '1 second' RETURNING turn_id
        """
    )
    assert elsewhere is not None
    running = await gateway.ask("[slow 100] [chunks 20]", key="k1")
    assert (running.turn.turn_id, running.turn.attempt) == (elsewhere["turn_id"], 3)
    with pytest.raises(SessionBusy):
        await lost.result()
    assert gateway.runner.find(running.turn.turn_id, running.turn.attempt) is running
    assert (await running.result()).state == "complete"
    assert gateway.runner.counts.total == 0


async def test_the_text_so_far_is_kept_while_it_runs(gateway: Gateway, owner: asyncpg.Connection) -> None:
    running = await gateway.ask("[chunks 50] [slow 100]")
    async with asyncio.timeout(PATIENCE_S):
        while not await owner.fetchval(PARTIAL):
            await asyncio.sleep(0.1)  # until the checkpoint, which is due every two seconds
    assert running.text.startswith(await owner.fetchval(PARTIAL))


async def test_text_that_the_database_was_away_for_is_kept_once_it_is_back(
    gateway: Gateway, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Absent(TurnStore):
        missed = ""
        away = True

        async def checkpoint(self, parts: Sequence[tuple[UUID, int, int, list[dict[str, Any]]]]) -> None:
            if self.away:
                self.missed = parts[0][3][0]["text"]
                raise ConnectionRefusedError
            await super().checkpoint(parts)

    monkeypatch.setattr("services.gateway.turns.here.runner.KEEP_EVERY_S", 0.05)
    monkeypatch.setattr("services.gateway.turns.here.runner.DRAIN_S", 0.1)
    patient = gateway.settings.model_copy(update={"model_silence_s": 60.0, "model_first_piece_s": 60.0})
    async with open_pool(patient.gateway_database_url, "test") as pool, open_upstreams(patient) as upstreams:
        store = Absent(pool)
        runner = Runner(patient, store, gateway.outbox, gateway.publisher, upstreams)
        keeping = asyncio.create_task(runner.run())
        running = await gateway.starter(runner, store).start(gateway.claim("[chunks 6] [stall 2]"), [])

        async def stalled() -> bool:
            return bool(running.text) and store.missed == running.text

        async def kept() -> bool:
            return bool(await owner.fetchval(PARTIAL) == running.text)

        await until(stalled, "a checkpoint that fails")
        store.away = False
        await until(kept, "the text so far")
        runner.shut_down()
        await keeping


async def test_a_text_is_written_when_it_has_changed_and_no_renewal_writes_it(
    gateway: Gateway, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counted(TurnStore):
        renewals = 0
        texts: tuple[str, ...] = ()

        async def renew(self, running: Sequence[tuple[UUID, int]]) -> set[tuple[UUID, int]]:
            self.renewals += 1
            return await super().renew(running)

        async def checkpoint(self, parts: Sequence[tuple[UUID, int, int, list[dict[str, Any]]]]) -> None:
            await super().checkpoint(parts)
            self.texts += (parts[0][3][0]["text"],)

    monkeypatch.setattr("services.gateway.turns.here.runner.KEEP_EVERY_S", 0.02)
    monkeypatch.setattr("services.gateway.turns.here.keeper.RENEW_EVERY_S", 0.02)
    monkeypatch.setattr("services.gateway.turns.here.runner.DRAIN_S", 0.1)
    patient = gateway.settings.model_copy(update={"model_silence_s": 60.0, "model_first_piece_s": 60.0})
    async with open_pool(patient.gateway_database_url, "test") as pool, open_upstreams(patient) as upstreams:
        store = Counted(pool)
        runner = Runner(patient, store, gateway.outbox, gateway.publisher, upstreams)
        keeping = asyncio.create_task(runner.run())
        running = await gateway.starter(runner, store).start(gateway.claim("[chunks 6] [stall 2]"), [])
        await until_true(lambda: bool(running.text) and running.text in store.texts)
        began, renewals = await owner.fetchval("SELECT lease_until FROM gateway.turns"), store.renewals
        await until_true(lambda: store.renewals >= renewals + 5)
        assert await owner.fetchval("SELECT lease_until FROM gateway.turns") > began
        assert len(store.texts) == len(set(store.texts))
        runner.shut_down()
        await keeping


async def test_a_shutdown_ends_running_turns_as_interrupted_and_refuses_new_ones(
    gateway: Gateway, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.turns.here.runner.DRAIN_S", 0.3)
    running = await gateway.ask("[chunks 100] [slow 100]")
    await owner.execute("UPDATE gateway.turns SET lease_until = clock_timestamp() + interval '1 second'")
    gateway.runner.shut_down()
    with pytest.raises(ShuttingDown):
        await gateway.ask("hello", session="s2")
    turn = await running.result()
    assert turn.state == "interrupted"
    assert (await gateway.events(2))[1] == turn.answered()
    assert await owner.fetchval("SELECT lease_until > clock_timestamp() + interval '20 seconds' FROM gateway.turns")


CALLED = [{"type": "text", "text": "I look."}, {"type": "tool-look", "toolCallId": "c1", "state": "input-available"}]
KEPT_PARTS = "SELECT partial_parts FROM gateway.turns"


async def test_a_checkpoint_that_comes_late_takes_no_call_out(gateway: Gateway, owner: asyncpg.Connection) -> None:
    turn = await gateway.store.claim(gateway.claim("look"))
    assert isinstance(turn, Turn)
    assert await gateway.store.keep_calls(turn, CALLED, [])
    await gateway.store.checkpoint([(turn.turn_id, 1, 0, CALLED[:1])])
    assert json.loads(await owner.fetchval(KEPT_PARTS)) == CALLED


async def test_nothing_is_kept_and_so_nothing_done_for_a_turn_that_another_has_ended(gateway: Gateway) -> None:
    """Its answer has the calls all the same, and the next attempt takes them over with what came of them."""
    turn = await gateway.store.claim(gateway.claim("look", key="k1"))
    assert isinstance(turn, Turn)
    assert await gateway.store.keep_calls(turn, CALLED, [])
    kept = await gateway.store.find(turn.turn_id)
    assert kept is not None
    ended = await gateway.store.finish(Finish(turn, kept.so_far("interrupted", "gone")))
    assert ended is not None
    assert not await gateway.store.keep_calls(turn, CALLED, [])
    again = await gateway.store.rerun(ended, "another")
    assert again is not None
    assert again.partial_parts == CALLED
    assert not await gateway.store.keep_calls(turn, CALLED, []), "nor by the attempt before"
    assert await gateway.store.keep_calls(again, CALLED, [])


@pytest.mark.parametrize("ending", ["interrupted", "stopped"])
async def test_a_call_that_is_kept_while_another_gateway_ends_its_turn_is_in_the_answer(
    gateway: Gateway, owner: asyncpg.Connection, ending: str
) -> None:
    """Its owner was held up for longer than a lease, and goes on in the moment in which it is taken for dead."""
    turn = await gateway.store.claim(gateway.claim("look"))
    assert isinstance(turn, Turn)
    await owner.execute("UPDATE gateway.turns SET lease_until = clock_timestamp() - interval '1 second'")
    read = await gateway.store.find(turn.turn_id)
    assert read is not None
    assert await gateway.store.keep_calls(turn, CALLED, [])
    ended = await (gateway.store.interrupt_expired if ending == "interrupted" else gateway.store.stop)(read)
    assert ended is not None
    assert ended.answer is not None
    called = [part["toolCallId"] for part in CALLED if "toolCallId" in part]
    assert [part["toolCallId"] for part in ended.answer.parts if "toolCallId" in part] == called


async def test_who_stops_a_turn_as_it_was_stops_nothing_that_went_on_since(gateway: Gateway) -> None:
    """It has asked its user, and gone on with their consent; the stop was for what it had said before."""
    turn = await gateway.store.claim(gateway.claim("look"))
    assert isinstance(turn, Turn)
    asking = [{**CALLED[-1], "state": "approval-requested", "approval": {"id": f"{turn.turn_id}-0"}}]
    waits = await gateway.store.finish(Finish(turn, Answer("", asking, "complete")))
    assert waits is not None
    went_on = await WaitingTurns(gateway.store._pool).go_on(waits, asking, "another")
    assert went_on is not None
    assert await gateway.store.stop(turn) is None
    stopped = await gateway.store.stop(went_on)
    assert stopped is not None
    assert (stopped.state, stopped.answered().revision) == ("stopped", 1)


async def test_what_an_owner_says_late_is_taken_over_by_whoever_runs_its_turn_again(
    gateway: Gateway, owner: asyncpg.Connection
) -> None:
    """It was taken for dead before it called; it has called, and was told to end then."""
    turn = await gateway.store.claim(gateway.claim("look", key="k1"))
    assert isinstance(turn, Turn)
    await owner.execute("UPDATE gateway.turns SET lease_until = clock_timestamp() - interval '1 second'")
    read = await gateway.store.interrupt_expired(turn)
    assert read is not None
    late = await gateway.store.finish(Finish(turn, Answer("I look.", CALLED, "interrupted")))
    assert late is not None
    assert await gateway.store.rerun(read, "another") is None
    again = await gateway.store.rerun(late, "another")
    assert again is not None
    assert again.partial_parts == CALLED


async def test_a_client_s_own_calls_are_not_taken_over(gateway: Gateway) -> None:
    turn = await gateway.store.claim(gateway.claim("look", key="k1"))
    assert isinstance(turn, Turn)
    ended = await gateway.store.finish(Finish(turn, Answer("I look.", CALLED, "interrupted")))
    assert ended is not None
    again = await gateway.store.rerun(ended, "another", takes_over=False)
    assert again is not None
    assert again.partial_parts is None


async def test_who_stops_a_turn_says_of_its_calls_that_nobody_knows(gateway: Gateway) -> None:
    turn = await gateway.store.claim(gateway.claim("look"))
    assert isinstance(turn, Turn)
    assert await gateway.store.keep_calls(turn, CALLED, [])
    kept = await gateway.store.find(turn.turn_id)
    assert kept is not None
    stopped = await gateway.store.stop(kept)
    assert stopped is not None
    assert stopped.answer is not None
    assert [part.get("state") for part in stopped.answer.parts] == [None, "output-error"]
