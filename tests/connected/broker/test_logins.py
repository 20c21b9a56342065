"""Each service's login can do what its service must, and nothing else: the broker itself refuses it."""

from collections.abc import AsyncIterator, Awaitable, Callable

import aio_pika
import pytest
from aio_pika import ExchangeType, Message
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from aiormq.exceptions import ChannelAccessRefused

from shared import topology
from shared.broker.declaring import Declaring, require
from shared.events import EVENTS, Event
from shared.settings import Settings
from shared.topology import LOGINS, QUEUES, SENT_BY, Queue
from tests.connected.brokers import broker_settings, purge, take, waiting
from tests.servers import Servers, delete_topology, empty_broker

CONSUMERS = tuple(login for login in LOGINS if login != topology.MADE_BY)
FOREIGN = [(login, queue) for login in CONSUMERS for queue in QUEUES if queue.reader != login]
FORGED = [(login, event) for login in LOGINS for event in EVENTS if login not in SENT_BY[event]]
Forbidden = Callable[[AbstractConnection], Awaitable[object]]


@pytest.fixture(scope="module")
async def settings(servers: Servers) -> Settings:
    """Everything is made once: what is refused leaves no trace, and the rest takes what it has put."""
    await empty_broker(servers.amqp_url)
    return broker_settings(servers.amqp_url)


