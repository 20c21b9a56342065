"""Avinode is busy: it is left alone as it asks, longer where that was not enough; and nothing is read twice in vain."""

from dataclasses import replace

import asyncpg
import pytest
from aiohttp import web

from services.workflow.avinode.client import open_avinode
from services.workflow.avinode.errors import AvinodeAway
from shared.settings import Settings
from tests.connected.workflow.stage import QUICK, Stage, open_stage, running_workflow, serving

PATIENT = replace(QUICK, first_retry_s=10, longest_retry_s=60)


async def test_a_busy_avinode_is_left_alone_longer_each_time_up_to_an_end(settings: Settings) -> None:
    answers = [429, 429, 503, 429, 429, 429, 200, 429]

    async def busy(_: web.Request) -> web.Response:
        status = answers.pop(0)
        return web.json_response({"data": {}}, status=status, headers={"Retry-After": "1"} if status != 200 else {})

    held = []
    async with serving(busy) as url:
        there = settings.model_copy(update={"avinode_base_url": url})
        async with open_avinode(there, PATIENT) as avinode:
            while answers:
                if answers[0] == 200:
                    await avinode.read("trips", "atrip-1")
                    continue
                with pytest.raises(AvinodeAway):
                    await avinode.read("trips", "atrip-1")
                held.append(round(avinode.bucket.held_s))
                avinode.bucket._held_until = 0.0  # as if that time were over
    assert held == [1, 10, 20, 40, 60, 60, 1]


async def test_one_thing_that_fails_does_not_count_as_busy(settings: Settings) -> None:
    async def failing(_: web.Request) -> web.Response:
        return web.Response(status=500)

    async with serving(failing) as url:
        there = settings.model_copy(update={"avinode_base_url": url})
        async with open_avinode(there, PATIENT) as avinode:
            for _ in range(3):
                with pytest.raises(AvinodeAway):
                    await avinode.read("trips", "atrip-1")
                assert avinode.bucket.held_s == 0


async def test_notices_that_wait_for_one_rfq_cost_one_reading_of_it(
    settings: Settings, owner: asyncpg.Connection
) -> None:
    async with open_stage(settings, owner) as stage:
        async with running_workflow(stage.settings):
            event, avinode_trip_id = await stage.created()
        rfqs = await stage.send_rfqs(avinode_trip_id, 2)
        for price in (33500, 32000, 31000):
            await stage.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": price})
        await stage.avinode.act(f"rfqs/{rfqs[1]}/decline", {})
        await stage.avinode.deliveries_when(lambda shown: all(one["state"] == "delivered" for one in shown))
        async with running_workflow(stage.settings):
            await stage.settled()
            await stage.stands(event.trip_id, "analyzing_options", 2, 1, 1)
        assert [len(await stage.calls("GET", f"/rfqs/{rfq_id}")) for rfq_id in rfqs] == [1, 1]
        assert len(await stage.calls("GET", "/tripmsgs/")) == 4
    assert await owner.fetchval("SELECT count(*) FROM workflow.deliveries WHERE trip_code IS NULL") == 0


async def test_a_notice_after_a_reading_is_followed(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created()
    (rfq_id,) = await stage.send_rfqs(avinode_trip_id, 1)
    await stage.settled()
    await stage.avinode.act(f"rfqs/{rfq_id}/quote", {"price": 33500})
    await stage.settled()
    await stage.avinode.act(f"rfqs/{rfq_id}/decline", {})
    await stage.stands(event.trip_id, "analyzing_options", 1, 0, 0)
    assert len(await stage.calls("GET", f"/rfqs/{rfq_id}")) == 3
