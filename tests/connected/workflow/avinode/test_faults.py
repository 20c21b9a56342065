"""What Avinode or a stranger sends amiss is refused, waited out or parked; nothing is lost, nobody else called."""

import zlib
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from time import monotonic

import aio_pika
import asyncpg
import orjson
import pytest
from aiohttp import web

from shared import topology
from shared.settings import Settings
from tests.connected.brokers import raw_channel, take
from tests.connected.workflow.stage import QUICK, Stage, open_stage, running_workflow, serving


@pytest.mark.parametrize(
    ("payload", "state", "error"),
    [
        (b"\xff\x00 no JSON", "unreadable", "not JSON"),
        (b'{"id": "arfq-1"}', "refused", "no href"),
        (b'{"id": "arfq-1", "href": "http://127.0.0.1:1/api/rfqs/arfq-1"}', "refused", "the href is not a resource"),
    ],
)
async def test_a_notice_that_nobody_can_follow_is_kept_with_its_reason(
    stage: Stage, payload: bytes, state: str, error: str
) -> None:
    event = await stage.notify(payload, event_name="chat", headers={"content-type": "text/plain"})
    await stage.becomes(state, "SELECT state FROM workflow.deliveries")
    kept = await stage.owner.fetchrow("SELECT * FROM workflow.deliveries")
    assert kept is not None
    assert (kept["delivery_id"], bytes(kept["payload"]), kept["event_name"]) == (event.delivery_id, payload, "chat")
    assert kept["error"].startswith(error)
    requested, avinode_trip_id = await stage.created()
    await stage.send_rfqs(avinode_trip_id, 1)
    await stage.stands(requested.trip_id, "requesting_quotes", 1, 1, 0)
    assert await stage.owner.fetchval("SELECT attempts FROM workflow.deliveries WHERE state = $1", state) == 0


async def test_a_notice_with_a_huge_href_holds_nobody_up(stage: Stage) -> None:
    random = "".join(sha256(bytes([number])).hexdigest() for number in range(100))  # it cannot be compressed away
    payload = orjson.dumps({"href": f"{stage.settings.avinode_base_url}/rfqs/arfq-1?x={random}"})
    event = await stage.notify(payload)
    state = "SELECT state FROM workflow.deliveries WHERE delivery_id = $1 AND payload = $2"
    await stage.becomes("refused", state, event.delivery_id, payload)
    requested, avinode_trip_id = await stage.created()
    await stage.send_rfqs(avinode_trip_id, 1)
    await stage.stands(requested.trip_id, "requesting_quotes", 1, 1, 0)


async def test_a_forged_href_is_never_called(stage: Stage) -> None:
    called: list[str] = []

    async def trap(request: web.Request) -> web.Response:
        called.append(request.path)
        return web.json_response({})

    async with serving(trap) as evil:
        await stage.notify(orjson.dumps({"href": f"{evil}/api/rfqs/arfq-1", "id": "arfq-1"}))
        await stage.notify(orjson.dumps({"href": f"{stage.avinode.url}@{evil[7:]}/api/rfqs/arfq-1"}))
        await stage.notify(orjson.dumps({"href": f"{stage.avinode.url}/sim/trips/atrip-1"}))
        await stage.becomes(3, "SELECT count(*) FROM workflow.deliveries WHERE state = 'refused'")
    assert called == []
    assert await stage.calls() == []


async def test_notices_of_other_sources_are_kept_and_not_read(stage: Stage) -> None:
    await stage.notify(b"{}", source="stripe")
    await stage.becomes("ignored", "SELECT state FROM workflow.deliveries")


async def test_a_resource_that_is_not_there_is_given_up_after_some_tries(stage: Stage) -> None:
    await stage.created()
    code = await stage.owner.fetchval("SELECT trip_code FROM workflow.trips")
    href = f"{stage.avinode.url}/api/rfqs/arfq-404"
    await stage.notify(orjson.dumps({"id": "arfq-404", "href": href, "tripId": code}))
    await stage.becomes("ignored", "SELECT state FROM workflow.deliveries")
    assert len(await stage.calls("GET", "arfq-404")) == 3
    assert "404" in await stage.owner.fetchval("SELECT error FROM workflow.deliveries")


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500, 503])
async def test_a_failing_avinode_delays_a_notice_and_loses_none(stage: Stage, status: int) -> None:
    event, avinode_trip_id = await stage.created()
    await stage.avinode.switch_on(rest_status=status)
    await stage.send_rfqs(avinode_trip_id, 1)
    await stage.becomes(True, "SELECT attempts > 0 AND state = 'due' FROM workflow.deliveries")
    assert str(status) in await stage.owner.fetchval("SELECT error FROM workflow.deliveries")
    await stage.avinode.switch_on()
    await stage.stands(event.trip_id, "requesting_quotes", 1, 1, 0)
    await stage.settled()


async def test_a_hanging_avinode_delays_a_notice_and_loses_none(settings: Settings, owner: asyncpg.Connection) -> None:
    waits = replace(QUICK, answer_s=0.3)
    async with open_stage(settings, owner) as stage, running_workflow(stage.settings, waits):
        event, avinode_trip_id = await stage.created()
        await stage.avinode.switch_on(rest_hang_ms=60_000)
        await stage.send_rfqs(avinode_trip_id, 1)
        await stage.becomes(True, "SELECT attempts > 0 AND state = 'due' FROM workflow.deliveries")
        await stage.avinode.switch_on()
        await stage.stands(event.trip_id, "requesting_quotes", 1, 1, 0)


