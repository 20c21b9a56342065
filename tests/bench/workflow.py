"""What notices cost: how many are worked in a second, how soon one is told of, how many calls they take."""

import argparse
import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import quantiles
from typing import Any
from uuid import UUID

import aio_pika
import aiohttp
import asyncpg
import orjson

from deploy.supervisor.machine.ports import free_port
from shared import topology
from shared.broker.connection import open_connection
from shared.broker.declaring import Declaring
from shared.events import TripAttached, WebhookReceived
from shared.ids import new_id
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.bench.measuring.budgets import WEBHOOK
from tests.bench.running.servers import is_ready, private_servers, process
from tests.bench.workload.market import OPEN, Market, keep, running_market
from tests.sandbox_client import TRIP
from tests.waiting import until

AVINODE_MS = 20
REPEATS = 4  # of each notice: 5 a trip make 20 deliveries
NOTICES_PER_S = 5
WEBHOOKS_PER_S = 50
OPEN_TRIPS = 5000
HANG_MS = 600_000
WAITING = "SELECT count(*) FROM workflow.deliveries WHERE state IN ('due', 'unmatched')"
CROWD = """
    WITH trip AS (
        INSERT INTO workflow.trips (trip_id, avinode_trip_id, last_checked_at, due_at)
        SELECT gen_random_uuid(), 'atrip-9' || number, now() - interval '2 hours', now() - interval '1 hour'
        FROM generate_series(1, $1) AS number RETURNING trip_id
    ) INSERT INTO workflow.trip_sessions (user_id, session_id, trip_id) SELECT 'eve', trip_id::text, trip_id FROM trip
"""


async def run(options: argparse.Namespace) -> None:
    with private_servers() as settings:
        async with open_connection(settings, "bench", Declaring().declare):
            pass  # no gateway runs at first, which makes the queues
        owner = await asyncpg.connect(settings.database_url)
        async with running_market(settings) as market:
            await _drain(market, owner, options.trips)
            await _tell(market, owner, options.seconds)
            await _hurry(market, owner, options.rounds)
            await _receive(market, owner, options.rounds, options.seconds)
        await owner.close()


async def _drain(market: Market, owner: asyncpg.Connection, count: int) -> None:
    """Let all notices of many trips wait, and then work them: the calls are what changed, and little more."""
    trips = await market.trips(owner, count)
    for trip in trips:
        sent = await market.avinode.act(f"trips/{trip}/rfqs", {"operators": 2})
        first, second = (rfq["id"] for rfq in sent["rfqs"])
        for rfq_id, price in ((first, 33500), (first, 31000), (second, 41000)):
            await market.avinode.act(f"rfqs/{rfq_id}/quote", {"price": price})
    bodies = await market.notices() * REPEATS
    random.Random(1).shuffle(bodies)
    await keep(market.settings, bodies)
    await market.avinode.switch_on(drop=True, rest_hang_ms=AVINODE_MS)
    before = await market.count()
    async with _workflow(market.settings.model_copy(update=OPEN)):
        began = time.monotonic()
        await until(lambda: _none(owner, WAITING), "the notices to be worked", 3600)
        took_s = time.monotonic() - began
    calls = [call["path"] for call in await market.calls() if call["id"] > before]  # fewer than are kept
    changed = len(set(calls))  # RFQs, messages, Avinode's estimates, and operators' quotes that were seen before those
    line: dict[str, Any] = {"name": "notices worked, all waiting before the worker starts", "unit": "notices/s"}
    line |= {"deliveries": len(bodies), "trips": count, "per_s": round(len(bodies) / took_s, 1), "calls": len(calls)}
    fetches = len(calls) / changed
    _print(line | {"calls for a changed resource": round(fetches, 3), "must": 1.1, "reached": fetches <= 1.1})


async def _tell(market: Market, owner: asyncpg.Connection, seconds: float) -> None:
    """Bring one quote after another, and see how soon its trip's outcome is heard."""
    (trip,) = await market.trips(owner, 1)
    sent = await market.avinode.act(f"trips/{trip}/rfqs", {"operators": 1})
    (rfq_id,) = (rfq["id"] for rfq in sent["rfqs"])
    took = list[float]()
    async with (
        _workflow(market.settings.model_copy(update=OPEN)),
        Publisher(market.settings, "bench") as publisher,
        _hearing(market.settings) as heard,
    ):
        for number in range(int(seconds * NOTICES_PER_S)):
            message = await market.avinode.act(f"rfqs/{rfq_id}/quote", {"price": 30000 + number})
            href = f"{market.settings.avinode_base_url}/tripmsgs/{message['message_id']}"
            event = WebhookReceived(delivery_id=new_id(), payload=orjson.dumps({"href": href}))
            heard[event.event_id] = asyncio.get_running_loop().create_future()
            began = time.monotonic()
            await publisher.publish(event)
            took.append(await asyncio.wait_for(heard[event.event_id], 60) - began)
    cuts = [round(cut * 1000, 1) for cut in quantiles(took, n=100)]
    line: dict[str, Any] = {
        "name": f"from a quote's notice to TripAdvanced, Avinode at {AVINODE_MS} ms, two calls",
        "unit": "ms",
    }
    _print(line | {"notices": len(took), "p50": cuts[49], "p99": cuts[98]})


