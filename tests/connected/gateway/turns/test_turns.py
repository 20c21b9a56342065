"""Turns on a real database, broker and model stand-in: what is kept and told, also after repeats and faults."""

import asyncio
import json
import os
import signal
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from deploy.supervisor.private.servers import Postgres
from services.gateway.model.asking.upstreams import open_upstreams
from services.gateway.turns.here.buffer import TurnBuffer
from services.gateway.turns.starting import StaleHistory
from services.gateway.turns.stored.finishes import Finish
from services.gateway.turns.stored.outbox import Told
from services.gateway.turns.stored.readings import TurnReadings
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.told import telling
from services.gateway.turns.turn import Answer, Question, Turn
from shared.database import open_pool
from shared.errors import BrokerAway, DatabaseAway, Invalid, SessionBusy, TripthreadError
from shared.events import Event, MessageAnswered, MessageEvent, MessagePosted
from shared.ids import new_id
from shared.publishing.publisher import Publisher
from tests.connected.gateway.turns.turn_stage import Gateway, answered

MINUTE = timedelta(minutes=1)
ENDLESS = "[chunks 3] [stall 1]"  # until it is stopped


async def test_a_turn_keeps_its_answer_and_tells_of_both_messages(gateway: Gateway, owner: asyncpg.Connection) -> None:
    turn = await gateway.say("[echo hello]")
    assert answered(turn) == ("complete", "hello")
    posted, told = await gateway.events(2)
    assert (posted, told) == (turn.posted(), turn.answered())
    assert posted.event_id != told.event_id
    row = await owner.fetchrow("SELECT state, answer ->> 'content' AS text FROM gateway.turns")
    assert dict(row or {}) == {"state": "complete", "text": "hello"}


async def test_the_answer_s_trace_says_how_the_call_went(gateway: Gateway) -> None:
    turn = await gateway.say("[first 20] [echo hello]")
    trace = turn.answered().trace
    assert trace is not None
    assert (trace.status, trace.usage_source, trace.finish_reason) == ("ok", "reported", "stop")
    assert trace.ttft_ms is not None
    assert trace.duration_ms is not None
    assert 20 <= trace.ttft_ms <= trace.duration_ms


async def test_the_next_turn_remembers_what_nobody_has_stored(gateway: Gateway) -> None:
    await gateway.say("[echo one]")
    await gateway.say("[echo two]")
    turn = await gateway.say("[recall]")
    assert json.loads(answered(turn)[1]) == ["[echo one]", "[echo two]", "[recall]"]


async def test_a_busy_session_names_the_turn_it_is_busy_with(gateway: Gateway) -> None:
    running = await gateway.ask(ENDLESS)
    with pytest.raises(SessionBusy) as busy:
        await gateway.ask("hello")
    assert busy.value.extra["turn_id"] == str(running.turn.turn_id)
    await gateway.runner.stop(running.turn)
    await gateway.say("[echo now]")


async def test_of_many_at_once_one_gets_the_session(gateway: Gateway) -> None:
    started = await asyncio.gather(
        *(gateway.turns.start(gateway.claim(ENDLESS), [], on_busy="reject") for _ in range(8)),
        return_exceptions=True,
    )
    won = [running for running in started if isinstance(running, TurnBuffer)]
    assert len(won) == 1
    assert sum(isinstance(lost, SessionBusy) for lost in started) == 7
    await gateway.runner.stop(won[0].turn)


async def test_sessions_of_two_users_with_one_name_are_two_sessions(gateway: Gateway) -> None:
    await gateway.say("[echo mine]", user="ann")
    turn = await gateway.say("[recall]", user="bob")
    assert json.loads(answered(turn)[1]) == ["[recall]"]


async def test_a_repeat_joins_a_running_turn_and_replays_an_ended_one(gateway: Gateway) -> None:
    running = await gateway.ask("[slow 500] [chunks 4]", key="k1")
    joined = await gateway.ask("[slow 500] [chunks 4]", key="k1")
    assert joined is running
    first = await running.result()
    again = await gateway.say("[slow 500] [chunks 4]", key="k1")
    assert again.turn_id == first.turn_id
    assert answered(again) == answered(first)
    assert len(await gateway.requests()) == 1


async def test_a_key_with_another_body_is_refused(gateway: Gateway) -> None:
    await gateway.say("[echo one]", key="k1")
    with pytest.raises(Invalid):
        await gateway.ask("[echo two]", key="k1")


async def test_a_failed_turn_runs_again_with_an_answer_of_its_own(gateway: Gateway) -> None:
    first = await gateway.say("[error 500]", key="k1")
    again = await gateway.say("[error 500]", key="k1")
    assert [turn.state for turn in (first, again)] == ["failed", "failed"]
    assert (first.turn_id, again.attempt) == (again.turn_id, 2)
    assert first.answer_id != again.answer_id
    assert first.posted() == again.posted()


