"""Deliveries are put together where somebody wants them, and what else comes on their channel is left."""

from typing import Any

from aiormq import spec
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from shared.broker.deliveries import Deliveries
from tests.stand_ins.wires import FakeWire

CHANNEL = 3
LARGEST = 100


class Listener:
    """A channel's deliveries, wanted or not."""

    def __init__(self) -> None:
        self.wire = FakeWire()
        self.wanted = True
        self.heard = list[bytes]()
        deliveries = Deliveries(self._hear, is_wanted=lambda: self.wanted, largest=LARGEST)
        self.wire.take(CHANNEL, deliveries.take)

    def _hear(self, _method: bytes, _header: bytes, body: bytes) -> None:
        self.heard.append(body)

    def deliver(self, *pieces: bytes) -> None:
        size = sum(map(len, pieces))
        frames: list[Any] = [spec.Basic.Deliver("tag", 1, False, "outcomes", ""), ContentHeader(body_size=size)]
        self.wire.say(CHANNEL, *frames, *map(ContentBody, pieces))


@given(st.lists(st.tuples(st.booleans(), st.lists(st.binary(min_size=1, max_size=20), max_size=3)), max_size=6))
async def test_what_is_wanted_is_heard_whole(deliveries: list[tuple[bool, list[bytes]]]) -> None:
    listener = Listener()

    for wanted, pieces in deliveries:
        listener.wanted = wanted
        listener.deliver(*pieces)

    assert listener.heard == [b"".join(pieces) for wanted, pieces in deliveries if wanted]
    assert not listener.wire.transport.passed.data


async def test_what_is_too_large_is_dropped() -> None:
    listener = Listener()

    frames: list[Any] = [
        spec.Basic.Deliver("tag", 1, False, "outcomes", ""),
        ContentHeader(body_size=LARGEST + 1),
    ]
    listener.wire.say(CHANNEL, *frames, ContentBody(b"the first of many"))
    listener.deliver(b"the next")

    assert listener.heard == [b"the next"]


async def test_a_cancelled_consumer_is_told_to_aiormq() -> None:
    listener = Listener()

    listener.wire.say(CHANNEL, spec.Basic.Cancel("tag"))

    assert b"tag" in listener.wire.transport.passed.data
