"""A turn's buffer gives each follower all of it once, keeps small pieces as one, and holds room while it is read."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.http.held.shares import Shares
from services.gateway.turns.here.buffer import LONGEST_KEPT, Reasoning, TurnBuffer, replay
from services.gateway.turns.turn import Answer
from services.gateway.turns.weight import SAID
from shared.errors import Overloaded
from tests.pure.gateway.samples import NOON, turn

PIECES = st.lists(st.tuples(st.booleans(), st.integers(1, LONGEST_KEPT + 5)), max_size=20)


def said(buffer: TurnBuffer, pieces: Sequence[tuple[bool, int]]) -> None:
    for number, (is_thought, length) in enumerate(pieces):
        piece = chr(97 + number) * length
        buffer.add(Reasoning(piece) if is_thought else piece)


@given(PIECES, PIECES, st.integers(0, 20))
def test_a_follower_who_comes_at_any_time_gets_all_of_it_once(
    before: list[tuple[bool, int]], after: list[tuple[bool, int]], steps: int
) -> None:
    async def follow() -> None:
        buffer = TurnBuffer(turn())
        said(buffer, before)
        following = asyncio.create_task(collected(buffer.follow_all()))
        for _ in range(steps):
            await asyncio.sleep(0)
        for piece in after:
            said(buffer, [piece])
            await asyncio.sleep(0)
        buffer.end(buffer.turn)
        pieces = await following
        assert "".join(pieces) == "".join(buffer.deltas)
        assert [type(piece) for piece in pieces for _ in piece] == [type(kept) for kept in buffer.deltas for _ in kept]
        assert buffer.length == sum(map(len, buffer.deltas))

    asyncio.run(follow())


async def collected(pieces: AsyncIterator[str]) -> list[str]:
    return [piece async for piece in pieces]


async def test_small_pieces_are_kept_as_one() -> None:
    buffer = TurnBuffer(turn())
    for _ in range(10 * LONGEST_KEPT):
        buffer.add("x")
    assert len(buffer.deltas) == 10


async def test_room_is_held_until_the_turn_is_over_and_nobody_reads_it() -> None:
    room = Shares(10_000, one_bytes=10_000, free_bytes=0)
    buffer = TurnBuffer(turn(), room.hold("ann"))
    first, second = buffer.attach(), buffer.attach()
    buffer.add("x" * 100)
    assert room.total == SAID * 100
    first.close()
    buffer.leave()
    assert room.total == SAID * 100
    second.close()
    assert room.total == 0


async def test_an_ended_turn_is_replayed_where_there_is_room_for_it() -> None:
    room = Shares(1000, one_bytes=100, free_bytes=0)
    answer = Answer("x" * 300, [], "complete")
    ended = turn(answer=answer, answered_at=NOON)
    with pytest.raises(Overloaded):
        replay(ended, room.hold("ann"))
    assert room.total == 0
    short = replay(turn(answer=Answer("x" * 100, [], "complete"), answered_at=NOON), room.hold("ann")).attach()
    assert room.total == SAID * 100
    short.close()
    assert room.total == 0