@pytest.mark.parametrize(
    ("directives", "status", "begins"),
    [
        ("[error 429]", "failed", ""),
        ("[error 400]", "failed", ""),
        ("[chunks 6] [cut 2]", "interrupted", "x"),
        ("[chunks 6] [end 2]", "interrupted", "x"),
        ("[chunks 6] [stall 2]", "interrupted", "x"),
        ("[stall 0]", "failed", ""),
    ],
)
async def test_a_model_that_fails_leaves_what_it_said(
    gateway: Gateway, directives: str, status: str, begins: str
) -> None:
    async with gateway.impatient() as asking:
        turn = await asking.say(directives)
        assert turn.answer is not None
        assert turn.answer.status == status
        assert bool(turn.answer.content) == bool(begins)
        assert turn.answer.error
        assert (await asking.events(2))[1] == turn.answered()


async def test_what_the_model_s_service_says_of_our_key_is_not_passed_on(gateway: Gateway) -> None:
    turn = await gateway.say("[error 401]")
    assert turn.answer is not None
    assert turn.answer.error == "the model's service answered 401: it does not take our credentials"


@pytest.mark.parametrize(("words", "status"), [("", "failed"), ("[echo One moment.] ", "interrupted")])
async def test_a_model_that_asks_for_a_tool_is_told_of_as_such(gateway: Gateway, words: str, status: str) -> None:
    turn = await gateway.say(words + '[tool create_trip {"a": 1}]')
    assert turn.answer is not None
    assert turn.answer.status == status
    assert turn.answer.error == "the model asked for the tool 'create_trip'; this version offers it none"
    assert (turn.answer.trace or {})["finish_reason"] == "tool_calls"


async def test_what_postgres_can_t_hold_is_cleaned_from_the_answer(gateway: Gateway) -> None:
    turn = await gateway.say('[raw "a\\u0000b\\ud800c"]')
    status, text = answered(turn)
    assert status == "complete"
    assert (text[:2], text[-1]) == ("ab", "c")


async def test_a_caller_that_leaves_ends_nothing(gateway: Gateway) -> None:
    running = await gateway.ask("[slow 20] [chunks 5]")
    async for piece in running.follow():
        assert piece
        break
    turn = await running.result()
    assert turn.state == "complete"


async def test_an_error_that_nobody_foresaw_ends_the_turn_for_its_followers(gateway: Gateway) -> None:
    class Broken(TurnStore):
        async def finish(self, finish: Finish) -> Turn | None:
            raise LookupError("a secret of the inside")

    async with (
        open_pool(gateway.settings.gateway_database_url, "test") as pool,
        open_upstreams(gateway.settings) as upstreams,
    ):
        runner = gateway.another(upstreams, store=Broken(pool))
        running = await gateway.starter(runner).start(gateway.claim("[slow 50] [chunks 5]"), [])
        with pytest.raises(TripthreadError, match="on our side"):
            await running.result()
        assert runner.counts.total == 0


async def test_what_came_with_a_question_is_told_by_whoever_takes_its_turn_over(
    gateway: Gateway, owner: asyncpg.Connection
) -> None:
    claim = gateway.claim("never answered")
    question = replace(claim.question, parent_id="e1", earlier=(Question("e1", "one"),))
    await gateway.store.claim(replace(claim, question=question))
    await owner.execute("UPDATE gateway.turns SET lease_until = clock_timestamp() - interval '1 second'")
    with pytest.raises(StaleHistory):
        await gateway.ask("hello")
    told = [event for event in await gateway.events(3) if isinstance(event, MessageEvent)]
    assert [event.content for event in told] == ["one", "never answered", ""]


