"""A broker that an earlier release has set up: one login for everybody, dead letters by the default exchange."""

from pathlib import Path

import aio_pika
import asyncpg
import pytest

from deploy.logins import prepare_broker
from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from deploy.supervisor.machine.ports import free_port
from shared import topology
from shared.broker.declaring import Declaring
from shared.settings import Settings
from tests.connected.brokers import posted, take, waiting
from tests.processes import Process, running
from tests.servers import delete_topology
from tests.waiting import PATIENCE_S, until

SERVICES = ("gateway", "logger", "tagger", "workflow")
MESSAGES = "SELECT count(*) = $1 FROM chat.messages"
LETTERS = "SELECT array_agg(reason ORDER BY reason) = $1 FROM chat.dead_letters"


async def set_up_as_before(settings: Settings) -> None:
    """Declare what the release before this one declared, as it did."""
    await delete_topology(settings.amqp_url)
    async with await aio_pika.connect(settings.amqp_url) as connection:
        channel = await connection.channel()
        events = await channel.declare_exchange("events", aio_pika.ExchangeType.TOPIC, durable=True)
        await channel.declare_exchange("outcomes", aio_pika.ExchangeType.FANOUT, durable=True)
        for queue in topology.QUEUES:
            declared = await channel.declare_queue(queue.name, durable=True, arguments=queue.shapes[-1])
            for event in queue.hears:
                await declared.bind(events, event.routing_key())


async def test_a_broker_of_before_is_upgraded_in_place(
    settings: Settings, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    await set_up_as_before(settings)
    async with await aio_pika.connect(settings.amqp_url) as connection:
        channel = await connection.channel()
        events = await channel.get_exchange("events")
        for number in range(3):  # wait through the upgrade
            await events.publish(aio_pika.Message(posted(number).body(), type="MessagePosted"), "message.posted")
        await channel.default_exchange.publish(aio_pika.Message(b"parked before"), topology.DEAD_QUEUE)

        await prepare_broker(settings)
        async with serving(SandboxSettings(llm_port=0, avinode_port=0)) as sandbox:
            urls = {"openai_base_url": f"{sandbox.model}/v1", "avinode_base_url": f"{sandbox.avinode}/api"}
            mine = settings.model_copy(update=urls | {"http_port": free_port()})
            async with running(mine, tmp_path, *SERVICES):
                await until(lambda: owner.fetchval(MESSAGES, 3), "what waited, in its table")
                await channel.default_exchange.publish(aio_pika.Message(b"garbage"), topology.TAGGER_SESSIONS.name)
                await until(lambda: owner.fetchval(LETTERS, ["undecodable", "unknown"]), "both dead letters")

    assert await waiting(settings, topology.DEAD) == 0


async def test_what_a_queue_of_before_rejects_is_still_a_dead_letter(settings: Settings) -> None:
    await set_up_as_before(settings)
    await prepare_broker(settings)
    async with await aio_pika.connect(settings.amqp_url) as connection:
        channel = await connection.channel()
        for queue in (queue for queue in topology.QUEUES if queue.dead_letters):
            await channel.default_exchange.publish(aio_pika.Message(b"x"), queue.name)
            async with (await channel.get_queue(queue.name)).iterator(timeout=PATIENCE_S) as messages:
                await (await anext(messages)).reject(requeue=False)
        assert len(await take(settings, topology.DEAD, len(topology.QUEUES) - 1)) == len(topology.QUEUES) - 1


async def test_a_queue_that_was_deleted_is_made_anew_beside_older_ones(settings: Settings) -> None:
    await set_up_as_before(settings)
    declaring = Declaring()
    async with await aio_pika.connect(settings.amqp_url) as connection:
        await declaring.declare(connection)
        await (await connection.channel()).queue_delete(topology.LOGGER_CHAT.name)
        await declaring.declare(connection)
        channel = await connection.channel()
        await channel.declare_queue(
            topology.LOGGER_CHAT.name, durable=True, arguments=topology.LOGGER_CHAT.arguments
        )  # of the newest shape, else refused
        await declaring.declare(connection)


async def test_a_queue_of_a_shape_that_no_release_made_is_refused(settings: Settings) -> None:
    await delete_topology(settings.amqp_url)
    async with await aio_pika.connect(settings.amqp_url) as connection:
        await (await connection.channel()).declare_queue(topology.LOGGER_CHAT.name, durable=True)
        with pytest.raises(
            aio_pika.exceptions.ChannelPreconditionFailed, match=r"exchange' .* received the value 'dead'"
        ):
            await Declaring().declare(connection)


async def test_consumers_wait_until_a_gateway_has_made_their_queues(settings: Settings, tmp_path: Path) -> None:
    await delete_topology(settings.amqp_url)
    logger = Process("logger", settings, tmp_path / "logger.log")
    logger.launch()
    try:
        await until(lambda: misses_its_queue(logger), "that its queue is missed")
        async with await aio_pika.connect(settings.amqp_url) as connection:
            with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
                await (await connection.channel()).get_queue(topology.LOGGER_CHAT.name)
        async with running(settings.model_copy(update={"http_port": free_port()}), tmp_path, "gateway"):
            await logger.ready()
    finally:
        await logger.stop()


async def misses_its_queue(process: Process) -> bool:
    try:
        return "no queue 'logger.chat'" in (await process.faults()).get("logger.chat", "")
    except OSError:
        return False
