"""Find a PostgreSQL and a RabbitMQ for the connected tests: given ones, containers, or private native ones.

What is found may not be broken. A test that kills its database runs one of its own.

TEST_DATABASE_URL and TEST_AMQP_URL together give them; TEST_SERVERS=containers|native insists on one way.
"""

import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from urllib.parse import quote

import aio_pika
import asyncpg
from aiormq.exceptions import ChannelNotFoundEntity

from deploy.logins import definitions
from deploy.supervisor.private.servers import Postgres, RabbitMQ, install_servers
from shared import topology
from shared.broker.declaring import Declaring
from shared.ids import new_id
from shared.settings import Settings
from tests.server_directory import server_directory
from tests.settings import broker_logins, with_database

POSTGRES_IMAGE = "postgres:17"
RABBITMQ_IMAGE = "rabbitmq:4.0-management"


@dataclass(frozen=True)
class Servers:
    """Where the two servers are; both logins may do everything."""

    database_url: str
    amqp_url: str
    kind: str


@contextmanager
def find_servers() -> Iterator[Servers]:
    """Give servers for the length of a test session, and take away what was started for it."""
    wanted = os.environ.get("TEST_SERVERS", "")
    given = os.environ.get("TEST_DATABASE_URL"), os.environ.get("TEST_AMQP_URL")
    if given[0] and given[1]:
        yield Servers(given[0], given[1], "given")
    elif wanted != "native" and (wanted == "containers" or _engine_answers()):
        with _containers() as servers:
            yield servers
    else:
        with _native() as servers:
            yield servers


def _engine_answers() -> bool:
    """Ask the engine itself, and for the images: a docker binary may be a client only."""
    for command in (("docker", "version"), ("docker", "image", "inspect", POSTGRES_IMAGE, RABBITMQ_IMAGE)):
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=5)
        except (OSError, subprocess.SubprocessError):
            return False
    return True


@contextmanager
def _containers() -> Iterator[Servers]:
    from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415 - slow, and seldom wanted
    from testcontainers.community.rabbitmq import RabbitMqContainer  # noqa: PLC0415

    with ExitStack() as stack:
        postgres = stack.enter_context(PostgresContainer(POSTGRES_IMAGE, driver=None))
        broker = stack.enter_context(RabbitMqContainer(RABBITMQ_IMAGE))
        host, port = broker.get_container_host_ip(), broker.get_exposed_port(broker.port)
        login = f"{quote(broker.username)}:{quote(broker.password)}"
        amqp_url = f"amqp://{login}@{host}:{port}/"
        write = f"echo '{login_definitions(amqp_url)}' > /tmp/definitions.json"
        done = broker.exec(["sh", "-c", f"{write} && rabbitmqctl import_definitions /tmp/definitions.json"])
        assert done.exit_code == 0, done.output
        yield Servers(postgres.get_connection_url(), amqp_url, "containers")


@contextmanager
def _native() -> Iterator[Servers]:
    with server_directory("test") as directory, ExitStack() as stack:
        install_servers(log=directory / "apt.log")
        postgres = Postgres(directory / "postgres", durable=False)
        broker = RabbitMQ(directory / "rabbitmq", durable=False)
        for server in (postgres, broker):
            stack.callback(server.stop)
            server.start()
        broker.import_definitions(login_definitions(broker.url))
        yield Servers(postgres.url, broker.url, "native")


def login_definitions(amqp_url: str) -> str:
    """Describe the services' logins as the tests' settings have them."""
    return json.dumps(definitions(Settings(_env_file=None, **broker_logins(amqp_url))))  # type: ignore[arg-type]


@contextmanager
def own_postgres() -> Iterator[Postgres]:
    """Run a database that a test may kill: its commits survive."""
    with server_directory("postgres") as directory:
        install_servers(log=directory / "apt.log")
        postgres = Postgres(directory / "postgres")
        postgres.start()
        try:
            yield postgres
        finally:
            postgres.kill()


@asynccontextmanager
async def looking(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Connect as a superuser, to see the tables as they are."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def run_sql(url: str, *statements: str) -> None:
    async with looking(url) as owner:
        for statement in statements:
            await owner.execute(statement)


@asynccontextmanager
async def copied_database(servers: Servers, template: str) -> AsyncIterator[str]:
    """Make a database like the template for the length of the block; give the superuser's URL of it.

    Its files are copied: WAL of all that is in it would take four times as long, and no test ends the server by a
    power cut.
    """
    name = f"test_{new_id().hex}"
    await run_sql(servers.database_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield with_database(servers.database_url, name)
    await run_sql(servers.database_url, f"DROP DATABASE {name} WITH (FORCE)")


async def delete_topology(amqp_url: str) -> None:
    """Delete every queue and exchange of ours, whatever a test has left in them."""
    async with await aio_pika.connect(amqp_url) as connection:
        for queue in topology.QUEUES:
            channel = await connection.channel()
            try:
                await channel.queue_delete(queue.name)
            except ChannelNotFoundEntity:
                continue  # it was not there
        channel = await connection.channel()
        for exchange in topology.EXCHANGES:
            await channel.exchange_delete(exchange)


async def empty_broker(amqp_url: str) -> None:
    """Make everything anew, as `tripthread migrate` does on a new broker."""
    await delete_topology(amqp_url)
    async with await aio_pika.connect(amqp_url) as connection:
        await Declaring().declare(connection)
