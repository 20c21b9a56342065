"""Our four services with their two servers, as a user's turn needs them, and what each of them takes for it."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice

import asyncpg

from deploy.supervisor.machine.ports import free_port
from shared.settings import Settings
from tests.bench.running.processor import cpu_ms_each, cpu_s
from tests.bench.running.servers import answers, is_ready, measured_servers, process, resident_mib
from tests.bench.running.statements import SETTINGS
from tests.bench.workload.talk import ChatTalker, Talk, talk
from tests.servers import looking
from tests.simulated import simulated
from tests.tokens import token_for
from tests.waiting import until

SERVICES = ("gateway", "logger", "tagger", "workflow")  # the first makes the queues
ONE_OF_EACH: Mapping[str, int] = {}
USERS = 200
TOKEN_S = 3600
DRAINED_S = 120.0
LOOK_EVERY_S = 0.5  # seldom, for each look costs the database what is then counted as ours

DRAINED = """
    SELECT NOT EXISTS (SELECT FROM gateway.turns WHERE stored_at IS NULL)
        AND NOT EXISTS (
            SELECT FROM chat.sessions LEFT JOIN tagging.session_tags USING (user_id, session_id)
            WHERE model IS NOT NULL AND session_tag IS NULL
        )
"""


@dataclass(frozen=True)
class Measured:
    """Turns, with the processor time that each of our processes took for one."""

    talk: Talk
    cpu_ms: dict[str, float]

    @property
    def stack_ms(self) -> float:
        return sum(self.cpu_ms.values())


class Stack:
    """What runs."""

    def __init__(
        self,
        settings: Settings,
        model_url: str,
        pids: dict[str, int],
        owner: asyncpg.Connection,
        gateways: Sequence[str],
    ) -> None:
        self.settings = settings
        self.url = gateways[0]
        self.model_url = model_url
        self._gateways = gateways
        self.owner = owner
        self.tokens = cycle([token_for(settings, f"user-{n}", expires_in_s=TOKEN_S) for n in range(USERS)])
        self._pids = pids

    @property
    def gateway_mib(self) -> float:
        return resident_mib(self._pids["gateway"])

    def pid(self, service: str) -> int:
        return self._pids[service]

    async def talk(self, connections: int, turns: int) -> Talk:
        """Talk on so many connections, which the gateways share evenly."""
        gateways = islice(cycle(self._gateways), connections)
        return await talk([ChatTalker(url, self.tokens) for url in gateways], turns)

    async def measure(self, connections: int, turns: int) -> Measured:
        """Talk, wait until all that was said is stored and tagged, and only then look what it took."""
        before = self.cpu_s()
        done = await self.talk(connections, turns)
        await self.drained()
        return Measured(done, cpu_ms_each(before, self.cpu_s(), done.turns))

    async def drained(self) -> None:
        async with asyncio.timeout(DRAINED_S):
            while not await self.owner.fetchval(DRAINED):
                await asyncio.sleep(LOOK_EVERY_S)

    def cpu_s(self) -> dict[str, float]:
        """Return the processor time of each of our processes so far."""
        return {name: cpu_s(pid) for name, pid in self._pids.items()}


@asynccontextmanager
async def running_stack(
    pause_ms: float, *, counting_statements: bool = False, copies: Mapping[str, int] = ONE_OF_EACH, **more: str
) -> AsyncIterator[Stack]:
    """Run everything: a model that pauses between its chunks, of some services several copies, `more` settings."""
    with ExitStack() as started:
        servers = started.enter_context(measured_servers(SETTINGS if counting_statements else None))
        port = free_port()
        started.enter_context(process(["tests.bench.workload.mock_model", str(port), str(pause_ms)], servers.settings))
        model_url = f"http://127.0.0.1:{port}"
        await until(lambda: answers(f"{model_url}/v1/models"), "the model")
        async with simulated(servers.settings) as outside, looking(servers.settings.database_url) as owner:
            settings = outside.settings.model_copy(update={"openai_base_url": f"{model_url}/v1", **more})
            pids = dict(servers.pids)
            gateways = []
            for name in SERVICES:
                for number in range(1, copies.get(name, 1) + 1):
                    instance = name if number == 1 else f"{name}-{number}"
                    own = _own_settings(settings, instance, is_first=number == 1)
                    child = started.enter_context(process(["deploy.cli", "serve", name], own))
                    assert child.pid is not None
                    pids[instance] = child.pid
                    await until(partial(is_ready, own), f"{instance} to be ready")
                    if name == "gateway":
                        gateways.append(f"http://{own.http_host}:{own.http_port}")
            yield Stack(settings, model_url, pids, owner, gateways)


def _own_settings(settings: Settings, instance: str, *, is_first: bool) -> Settings:
    ports = {"internal_port": free_port()} | ({} if is_first else {"http_port": free_port()})
    return settings.model_copy(update={"instance": f"bench-{instance}", **ports})
