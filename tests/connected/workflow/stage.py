"""What tests of the workflow share: a simulated Avinode, a webhook's receiver, and the workflow between them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aio_pika
import asyncpg
import orjson
from aiohttp import web

from services.workflow.app import wire
from services.workflow.avinode.client import open_avinode
from services.workflow.waits import Waits
from shared import topology
from shared.database import open_pool
from shared.events import MessagePosted, Segment, TripAttached, TripRequested, WebhookReceived
from shared.ids import new_id
from shared.jobs.worker import Worker
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.connected.brokers import take
from tests.dates import FLIGHT_DAY
from tests.sandbox_client import Avinode
from tests.sandbox_client import running as running_sandbox
from tests.waiting import PATIENCE_S

QUICK = Waits(
    idle_s=0.02,
    first_retry_s=0.05,
    longest_retry_s=0.4,
    trip_retry_s=0.1,
    refused_s=0.2,
    answer_s=5,
    missing_attempts=3,
)
TEB_TO_PBI = Segment(from_icao="KTEB", to_icao="KPBI", date=FLIGHT_DAY, time="09:30")
REQUEST_STATE = "SELECT state FROM workflow.requests WHERE request_id = $1"


class Stage:
    """One test's view of everything."""

    def __init__(self, settings: Settings, owner: asyncpg.Connection, publisher: Publisher, avinode: Avinode) -> None:
        self.settings = settings
        self.owner = owner
        self.publisher = publisher
        self.avinode = avinode
        self.advanced: list[dict[str, Any]] = []  # outcomes, as a gateway hears them

    def requested(self, session_id: str = "s1", user_id: str = "ada", **changed: Any) -> TripRequested:
        """Make the event of a request."""
        ids = {"trip_id": new_id(), "request_id": new_id()}
        wanted = {"segments": (TEB_TO_PBI,), "pax": 6, **changed}
        return TripRequested.model_validate({"user_id": user_id, "session_id": session_id, **ids, **wanted})

    async def request(self, session_id: str = "s1", user_id: str = "ada", **changed: Any) -> TripRequested:
        """Ask for a trip, as the gateway does for a user."""
        event = self.requested(session_id, user_id, **changed)
        await self.publisher.publish(event)
        return event

    async def attach(self, reference: str, session_id: str = "s1", user_id: str = "ada") -> TripAttached:
        """Attach a trip that is at Avinode, as the gateway does for a user."""
        event = TripAttached(user_id=user_id, session_id=session_id, trip_id=new_id(), avinode_trip_id=reference)
        await self.publisher.publish(event)
        return event

    async def notify(self, payload: bytes, **fields: Any) -> WebhookReceived:
        """Bring a notice, as the gateway does for a webhook."""
        event = WebhookReceived(delivery_id=new_id(), payload=payload, **fields)
        await self.publisher.publish(event)
        return event

    async def created(self, session_id: str = "s1", user_id: str = "ada") -> tuple[TripRequested, str]:
        """Ask for a trip, and wait until Avinode has it; returns its id there."""
        event = await self.request(session_id, user_id)
        await self.becomes("created", REQUEST_STATE, event.request_id)
        avinode_trip_id = await self.owner.fetchval(
            "SELECT avinode_trip_id FROM workflow.trips WHERE trip_id = $1", event.trip_id
        )
        return event, str(avinode_trip_id)

    async def send_rfqs(self, avinode_trip_id: str, operators: int) -> list[str]:
        """Send requests to operators, as a colleague does in Avinode; returns the RFQs' ids."""
        sent = await self.avinode.act(f"trips/{avinode_trip_id}/rfqs", {"operators": operators})
        return [str(rfq["id"]) for rfq in sent["rfqs"]]

    async def becomes(self, expected: object, query: str, *arguments: object, within_s: float = PATIENCE_S) -> None:
        """Wait until a query answers this."""
        found: object = None
        try:
            async with asyncio.timeout(within_s):
                while (found := await self.owner.fetchval(query, *arguments)) != expected:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"{found!r} is still not {expected!r}: {query}") from None

    async def stands(self, trip_id: UUID, step: str, contacted: int, expected: int, received: int) -> None:
        """Wait until a trip stands like this."""
        await self.becomes(
            f"({step},{contacted},{expected},{received})",
            """
            SELECT (step, operators_contacted_count, quotes_expected_count, quotes_received_count)::text
            FROM workflow.trips WHERE trip_id = $1
            """,
            trip_id,
        )

    async def settled(self) -> None:
        """Wait until every notice that Avinode has sent was worked."""
        deliveries = await self.avinode.deliveries_when(
            lambda shown: all(one["state"] in ("delivered", "dropped") for one in shown)
        )
        sent = sum(one["attempt_count"] for one in deliveries)
        await self.becomes(sent, "SELECT count(*) FROM workflow.deliveries WHERE state = 'done'")

    async def calls(self, method: str = "", path: str = "") -> list[str]:
        """List the calls that Avinode got."""
        calls = (await self.avinode.call("GET", "/sim/calls")).body["calls"]
        shown = [f"{call['method']} {call['path']}" for call in calls]
        return [call for call in shown if call.startswith(method) and path in call]

    async def called(self, method: str, path: str, times: int = 1) -> None:
        """Wait until Avinode has got so many such calls."""
        async with asyncio.timeout(PATIENCE_S):
            while len(await self.calls(method, path)) < times:
                await asyncio.sleep(0.02)

    async def trips_at_avinode(self) -> int:
        return len((await self.avinode.call("GET", "/sim/trips")).body["trips"])

    async def told(self, count: int) -> list[MessagePosted]:
        """Take what the chat was told of quotes."""
        messages = await take(self.settings, topology.LOGGER_CHAT, count)
        return [MessagePosted.model_validate_json(message.body) for message in messages]

    async def answered(self, cause: UUID, within_s: float = PATIENCE_S) -> dict[str, Any]:
        """Wait for an outcome of this cause."""
        async with asyncio.timeout(within_s):
            while True:
                for outcome in self.advanced:
                    if str(cause) in outcome["causes"]:
                        return outcome
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def database_away(self) -> AsyncIterator[None]:
        """Let nobody but the owner into the test's database."""
        name = await self.owner.fetchval("SELECT current_database()")
        await self.owner.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0')
        await self.owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
            name,
        )
        yield
        await self.owner.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT -1')