async def test_one_thing_that_we_may_not_see_holds_up_nothing_else(
    settings: Settings, owner: asyncpg.Connection
) -> None:
    async def guarded(request: web.Request) -> web.Response:
        kind, _, asked = request.path.removeprefix("/api/").partition("/")
        if asked.endswith("9"):
            return web.json_response({}, status=403)
        links = {"rfqs": [{"id": "arfq-9"}, {"id": "arfq-10"}]} if kind == "trips" else {}
        return web.json_response({"data": {"id": asked, "tripId": "SIM001", "links": links, "sellerLift": []}})

    waits = replace(QUICK, refused_s=600)  # for so long everything is held where our credentials are refused
    async with open_stage(settings, owner) as stage, serving(guarded) as url:
        changed = stage.settings.model_copy(update={"avinode_base_url": f"{url}/api"})
        async with running_workflow(changed, waits):
            await stage.notify(orjson.dumps({"href": f"{url}/api/rfqs/arfq-9"}))
            await stage.becomes("answered 403", "SELECT error FROM workflow.deliveries WHERE state = 'due'")
            attached = await stage.attach("atrip-1")
            await stage.stands(attached.trip_id, "requesting_quotes", 1, 1, 0)
            assert await stage.owner.fetchval("SELECT error FROM workflow.trips") is None


async def test_what_avinode_asks_us_to_wait_is_waited(settings: Settings, owner: asyncpg.Connection) -> None:
    calls: list[float] = []

    async def busy_once(request: web.Request) -> web.Response:
        calls.append(monotonic())
        if len(calls) == 1:
            return web.Response(status=429, headers={"Retry-After": "1"})
        return web.json_response({"data": {"id": "arfq-1", "tripId": "NOBODY"}})

    async with open_stage(settings, owner) as stage, serving(busy_once) as url:
        changed = stage.settings.model_copy(update={"avinode_base_url": f"{url}/api"})
        async with running_workflow(changed):
            await stage.notify(orjson.dumps({"href": f"{url}/api/rfqs/arfq-1"}))
            await stage.becomes("unmatched", "SELECT state FROM workflow.deliveries")
    assert calls[1] - calls[0] >= 1


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_an_answer_that_is_far_too_large_is_given_up_and_holds_nobody_up(
    settings: Settings, owner: asyncpg.Connection, encoding: str
) -> None:
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        if not request.path.endswith("arfq-1"):
            return web.json_response({"data": {"id": "arfq-2", "tripId": "NOBODY", "sellerLift": []}})
        response = web.StreamResponse(headers={"Content-Encoding": encoding})
        await response.prepare(request)
        megabyte, packer = b" " * 1_000_000, zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
        with suppress(ConnectionError):
            for _ in range(50):
                packed = packer.compress(megabyte) + packer.flush(zlib.Z_SYNC_FLUSH)
                await response.write(packed if encoding == "gzip" else megabyte)
                sent += 1
        return response

    async with open_stage(settings, owner) as stage, serving(flood) as url:
        changed = stage.settings.model_copy(update={"avinode_base_url": f"{url}/api"})
        async with running_workflow(changed, replace(QUICK, missing_attempts=2)):
            large = await stage.notify(orjson.dumps({"href": f"{url}/api/rfqs/arfq-1"}))
            await stage.notify(orjson.dumps({"href": f"{url}/api/rfqs/arfq-2"}))
            await stage.becomes(1, "SELECT count(*) FROM workflow.deliveries WHERE state = 'unmatched'")
            await stage.becomes(
                "ignored", "SELECT state FROM workflow.deliveries WHERE delivery_id = $1", large.delivery_id
            )
    assert "bytes" in await owner.fetchval("SELECT error FROM workflow.deliveries WHERE state = 'ignored'")
    assert sent < 60 or encoding == "gzip"  # of 100, in two attempts


async def test_a_redirect_is_not_followed(settings: Settings, owner: asyncpg.Connection) -> None:
    called: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        called.append(request.path)
        return web.Response(status=302, headers={"Location": f"http://{request.host}/elsewhere"})

    async with open_stage(settings, owner) as stage, serving(redirect) as url:
        changed = stage.settings.model_copy(update={"avinode_base_url": f"{url}/api"})
        async with running_workflow(changed):
            await stage.notify(orjson.dumps({"href": f"{url}/api/rfqs/arfq-1"}))
            await stage.becomes(True, "SELECT attempts > 0 FROM workflow.deliveries")
    assert set(called) == {"/api/rfqs/arfq-1"}


async def test_garbage_in_the_queues_ends_in_dead(stage: Stage) -> None:
    async with raw_channel(stage.settings) as channel:
        for queue in (topology.WORKFLOW_TRIPS, topology.WORKFLOW_DELIVERIES):
            for name, body in (
                ("WebhookReceived", b"\xff"),
                ("TripRequested", b"{}"),
                ("Nonsense", b"{}"),
                ("ModelRegistered", b'{"name": "x", "provider": "y"}'),
            ):
                await channel.default_exchange.publish(aio_pika.Message(body, type=name), routing_key=queue.name)
    dead = await take(stage.settings, topology.DEAD, 8)
    reasons = sorted(str(message.headers["x-reason"]) for message in dead)
    assert reasons == ["undecodable"] * 6 + ["unknown_type"] * 2
    await stage.created()
