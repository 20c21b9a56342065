"""What the workflow no longer hears: its queue is unbound from that, and what waits there still has no effect."""

import aio_pika

from shared import topology
from shared.broker.connection import open_connection
from shared.broker.declaring import Declaring
from tests.connected.brokers import posted, raw_channel, waiting
from tests.connected.workflow.stage import Stage, running_workflow

SPOKEN = "SELECT count(*) FROM workflow.trip_sessions WHERE last_message_at IS NOT NULL"


async def bind_as_before(stage: Stage) -> None:
    """Bind the workflow's queue to every message, as the code of before does when it connects."""
    async with raw_channel(stage.settings) as channel:
        queue = await channel.get_queue(topology.WORKFLOW_TRIPS.name)
        await queue.bind(topology.EVENTS_EXCHANGE, "message.posted")


async def test_a_binding_of_before_is_taken_back_by_whoever_declares(quiet: Stage) -> None:
    await bind_as_before(quiet)
    await quiet.publisher.publish(posted(1))
    assert await waiting(quiet.settings, topology.WORKFLOW_TRIPS) == 1
    async with open_connection(quiet.settings, "test", Declaring().declare):
        await quiet.publisher.publish(posted(2))
    assert await waiting(quiet.settings, topology.WORKFLOW_TRIPS) == 1
    assert await waiting(quiet.settings, topology.LOGGER_CHAT) == 2


async def test_what_still_waits_in_the_queue_is_acknowledged_without_effect(quiet: Stage) -> None:
    async with raw_channel(quiet.settings) as channel:
        for number in range(3):
            message = aio_pika.Message(posted(number).body(), type="MessagePosted")
            await channel.default_exchange.publish(message, routing_key=topology.WORKFLOW_TRIPS.name)
    async with running_workflow(quiet.settings):
        await quiet.created("s1", user_id="ada")  # whatever came before was worked
    for queue in (topology.WORKFLOW_TRIPS, topology.DEAD):
        assert await waiting(quiet.settings, queue) == 0
    assert await quiet.owner.fetchval(SPOKEN) == 0
