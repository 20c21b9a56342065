"""A turn is streamed for as long as its caller is there; who else ends it is told from that."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.types import Message

from services.gateway.chat.following import FollowingResponse
from services.gateway.turns.here.buffer import TurnBuffer
from tests.pure.gateway.samples import turn
from tests.waiting import until_true


class Stage:
    """A response whose stream says one piece, and then what it is told to."""

    def __init__(self) -> None:
        self.buffer = TurnBuffer(turn())
        self.sent: list[Message] = []
        self.left, self.over, self.ends = asyncio.Event(), asyncio.Event(), 0
        self.fault: Exception | None = None
        self.stays_cancelled: int | None = None
        self.answering = asyncio.create_task(self._answer())

    async def _answer(self) -> None:
        response = FollowingResponse(self.buffer, self._stream(), {}, self._end)
        await response({"type": "http"}, self._receive, self._send)
        task = asyncio.current_task()
        assert task is not None
        self.stays_cancelled = task.cancelling()
        await asyncio.sleep(0)  # where a cancellation that comes too late would be met

    async def _stream(self) -> AsyncIterator[bytes]:
        yield b"first"
        await self.over.wait()
        if self.fault is not None:
            raise self.fault
        yield b"last"

    async def _receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    def _end(self) -> None:
        self.ends += 1

    async def begin(self) -> None:
        await until_true(lambda: len(self.sent) == 2)

    def check(self, *pieces: bytes) -> None:
        assert [each["body"] for each in self.sent[1:]] == list(pieces)
        assert (self.ends, self.buffer.is_followed) == (1, False)


async def test_the_stream_ends_when_its_caller_leaves_and_the_request_is_not_cancelled() -> None:
    stage = Stage()
    await stage.begin()
    stage.left.set()
    await stage.answering
    assert stage.stays_cancelled == 0
    stage.check(b"first")


@pytest.mark.parametrize("leaves_first", [True, False])
async def test_an_answer_that_ends_as_its_caller_leaves_is_ended_once(leaves_first: bool) -> None:
    stage = Stage()
    await stage.begin()
    for event in (stage.left, stage.over) if leaves_first else (stage.over, stage.left):
        event.set()
    await stage.answering
    assert stage.stays_cancelled == 0
    stage.check(*[b"first", b"last", b""][: len(stage.sent) - 1])


@pytest.mark.parametrize("turns", [None, 0, 1, 2], ids=["stays", "leaves", "has left", "is being told"])
async def test_whoever_cancels_the_request_cancels_it_though_its_caller_leaves(turns: int | None) -> None:
    stage = Stage()
    await stage.begin()
    if turns is not None:
        stage.left.set()
        for _ in range(turns):
            await asyncio.sleep(0)
    assert not stage.answering.done()
    stage.answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stage.answering
    stage.check(b"first")


async def test_what_goes_wrong_in_the_stream_is_told() -> None:
    stage = Stage()
    await stage.begin()
    stage.fault = ValueError("wrong")
    stage.over.set()
    with pytest.raises(ValueError, match="wrong"):
        await stage.answering
    stage.check(b"first")
