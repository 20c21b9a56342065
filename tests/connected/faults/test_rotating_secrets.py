"""Each password at both servers, each secret that signs and the model's key are replaced while users talk."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
import asyncpg
import pytest
from aiohttp import web
from aiormq.exceptions import AMQPError
from pydantic import SecretStr

from deploy.commands.verify import verify
from deploy.logins import definitions
from deploy.migrate import SERVICE_URLS, migrate
from deploy.supervisor.machine.ports import free_port
from deploy.supervisor.private.servers import Postgres, RabbitMQ
from shared.settings import Settings
from shared.topology import LOGINS
from tests.connected.faults.talkers import SILENT_S, Talk
from tests.connected.faults.test_kill_run import is_stored_once, is_tagged_without_gaps
from tests.processes import Process, running
from tests.servers import looking
from tests.settings import settings_for
from tests.simulated import simulated
from tests.waiting import until

pytestmark = pytest.mark.fault

USERS = 4
URLS = (*SERVICE_URLS, *(f"{login}_amqp_url" for login in LOGINS))
GATEWAYS = ("gateway", "gateway_2")
OLD, NEW = (
    {name: SecretStr(f"{which}-{name}-of-thirty-two-bytes-or-more") for name in ("jwt_secret", "cookie_secret")}
    for which in ("old", "new")
)


OLD_KEY, NEW_KEY = "old-key-of-the-model", "new-key-of-the-model"


@asynccontextmanager
async def asked_by(keys: set[str], model: str) -> AsyncIterator[str]:
    """Stand before a model's service, and let nobody ask it but by one of these keys; return where."""
    async with aiohttp.ClientSession() as http:

        async def pass_on(request: web.Request) -> web.StreamResponse:
            if request.headers.get("Authorization", "").removeprefix("Bearer ") not in keys:
                return web.json_response({"error": {"message": "no such key"}}, status=401)
            body = await request.read()
            async with http.request(request.method, f"{model}{request.path_qs}", data=body) as answer:
                response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
                await response.prepare(request)
                async for piece in answer.content.iter_any():
                    await response.write(piece)
                await response.write_eof()
                return response

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", pass_on)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


def as_previous(secrets: Mapping[str, SecretStr]) -> dict[str, SecretStr]:
    return {name.replace("_secret", "_previous_secret"): secret for name, secret in secrets.items()}