async def _hurry(market: Market, owner: asyncpg.Connection, rounds: int) -> None:
    """Attach a trip while many are due, at one call a second."""
    await owner.execute("TRUNCATE workflow.trips, workflow.deliveries CASCADE")
    await owner.execute(CROWD, OPEN_TRIPS)
    waits = list[float]()
    slow = {"avinode_calls_per_s": 1.0, "avinode_burst": 1}
    async with _workflow(market.settings.model_copy(update=slow)), Publisher(market.settings, "bench") as publisher:
        await until(lambda: _is(owner, "SELECT bool_or(due_at > now()) FROM workflow.trips"), "a reading")
        for number in range(rounds):
            made = await market.avinode.act("trips", TRIP)
            event = TripAttached(
                user_id="ada", session_id=f"s{number}", trip_id=new_id(), avinode_trip_id=made["trip_id"]
            )
            began = time.monotonic()
            await publisher.publish(event)
            read = "SELECT count(*) = 1 FROM workflow.trips WHERE trip_id = $1 AND last_checked_at IS NOT NULL"
            await until(lambda: _is(owner, read, event.trip_id), "the new trip", 600)  # noqa: B023 - awaited here
            waits.append(time.monotonic() - began)
    line: dict[str, Any] = {"name": f"a new trip is read while {OPEN_TRIPS} are due, one call a second", "unit": "s"}
    _print(line | {"waits": [round(wait, 2) for wait in waits], "must": 5, "reached": max(waits) <= 5})


async def _receive(market: Market, owner: asyncpg.Connection, rounds: int, seconds: float) -> None:
    """Post notices while Avinode answers and while it hangs, in turns."""
    await owner.execute("TRUNCATE workflow.trips, workflow.deliveries CASCADE")
    port = free_port()
    settings = market.settings.model_copy(update={**OPEN, "http_port": port, "internal_port": free_port()})
    hanging, answering = list[float](), list[float]()
    with process(["deploy.cli", "serve", "gateway"], settings):
        await until(lambda: is_ready(settings), "the gateway")
        async with _workflow(settings), aiohttp.ClientSession() as http:
            await _p99_ms(http, settings, 2)
            for number in range(rounds):
                both = [(hanging, HANG_MS), (answering, AVINODE_MS)]
                for found, wait_ms in both if number % 2 else both[::-1]:
                    await market.avinode.switch_on(drop=True, rest_hang_ms=wait_ms)
                    found.append(await _p99_ms(http, settings, seconds))
    WEBHOOK.report(hanging, answering)


async def _p99_ms(http: aiohttp.ClientSession, settings: Settings, seconds: float) -> float:
    """Post notices of ever other RFQs at a steady rate, whatever their answers do."""
    took = list[float]()
    password = settings.avinode_webhook_password.get_secret_value()
    headers = {"Authorization": aiohttp.encode_basic_auth(settings.avinode_webhook_user, password)}
    url = f"http://127.0.0.1:{settings.http_port}/api/webhooks/avinode"

    async def post(number: int) -> None:
        body = orjson.dumps({"href": f"{settings.avinode_base_url}/rfqs/arfq-{number}"})
        began = time.monotonic()
        async with http.post(url, data=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            took.append((time.monotonic() - began) * 1000)

    began = time.monotonic()
    async with asyncio.TaskGroup() as posting:
        for number in range(int(seconds * WEBHOOKS_PER_S)):
            await asyncio.sleep(max(0.0, began + number / WEBHOOKS_PER_S - time.monotonic()))
            posting.create_task(post(number))
    return quantiles(took, n=100)[98]


@asynccontextmanager
async def _workflow(settings: Settings) -> AsyncIterator[None]:
    own = settings.model_copy(update={"internal_port": free_port(), "instance": "bench-workflow", "log_level": "ERROR"})
    with process(["deploy.cli", "serve", "workflow"], own):
        await until(lambda: is_ready(own), "the workflow")
        yield


@asynccontextmanager
async def _hearing(settings: Settings) -> AsyncIterator[dict[UUID, asyncio.Future[float]]]:
    """Hear outcomes as a gateway does; whoever waits for one leaves a future under the event that causes it."""
    heard: dict[UUID, asyncio.Future[float]] = {}
    async with await aio_pika.connect(settings.amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(topology.OUTCOMES_EXCHANGE)

        async def hear(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            for cause in {UUID(each) for outcome in orjson.loads(message.body) for each in outcome["causes"]}:
                if cause in heard and not heard[cause].done():
                    heard[cause].set_result(time.monotonic())

        await queue.consume(hear, no_ack=True)
        yield heard


async def _none(owner: asyncpg.Connection, query: str) -> bool:
    return bool(await owner.fetchval(query) == 0)


async def _is(owner: asyncpg.Connection, query: str, *arguments: Any) -> bool:
    return bool(await owner.fetchval(query, *arguments))


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)
