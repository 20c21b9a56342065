"""One user's readings wait for each other, and nobody else does."""

import asyncio

import pytest

from services.gateway.account.identity import Caller, Role
from services.gateway.account.limits import lanes as module
from services.gateway.account.limits.lanes import LANES, Lanes
from tests.pure.gateway.samples import facts, stored
from tests.service.gateway.fakes import World
from tests.waiting import until_true


def caller(user: str, role: Role = "user") -> Caller:
    return Caller(user, None, role, None, (user,))


class Reader:
    """Reads until it is told to end."""

    def __init__(self, lanes: Lanes, who: Caller) -> None:
        self.reads = False
        self._end = asyncio.Event()
        self._task = asyncio.create_task(self._read(lanes, who))

    async def _read(self, lanes: Lanes, who: Caller) -> None:
        async with lanes.of(who):
            self.reads = True
            await self._end.wait()

    async def end(self) -> None:
        self._end.set()
        await self._task


async def test_one_reading_too_many_waits_for_another_of_the_same_user() -> None:
    lanes = Lanes()
    first, *others = [Reader(lanes, caller("ann")) for _ in range(LANES)]
    late, bob = Reader(lanes, caller("ann")), Reader(lanes, caller("bob"))
    programs = [Reader(lanes, caller("crm", "service")) for _ in range(LANES + 1)]
    await until_true(lambda: all(each.reads for each in (first, *others, bob, *programs)))
    assert not late.reads
    await first.end()
    await until_true(lambda: late.reads)
    for each in (*others, late, bob, *programs):
        await each.end()
    assert not lanes._lanes  # nobody is remembered


@pytest.mark.parametrize("path", ["/api/chat/sessions", "/api/chat/sessions/s1", "/api/chat/sessions/s1/messages"])
async def test_whoever_finds_no_lane_for_long_is_told_to_come_back(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    world = World()
    world.sessions = [facts("s1", stored=stored(1))]
    reading = [Reader(world.lanes, caller("u1")) for _ in range(LANES)]
    await until_true(lambda: all(each.reads for each in reading))
    async with world.client("u1") as client:
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        for each in reading:
            await each.end()
        assert (await client.get(path)).status_code == 200


async def test_who_gives_up_waiting_takes_no_lane() -> None:
    lanes = Lanes()
    reading = [Reader(lanes, caller("ann")) for _ in range(LANES)]
    await until_true(lambda: all(each.reads for each in reading))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), lanes.of(caller("ann")):
            raise AssertionError
    for each in reading:
        await each.end()
    async with lanes.of(caller("ann")), lanes.of(caller("ann")):
        pass
    assert not lanes._lanes