@pytest.fixture
async def login(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[AbstractConnection]:
    """Connect as the service that the test is about."""
    if not settings.gateway_amqp_url:
        pytest.skip("a given broker has no logins of ours")
    service = request.node.callspec.params["service"]
    async with await aio_pika.connect(getattr(settings, f"{service}_amqp_url")) as connection:
        yield connection


async def publish(connection: AbstractConnection, exchange: str, key: str = "") -> None:
    """Publish, and wait for the broker's word."""
    channel = await connection.channel(on_return_raises=True)
    target = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
    await target.publish(Message(b"{}"), key, timeout=5)


async def nothing(_message: AbstractIncomingMessage) -> None:
    """Hear nothing."""


async def refused(connection: AbstractConnection, forbidden: Forbidden) -> None:
    with pytest.raises(ChannelAccessRefused):
        await forbidden(connection)


@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
@pytest.mark.parametrize("service", LOGINS)
async def test_nobody_reaches_a_queue_by_the_default_exchange(
    login: AbstractConnection, settings: Settings, service: str, queue: Queue
) -> None:
    await refused(login, lambda connection: publish(connection, "", queue.name))
    assert await waiting(settings, queue) == 0, service


@pytest.mark.parametrize(("service", "event"), FORGED)
async def test_an_event_of_another_service_is_refused(
    login: AbstractConnection, service: str, event: type[Event]
) -> None:
    assert service not in SENT_BY[event]
    await refused(login, lambda connection: publish(connection, topology.EVENTS_EXCHANGE, event.routing_key()))


@pytest.mark.parametrize(
    ("service", "exchange"),
    [("gateway", "amq.fanout"), ("tagger", "replays"), ("workflow", "replays"), ("logger", "amq.topic")],
)
async def test_an_exchange_that_a_service_has_no_use_for_is_refused(
    login: AbstractConnection, service: str, exchange: str
) -> None:
    assert service in LOGINS
    await refused(login, lambda connection: publish(connection, exchange))


@pytest.mark.parametrize(("service", "queue"), FOREIGN, ids=lambda value: getattr(value, "name", value))
async def test_a_queue_of_another_service_is_neither_read_nor_emptied(
    login: AbstractConnection, service: str, queue: Queue
) -> None:
    async def consume(connection: AbstractConnection) -> None:
        channel = await connection.channel()
        await (await channel.get_queue(queue.name, ensure=False)).consume(nothing)

    async def get(connection: AbstractConnection) -> None:
        channel = await connection.channel()
        await (await channel.get_queue(queue.name, ensure=False)).get(fail=False)

    async def purge(connection: AbstractConnection) -> None:
        channel = await connection.channel()
        await (await channel.get_queue(queue.name, ensure=False)).purge()

    assert queue.reader != service
    for forbidden in (consume, get, purge):
        await refused(login, forbidden)


@pytest.mark.parametrize("service", CONSUMERS)
async def test_a_consumer_makes_binds_and_deletes_nothing(login: AbstractConnection, service: str) -> None:
    own = next(queue for queue in QUEUES if queue.reader == service)

    async def declare_queue(connection: AbstractConnection) -> None:
        await (await connection.channel()).declare_queue("strange")

    async def declare_own(connection: AbstractConnection) -> None:
        await (await connection.channel()).declare_queue(own.name, durable=True, arguments=own.arguments)

    async def declare_private(connection: AbstractConnection) -> None:
        await (await connection.channel()).declare_queue(exclusive=True)

    async def declare_exchange(connection: AbstractConnection) -> None:
        await (await connection.channel()).declare_exchange("strange", ExchangeType.FANOUT)

    async def bind(connection: AbstractConnection) -> None:
        channel = await connection.channel()
        await (await channel.get_queue(own.name, ensure=False)).bind(topology.EVENTS_EXCHANGE, "#")

    async def delete_queue(connection: AbstractConnection) -> None:
        await (await connection.channel()).queue_delete(own.name)

    async def delete_exchange(connection: AbstractConnection) -> None:
        await (await connection.channel()).exchange_delete(topology.EVENTS_EXCHANGE)

    for forbidden in (
        declare_queue,
        declare_own,
        declare_private,
        declare_exchange,
        bind,
        delete_queue,
        delete_exchange,
    ):
        await refused(login, forbidden)


@pytest.mark.parametrize("service", ["gateway"])
async def test_the_gateway_makes_nothing_but_the_topology(login: AbstractConnection, service: str) -> None:
    async def declare_queue(connection: AbstractConnection) -> None:
        await (await connection.channel()).declare_queue(f"{service}.strange")

    async def listen_to_everything(connection: AbstractConnection) -> None:
        await (await connection.channel()).declare_queue(exclusive=True)

    for forbidden in (declare_queue, listen_to_everything):
        await refused(login, forbidden)


@pytest.mark.parametrize("service", ["gateway"])
async def test_the_gateway_makes_everything_that_is_missing(
    login: AbstractConnection, settings: Settings, service: str
) -> None:
    await delete_topology(settings.amqp_url)
    await Declaring().declare(login)
    await require(login, topology.EXCHANGES, QUEUES)
    await publish(login, topology.EVENTS_EXCHANGE, "message.posted")
    for queue in (topology.LOGGER_CHAT, topology.TAGGER_SESSIONS):
        assert len(await take(settings, queue, 1)) == 1, service


@pytest.mark.parametrize("service", LOGINS)
async def test_each_login_publishes_what_its_service_says(
    login: AbstractConnection, settings: Settings, service: str
) -> None:
    said = [event for event in EVENTS if service in SENT_BY[event]]
    assert said
    for event in said:
        await publish(login, topology.EVENTS_EXCHANGE, event.routing_key())
    for key in (key for key, senders in topology.SENT_BY_KEY.items() if service in senders):
        await publish(login, topology.EVENTS_EXCHANGE, key)
    if service in CONSUMERS:
        await publish(login, topology.DEAD_EXCHANGE)
    await purge(settings)


@pytest.mark.parametrize("service", topology.REPLAYED_BY)
async def test_a_replay_goes_to_the_queue_that_it_names_alone(
    login: AbstractConnection, settings: Settings, service: str
) -> None:
    for queue in QUEUES:
        if queue is not topology.DEAD:
            await publish(login, topology.REPLAYS_EXCHANGE, queue.name)
            assert len(await take(settings, queue, 1)) == 1, service
    assert [await waiting(settings, queue) for queue in QUEUES] == [0] * len(QUEUES)


async def test_a_queue_without_a_name_of_ours_gets_no_replay(settings: Settings) -> None:
    async with await aio_pika.connect(settings.amqp_url) as connection:
        with pytest.raises(aio_pika.exceptions.PublishError):
            await publish(connection, topology.REPLAYS_EXCHANGE, topology.DEAD_QUEUE)
