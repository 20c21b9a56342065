"""`tripthread migrate` makes the services' logins by a real broker's management API."""

import asyncio
from pathlib import Path

import aio_pika
import pytest
from aiormq.exceptions import AMQPConnectionError

from deploy.doctor.broker import check_broker
from deploy.logins import prepare_broker, unlike
from deploy.supervisor.machine.ports import free_port
from deploy.supervisor.private.servers import RabbitMQ
from shared import topology
from shared.broker.declaring import require
from tests.connected.brokers import broker_settings

LISTEN = 'application:set_env(rabbitmq_management, tcp_config, [{{port, {port}}}, {{ip, "127.0.0.1"}}]).'


async def test_migrate_makes_and_changes_logins_by_the_management_api(breakable: RabbitMQ) -> None:
    port = await asyncio.to_thread(switch_management_on, breakable)
    address = breakable.url.rpartition("@")[2]
    urls = {f"{login}_amqp_url": f"amqp://tripthread_{login}:new@{address}" for login in topology.LOGINS}
    settings = broker_settings(breakable.url, **urls, amqp_management_url=f"http://127.0.0.1:{port}")
    with pytest.raises(AMQPConnectionError):  # its password was another one
        await aio_pika.connect(settings.logger_amqp_url)

    assert await prepare_broker(settings) == "the broker has its exchanges, queues and logins"

    for login in topology.LOGINS:
        async with await aio_pika.connect(getattr(settings, f"{login}_amqp_url")) as connection:
            await require(connection, topology.EXCHANGES, topology.QUEUES)
    assert await unlike(settings) == []
    breakable.ctl("set_topic_permissions", "tripthread_gateway", "events", "^(message\\.posted)$", ".*")
    assert await unlike(settings) == ["gateway"]
    (rights,) = [each async for each in check_broker(settings) if each.subject == "broker's rights of the logins"]
    assert (rights.detail, rights.trouble is None) == ("not as they should be: gateway", False)
    await prepare_broker(settings)
    assert await unlike(settings) == []
    wrong = settings.model_copy(update={"amqp_management_url": f"http://127.0.0.1:{port}/elsewhere"})
    with pytest.raises(ValueError, match="AMQP_MANAGEMENT_URL answers 405"):
        await prepare_broker(wrong)


def switch_management_on(broker: RabbitMQ) -> int:
    port = free_port()
    file = Path(broker.directory, "enabled_plugins")
    file.write_text("[rabbitmq_management].\n")
    broker.ctl("eval", LISTEN.format(port=port))
    broker.ctl("eval", f'rabbit_plugins:ensure("{file}").')
    return port
