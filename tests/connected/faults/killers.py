"""Kill processes at random, one after another, and start whatever has ended again at once, as its supervisor does."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from deploy.supervisor.private.servers import Postgres, RabbitMQ
from tests.processes import Process
from tests.waiting import until

Server = Postgres | RabbitMQ

LOOK_S = 0.2


@dataclass
class Killers:
    """The processes of one stack, and how often each was killed."""

    processes: Mapping[str, Process]
    servers: Mapping[str, Server]
    kills: Counter[str] = field(default_factory=Counter)
    starts: Counter[str] = field(default_factory=Counter)

    async def kill_every(self, every_s: float, for_s: float, choose: random.Random) -> None:
        """Kill one every so often; none a second time before each was killed once."""
        loop = asyncio.get_running_loop()
        over = loop.time() + for_s
        order: list[str] = []
        while loop.time() < over:
            if not order:
                order = choose.sample([*self.processes, *self.servers], len(self.processes) + len(self.servers))
            name = order.pop()
            self.kills[name] += 1
            await asyncio.to_thread((self.processes.get(name) or self.servers[name]).kill)
            await asyncio.sleep(every_s)

    async def supervise(self) -> None:
        """Start again whatever has ended, until cancelled."""
        while True:
            for name, process in self.processes.items():
                if not process.lives:
                    self.starts[name] += 1
                    process.launch()
            for name, server in self.servers.items():
                if not server.running:
                    self.starts[name] += 1
                    await asyncio.to_thread(server.launch)
            await asyncio.sleep(LOOK_S)

    async def everything_ready(self) -> None:
        async def all_answer() -> bool:
            return all([await asyncio.to_thread(server.is_ready) for server in self.servers.values()])

        await until(all_answer, "the servers")
        await asyncio.gather(*(process.ready() for process in self.processes.values()))
