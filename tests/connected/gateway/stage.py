"""The gateway's API in this process, on a real database and broker; and rows as the other services would write them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import orjson

from services.gateway.account.limits.counting import Counting
from services.gateway.app import wire
from services.gateway.http.handed import handed_over
from services.gateway.model.asking.upstreams import open_upstreams
from services.gateway.sessions.messages.posting import Posting
from services.gateway.sessions.messages.recent_ends import RecentEnds
from services.gateway.turns.elsewhere.peers import open_peers
from services.gateway.turns.here.counts import TurnCounts
from services.gateway.turns.here.recent import RecentSessions
from services.gateway.turns.stored.store import TurnStore
from services.gateway.wiring.parts import Links, Pools
from services.gateway.writes.outcomes import Outcomes
from shared.broker.declaring import Declaring
from shared.database import open_pool
from shared.events import MessageEvent
from shared.ids import model_id, new_id, spell_number
from shared.process.condition import Condition
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.pure.gateway.samples import claim, minutes
from tests.servers import Servers, copied_database
from tests.settings import settings_for
from tests.tokens import token_for

Log = Callable[[MessageEvent], Awaitable[None]]  # stores a message as the logger does


@dataclass
class Stage:
    settings: Settings
    store: TurnStore
    publisher: Publisher
    outcomes: Outcomes
    running: TurnCounts
    http: httpx2.AsyncClient
    counting: Counting
    recent: RecentSessions
    recent_ends: RecentEnds

    async def get(self, path: str, user: str = "ann", role: str = "user", **query: Any) -> httpx2.Response:
        return await self.http.get(path, params=query, headers=self.as_user(user, role))

    async def post(self, path: str, body: Any = None, user: str = "ann", role: str = "user") -> httpx2.Response:
        return await self.http.post(path, json=body, headers=self.as_user(user, role))

    async def call(
        self, method: str, path: str, body: Any = None, user: str = "ann", **headers: str
    ) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(method, path, json=body, headers={**self.as_user(user), **named})

    def as_user(self, user: str, role: str = "user") -> dict[str, str]:
        return {"Authorization": f"Bearer {token_for(self.settings, user, role=role)}"}


@asynccontextmanager
async def open_stage(settings: Settings) -> AsyncIterator[Stage]:
    async with (
        open_pool(settings.gateway_database_url, "gateway test", 5) as own_pool,
        open_pool(settings.reader_database_url, "gateway test", 5) as reader_pool,
        open_pool(settings.admin_database_url, "gateway test", 2) as admin_pool,
        Publisher(settings, "gateway test", Declaring()) as publisher,
        open_upstreams(settings) as upstreams,
        open_peers(settings) as peers,
    ):

        async def ask() -> Condition:
            return Condition()

        pools = Pools(own_pool, reader_pool, admin_pool)
        gateway = wire(settings, pools, Links(publisher, upstreams, peers), ask)
        transport = httpx2.ASGITransport(gateway.api)
        keeping = asyncio.create_task(gateway.runner.run())
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway.test") as http:
            yield Stage(
                settings,
                TurnStore(own_pool),
                publisher,
                gateway.outcomes,
                gateway.runner.counts,
                http,
                gateway.counting,
                gateway.runner.recent,
                handed_over(gateway.api, Posting).recent,
            )
        gateway.runner.shut_down()
        await keeping


@asynccontextmanager
async def own_database(servers: Servers, template: str) -> AsyncIterator[Settings]:
    """Make a migrated database for several tests together."""
    async with copied_database(servers, template) as url:
        yield settings_for(url, servers.amqp_url)


class Rows:
    """Writes rows as their services would."""

    def __init__(self, owner: asyncpg.Connection) -> None:
        self._owner = owner

    async def insert(self, table: str, **columns: Any) -> None:
        names = ", ".join(columns)
        places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
        values = [orjson.dumps(value).decode() if isinstance(value, dict) else value for value in columns.values()]
        await self._owner.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", *values)  # noqa: S608 - a test's

    async def session(self, session_id: str, at: float = 0, user: str = "ann", **columns: Any) -> None:
        times = {"last_activity_at": minutes(at), "created_at": minutes(at), "last_message_at": minutes(at)}
        await self.insert("chat.sessions", user_id=user, session_id=session_id, **{**times, **columns})

    async def message(self, session_id: str, message_id: str, at: float, user: str = "ann", **columns: Any) -> None:
        defaults = {"role": "user", "content": f"text {message_id}", "event_id": new_id(), "created_at": minutes(at)}
        await self.insert(
            "chat.messages", user_id=user, session_id=session_id, message_id=message_id, **{**defaults, **columns}
        )

    async def model(self, name: str, at: float = 0, short_id: str = "a1b2c3") -> UUID:
        known = model_id("openai", name)
        await self.insert(
            "tagging.models",
            model_id=known,
            provider="openai",
            name=name,
            short_id=short_id,
            registered_at=minutes(at),
            stamped_at=minutes(at),
            stamped_by=new_id(),
        )
        return known

    async def tag(self, session_id: str, model: UUID, number: int, user: str = "ann") -> str:
        session_tag = f"chat_model_a1b2c3_{spell_number(number)}"
        await self.insert(
            "tagging.session_tags",
            user_id=user,
            session_id=session_id,
            model_id=model,
            number=number,
            session_tag=session_tag,
            event_id=new_id(),
        )
        return session_tag

    async def trace(self, trace_id: str, at: float = 0, user: str = "ann", **columns: Any) -> None:
        defaults = {"model": "sandbox-small", "status": "ok", "started_at": minutes(at), "event_id": new_id()}
        await self.insert("chat.traces", user_id=user, trace_id=trace_id, **{**defaults, **columns})

    async def trip(
        self, session_id: str, user: str = "ann", started_at: datetime | None = None, **columns: Any
    ) -> UUID:
        """Write a trip of a session that was just begun."""
        trip_id = new_id()
        await self.insert("workflow.trips", trip_id=trip_id, **columns)
        await self.tie(session_id, trip_id, user, started_at)
        return trip_id

    async def tie(
        self,
        session_id: str,
        trip_id: UUID,
        user: str = "ann",
        started_at: datetime | None = None,
        *,
        is_open: bool = True,
    ) -> None:
        now = await self._owner.fetchval("SELECT clock_timestamp()")
        await self.insert(
            "workflow.trip_sessions",
            user_id=user,
            session_id=session_id,
            trip_id=trip_id,
            open=is_open,
            started_at=started_at or now,
            ended_at=None if is_open else now,
        )

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await self._owner.fetch(statement, *arguments)
        return rows

    async def quote(self, quote_id: str, trip_id: UUID, cents: int = 3_350_000, **columns: Any) -> None:
        """Write an operator's own quote, with an RFQ of its own."""
        now = await self._owner.fetchval("SELECT clock_timestamp()")
        rfq = {"rfq_id": f"rfq-{quote_id}", "trip_id": trip_id, "fetched_at": now}
        await self.insert("workflow.rfqs", operator_name="Operator", **rfq)
        own = {"estimate": False, "price_cents": cents, "currency": "USD"}
        await self.insert("workflow.quotes", quote_id=quote_id, **rfq, **{**own, **columns})

    async def proposal(self, trip_id: UUID, quote_id: str, session_id: str, user: str = "ann", **columns: Any) -> None:
        """Write a proposal of one quote, which has the id of its trip."""
        now = await self._owner.fetchval("SELECT clock_timestamp()")
        option = {"quote_id": quote_id, "price_cents": 3_350_000, "currency": "USD", "client_price_cents": 3_350_000}
        known = {
            "proposal_id": trip_id,
            "trip_id": trip_id,
            "user_id": user,
            "session_id": session_id,
            "quote_ids": [quote_id],
            "content": {"currency": "USD", "options": [option]},
            **dict.fromkeys(("prepared_at", "accepted_at", "changed_at"), now),
            **dict.fromkeys(("changed_by", "event_id"), trip_id),
        }
        await self.insert("workflow.proposals", **{**known, **columns})

    async def run(self, statement: str, *arguments: Any) -> None:
        await self._owner.execute(statement, *arguments)

    async def ages_ago(self, **age: float) -> datetime:
        now: datetime = await self._owner.fetchval("SELECT clock_timestamp()")
        return now - timedelta(**age)


def ids(answer: httpx2.Response, plural: str) -> Sequence[str]:
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()[plural]]


async def ask(stage: Stage, session_id: str, user: str = "ann", text: str = "hello") -> None:
    """Begin a turn whose events nobody has stored."""
    wanted = claim(text, user_id=user, session_id=session_id, project_id="p1", helper="h1")
    assert await stage.store.claim(wanted) is not None
