"""Look at the broker: each queue, and each service's login."""

from collections.abc import AsyncIterator

import aio_pika
import aiohttp
from aiormq.exceptions import AMQPError, ChannelNotFoundEntity

from deploy.doctor.finding import TIMEOUT_S, Finding
from deploy.logins import unlike
from shared import topology
from shared.broker.connection import describe
from shared.broker.declaring import Declaring
from shared.configured.urls import malformed
from shared.settings import Settings


async def check_broker(settings: Settings) -> AsyncIterator[Finding]:
    """Look at each queue: is it there, does anybody consume it, how much waits?"""
    if wrong := malformed("amqp_url", settings.amqp_url):
        yield Finding("broker", "away", wrong)
        return
    try:
        connection = await aio_pika.connect(settings.amqp_url, timeout=TIMEOUT_S)
    except (AMQPError, OSError, TimeoutError) as error:
        yield Finding("broker", "away", f"cannot connect with AMQP_URL: {error}")
        return
    async with connection:
        yield Finding("broker", "connected")
        for queue in topology.QUEUES:
            yield await _queue(connection, queue)
    for service in topology.LOGINS:
        yield await _broker_login(settings, service)
    if settings.amqp_management_url and all(getattr(settings, f"{each}_amqp_url") for each in topology.LOGINS):
        yield await _rights(settings)


async def _broker_login(settings: Settings, service: str) -> Finding:
    name, subject = f"{service}_amqp_url", f"broker's login of {service}"
    url: str = getattr(settings, name)
    if not url:
        trouble = f"set {name.upper()}, see `tripthread logins`" if settings.environment == "production" else None
        return Finding(subject, "none of its own: it may do whatever AMQP_URL may", trouble)
    try:
        connection = await aio_pika.connect(url, timeout=TIMEOUT_S)
        await connection.close()
    except (AMQPError, OSError, ValueError) as error:
        trouble = f"{name.upper()}: {error}; `tripthread migrate` sets its password, or see `tripthread logins`"
        return Finding(subject, "refused", trouble)
    return Finding(subject, "works")


async def _rights(settings: Settings) -> Finding:
    """Compare what the logins may do with what this release says that they do."""
    subject = "broker's rights of the logins"
    try:
        wrong = await unlike(settings)
    except (ValueError, OSError, TimeoutError, aiohttp.ClientError) as error:
        return Finding(subject, "not to be had", f"AMQP_MANAGEMENT_URL: {error}")
    if wrong:
        trouble = "`tripthread migrate` sets them; a gateway that may not say something loses its channel each time"
        return Finding(subject, f"not as they should be: {', '.join(wrong)}", trouble)
    return Finding(subject, "as they should be")


async def _queue(connection: aio_pika.abc.AbstractConnection, queue: topology.Queue) -> Finding:
    name = queue.name
    channel = await connection.channel()
    try:
        declared = await channel.declare_queue(name, passive=True)
    except ChannelNotFoundEntity:
        return Finding(f"queue {name}", "missing", "is a gateway running? Otherwise `tripthread migrate` makes it")
    await channel.close()
    try:
        await Declaring().declare_queue(connection, queue)
    except AMQPError as error:
        return Finding(f"queue {name}", "of another shape", f"{describe(error)}; delete it when it is empty")
    result = declared.declaration_result
    waiting, consumers = result.message_count or 0, result.consumer_count or 0
    trouble = None if consumers else f"nobody consumes it: is the {queue.reader} running?"
    return Finding(f"queue {name}", f"{waiting} waiting, {consumers} consumers", trouble)