async def test_an_answer_that_the_database_is_away_for_is_kept_and_told_later(
    gateway: Gateway, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Absent(TurnStore):
        away = True

        async def finish(self, finish: Finish) -> Turn | None:
            if self.away:
                raise ConnectionRefusedError
            return await super().finish(finish)

    monkeypatch.setattr("services.gateway.turns.here.runner.FINISH_PATIENCE_S", 0.2)
    async with (
        open_pool(gateway.settings.gateway_database_url, "test") as pool,
        open_upstreams(gateway.settings) as upstreams,
    ):
        store = Absent(pool)
        runner = gateway.another(upstreams, store=store)
        running = await gateway.starter(runner, store).start(gateway.claim("[echo hello]"), [])
        with pytest.raises(DatabaseAway):
            await running.result()
        store.away = False
        _, told = await gateway.events(2)
    assert isinstance(told, MessageEvent)
    assert told.content == "hello"
    assert await owner.fetchval("SELECT state FROM gateway.turns") == "complete"


async def test_an_answer_that_the_broker_is_away_for_reaches_its_caller_and_is_told_later(
    gateway: Gateway, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Absent(Publisher):
        async def publish(self, event: Event, **how: Any) -> None:
            if isinstance(event, MessageAnswered):
                await asyncio.sleep(0.05)
                raise BrokerAway("no confirm")
            await super().publish(event, **how)

    monkeypatch.setattr("services.gateway.turns.here.runner.CONFIRM_WAIT_S", 0.1)
    async with Absent(gateway.settings, "gateway") as publisher, open_upstreams(gateway.settings) as upstreams:
        runner = gateway.another(upstreams, publisher=publisher)
        running = await gateway.starter(runner).start(gateway.claim("[echo hello]"), [])
        turn = await running.result()
        assert answered(turn) == ("complete", "hello")
        await owner.execute(
            "UPDATE gateway.turns SET (asked_at, answered_at) = (asked_at - $1::interval, answered_at - $1)", MINUTE
        )
        await gateway.relay().tell_untold()
        told = (await gateway.events(3))[-1]
        assert isinstance(told, MessageAnswered)
        assert told.message_id == turn.answer_id


async def test_a_claim_on_what_was_read_too_early_is_refused(gateway: Gateway) -> None:
    before = await gateway.memory.of(["ann"], "s1")
    first = await gateway.say("[echo one]")
    with pytest.raises(StaleHistory):
        await gateway.turns.start(gateway.claim("two"), before.history)
    known = replace(gateway.claim("[echo two]"), known_until=first.place)
    assert answered(await (await gateway.turns.start(known, before.history)).result()) == ("complete", "two")


async def test_repeats_at_the_same_moment_are_one_turn(gateway: Gateway) -> None:
    turn_id = new_id()
    claims = [replace(gateway.claim("[echo once]", key="k1"), turn_id=turn_id) for _ in range(4)]
    started = await asyncio.gather(*(gateway.turns.start(claim, []) for claim in claims))
    turns = await asyncio.gather(*(running.result() for running in started))
    assert {turn.attempt for turn in turns} == {1}
    assert len(await gateway.requests()) == 1


async def test_a_finish_that_is_said_twice_is_the_same_finish(gateway: Gateway) -> None:
    turn = await gateway.say("[echo hello]")
    assert turn.answer is not None
    again = await gateway.store.finish(Finish(turn, turn.answer))
    assert again is not None
    assert again.answered() == turn.answered()


async def test_messages_that_came_with_a_question_are_told_and_remembered(gateway: Gateway) -> None:
    claim = gateway.claim("[recall]")
    earlier = (Question("e1", "one"), Question("e2", "two", parent_id="e1"))
    question = replace(claim.question, parent_id="e2", earlier=earlier)
    turn = await (await gateway.turns.start(replace(claim, question=question), [])).result()
    assert json.loads(answered(turn)[1]) == ["one", "two", "[recall]"]
    posted = [event for event in await gateway.events(4) if isinstance(event, MessageEvent)]
    assert [event.message_id for event in posted] == ["e1", "e2", question.message_id, turn.answer_id]
    assert len({event.event_id for event in posted}) == 4
    remembered = await gateway.memory.of(["ann"], "s1")
    assert [shown.content for shown in remembered.history][:3] == ["one", "two", "[recall]"]


async def many_later_turns(owner: asyncpg.Connection, user: str = "ann") -> None:
    """Let a user's session of one turn go on, for longer than is read of one."""
    await owner.execute(
        """
        INSERT INTO gateway.turns (turn_id, user_id, session_id, body_hash, owner, state, lease_until, correlation_id,
            model, provider, question, asked_at, answer, answered_at)
        SELECT gen_random_uuid(), user_id, session_id, body_hash, owner, state, lease_until, correlation_id, model,
            provider, question, answered_at + number * interval '2 microseconds', answer,
            answered_at + number * interval '2 microseconds' + interval '1 microsecond'
        FROM gateway.turns, generate_series(1, 120) number WHERE user_id = $1
        """,
        user,
    )


async def test_a_session_goes_on_after_a_turn_of_long_ago_ran_again(
    gateway: Gateway, owner: asyncpg.Connection
) -> None:
    said = "[slow 200] [chunks 6] [cut 4]"
    await gateway.say(said, key="k1")
    await many_later_turns(owner)
    running = await gateway.ask(said, key="k1")
    assert running.turn.turn_id in {turn.turn_id for turn in (await gateway.readings.session(["ann"], "s1")).turns}
    again = await running.result()
    assert again.attempt == 2
    remembered = await gateway.memory.of(["ann"], "s1")
    assert remembered.history[-1].message_id == again.answer_id
    assert answered(await gateway.say("[echo on]")) == ("complete", "on")


async def test_a_long_session_hides_no_other_identity_s_session_of_its_name(
    gateway: Gateway, owner: asyncpg.Connection
) -> None:
    mine = await gateway.say("[echo mine]", user="zed")
    await gateway.say("[echo theirs]", user="visitor_x")
    await many_later_turns(owner, "visitor_x")
    remembered = await gateway.memory.of(["zed", "visitor_x"], "s1")
    assert (remembered.user_id, remembered.known_until) == ("zed", mine.place)
    assert remembered.history[-1].content == "mine"


async def test_what_an_attempt_said_is_told_before_the_next_one_begins(gateway: Gateway) -> None:
    first = await gateway.say("[chunks 6] [cut 2]", key="k1")
    await gateway.events(2)
    again = await gateway.say("[chunks 6] [cut 2]", key="k1")
    assert await gateway.events(3) == [again.posted(), first.answered(), again.answered()]


@pytest.mark.alone
@pytest.mark.fault
async def test_a_database_that_hangs_in_a_reading_is_left_soon(
    own_database: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.database.READ_DEADLINE_S", 0.2)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(own_database.url, "hangs", size=1))
        hanging = await pool.fetchval("SELECT pg_backend_pid()")
        os.kill(hanging, signal.SIGSTOP)
        stack.callback(os.kill, hanging, signal.SIGCONT)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await TurnReadings(pool).session(["ann"], "s1")
        assert time.monotonic() - began < 2


async def test_the_first_identity_that_has_a_session_owns_it(gateway: Gateway) -> None:
    for user in ("visitor_x", "zed"):
        await gateway.say("[echo hi]", user=user)
    assert (await gateway.memory.of(["zed", "visitor_x"], "s1")).user_id == "zed"
    assert (await gateway.memory.of(["visitor_x", "zed"], "s1")).user_id == "visitor_x"
    assert (await gateway.memory.of(["nobody", "zed"], "s1")).user_id == "zed"


async def test_an_owner_that_comes_back_late_changes_no_final_answer(gateway: Gateway) -> None:
    turn = await gateway.say("[echo hello]")
    assert turn.answer is not None
    late = replace(turn.answer, content="too late")
    assert await gateway.store.finish(Finish(turn, late)) is None


async def test_what_an_owner_has_of_an_answer_that_broke_off_is_more_than_its_checkpoint(
    gateway: Gateway, owner: asyncpg.Connection
) -> None:
    turn = await gateway.store.claim(gateway.claim("hello"))
    assert isinstance(turn, Turn)
    await owner.execute("UPDATE gateway.turns SET lease_until = clock_timestamp() - interval '1 second'")
    short = await gateway.store.interrupt_expired(turn)
    long = await gateway.store.finish(Finish(turn, Answer("so far, and more", [], "interrupted")))
    assert short is not None
    assert long is not None
    assert (short.answered().revision, long.answered().revision) == (0, 1)
    assert short.answered().event_id != long.answered().event_id
    final = await gateway.store.finish(Finish(turn, Answer("all of it", [], "complete")))
    assert final is not None
    assert (final.answered().revision, final.state) == (2, "complete")
    again = await gateway.store.finish(Finish(turn, Answer("all of it", [], "complete")))
    assert again is not None, "the same answer, whose commit may have succeeded unbeknown to its owner"


async def test_an_answer_that_replaces_an_interrupted_one_is_still_to_be_told(
    gateway: Gateway, owner: asyncpg.Connection
) -> None:
    turn = await gateway.store.claim(gateway.claim("hello"))
    assert isinstance(turn, Turn)
    await owner.execute("UPDATE gateway.turns SET lease_until = clock_timestamp() - interval '1 second'")
    await gateway.store.interrupt_expired(turn)
    late = Finish(turn, Answer("hi", [], "complete"))

    async def told_after(marked: str) -> bool:
        revision = 1 if marked == "complete" else 0
        await gateway.outbox.mark([replace(Told.of(turn), state=marked, revision=revision)], set())
        ended = await gateway.store.finish(late)
        return ended is not None and ended.told

    # The first is replaced only after its mark, the second mark comes only after that.
    assert [await told_after(state) for state in ("interrupted", "interrupted", "complete")] == [False, False, True]


async def test_a_question_is_told_while_its_answer_is_kept(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "ASK_AFTER_S", 3600.0)
    finish, told = gateway.store.finish, list[Event]()

    async def finish_later(finished: Finish) -> Turn | None:
        told.extend(await gateway.events(1))
        return await finish(finished)

    monkeypatch.setattr(gateway.store, "finish", finish_later)
    turn = await gateway.say("hello")
    assert turn.state == "complete"
    assert [type(event) for event in told] == [MessagePosted]