CONNECTIONS_END = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'tripthread%' AND pid <> pg_backend_pid()
"""
FIRST_STEP, SECOND_STEP = OLD | as_previous(NEW), NEW | as_previous(OLD)


def with_new_passwords(settings: Settings) -> dict[str, Any]:
    """Return the URLs with other passwords."""
    return {name: getattr(settings, name).replace(":pw_", ":another_", 1) for name in URLS}


async def restart(process: Process, **told: Any) -> None:
    """Stop it in order, and start it with these settings."""
    assert await process.stop() == 0, process.log
    process.settings = process.settings.model_copy(update=told)
    await process.start()


async def rotate(settings: Settings, broker: RabbitMQ, processes: Mapping[str, Process], keys: set[str]) -> Settings:
    """Do what docs/security.md says, and return the settings at its end.

    Args:
        settings: Those that hold.
        broker: Whose logins are replaced.
        processes: By name, all that run.
        keys: By which the model may be asked.
    """
    keys.add(NEW_KEY)
    passwords = with_new_passwords(settings)
    told = settings.model_copy(update=passwords)
    # The servers take the new passwords first: connections that are open stay so.
    await asyncio.to_thread(migrate, told)
    await asyncio.to_thread(broker.import_definitions, json.dumps(definitions(told)))
    consumers = (each for each in processes.values() if each.service != "gateway")
    await asyncio.gather(*(restart(each, **passwords) for each in consumers))
    for name in GATEWAYS:
        await restart(processes[name], **passwords, **SECOND_STEP, openai_api_key=SecretStr(NEW_KEY))
    keys.remove(OLD_KEY)
    return told.model_copy(update=SECOND_STEP)


async def test_whatever_is_replaced_nothing_is_lost_and_no_turn_fails(
    own_database: Postgres, breakable: RabbitMQ, tmp_path: Path
) -> None:
    settings = settings_for(own_database.url, breakable.url, **FIRST_STEP, openai_api_key=SecretStr(OLD_KEY))
    keys = {OLD_KEY}
    await asyncio.to_thread(migrate, settings)
    async with (
        simulated(settings) as outside,
        asked_by(keys, outside.settings.openai_base_url.removesuffix("/v1")) as model,
    ):
        told = outside.settings.model_copy(update={"openai_base_url": f"{model}/v1"})
        second = told.model_copy(update={"http_port": free_port()})
        urls = [f"http://127.0.0.1:{each.http_port}" for each in (told, second)]
        timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENT_S)
        async with (
            running(told, tmp_path, "gateway", "logger", "tagger", "workflow") as first,
            running(second, tmp_path, "gateway_2") as more,
            aiohttp.ClientSession(timeout=timeout) as http,
            looking(own_database.url) as owner,
        ):
            talk = Talk(urls, told, http)
            async with asyncio.TaskGroup() as users:
                for number in range(USERS):
                    users.create_task(talk.user(number))
                await until(lambda: _all_have_talked(owner), "everybody to have an answer")
                now = await rotate(told, breakable, {**first, **more}, keys)
                talk.settings = now  # tokens by the new secret
                so_far = len(talk.said)
                await until(lambda: _has_more(talk, so_far), "more to be said by the new ones")
                talk.is_over = True
            await until(lambda: _all_is_stored(owner, talk), "everything to be stored", 60)
            assert talk.odd == []
            await is_stored_once(owner, talk)
            assert await owner.fetchval("SELECT count(*) FROM chat.messages WHERE status = 'interrupted'") == 0
            await is_tagged_without_gaps(owner, talk.said)
            assert [found async for found, _ in verify(now, settled_s=0)] == []
            await _old_ones_are_refused(settings)
            await restart(first["gateway"], **as_previous(dict.fromkeys(OLD, SecretStr(""))))
            by_old, by_new = (Talk(urls, each, http) for each in (settings, now))
            assert await _status(by_old) == 401
            assert await _status(by_new) == 200


async def test_who_needs_a_connection_while_passwords_are_replaced_may_come_again(
    own_database: Postgres, breakable: RabbitMQ, tmp_path: Path
) -> None:
    settings = settings_for(own_database.url, breakable.url)
    await asyncio.to_thread(migrate, settings)
    await asyncio.to_thread(breakable.import_definitions, json.dumps(definitions(settings)))
    async with (
        simulated(settings) as outside,
        running(outside.settings, tmp_path, "gateway"),
        aiohttp.ClientSession() as http,
        looking(own_database.url) as owner,
    ):
        talk = Talk([f"http://127.0.0.1:{outside.settings.http_port}"], outside.settings, http)
        assert await _tried(talk) == [200, 200, 200]
        await asyncio.to_thread(migrate, settings.model_copy(update=with_new_passwords(settings)))
        await owner.execute(CONNECTIONS_END)
        assert await _tried(talk) == [503, 503, 503]
        await asyncio.to_thread(migrate, settings)
        assert await _tried(talk) == [200, 200, 200]


async def _tried(talk: Talk) -> list[int]:
    """Begin a turn at either door, and read; return the statuses, of which a 503 says when to come again."""
    question = {"messages": [{"role": "user", "content": "hi"}], "model": "sim-fast"}
    statuses = []
    for method, path, body in (
        ("POST", "/api/chat", {"message": "hi", "stream": False}),
        ("POST", "/v1/chat/completions", question),
        ("GET", "/api/chat/sessions", None),
    ):
        url = talk.gateways[0] + path
        async with talk.http.request(method, url, json=body, headers=talk.headers("ann")) as answer:
            assert (answer.status == 503) == ("Retry-After" in answer.headers)
            statuses.append(answer.status)
    return statuses


async def _all_have_talked(owner: asyncpg.Connection) -> bool:
    query = "SELECT count(DISTINCT user_id) = $1 FROM gateway.turns WHERE answered_at IS NOT NULL"
    return bool(await owner.fetchval(query, USERS))


async def _all_is_stored(owner: asyncpg.Connection, talk: Talk) -> bool:
    """Tell whether all is in its table; that gateways have noted it too takes a look of theirs, or two."""
    query = """
        SELECT (SELECT count(*) FROM chat.messages WHERE role = 'user') >= $1
            AND (SELECT count(*) FROM chat.messages WHERE role = 'assistant')
                >= (SELECT count(*) FROM gateway.turns WHERE answer IS NOT NULL)
            AND NOT EXISTS (SELECT FROM gateway.turns WHERE state = 'running')
    """
    return bool(await owner.fetchval(query, len(talk.said)))


async def _has_more(talk: Talk, so_far: int) -> bool:
    return len(talk.said) >= so_far + 2 * USERS


async def _old_ones_are_refused(settings: Settings) -> None:
    for name in SERVICE_URLS:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(getattr(settings, name))
    for login in LOGINS:
        with pytest.raises(AMQPError):
            await aio_pika.connect(getattr(settings, f"{login}_amqp_url"))


async def _status(talk: Talk) -> int:
    async with talk.http.get(f"{talk.gateways[0]}/api/me", headers=talk.headers("ann")) as answer:
        return answer.status
