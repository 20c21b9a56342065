"""What the turns say reaches everybody: told in order, told once more where it got lost, and kept for a day."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import aio_pika
import asyncpg
import pytest

from services.gateway.model.asking.upstreams import open_upstreams
from services.gateway.turns.here.runner import Runner
from services.gateway.turns.stored.finishes import Finish
from services.gateway.turns.stored.outbox import Told
from services.gateway.turns.stored.unfit import Unfit
from services.gateway.turns.told.relay import Relay
from services.gateway.turns.turn import Answer, Turn, text_parts
from services.logger.store import Store
from shared.database import open_pool
from shared.errors import BrokerAway
from shared.events import Event, MessageAnswered, MessageEvent, MessagePosted
from shared.publishing.publisher import Publisher
from shared.topology import LOGGER_CHAT
from tests.connected.gateway.stage import Rows
from tests.connected.gateway.turns.turn_stage import Gateway, answered, finished
from tests.pure.gateway.samples import minutes
from tests.waiting import until, until_true


class Losing:
    """A logger that acknowledges everything and stores nothing."""

    def __init__(self) -> None:
        self.lost: list[str | None] = []  # event ids

    async def lose(self, message: aio_pika.abc.AbstractIncomingMessage) -> None:
        self.lost.append(message.message_id)
        await message.ack()


OLD = "UPDATE gateway.turns SET asked_at = asked_at - interval '{0}', answered_at = answered_at - interval '{0}'"
LONG_AGO = OLD.format("1 minute")
TOLD = "SELECT bool_and(question_published AND answer_published) FROM gateway.turns"


async def test_what_an_owner_did_not_tell_is_told_in_order(gateway: Gateway, owner: asyncpg.Connection) -> None:
    texts = ["one", "two", "three"]
    known_until = None
    for text in texts:
        ended = await finished(gateway, replace(gateway.claim(text), known_until=known_until))
        known_until = ended.place
    relay = gateway.relay()
    assert not await relay.tell_untold(), "their owner may be about to"
    await owner.execute(LONG_AGO)
    assert await relay.tell_untold()
    events = [event for event in await gateway.events(6) if isinstance(event, MessageEvent)]
    assert [event.content for event in events] == ["one", "hi", "two", "hi", "three", "hi"]
    assert await owner.fetchval(TOLD)
    assert not await relay.tell_untold()


async def test_what_is_told_and_cannot_be_marked_is_not_told_again_and_again(
    gateway: Gateway, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_turns: object) -> None:
        raise ConnectionRefusedError

    await finished(gateway, gateway.claim("hello"))
    await owner.execute(LONG_AGO)
    monkeypatch.setattr(gateway.outbox, "mark", refuse)
    relay = gateway.relay()
    assert await relay.tell_untold()
    assert not await relay.tell_untold(), "there is nothing to do at once"
    monkeypatch.undo()
    assert not await relay.tell_untold()
    assert await owner.fetchval(TOLD)


async def test_nothing_is_told_and_nothing_forgotten_without_a_broker(
    gateway: Gateway, owner: asyncpg.Connection
) -> None:
    await finished(gateway, gateway.claim("hello"))
    await owner.execute(LONG_AGO)
    nowhere = gateway.settings.model_copy(update={"amqp_url": "amqp://nobody:x@127.0.0.1:9/"})
    async with Publisher(nowhere, "gateway") as away:
        assert away.away is not None
        assert not await gateway.relay(away).tell_untold()
    assert not await owner.fetchval(TOLD)
    assert await gateway.relay().tell_untold()
    assert len(await gateway.events(2)) == 2


async def test_two_who_mark_at_once_forget_nothing(gateway: Gateway, owner: asyncpg.Connection) -> None:
    for session in ("s1", "s2", "s3"):
        gateway.runner.telling.tell(await finished(gateway, gateway.claim("hello", session=session)))

    async def told() -> bool:
        await asyncio.gather(*(gateway.runner.telling.note(at_once=True) for _ in range(3)))
        return bool(await owner.fetchval(TOLD))

    await until(told, "all to be marked")


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


async def test_a_row_that_cannot_be_told_of_stops_nobody(gateway: Gateway, owner: asyncpg.Connection) -> None:
    bad = await finished(gateway, gateway.claim("bad", session="s1"))
    await finished(gateway, gateway.claim("good", session="s2"))
    await owner.execute("UPDATE gateway.turns SET answer = '[1]' WHERE turn_id = $1", bad.turn_id)
    await owner.execute(LONG_AGO)
    relay = gateway.relay()
    assert await relay.tell_untold()
    assert not await relay.tell_untold()
    assert await owner.fetchval("SELECT count(*) FROM gateway.turns WHERE NOT answer_published") == 1


def heard(event: MessageEvent) -> MessageEvent:
    """Return an event as its consumers have it."""
    return type(event).model_validate_json(event.body())


@pytest.fixture
async def store_all(gateway: Gateway) -> AsyncIterator[Callable[..., Awaitable[None]]]:
    """Store what turns say, as the logger does."""
    async with open_pool(gateway.settings.logger_database_url, "test", size=1) as pool:

        async def store(*turns: Turn) -> None:
            await Store(pool).store_chat([heard(event) for turn in turns for event in turn.events()], [])

        yield store


StoreAll = Callable[..., Awaitable[None]]
STORED = "SELECT stored_at IS NOT NULL FROM gateway.turns"


async def test_what_can_be_read_where_it_is_stored_is_read_there_alone(
    gateway: Gateway, owner: asyncpg.Connection, store_all: StoreAll
) -> None:
    turn = await gateway.say("[echo hello]")
    await gateway.runner.telling.note(at_once=True)
    assert await owner.fetchval(TOLD)
    assert not await owner.fetchval(STORED)
    await store_all(turn)
    await gateway.runner.telling.note()
    assert await owner.fetchval(STORED)
    assert await gateway.readings.session(["ann"], "s1") == ([], {"ann": turn.place})
    assert await gateway.readings.sessions_of(["ann"]) == []
    remembered = await gateway.memory.of(["ann"], "s1")
    assert [said.content for said in remembered.history] == ["[echo hello]", "hello"]
    assert remembered.known_until == turn.place
    assert answered(await gateway.say("[echo on]")) == ("complete", "on")


async def test_a_question_without_its_answer_is_not_stored(gateway: Gateway, owner: asyncpg.Connection) -> None:
    turn = await gateway.say("[echo hello]")
    async with open_pool(gateway.settings.logger_database_url, "test", size=1) as pool:
        await Store(pool).store_chat([heard(turn.posted())], [])
        await gateway.runner.telling.note(at_once=True)
        assert not await owner.fetchval(STORED)
        lesser = replace(turn, answer=Answer("hel", [], "interrupted"))
        await Store(pool).store_chat([heard(lesser.answered())], [])
        await gateway.runner.telling.note(at_once=True)
        assert not await owner.fetchval(STORED), "it has a lesser version"


async def test_of_a_deleted_session_nothing_is_waited_for(gateway: Gateway, owner: asyncpg.Connection) -> None:
    await gateway.say("[echo hello]")
    await Rows(owner).session("s1", deleted_at=minutes(1))
    await gateway.runner.telling.note()
    assert await owner.fetchval(STORED)


async def test_a_turn_that_runs_again_or_gets_another_answer_is_not_stored_any_more(
    gateway: Gateway, owner: asyncpg.Connection, store_all: StoreAll
) -> None:
    first = await gateway.say("[chunks 6] [cut 2]", key="k1")
    await store_all(first)
    await gateway.runner.telling.note()
    assert await owner.fetchval(STORED)
    late = await gateway.store.finish(Finish(first, Answer("hi", [], "complete")))
    assert late is not None
    assert not await owner.fetchval(STORED)
    await owner.execute("UPDATE gateway.turns SET state = 'failed', stored_at = now()")
    again = await gateway.ask("[chunks 6] [cut 2]", key="k1")
    assert not await owner.fetchval(STORED)
    await again.result()


async def test_an_attempt_that_was_told_and_not_stored_is_told_with_the_next(
    gateway: Gateway, owner: asyncpg.Connection, store_all: StoreAll
) -> None:
    first = await gateway.say("[chunks 6] [cut 2]", key="k1")
    await gateway.runner.telling.note(at_once=True)
    assert await owner.fetchval(TOLD)
    await gateway.events(2)  # and somebody deletes the queue
    second = await gateway.say("[chunks 6] [cut 2]", key="k1")
    assert [each.attempt for each in second.past] == [1]
    await gateway.runner.telling.note(at_once=True)
    answers = [event for event in await gateway.events(3) if isinstance(event, MessageAnswered)]
    assert [event.message_id for event in answers] == [first.answer_id, second.answer_id]
    await store_all(second)
    await gateway.runner.telling.note()
    assert await owner.fetchval("SELECT stored_at IS NOT NULL AND past IS NULL FROM gateway.turns")


async def test_what_is_noted_as_stored_stays_so(
    gateway: Gateway, owner: asyncpg.Connection, store_all: StoreAll
) -> None:
    turn = await gateway.say("[echo hello]")
    told = [Told.of(turn)]
    await store_all(turn)
    await gateway.outbox.mark(told, {turn.turn_id})
    await gateway.outbox.mark(told, set())  # of who looked before it was stored
    assert await owner.fetchval(STORED)


async def test_an_owner_that_breaks_off_keeps_more_than_who_interrupted_it(
    gateway: Gateway, owner: asyncpg.Connection, store_all: StoreAll
) -> None:
    claimed = await gateway.store.claim(gateway.claim("hello"))
    assert isinstance(claimed, Turn)
    await gateway.store.checkpoint([(claimed.turn_id, 1, 0, text_parts("so"))])
    await owner.execute("UPDATE gateway.turns SET lease_until = clock_timestamp() - interval '1 second'")
    partial = await gateway.store.find(claimed.turn_id)
    interrupted = partial and await gateway.store.interrupt_expired(partial)
    assert interrupted
    await store_all(interrupted)
    finish = Finish(claimed, Answer("so far", [], "interrupted"))
    longer = await gateway.store.finish(finish)
    assert longer == await gateway.store.finish(finish), "its commit may have been lost"
    assert longer
    await gateway.outbox.mark([Told.of(interrupted)], {interrupted.turn_id})
    assert not await owner.fetchval(STORED)
    await store_all(longer)
    assert await owner.fetchval("SELECT content FROM chat.messages WHERE role = 'assistant'") == "so far"


@pytest.fixture
async def losing_all(gateway: Gateway) -> AsyncIterator[Losing]:
    """Read the logger's queue, and lose what it brings."""
    losing = Losing()
    async with await aio_pika.connect(gateway.settings.amqp_url) as connection:
        queue = await (await connection.channel()).get_queue(LOGGER_CHAT.name)
        await queue.consume(losing.lose)
        yield losing


