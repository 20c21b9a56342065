"""A wire passes everything on as it came, but for the frames that somebody takes."""

import asyncio
from itertools import pairwise

import pamqp.frame
import pytest
from aiormq import spec
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.heartbeat import Heartbeat

from shared.broker import wire as wires
from shared.broker.wire import HEARTBEAT, METHOD, MOST_HELD
from tests.stand_ins.wires import FakeWire

TAKEN = pamqp.frame.marshal(spec.Basic.Ack(7), 1)
LEFT = (
    pamqp.frame.marshal(spec.Channel.CloseOk(), 1),
    pamqp.frame.marshal(ContentBody(b"\xce" * 40), 2),
    pamqp.frame.marshal(Heartbeat(), 0),
)


@given(st.lists(st.sampled_from([TAKEN, *LEFT]), max_size=12), st.lists(st.integers(0, 400), max_size=8))
def test_frames_that_nobody_takes_are_passed_on_however_they_come(frames: list[bytes], cuts: list[int]) -> None:
    async def receive() -> tuple[FakeWire, list[bytes]]:
        wire, taken = FakeWire(), list[bytes]()

        def take(kind: int, payload: bytes) -> bool:
            taken.append(payload)
            return (kind, payload[:4]) == (METHOD, TAKEN[7:11])

        wire.take(1, take)
        stream = b"".join(frames)
        ends = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
        for begin, end in pairwise(ends):
            wire.data_received(stream[begin:end])
        return wire, taken

    wire, seen = asyncio.run(receive())

    assert wire.transport.passed.data == b"".join(frame for frame in frames if frame != TAKEN)
    assert seen == [frame[7:-1] for frame in frames if frame in (TAKEN, LEFT[0])]


async def test_aiormq_takes_a_connection_for_alive_whose_frames_are_all_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "HEARTBEAT_EVERY_S", 0.0)
    wire = FakeWire()
    wire.take(1, lambda _kind, _payload: True)

    wire.say(1, spec.Basic.Ack(7))

    assert wire.transport.passed.data == HEARTBEAT


async def test_what_is_no_amqp_is_passed_on_at_its_end() -> None:
    wire = FakeWire()

    wire.data_received(b"AMQP\x00\x00\x09\x01")
    wire.eof_received()

    assert wire.transport.passed.data == b"AMQP\x00\x00\x09\x01"
    assert wire.transport.passed.ended


async def test_what_is_written_in_one_turn_of_the_loop_goes_out_at_once() -> None:
    wire, written = FakeWire(), list[bytes]()
    wire.transport.write = written.append  # type: ignore[method-assign,assignment]
    for frame in LEFT:
        wire.write(frame)
    assert written == []
    await asyncio.sleep(0)
    assert written == [b"".join(LEFT)]
    wire.write(TAKEN)
    await asyncio.sleep(0)
    assert written == [b"".join(LEFT), TAKEN]


async def test_of_much_only_the_transport_knows_when_it_is_too_much() -> None:
    wire = FakeWire()
    large = pamqp.frame.marshal(ContentBody(b"x" * MOST_HELD), 1)
    wire.write(TAKEN)
    wire.write(large)
    assert wire.transport.written == TAKEN + large


async def test_nothing_is_written_to_a_connection_that_is_closed() -> None:
    wire = FakeWire()
    wire.write(TAKEN)
    wire.transport.closing = True
    await asyncio.sleep(0)
    assert wire.transport.written == b""
