"""The broker's logins: one a service, with the rights that `shared/topology.py` derives for it.

They are described once, as the definitions that RabbitMQ itself exports and imports: the supervisor gives them to
`rabbitmqctl import_definitions`, `tripthread migrate` to the management API; `tripthread logins` prints the steps.
"""

import base64
import hashlib
import secrets
import shlex
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import aio_pika
import aiohttp
from aiormq.exceptions import AMQPError

from shared.broker.connection import CONNECT_TIMEOUT_S
from shared.broker.declaring import Declaring
from shared.configured.urls import malformed
from shared.settings import Settings
from shared.topology import EVENTS_EXCHANGE, LOGINS, rights_of

Definitions = dict[str, list[dict[str, Any]]]
PREFIX = "tripthread_"
# What an operator can put right.
TROUBLES = (ValueError, AMQPError, OSError, TimeoutError, aiohttp.ClientError)


async def prepare_broker(settings: Settings) -> str:
    """Make logins, where the management API is to be had, then exchanges and queues; say what was made.

    Raises:
        ValueError: A URL is none, is another login's than it should be, or the management API refuses.
        Exception: Another one of TROUBLES: the broker is away or refuses.
    """
    if wrong := malformed("amqp_url", settings.amqp_url):
        raise ValueError(wrong)
    connection = await aio_pika.connect(settings.amqp_url, timeout=CONNECT_TIMEOUT_S)
    async with connection:
        await Declaring().declare(connection)
    if not settings.amqp_management_url:
        return "the broker has its exchanges and queues"
    await _import(settings, definitions(settings))
    return "the broker has its exchanges, queues and logins"


def definitions(settings: Settings) -> Definitions:
    """Describe each login as RabbitMQ imports it; the passwords only as salted hashes.

    Raises:
        ValueError: A service's URL is missing, or is another login's than it should be.
    """
    urls = {service: _url(settings, service) for service in LOGINS}
    return {
        "users": [_user(url) for url in urls.values()],
        "permissions": [_permissions(service, _vhost(url)) for service, url in urls.items()],
        "topic_permissions": [_topic_permissions(service, _vhost(url)) for service, url in urls.items()],
    }


def steps(vhost: str = "/") -> list[str]:
    """Return the same as commands for an administrator's shell; `rabbitmqctl` asks for each password."""
    lines = []
    for service in LOGINS:
        rights, name = rights_of(service), PREFIX + service
        commands = (
            ("add_user", name),
            ("set_permissions", "-p", vhost, name, rights.configure, rights.write, rights.read),
            ("set_topic_permissions", "-p", vhost, name, EVENTS_EXCHANGE, rights.events_written, rights.events_read),
        )
        lines += [shlex.join(("rabbitmqctl", *command)) for command in commands]
    return lines


def _url(settings: Settings, service: str) -> SplitResult:
    setting, login = f"{service}_amqp_url", PREFIX + service
    given: str = getattr(settings, setting)
    if wrong := malformed(setting, given):
        raise ValueError(wrong)
    url = urlsplit(given)
    if url.username != login or not url.password:
        raise ValueError(f"{setting.upper()} must log in as {login}, with a password")
    return url


def _vhost(url: SplitResult) -> str:
    return unquote(url.path[1:]) or "/"


def _user(url: SplitResult) -> dict[str, Any]:
    # https://www.rabbitmq.com/docs/passwords#computing-password-hash
    salt = secrets.token_bytes(4)
    digest = salt + hashlib.sha256(salt + unquote(url.password or "").encode()).digest()
    return {
        "name": url.username,
        "password_hash": base64.b64encode(digest).decode(),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": "",
    }


def _permissions(service: str, vhost: str) -> dict[str, str]:
    rights = rights_of(service)
    login = {"user": PREFIX + service, "vhost": vhost}
    return login | {"configure": rights.configure, "write": rights.write, "read": rights.read}


def _topic_permissions(service: str, vhost: str) -> dict[str, str]:
    rights = rights_of(service)
    login = {"user": PREFIX + service, "vhost": vhost, "exchange": EVENTS_EXCHANGE}
    return login | {"write": rights.events_written, "read": rights.events_read}


async def unlike(settings: Settings) -> list[str]:
    """Return the services whose logins may do something else than they should, as the management API says.

    Raises:
        ValueError: A URL is none, is another login's than it should be, or the management API refuses.
        OSError, TimeoutError, aiohttp.ClientError: It is away.
    """
    wanted = definitions(settings)
    wrong = set[str]()
    for kind, path in (("permissions", "permissions"), ("topic_permissions", "topic-permissions")):
        given = await _management(settings, "GET", path)
        wrong |= {rights["user"] for rights in wanted[kind] if rights not in given}
    return [service for service in LOGINS if PREFIX + service in wrong]


async def _import(settings: Settings, described: Definitions) -> None:
    await _management(settings, "POST", "definitions", described)


async def _management(settings: Settings, method: str, path: str, body: Definitions | None = None) -> Any:
    """Call the management API; return what it answers, where that is something."""
    if wrong := malformed("amqp_management_url", settings.amqp_management_url):
        raise ValueError(wrong)
    admin = urlsplit(settings.amqp_url)
    login = aiohttp.encode_basic_auth(unquote(admin.username or ""), unquote(admin.password or ""))
    url = f"{settings.amqp_management_url.rstrip('/')}/api/{path}"
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http,
        http.request(method, url, json=body, headers={"Authorization": login}) as response,
    ):
        if not response.ok:
            raise ValueError(f"AMQP_MANAGEMENT_URL answers {response.status}: {(await response.text())[:300]}")
        return await response.json() if response.content_type == "application/json" else None
