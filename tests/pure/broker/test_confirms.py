"""Of every message on a channel in confirm mode it is told what the broker said of it, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest
from aiormq import spec
from hypothesis import given
from hypothesis import strategies as st

from shared.broker.connection import Disconnected
from shared.publishing.confirms import ConfirmedChannel, Refused, SilenceWatch, Unroutable
from shared.publishing.publication import Publication
from tests.stand_ins.wires import FRAME_MAX, FakeWire, returned

CHANNEL = 5
COUNT = 8
PATIENCE_S = 10


class Stage:
    """A channel, and what was published on it."""

    def __init__(self) -> None:
        self.wire = FakeWire()
        self.channel = ConfirmedChannel(self.wire, CHANNEL, FRAME_MAX)
        self._tasks: list[asyncio.Task[None]] = []

    async def publish(self, *message_ids: str) -> list[asyncio.Task[None]]:
        tasks = [
            asyncio.create_task(self.channel.publish(Publication("events", "key", b"body", {}, message_id=message_id)))
            for message_id in message_ids
        ]
        self._tasks += tasks
        await asyncio.sleep(0)
        return tasks

    async def end(self) -> None:
        """Let nobody wait any more: a task that is collected while it waits says so in the middle of another test."""
        self.channel.lose("the test is over")
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    await stage.end()


def kinds(told: Iterable[BaseException | None]) -> list[type | None]:
    return [None if each is None else type(each) for each in told]


async def outcomes(tasks: list[asyncio.Task[None]]) -> list[type | None]:
    async with asyncio.timeout(PATIENCE_S):
        return kinds(await asyncio.gather(*tasks, return_exceptions=True))


async def test_every_message_waits_for_its_own_confirm(stage: Stage) -> None:
    first, second = await stage.publish("a", "b")

    stage.wire.say(CHANNEL, spec.Basic.Ack(2))

    assert await outcomes([second]) == [None]
    assert not first.done()
    stage.wire.say(CHANNEL, spec.Basic.Ack(1))
    assert await outcomes([first]) == [None]


async def test_messages_are_mandatory_and_written_one_after_the_other(stage: Stage) -> None:
    tasks = await stage.publish("a", "b")

    publishes = [frame for frame in stage.wire.written if isinstance(frame, spec.Basic.Publish)]
    assert [frame.mandatory for frame in publishes] == [True, True]
    stage.wire.say(CHANNEL, spec.Basic.Ack(2, multiple=True))
    assert await outcomes(tasks) == [None, None]


@pytest.mark.parametrize("tag", [3, 0])
async def test_many_are_confirmed_at_once(stage: Stage, tag: int) -> None:
    tasks = await stage.publish("a", "b", "c")

    stage.wire.say(CHANNEL, spec.Basic.Ack(tag, multiple=True))

    assert await outcomes(tasks) == [None, None, None]


async def test_a_confirm_of_many_leaves_those_after_it(stage: Stage) -> None:
    *before, after = await stage.publish("a", "b", "c")

    stage.wire.say(CHANNEL, spec.Basic.Ack(2, multiple=True))

    assert await outcomes(before) == [None, None]
    assert not after.done()
    stage.wire.say(CHANNEL, spec.Basic.Nack(3))
    assert await outcomes([after]) == [Refused]


async def test_what_no_queue_takes_comes_back(stage: Stage) -> None:
    tasks = await stage.publish("a", "b", "c")

    stage.wire.say(CHANNEL, *returned("b", b"body"), spec.Basic.Ack(3, multiple=True))

    assert await outcomes(tasks) == [None, Unroutable, None]
    with pytest.raises(Unroutable, match="no queue takes 'key' from exchange 'events'"):
        await tasks[1]


async def test_of_two_of_one_id_neither_is_taken_for_confirmed_where_one_came_back(stage: Stage) -> None:
    tasks = await stage.publish("a", "a", "b")

    stage.wire.say(CHANNEL, *returned("a"), spec.Basic.Ack(3, multiple=True))

    assert await outcomes(tasks) == [Unroutable, Unroutable, None]


async def test_whoever_gives_up_keeps_nobody_from_their_confirm(stage: Stage) -> None:
    first, second = await stage.publish("a", "b")
    first.cancel()
    await asyncio.wait({first})

    stage.wire.say(CHANNEL, spec.Basic.Ack(1))
    assert not second.done()
    stage.wire.say(CHANNEL, spec.Basic.Ack(2))

    assert await outcomes([second]) == [None]


async def test_nothing_is_known_of_what_a_lost_channel_took(stage: Stage) -> None:
    tasks = await stage.publish("a", "b")

    stage.channel.lose("gone")

    assert await outcomes(tasks) == [Disconnected, Disconnected]
    written = stage.wire.transport.written
    assert await outcomes(await stage.publish("c")) == [Disconnected]
    assert stage.wire.transport.written == written


async def test_nothing_is_written_on_a_connection_that_closes(stage: Stage) -> None:
    stage.wire.transport.closing = True

    assert await outcomes(await stage.publish("a")) == [Disconnected]
    assert not stage.wire.transport.written


async def test_nothing_is_heaped_up_where_the_broker_reads_slowly(stage: Stage) -> None:
    stage.wire.pause_writing()
    (publishing,) = await stage.publish("a")
    assert not stage.wire.transport.written

    stage.wire.resume_writing()
    await asyncio.sleep(0)
    stage.wire.say(CHANNEL, spec.Basic.Ack(1))

    assert await outcomes([publishing]) == [None]


async def test_a_lost_channel_is_waited_for_by_nobody(stage: Stage) -> None:
    stage.wire.pause_writing()
    publishing = await stage.publish("a")

    stage.channel.lose("gone")

    assert await outcomes(publishing) == [Disconnected]
    assert not stage.wire.transport.written


async def test_a_closed_channel_is_told_to_aiormq(stage: Stage) -> None:
    stage.wire.say(CHANNEL, spec.Basic.Ack(1), spec.Channel.Close(404, "NOT_FOUND", 60, 40))

    assert b"NOT_FOUND" in stage.wire.transport.passed.data


@given(
    st.sets(st.integers(1, COUNT)),
    st.permutations(range(1, COUNT + 1)),
    st.lists(
        st.tuples(st.sampled_from([spec.Basic.Ack, spec.Basic.Nack]), st.booleans()), min_size=COUNT, max_size=COUNT
    ),
)
async def test_each_message_is_told_what_its_own_confirm_says(
    came_back: set[int], order: list[int], said: list[tuple[type[spec.Basic.Ack | spec.Basic.Nack], bool]]
) -> None:
    stage, expected = Stage(), dict[int, type | None]()
    tasks = await stage.publish(*map(str, range(1, COUNT + 1)))
    for tag in came_back:
        stage.wire.say(CHANNEL, *returned(str(tag)))

    for tag, (frame, multiple) in zip(order, said, strict=True):
        if tag in expected:
            continue
        settled = [each for each in range(1, tag + 1) if each not in expected] if multiple else [tag]
        expected |= dict.fromkeys(settled, None if frame is spec.Basic.Ack else Refused)
        stage.wire.say(CHANNEL, frame(tag, multiple))
        await asyncio.sleep(0)
        assert {number for number, task in enumerate(tasks, 1) if task.done()} == set(expected)

    expected |= dict.fromkeys(came_back, Unroutable)
    assert await outcomes(tasks) == [expected[tag] for tag in range(1, COUNT + 1)]


class Watched(Stage):
    """A channel that is watched, for a fraction of a second at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.given_up = asyncio.Event()
        self.is_blocked = False
        self.watch = SilenceWatch(self.channel, 0.1, lambda: self.is_blocked, self.given_up.set)

    def asked(self) -> int:
        return sum(isinstance(frame, spec.Basic.Qos) for frame in self.wire.written)

    async def until_asked(self, times: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.asked() < times:
                await asyncio.sleep(0.005)


async def another_is_given_up() -> None:
    """Wait for as long as a broker may be silent, twice."""
    for _ in range(2):
        other = Watched()
        await other.publish("a")
        async with asyncio.timeout(PATIENCE_S):
            await other.given_up.wait()
        await other.end()


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    watched = Watched()
    yield watched
    await watched.end()


async def test_a_broker_that_says_nothing_is_given_up(watched: Watched) -> None:
    await watched.publish("a")

    async with asyncio.timeout(PATIENCE_S):
        await watched.given_up.wait()
    assert watched.asked() == 1


async def test_a_broker_that_confirms_late_but_answers_is_not_given_up(watched: Watched) -> None:
    (publishing,) = await watched.publish("a")

    for times in range(1, 5):
        await watched.until_asked(times)
        watched.wire.say(CHANNEL, spec.Basic.QosOk())
    assert not watched.given_up.is_set()
    watched.wire.say(CHANNEL, spec.Basic.Ack(1))

    assert await outcomes([publishing]) == [None]
    watched.watch.end()


async def test_a_broker_that_nobody_waits_for_may_be_silent(watched: Watched) -> None:
    (publishing,) = await watched.publish("a")
    watched.wire.say(CHANNEL, spec.Basic.Ack(1))
    await publishing

    await another_is_given_up()

    assert not watched.given_up.is_set()
    assert watched.asked() == 0
    watched.watch.end()


async def test_a_broker_that_has_said_it_is_blocked_may_be_silent_until_it_is_not(watched: Watched) -> None:
    watched.is_blocked = True
    await watched.publish("a")
    await another_is_given_up()
    assert not watched.given_up.is_set()
    assert watched.asked() == 0

    watched.is_blocked = False
    async with asyncio.timeout(PATIENCE_S):
        await watched.given_up.wait()
    assert watched.asked() == 1
