"""A slice takes room from others only while it is made and sent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Message

from services.gateway.http.answers.sliced import Slice, SlicedResponse
from services.gateway.http.held.room import SMALL, Room
from tests.waiting import PATIENCE_S, until_true

BIG = 2 * SMALL


class Stage:
    """A caller with one lane, which is taken at first."""

    def __init__(self, slices: int) -> None:
        self.room = Room(BIG)
        self.body = b""
        self.asked = 0  # how often a lane was
        self._lane = asyncio.Lock()
        made: list[Slice] = [(BIG, self._make)] * slices
        self._response = SlicedResponse(self.room, self._have_lane, made, before=b"[", after=b"]")

    @asynccontextmanager
    async def _have_lane(self) -> AsyncIterator[None]:
        self.asked += 1
        async with self._lane:
            yield

    async def _make(self) -> bytes:
        assert self._lane.locked()
        return b"made"

    async def _send(self, message: Message) -> None:
        assert not self._lane.locked()  # whoever reads slowly does not keep another of theirs from being made
        self.body += message.get("body", b"")

    async def _receive(self) -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def answer(self) -> None:
        """Take the lane until it was asked for and others have found room; then answer."""
        async with self._lane:
            answering = asyncio.create_task(self._response({"type": "http"}, self._receive, self._send))
            await until_true(lambda: self.asked > 0)
            async with asyncio.timeout(PATIENCE_S), self.room.for_bytes(BIG):
                pass
        await answering


async def test_whoever_waits_for_a_lane_of_theirs_takes_no_room_meanwhile() -> None:
    for slices, body in ((1, b"[made]"), (3, b"[made,made,made]")):
        stage = Stage(slices)
        await stage.answer()
        assert (stage.body, stage.asked) == (body, slices)
