"""The stream, to a caller who reads by hand."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from starlette.types import Message

from services.gateway.http.edge.middleware import GOES_ON
from services.gateway.live import stream as module
from services.gateway.live.changes import Change, changes
from services.gateway.live.listeners import MOST_WAITING, Listeners
from services.gateway.live.stream import HEARTBEAT, EventStream
from shared.events import SessionTagged, Stored
from tests.waiting import until_true

Parsed = tuple[str, str | None]


class Reader:
    """A caller: what it was sent, whether it takes more, and whether it is there."""

    def __init__(self) -> None:
        self.sent = b""
        self.is_over = False
        self.takes = asyncio.Event()
        self.takes.set()
        self.left = asyncio.Event()
        self.is_waited_for = False

    async def send(self, message: Message) -> None:
        self.is_waited_for = True
        await self.takes.wait()
        self.is_waited_for = False
        if message["type"] == "http.response.body":
            self.sent += message["body"]
            self.is_over = not message["more_body"]

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    def events(self) -> list[Parsed]:
        return [(name, data["session_id"]) for name, data in self.whole_events()]

    def whole_events(self) -> list[tuple[str, dict[str, Any]]]:
        blocks = [block.split("\n") for block in self.sent.decode().split("\n\n") if "data: " in block]
        return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for _, name, data in blocks]


class Site:
    def __init__(self) -> None:
        self.listeners = Listeners()
        self.reader = Reader()
        self.ended = 0

    def open(self, **given: Any) -> asyncio.Task[None]:
        """Answer as the edge does: the request is done with when the answer has begun."""
        given = {"admit": None, "holds": None, "is_return": False, "lasts_s": 60.0, **given}
        response = EventStream(self.listeners.open(["ann"]), on_end=self._end, **given)

        async def answer() -> None:
            scope: dict[str, Any] = {"type": "http", "method": "GET"}
            await response(scope, self.reader.receive, self.reader.send)
            await scope[GOES_ON](self.reader.receive, self.reader.send)

        return asyncio.create_task(answer())

    def _end(self) -> None:
        self.ended += 1

    def hint(self, session_id: str) -> None:
        self.listeners.hint(Stored(user_id="ann", session_id=session_id, causes=()))

    async def read(self, holds: Callable[[], bool]) -> None:
        await until_true(holds)


@pytest.fixture
def site() -> Site:
    return Site()


async def test_a_stream_begins_with_an_id_so_that_who_loses_it_can_say_so(site: Site) -> None:
    streaming = site.open()
    await site.read(lambda: site.reader.sent.endswith(b"\n\n"))
    assert site.reader.sent.startswith(b"retry: 3000\nid: ")
    site.reader.left.set()
    await streaming


async def test_events_have_names_ids_and_one_shape(site: Site) -> None:
    streaming = site.open()
    site.hint("s1")
    await site.read(lambda: len(site.reader.events()) == 1)
    site.listeners.hint(SessionTagged(user_id="ann", session_id="s1", causes=(), session_tag="t"))
    await site.read(lambda: len(site.reader.events()) == 2)
    site.reader.left.set()
    await streaming
    assert site.reader.events() == [("stored", "s1"), ("tagged", "s1")]
    assert [set(data) for _, data in site.reader.whole_events()] == [{"session_id", "changed", "at"}] * 2
    ids = [line for line in site.reader.sent.decode().split("\n") if line.startswith("id: ")]
    assert len(set(ids)) == 3


async def test_who_leaves_listens_no_more(site: Site) -> None:
    streaming = site.open()
    await site.read(lambda: bool(site.reader.sent))
    assert site.listeners.are_awaited
    site.reader.left.set()
    await streaming
    assert (site.listeners.are_awaited, site.ended, site.reader.is_over) == (False, 1, False)


async def test_who_leaves_while_they_take_nothing_listens_no_more(site: Site) -> None:
    streaming = site.open()
    await site.read(lambda: bool(site.reader.sent))
    site.reader.takes.clear()
    site.hint("s1")
    await site.read(lambda: site.reader.is_waited_for)
    site.reader.left.set()
    await streaming
    assert (site.listeners.are_awaited, site.ended) == (False, 1)


async def test_a_slow_reader_is_told_to_fetch_everything_instead_of_all_that_they_missed(site: Site) -> None:
    streaming = site.open()
    await site.read(lambda: bool(site.reader.sent))
    site.reader.takes.clear()
    site.hint("first")
    await site.read(lambda: site.reader.is_waited_for)
    for number in range(MOST_WAITING + 1):
        site.hint(f"s{number}")
    site.reader.takes.set()
    await site.read(lambda: len(site.reader.events()) >= 2)
    site.hint("later")
    await site.read(lambda: len(site.reader.events()) >= 3)
    site.reader.left.set()
    await streaming
    assert site.reader.events() == [("stored", "first"), ("resync", None), ("stored", "later")]


async def test_who_comes_back_is_told_to_fetch_everything_before_anything_else(site: Site) -> None:
    streaming = site.open(is_return=True)
    site.hint("s1")
    await site.read(lambda: len(site.reader.events()) >= 1)
    site.hint("s2")
    await site.read(lambda: len(site.reader.events()) >= 2)
    site.reader.left.set()
    await streaming
    assert site.reader.events() == [("resync", None), ("stored", "s2")]


async def test_a_silent_stream_has_a_heart(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.01)
    streaming = site.open()
    await site.read(lambda: site.reader.sent.count(HEARTBEAT) >= 2)
    site.reader.left.set()
    await streaming


async def test_credentials_that_expire_end_the_stream_in_order(site: Site) -> None:
    await site.open(lasts_s=0.05)
    assert (site.reader.is_over, site.listeners.are_awaited, site.ended) == (True, False, 1)


async def test_a_gateway_that_stops_says_what_it_knows_and_ends_the_stream_in_order(site: Site) -> None:
    streaming = site.open()
    await site.read(lambda: bool(site.reader.sent))
    site.hint("s1")
    site.listeners.close()
    await streaming
    assert (site.reader.is_over, site.reader.events(), site.ended) == (True, [("stored", "s1")], 1)


async def test_what_a_caller_may_not_hear_of_is_left_out(site: Site) -> None:
    async def admit(came: Sequence[Change]) -> list[Change]:
        return [change for change in came if change.session_id == "own"]

    streaming = site.open(admit=admit)
    await site.read(lambda: bool(site.reader.sent))
    site.hint("other")
    site.hint("own")
    await site.read(lambda: bool(site.reader.events()))
    site.reader.left.set()
    await streaming
    assert site.reader.events() == [("stored", "own")]


@pytest.mark.parametrize("error", [ConnectionRefusedError(), TimeoutError(), asyncpg.InterfaceError("gone"), None])
async def test_where_nobody_can_tell_everything_is_to_be_fetched(site: Site, error: Exception | None) -> None:
    async def admit(_: Sequence[Change]) -> None:
        if error is not None:
            raise error

    streaming = site.open(admit=admit)
    site.hint("s1")
    await site.read(lambda: bool(site.reader.events()))
    site.reader.left.set()
    await streaming
    assert site.reader.events() == [("resync", None)]


def test_a_time_is_spelled_with_its_zone() -> None:
    [change] = changes("ann", "s1", ["trip"], datetime(2026, 11, 29, 12, tzinfo=UTC))
    assert b'"at":"2026-11-29T12:00:00+00:00"' in b"".join(module.spelled([change]))


async def test_nothing_is_told_by_credentials_that_were_taken_back(site: Site) -> None:
    stands = [True, False]

    async def holds() -> bool:
        return stands.pop(0)

    streaming = site.open(holds=holds)
    await site.read(lambda: site.reader.sent.endswith(b"\n\n"))
    site.hint("first")
    await site.read(lambda: site.reader.events() == [("stored", "first")])
    site.hint("second")
    await streaming
    assert site.reader.is_over
    assert site.reader.events() == [("stored", "first")]
    assert site.ended == 1


async def test_a_stream_ends_where_nobody_can_tell_whether_its_credentials_stand(site: Site) -> None:
    async def holds() -> bool:
        raise asyncpg.CannotConnectNowError

    streaming = site.open(holds=holds)
    await site.read(lambda: site.reader.sent.endswith(b"\n\n"))
    site.hint("first")
    await streaming
    assert site.reader.events() == []
