"""Private, durable servers for a benchmark: fsync is on, for us and for whom we are compared with."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from deploy.migrate import migrate
from deploy.supervisor.machine.child import Child
from deploy.supervisor.private.servers import Postgres, RabbitMQ
from shared.settings import Settings
from tests.processes import ROOT, environment_of
from tests.servers import login_definitions
from tests.settings import settings_for


@dataclass(frozen=True)
class MeasuredServers:
    """Two servers, and the processes that they are."""

    settings: Settings
    pids: dict[str, int]


@contextmanager
def private_servers() -> Iterator[Settings]:
    """Run a migrated PostgreSQL and a RabbitMQ for the length of the block."""
    with measured_servers() as servers:
        yield servers.settings


@contextmanager
def measured_servers(postgres_settings: Mapping[str, str] | None = None) -> Iterator[MeasuredServers]:
    """Run the same, and say which processes they are."""
    runs = ROOT / ".run"
    runs.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=runs))  # on the project's disk: /tmp may be memory
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        postgres, broker = (
            Postgres(directory / "postgres", settings=postgres_settings),
            RabbitMQ(directory / "rabbitmq"),
        )
        for server in (postgres, broker):
            stack.callback(server.stop)
            server.start()
        broker.import_definitions(login_definitions(broker.url))
        settings = settings_for(postgres.url, broker.url, instance="bench")
        migrate(settings)
        assert postgres.pid is not None
        assert broker.pid is not None
        yield MeasuredServers(settings, {"postgresql": postgres.pid, "rabbitmq": broker.pid})


@contextmanager
def process(arguments: Sequence[str], settings: Settings, extra: Mapping[str, str] | None = None) -> Iterator[Child]:
    """Run `python -m ARGUMENTS` with these settings, in a process of its own, and stop it in order."""
    environment = {**os.environ, **environment_of(settings), **(extra or {})}
    child = Child(arguments[0], [sys.executable, "-m", *arguments], log=None, env=environment, cwd=ROOT)
    child.launch()
    try:
        yield child
    finally:
        child.stop()


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process and its children, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    own = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own / 1024 + sum(resident_mib(int(child)) for child in children)


async def is_ready(settings: Settings) -> bool:
    """Ask a service whether it can do its job."""
    return await answers(f"http://{settings.internal_host}:{settings.internal_port}/readyz")


async def answers(url: str) -> bool:
    """Tell whether somebody answers here that all is well."""
    try:
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False
