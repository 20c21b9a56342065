"""A simulated Avinode in a process of its own, and trips at it that our tables know."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg
import orjson

from deploy.supervisor.machine.ports import free_port
from services.workflow.handlers import DeliveryHandler
from services.workflow.store.deliveries import DeliveryStore
from shared.database import open_pool
from shared.events import WebhookReceived
from shared.ids import new_id
from shared.settings import Settings
from tests.bench.running.servers import answers, process
from tests.sandbox_client import TRIP, Avinode
from tests.waiting import until

OPEN = {"avinode_calls_per_s": 100_000.0, "avinode_burst": 100_000}  # no allowance holds anything up
KNOWN = """
    WITH trip AS (
        INSERT INTO workflow.trips (trip_id, avinode_trip_id, trip_code, last_checked_at, due_at)
        SELECT gen_random_uuid(), id, code, now(), $3 FROM unnest($1::text[], $2::text[]) AS known (id, code)
        RETURNING trip_id, trip_code
    ) INSERT INTO workflow.trip_sessions (user_id, session_id, trip_id) SELECT 'ada', trip_code, trip_id FROM trip
"""


@dataclass
class Market:
    """What a measurement does at Avinode, and what it sees of it."""

    avinode: Avinode
    settings: Settings

    async def trips(self, owner: asyncpg.Connection, count: int) -> list[str]:
        """Make trips that are known here, and due for no reading."""
        made = [await self.avinode.act("trips", TRIP) for _ in range(count)]
        ids, codes = [trip["trip_id"] for trip in made], [trip["trip_code"] for trip in made]
        await owner.execute(KNOWN, ids, codes, await owner.fetchval("SELECT 'infinity'::timestamptz"))
        return ids

    async def calls(self) -> list[dict[str, Any]]:
        """Return the newest calls, up to 10,000; the last one's id counts all of them."""
        found: list[dict[str, Any]] = (await self.avinode.call("GET", "/sim/calls")).body["calls"]
        return found

    async def count(self) -> int:
        calls = await self.calls()
        return int(calls[-1]["id"]) if calls else 0

    async def notices(self, since: int = 0) -> list[bytes]:
        """Return the bodies of the notices that Avinode has for us."""
        shown = (await self.avinode.call("GET", f"/sim/deliveries?since={since}")).body["deliveries"]
        return [orjson.dumps(delivery["body"]) for delivery in shown]


@asynccontextmanager
async def running_market(settings: Settings) -> AsyncIterator[Market]:
    """Run one that sends nothing by itself: when a notice comes, the measurement says."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "AVINODE_PORT": str(port),
        "LLM_PORT": str(free_port()),
        "AVINODE_RATE_PER_S": "1000000",
        "AVINODE_RATE_BURST": "1000000",
        "AVINODE_WEBHOOK_TARGET": f"{url}/nowhere",
    }
    with process(["deploy.sandbox"], settings, environment):
        await until(lambda: answers(f"{url}/healthz"), "Avinode")
        async with aiohttp.ClientSession() as http:
            avinode = Avinode(url, http)
            await avinode.switch_on(drop=True)
            yield Market(avinode, settings.model_copy(update={"avinode_base_url": f"{url}/api"}))


async def keep(settings: Settings, bodies: list[bytes]) -> None:
    """Keep notices as the workflow does, while none runs."""
    async with open_pool(settings.workflow_database_url, f"bench-{os.getpid()}") as pool:
        handler = DeliveryHandler(DeliveryStore(pool), settings.avinode_base_url, most=10_000)
        events = [WebhookReceived(delivery_id=new_id(), payload=body) for body in bodies]
        for first in range(0, len(events), 250):
            await handler.commit(events[first : first + 250])
