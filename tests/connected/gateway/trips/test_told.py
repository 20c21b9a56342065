"""What happens to a trip is told into its chat, in every open tab within 2 s, also where the logger was away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shared.settings import Settings
from tests.connected.gateway.live.listening import Stream, listening
from tests.dates import FLIGHT_DAY
from tests.processes import Process, running
from tests.sandbox_client import Avinode
from tests.simulated import simulated
from tests.tokens import token_for
from tests.waiting import PATIENCE_S, until

SOON_S = 10.0  # from what happens at Avinode, or is asked for, to every tab: by a look it would take up to
LOOKS_S = 15.0
TRIP = {"segments": [{"from": "KTEB", "to": "KPBI", "date": FLIGHT_DAY, "time": "09:30"}], "pax": 4}


@dataclass
class Site:
    """Every service that a note goes through, and Avinode."""

    processes: dict[str, Process]
    avinode: Avinode
    http: aiohttp.ClientSession

    async def call(self, method: str, path: str, body: Any = None, **more: str) -> Any:
        gateway = self.processes["gateway"]
        url = f"http://127.0.0.1:{gateway.settings.http_port}{path}"
        headers = {"Authorization": f"Bearer {token_for(gateway.settings, 'ann')}", **more}
        async with self.http.request(method, url, json=body, headers=headers) as response:
            assert response.status < 300, await response.text()
            return await response.json()

    async def trip(self, session_id: str) -> tuple[str, str]:
        """Begin a chat with a trip; returns our id, and Avinode's."""
        await self.call("POST", f"/api/chat/sessions/{session_id}/messages", {"role": "user", "content": "Fly me"})
        made = (await self.call("POST", f"/api/chat/sessions/{session_id}/trips", TRIP))["trip"]
        return made["id"], made["avinode_trip_id"]

    async def said(self, session_id: str) -> list[str]:
        """Read the chat, oldest first."""
        shown = (await self.call("GET", f"/api/chat/sessions/{session_id}/messages"))["messages"]
        return [message["content"] for message in shown]


@pytest.fixture
async def site(settings: Settings, tmp_path: Path) -> AsyncIterator[Site]:
    async with (
        simulated(settings.model_copy(update={"event_looks_s": LOOKS_S, "stored_wait_s": PATIENCE_S})) as outside,
        running(outside.settings, tmp_path, "gateway", "logger", "workflow") as processes,
        aiohttp.ClientSession() as http,
    ):
        yield Site(processes, Avinode(outside.avinode_url, http), http)


async def test_each_is_heard_in_every_tab_at_once_and_stands_in_its_order(site: Site) -> None:
    trip_id, avinode_trip_id = await site.trip("s1")
    rfqs = [rfq["id"] for rfq in (await site.avinode.act(f"trips/{avinode_trip_id}/rfqs", {"operators": 2}))["rfqs"]]
    await site.avinode.deliveries_when(lambda shown: all(each["state"] == "delivered" for each in shown))
    gateway = site.processes["gateway"]
    async with listening(gateway) as one, listening(gateway) as two:

        async def is_heard(happens: Callable[[], Awaitable[Any]], begins: str) -> None:
            async with asyncio.timeout(SOON_S):
                await happens()
                await asyncio.gather(*(has_heard(stream, begins) for stream in (one, two)))

        async def has_heard(stream: Stream, begins: str) -> None:
            while not any(said.startswith(begins) for said in await site.said("s1")):
                await stream.until("stored", "s1")

        await is_heard(
            lambda: site.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": 33500}), "Simulated Operator A quoted"
        )
        await is_heard(lambda: site.avinode.act(f"rfqs/{rfqs[1]}/decline"), "Simulated Operator B declined")
        cancel = {"reason": "CHANGED"}
        await is_heard(lambda: site.call("POST", f"/api/trips/{trip_id}/cancel", cancel), "The trip was cancelled")
    said = await site.said("s1")
    assert [line.split()[:3] for line in said[1:3]] == [["Simulated", "Operator", "A"], ["Simulated", "Operator", "B"]]
    assert said[3:] == ["The trip was cancelled: plans have changed."]


@pytest.mark.fault
async def test_what_was_told_while_the_logger_was_away_is_heard_when_it_is_back(site: Site) -> None:
    _, avinode_trip_id = await site.trip("s1")
    (rfq,) = (await site.avinode.act(f"trips/{avinode_trip_id}/rfqs", {"operators": 1}))["rfqs"]
    site.processes["logger"].kill()
    async with listening(site.processes["gateway"]) as stream:
        await site.avinode.act(f"rfqs/{rfq['id']}/quote", {"price": 33500})

        async def is_known() -> bool:
            return bool((await site.call("GET", "/api/trips?session_id=s1"))["trips"][0]["quotes_received_count"])

        await until(is_known, "the quote")
        said = {"role": "user", "content": "Anything new?"}
        await site.call("POST", "/api/chat/sessions/s1/messages", said, Prefer="respond-async")
        assert await site.said("s1") == ["Fly me", "Anything new?"]
        await site.processes["logger"].start()
        while len(shown := await site.said("s1")) < 3:
            await stream.until("stored", "s1")
    assert [line.split()[0] for line in shown] == ["Fly", "Simulated", "Anything"]
