"""What is large waits until there is room for it."""

import asyncio

import pytest

from services.gateway.http.held import room as rooms
from services.gateway.http.held.room import SMALL, Room
from shared.errors import Overloaded

BIG = 2 * SMALL


class Guest:
    """Takes room until it is told to leave."""

    def __init__(self, room: Room, size: int) -> None:
        self.is_in = False
        self._leaving = asyncio.Event()
        self.staying = asyncio.create_task(self._stay(room, size))

    async def _stay(self, room: Room, size: int) -> None:
        async with room.for_bytes(size):
            self.is_in = True
            await self._leaving.wait()

    async def leave(self) -> None:
        self._leaving.set()
        await self.staying
        await asyncio.sleep(0)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_finds_no_room_waits_in_order() -> None:
    room = Room(2 * BIG)
    first, second, third, fourth = (Guest(room, size) for size in (BIG, BIG, 2 * BIG, BIG))
    await settle()
    assert [guest.is_in for guest in (first, second, third, fourth)] == [True, True, False, False]
    await first.leave()
    await settle()
    assert not third.is_in
    assert not fourth.is_in  # though there would be room for it
    await second.leave()
    await settle()
    assert (third.is_in, fourth.is_in) == (True, False)
    await third.leave()
    await settle()
    assert fourth.is_in
    await fourth.leave()


async def test_what_is_small_never_waits_and_what_is_larger_than_all_comes_alone() -> None:
    room = Room(BIG)
    large = Guest(room, 10 * BIG)
    await settle()
    assert large.is_in
    async with room.for_bytes(SMALL):
        pass
    await large.leave()


async def test_who_gives_up_leaves_no_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "PATIENCE_S", 0.01)
    room = Room(BIG)
    first = Guest(room, BIG)
    await settle()
    with pytest.raises(Overloaded):
        async with room.for_bytes(BIG):
            pass
    gone = Guest(room, BIG)
    await settle()
    gone.staying.cancel()
    with pytest.raises((asyncio.CancelledError, Overloaded)):
        await gone.staying
    await first.leave()
    async with room.for_bytes(BIG):
        pass
