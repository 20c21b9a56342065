"""One look for all who listen, on a database of our own."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from services.gateway.live import looking as module
from services.gateway.live.changes import Place, Source
from services.gateway.live.found import OVERLAP_S, Found
from services.gateway.live.listeners import Listeners
from services.gateway.live.looking import Looking
from tests.waiting import until_true

ROW = Found(Place("ann", "s1", Source.TAGGING), datetime(2026, 11, 29, 12, tzinfo=UTC), 1.5)


class Table:
    """What there is to be found, or an error; it remembers who was looked for, and how far back."""

    def __init__(self) -> None:
        self.rows: list[Found] = []
        self.error: Exception | None = None
        self.looks: list[tuple[list[str], float]] = []
        self.looked_at: list[float] = []

    async def changed(self, user_ids: Sequence[str], within_s: float) -> tuple[float, list[Found]]:
        self.looks.append((sorted(user_ids), within_s))
        self.looked_at.append(asyncio.get_running_loop().time())
        if self.error is not None:
            raise self.error
        return asyncio.get_running_loop().time(), self.rows


@pytest.fixture
def table() -> Table:
    return Table()


async def test_nobody_listens_nobody_looks(table: Table) -> None:
    await Looking(table, Listeners(), every_s=10.0).look()
    assert table.looks == []


async def test_one_look_is_for_all(table: Table) -> None:
    listeners = Listeners()
    listener, _, _ = listeners.open(["ann"]), listeners.open(["ann", "visitor_1"]), listeners.open(["bob"])
    table.rows = [ROW]
    await Looking(table, listeners, every_s=10.0).look()
    [(users, within_s)] = table.looks
    assert users == ["ann", "bob", "visitor_1"]
    assert within_s == pytest.approx(10.0 + OVERLAP_S, abs=0.1)
    assert [change.name for change in listener.take() or ()] == ["tagged"]


async def test_a_look_goes_back_to_the_last_one_that_found_its_database(table: Table) -> None:
    listeners = Listeners()
    listener = listeners.open(["ann"])
    looking = Looking(table, listeners, every_s=10.0)
    await looking.look()
    for error in (ConnectionRefusedError(), TimeoutError()):
        await asyncio.sleep(0.1)
        table.error = error
        await looking.look()
    table.error = None
    await asyncio.sleep(0.1)
    await looking.look()
    await looking.look()
    within = [within_s - OVERLAP_S for _, within_s in table.looks]
    first, *_, fourth, fifth = table.looked_at
    since_the_first = [at - first for at in table.looked_at[1:4]]
    assert within == pytest.approx([10.0, *since_the_first, fifth - fourth], abs=0.05)
    assert listener.take() == []


async def test_more_than_a_look_reads_is_a_gap(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FOUND", 1)
    listeners = Listeners()
    listener = listeners.open(["ann"])
    table.rows = [ROW, ROW]
    await Looking(table, listeners, every_s=10.0).look()
    assert listener.take() is None


async def test_it_looks_again_and_again_and_ends_the_streams_with_its_process(table: Table) -> None:
    listeners = Listeners()
    listener = listeners.open(["ann"])
    looking = Looking(table, listeners, every_s=0.01)
    running = asyncio.create_task(looking.run())
    await until_true(lambda: len(table.looks) >= 3)
    looking.shut_down()
    await running
    assert listener.has_ended
