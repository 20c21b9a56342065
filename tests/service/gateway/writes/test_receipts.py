"""Waiting for what one has written."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import asyncpg
import pytest

from services.gateway.writes import receipts as module
from services.gateway.writes.receipts import Receipts
from shared.events import SessionTagged, Stored
from shared.ids import new_id
from tests.waiting import PATIENCE_S

EVENT = UUID(int=1)
LONG_S = 30.0


class Shelf:
    """Where a row appears, or an error; it remembers how often somebody looked."""

    def __init__(self) -> None:
        self.row: str | None = None
        self.error: Exception | None = None
        self.looks = 0

    async def look(self) -> str | None:
        self.looks += 1
        if self.error is not None:
            raise self.error
        return self.row


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def hints_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the looks between, so that only a hint can end a long wait."""
    monkeypatch.setattr(module, "LOOK_AT_S", ())


def stored(event_id: UUID, user: str = "u1", session: str = "s1") -> Stored:
    return Stored(user_id=user, session_id=session, causes=(new_id(), event_id))


async def until(looked: Callable[[], bool]) -> None:
    while not looked():
        await asyncio.sleep(0)


async def promptly(waiting: Awaitable[str | None]) -> str | None:
    async with asyncio.timeout(PATIENCE_S):
        return await waiting


@pytest.mark.usefixtures("hints_only")
async def test_a_hint_makes_it_look(shelf: Shelf) -> None:
    receipts = Receipts()
    with receipts.expecting(EVENT) as receipt:
        waiting = asyncio.create_task(receipt.until(shelf.look, LONG_S))
        await asyncio.sleep(0)
        shelf.row = "row"
        receipts.hint(stored(EVENT))
        assert await promptly(waiting) == "row"


@pytest.mark.usefixtures("hints_only")
async def test_a_hint_that_comes_before_the_wait_is_not_missed(shelf: Shelf) -> None:
    receipts = Receipts()
    with receipts.expecting(EVENT) as receipt:
        shelf.row = "row"
        receipts.hint(stored(EVENT))
        assert await promptly(receipt.until(shelf.look, LONG_S)) == "row"


@pytest.mark.usefixtures("hints_only")
async def test_a_hint_that_comes_too_soon_is_followed_by_others(shelf: Shelf) -> None:
    receipts = Receipts()
    with receipts.expecting(EVENT) as receipt:
        waiting = asyncio.create_task(receipt.until(shelf.look, LONG_S))
        receipts.hint(stored(EVENT))
        await until(lambda: shelf.looks == 1)
        shelf.row = "row"
        receipts.hint(stored(EVENT))
        assert await promptly(waiting) == "row"


@pytest.mark.usefixtures("hints_only")
async def test_others_hints_are_of_no_interest(shelf: Shelf) -> None:
    receipts = Receipts()
    with receipts.expecting(EVENT) as receipt, receipts.watching(("u1", "visitor"), "s1") as session:
        shelf.row = "row"
        receipts.hint(stored(new_id(), user="u2"))
        receipts.hint(stored(new_id(), session="s2"))
        assert await receipt.until(shelf.look, 0.02) == "row"
        assert await session.until(shelf.look, 0.02) == "row"
    assert shelf.looks == 2  # at the end, each once


@pytest.mark.usefixtures("hints_only")
@pytest.mark.parametrize("user", ["u1", "visitor"])
async def test_a_session_is_watched_for_each_of_its_readers_identities(shelf: Shelf, user: str) -> None:
    receipts = Receipts()
    with receipts.watching(("u1", "visitor"), "s1") as receipt:
        shelf.row = "tag"
        receipts.hint(SessionTagged(user_id=user, session_id="s1", causes=(), session_tag="tag"))
        assert await promptly(receipt.until(shelf.look, LONG_S)) == "tag"


@pytest.mark.usefixtures("hints_only")
async def test_what_happens_to_the_session_is_a_hint(shelf: Shelf) -> None:
    receipts = Receipts()
    with receipts.expecting(EVENT, ("u1", "s1")) as receipt:
        shelf.row = "row"
        receipts.hint(stored(new_id()))
        assert await promptly(receipt.until(shelf.look, LONG_S)) == "row"


async def test_a_lost_hint_costs_a_moment_only(shelf: Shelf) -> None:
    with Receipts().expecting(EVENT) as receipt:
        waiting = asyncio.create_task(receipt.until(shelf.look, LONG_S))
        await until(lambda: shelf.looks == 1)
        shelf.row = "row"
        assert await promptly(waiting) == "row"


async def test_what_does_not_come_in_time_is_none(shelf: Shelf) -> None:
    with Receipts().expecting(EVENT) as receipt:
        assert await receipt.until(shelf.look, 0.1) is None
    assert shelf.looks == 2  # at 50 ms and at the end


async def test_who_may_not_wait_does_not_look(shelf: Shelf) -> None:
    shelf.row = "row"
    with Receipts().expecting(EVENT) as receipt:
        assert await receipt.until(shelf.look, 0) is None
    assert shelf.looks == 0


async def test_a_database_that_is_away_delays_and_does_not_refuse(shelf: Shelf) -> None:
    with Receipts().expecting(EVENT) as receipt:
        for error in (ConnectionRefusedError(), asyncpg.CannotConnectNowError("starting up")):
            shelf.error = error
            assert await receipt.until(shelf.look, 0.01) is None


async def test_a_database_that_does_not_answer_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAST_LOOK_S", 0.01)

    async def hanging() -> str | None:
        await asyncio.Event().wait()
        return "never"

    with Receipts().expecting(EVENT) as receipt:
        assert await promptly(receipt.until(hanging, 0.01)) is None


async def test_an_error_of_ours_is_not_taken_for_a_database_that_is_away(shelf: Shelf) -> None:
    shelf.error = LookupError("a fault of ours")
    with Receipts().expecting(EVENT) as receipt, pytest.raises(LookupError):
        await receipt.until(shelf.look, 0.01)