@asynccontextmanager
async def open_stage(settings: Settings, owner: asyncpg.Connection, **sandbox_settings: Any) -> AsyncIterator[Stage]:
    """Set everything up but the workflow itself; the stage's settings are the ones to run it with."""
    async with AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(Publisher(settings, "test"))
        hook = await stack.enter_async_context(_hook(publisher))
        avinode = await stack.enter_async_context(running_sandbox(avinode_webhook_target=hook, **sandbox_settings))
        settings = settings.model_copy(
            update={"avinode_base_url": f"{avinode.url}/api", "avinode_calls_per_s": 200.0, "avinode_burst": 200}
        )
        stage = Stage(settings, owner, publisher, avinode)
        await stack.enter_async_context(_listening(stage))
        yield stage


@asynccontextmanager
async def running_workflow(settings: Settings, waits: Waits = QUICK) -> AsyncIterator[Worker]:
    """Run the workflow as its process does, within this one."""
    async with (
        open_pool(settings.workflow_database_url, "workflow", 10) as pool,
        Publisher(settings, "workflow") as publisher,
        open_avinode(settings, waits) as avinode,
    ):
        workers = wire(settings, pool, publisher, avinode, waits)
        tasks = [asyncio.create_task(worker.run()) for worker in workers]
        try:
            yield workers[-1]
        finally:
            for worker in workers:
                worker.shut_down()
            await asyncio.gather(*tasks)


@asynccontextmanager
async def serving(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Serve every path and method by one handler; returns the URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@asynccontextmanager
async def _hook(publisher: Publisher) -> AsyncIterator[str]:
    """Do what the gateway does with a webhook: make it an event, then answer 200."""

    async def take_notice(request: web.Request) -> web.Response:
        await publisher.publish(WebhookReceived(delivery_id=new_id(), payload=await request.read()))
        return web.Response()

    async with serving(take_notice) as url:
        yield f"{url}/hook"


@asynccontextmanager
async def _listening(stage: Stage) -> AsyncIterator[None]:
    async with await aio_pika.connect(stage.settings.amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(topology.OUTCOMES_EXCHANGE)

        async def hear(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            stage.advanced += orjson.loads(message.body)

        await queue.consume(hear, no_ack=True)
        yield


def long_ago() -> datetime:
    return datetime(2020, 1, 1, tzinfo=UTC)


async def lose_an_answer(stage: Stage) -> TripRequested:
    """Let Avinode act on a request, and its answer be lost."""
    await stage.avinode.switch_on(rest_hang_ms=60_000)
    async with running_workflow(stage.settings, replace(QUICK, answer_s=0.3)):
        event = await stage.request()
        await stage.becomes(
            "unconfirmed", "SELECT state FROM workflow.requests WHERE request_id = $1", event.request_id
        )
    await stage.avinode.switch_on()
    return event
