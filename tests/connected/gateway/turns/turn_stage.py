"""The parts of a gateway that run turns, on a real database, broker and model stand-in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aio_pika
import aiohttp

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from services.gateway.chat.memory import Memory
from services.gateway.model.asking.upstreams import Upstreams, open_upstreams
from services.gateway.turns.elsewhere.peers import Peers, open_peers
from services.gateway.turns.here.buffer import TurnBuffer
from services.gateway.turns.here.runner import Runner
from services.gateway.turns.running import RunningTurns
from services.gateway.turns.starting import TurnStarter
from services.gateway.turns.stored.claims import Claim
from services.gateway.turns.stored.finishes import Finish
from services.gateway.turns.stored.outbox import Outbox
from services.gateway.turns.stored.readings import TurnReadings
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.stored.unfit import Unfit
from services.gateway.turns.sweeper import Sweeper
from services.gateway.turns.told.relay import Relay
from services.gateway.turns.turn import Answer, Question, Turn
from shared.broker.declaring import Declaring
from shared.database import open_pool
from shared.events import Event, decode
from shared.ids import new_id
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from shared.topology import LOGGER_CHAT
from tests.pure.gateway.samples import claim
from tests.waiting import PATIENCE_S


@dataclass
class Gateway:
    """The parts of a gateway that run turns, and eyes on what they do."""

    settings: Settings
    turns: TurnStarter
    runner: Runner
    store: TurnStore
    outbox: Outbox
    readings: TurnReadings
    memory: Memory
    publisher: Publisher
    peers: Peers
    model_url: str

    def another(
        self, upstreams: Upstreams, *, store: TurnStore | None = None, publisher: Publisher | None = None
    ) -> Runner:
        """Make what another gateway runs its turns with."""
        return Runner(self.settings, store or self.store, self.outbox, publisher or self.publisher, upstreams)

    def starter(self, runner: Runner, store: TurnStore | None = None) -> TurnStarter:
        """Make what another gateway starts its turns with."""
        return TurnStarter(store or self.store, runner, RunningTurns(store or self.store, runner, self.peers))

    @asynccontextmanager
    async def impatient(self) -> AsyncIterator["Gateway"]:
        """Have one that gives a silent model up soon: every model is silent for half a second now and then."""
        soon = self.settings.model_copy(update={"model_silence_s": 0.5, "model_first_piece_s": 0.5})
        async with open_upstreams(soon) as upstreams:
            runner = self.another(upstreams)
            yield replace(self, runner=runner, turns=self.starter(runner))

    def sweeper(self) -> Sweeper:
        return Sweeper(self.store, RunningTurns(self.store, self.runner, self.peers), Unfit())

    def relay(self, publisher: Publisher | None = None, lost_after_s: float = 60.0) -> Relay:
        publisher, telling = publisher or self.publisher, self.runner.telling
        return Relay(self.store, self.outbox, publisher, telling, Unfit(), lost_after_s=lost_after_s)

    async def ask(self, text: str, *, session: str = "s1", key: str | None = None, user: str = "ann") -> TurnBuffer:
        remembered = await self.memory.of([user], session)
        last = next((shown.message_id for shown in reversed(remembered.history)), None)
        claim = self.claim(text, session=session, key=key, user=user)
        question = replace(claim.question, parent_id=last)
        claim = replace(claim, question=question, known_until=remembered.known_until)
        running = await self.turns.start(claim, remembered.history, remembered.turns)
        running.attach()  # as a request does, until its connection closes
        return running

    def claim(self, text: str, *, session: str = "s1", key: str | None = None, user: str = "ann") -> Claim:
        question = Question(str(new_id()), text, [{"type": "text", "text": text}])
        return claim(text, session_id=session, key=key, user_id=user, provider="sandbox", question=question)

    async def say(self, text: str, **changes: Any) -> Turn:
        running = await self.ask(text, **changes)
        return await running.result()

    async def requests(self) -> list[dict[str, Any]]:
        async with aiohttp.ClientSession() as http, http.get(f"{self.model_url}/sim/requests") as response:
            requests: list[dict[str, Any]] = (await response.json())["requests"]
            return requests

    async def events(self, count: int) -> list[Event]:
        """Take so many events from the logger's queue."""
        connection = await aio_pika.connect(self.settings.amqp_url)
        async with connection, asyncio.timeout(PATIENCE_S):
            queue = await (await connection.channel()).get_queue(LOGGER_CHAT.name)
            events: list[Event] = []
            async with queue.iterator() as messages:
                async for message in messages:
                    events.append(decode(message.type, message.body))
                    await message.ack()
                    if len(events) == count:
                        break
            return events


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(serving(SandboxSettings(llm_port=0, avinode_port=0)))
        mine = settings.model_copy(update={"openai_base_url": f"{sandbox.model}/v1"})
        own_pool = await stack.enter_async_context(open_pool(mine.gateway_database_url, "test"))
        reader_pool = await stack.enter_async_context(open_pool(mine.reader_database_url, "test"))
        store, readings = TurnStore(own_pool), TurnReadings(own_pool)
        memory = Memory(reader_pool, readings, mine.context_bytes)
        publisher = await stack.enter_async_context(Publisher(mine, "gateway", Declaring()))
        admin_pool = await stack.enter_async_context(open_pool(mine.admin_database_url, "test", 1))
        outbox = Outbox(own_pool, admin_pool)
        runner = Runner(mine, store, outbox, publisher, await stack.enter_async_context(open_upstreams(mine)))
        keeping = asyncio.create_task(runner.run())
        peers = await stack.enter_async_context(open_peers(mine))
        starter = TurnStarter(store, runner, RunningTurns(store, runner, peers))
        yield Gateway(mine, starter, runner, store, outbox, readings, memory, publisher, peers, sandbox.model)
        runner.shut_down()
        await keeping


def answered(turn: Turn) -> tuple[str, str]:
    assert turn.answer is not None
    return turn.answer.status, turn.answer.content


async def finished(gateway: Gateway, claim: Claim) -> Turn:
    """Leave what a gateway leaves that dies before the broker has confirmed the answer."""
    turn = await gateway.store.claim(claim)
    assert isinstance(turn, Turn)
    ended = await gateway.store.finish(Finish(turn, Answer("hi", [], "complete")))
    assert ended is not None
    return ended
