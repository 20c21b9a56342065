"""A process is asked whether it can do its job: everything that keeps it from it is told at once."""

import asyncio
import gc

from shared.process.service import COLLECT_EVERY, Service
from shared.settings import Settings


class Worker:
    """Works until it is told to stop."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self._told = asyncio.Event()

    async def run(self) -> None:
        self.began.set()
        await self._told.wait()

    def shut_down(self) -> None:
        self._told.set()

    def fault(self) -> str | None:
        return None


async def test_every_probe_is_asked_at_the_same_time() -> None:
    """Each of these waits for the others, so one that was asked before them would not answer in its time."""
    service, worker, together = Service(Settings(_env_file=None), "test"), Worker(), asyncio.Barrier(3)

    async def probe() -> str | None:
        await together.wait()
        return None

    for number in range(3):
        service.check(str(number), probe)
    service.check("broken", lambda: "it is broken")
    running = asyncio.create_task(service.run(worker))
    await worker.began.wait()
    assert (await service.condition()).faults == {"broken": "it is broken"}
    worker.shut_down()
    await running


async def test_what_was_made_before_the_work_begins_is_collected_no_more() -> None:
    service, worker = Service(Settings(_env_file=None), "test"), Worker()
    threshold = gc.get_threshold()
    gc.unfreeze()
    gc.set_threshold(700)
    try:
        running = asyncio.create_task(service.run(worker))
        await worker.began.wait()
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold()[0] == COLLECT_EVERY
        worker.shut_down()
        await running
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)