async def test_what_got_lost_is_told_once_more_and_only_once(
    gateway: Gateway, owner: asyncpg.Connection, losing_all: Losing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.turns.told.relay.PASS_S", 0.0)
    turn = await gateway.say("[echo hello]")
    await until_true(lambda: len(losing_all.lost) == 2)
    await gateway.runner.telling.note(at_once=True)
    relay = gateway.relay(lost_after_s=0.0)
    await owner.execute(OLD.format("10 seconds"))
    await relay.settle()
    assert len(losing_all.lost) == 2, "it may be on its way"
    await owner.execute(OLD.format("31 seconds"))
    for _ in range(3):
        await relay.settle()
    await until_true(lambda: len(losing_all.lost) == 4)
    first, again = losing_all.lost[:2], losing_all.lost[2:]
    assert first == again == [str(turn.posted().event_id), str(turn.answered().event_id)]
    for _ in range(3):
        await relay.settle()
    assert await owner.fetchval("SELECT retold_at IS NOT NULL FROM gateway.turns")
    assert len(losing_all.lost) == 4


async def test_while_nobody_reads_the_queue_nothing_is_told_twice(
    gateway: Gateway, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.turns.told.relay.PASS_S", 0.0)
    await gateway.say("[echo hello]")
    await gateway.runner.telling.note(at_once=True)
    await owner.execute(OLD.format("2 hours"))
    await gateway.relay().settle()
    assert not await owner.fetchval("SELECT retold_at IS NOT NULL FROM gateway.turns")
    assert len(await gateway.events(2)) == 2


async def test_what_its_owner_did_not_note_as_stored_is_noted(
    gateway: Gateway,
    owner: asyncpg.Connection,
    store_all: StoreAll,
    losing_all: Losing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.gateway.turns.stored.outbox.AT_ONCE", 2)
    turns = [await finished(gateway, gateway.claim("hello", session=f"s{number}")) for number in range(5)]
    await store_all(*turns[:4])
    await owner.execute(OLD.format("1 minute"))
    relay = gateway.relay()
    while await relay.settle():
        pass
    stored = await owner.fetch("SELECT session_id FROM gateway.turns WHERE stored_at IS NOT NULL ORDER BY 1")
    assert [row["session_id"] for row in stored] == ["s0", "s1", "s2", "s3"]


async def test_a_turn_goes_after_a_day_if_it_is_stored_and_its_key_is_free_again(
    gateway: Gateway, owner: asyncpg.Connection, store_all: StoreAll
) -> None:
    first = await gateway.say("[echo hello]", key="k1")
    await gateway.say("[echo kept]", session="s2", key="k2")
    await store_all(first)
    await gateway.runner.telling.note(at_once=True)
    relay = gateway.relay()
    await owner.execute(OLD.format("23 hours"))
    assert not await relay.trim()
    relay = gateway.relay()
    await owner.execute(OLD.format("2 hours"))
    assert await relay.trim()
    assert await owner.fetchval("SELECT idempotency_key FROM gateway.turns") == "k2"
    again = await gateway.say("[echo hello]", key="k1")
    assert again.turn_id != first.turn_id
    assert again.answer_id != first.answer_id
    assert (await gateway.memory.of(["ann"], "s1")).history[-1].message_id == again.answer_id


class Absent(Publisher):
    """Of a broker that is away until it is back."""

    gone = True

    @property
    def away(self) -> str | None:
        return "gone" if self.gone else super().away

    async def publish(self, event: Event, **how: Any) -> None:
        if self.gone:
            await asyncio.sleep(0.01)
            raise BrokerAway("gone")
        await super().publish(event, **how)


async def test_without_a_broker_chat_goes_on_and_is_told_in_order_when_it_is_back(
    gateway: Gateway, owner: asyncpg.Connection
) -> None:
    async with Absent(gateway.settings, "gateway") as publisher, open_upstreams(gateway.settings) as upstreams:
        runner = gateway.another(upstreams, publisher=publisher)
        away = replace_turns(gateway, runner)
        await away.say("[echo one]", key="[echo one]")
        assert runner.recent.take("ann", "s1") is None, "what is untold is read, so that it is told before what follows"
        await away.say("[cut 2] [chunks 6]", key="[cut 2] [chunks 6]")
        assert [answered(await away.say("[cut 2] [chunks 6]", key="[cut 2] [chunks 6]"))[0]] == ["interrupted"]
        turn = await away.say("[recall]")
        assert json.loads(answered(turn)[1])[0] == "[echo one]"
        relay = Relay(gateway.store, gateway.outbox, publisher, runner.telling, Unfit(), lost_after_s=60.0)
        assert not await relay.tell_untold()
        await runner.telling.note()
        publisher.gone = False
        assert await relay.tell_untold(), "what ended before its return is told at once"
        told = [event for event in await gateway.events(7) if isinstance(event, MessageEvent)]
        assert [event.content for event in told if isinstance(event, MessagePosted)] == [
            "[echo one]",
            "[cut 2] [chunks 6]",
            "[recall]",
        ]
        assert [event.attempt for event in told if isinstance(event, MessageAnswered)] == [1, 1, 2, 1]
        assert not await relay.tell_untold()
        assert await owner.fetchval(TOLD)


async def test_a_question_is_told_after_what_was_left_untold_before_it(gateway: Gateway) -> None:
    async with Absent(gateway.settings, "gateway") as publisher, open_upstreams(gateway.settings) as upstreams:
        runner = gateway.another(upstreams, publisher=publisher)
        away = replace_turns(gateway, runner)
        await away.say("[echo one]")
        await runner.telling.note()
        publisher.gone = False
        await away.say("[echo two]")
        told = [event.content for event in await gateway.events(4) if isinstance(event, MessageEvent)]
        assert told == ["[echo one]", "one", "[echo two]", "two"]


async def test_a_question_is_told_while_its_turn_runs_once_the_broker_is_back(gateway: Gateway) -> None:
    async with Absent(gateway.settings, "gateway") as publisher, open_upstreams(gateway.settings) as upstreams:
        runner = gateway.another(upstreams, publisher=publisher)
        running = await replace_turns(gateway, runner).ask("[slow 100] [chunks 50]")
        await until_true(lambda: bool(running.text))
        publisher.gone = False
        assert await gateway.events(1) == [running.turn.posted()]
        assert running.ended is None
        await runner.stop(running.turn)


def replace_turns(gateway: Gateway, runner: Runner) -> Gateway:
    """Return the same, where this runner runs the turns."""
    return replace(gateway, runner=runner, turns=gateway.starter(runner))
