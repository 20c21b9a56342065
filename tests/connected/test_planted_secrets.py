"""Each secret is marked, all goes well once and wrong once, and then whatever is written is searched for the marks."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
import asyncpg
from aio_pika.abc import AbstractQueue
from aiohttp import web
from pydantic import SecretStr

from deploy.doctor import examine
from services.gateway.account.logins.links import login_token
from shared.settings import Settings
from shared.topology import EVENTS_EXCHANGE, OUTCOMES_EXCHANGE
from tests.connected.everywhere import where
from tests.processes import Process, running
from tests.stand_ins.collector import collecting
from tests.tokens import token_for
from tests.waiting import until

MARK = "planted-secret"
SENDERS = base64.b64encode(f"{MARK}-of-a-sender-of-notices".encode()).decode()
PASSWORDS = "pw_"  # what each login of the tests' servers has begins so


def marked(name: str) -> SecretStr:
    return SecretStr(f"{MARK}-{name}-of-thirty-two-bytes-or-more")


SECRETS: dict[str, Any] = {
    **{
        name: marked(name)
        for name, field in Settings.model_fields.items()
        if field.annotation is SecretStr and name not in ("webhook_senders", "avinode_client_secret")
    },
    "webhook_senders": SecretStr(f"elsewhere=whsec_{SENDERS}"),
}


@asynccontextmanager
async def outside() -> AsyncIterator[str]:
    """Refuse every call, and say by which credentials it came, as some services do."""

    async def echo(request: web.Request) -> web.Response:
        said = {"error": {"message": f"bad credentials: {dict(request.headers)}", "code": "invalid_api_key"}}
        return web.json_response(said, status=401)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def call_everything(gateway: Process) -> tuple[list[str], list[str]]:
    """Call it rightly and wrongly; return what it answered, and which secrets it told of once, as it must."""
    settings, answers, told = gateway.settings, [], []
    token, link = token_for(settings, "ann"), login_token(settings, "ann", "user", 60)
    wrong_key = f"tt_{'w' * 43}"
    as_ann = {"Authorization": f"Bearer {token}"}
    basic = aiohttp.encode_basic_auth(settings.avinode_webhook_user, f"{MARK}-wrong-password")
    calls: list[tuple[str, str, Mapping[str, str], Any]] = [
        ("POST", "/api/chat", as_ann, {"session_id": "s1", "message": "hello", "stream": False}),
        ("POST", "/api/chat", as_ann, {"session_id": "s1", "message": {"a": 1}, "model": [MARK[:7]]}),
        ("GET", "/api/me", {"Authorization": f"Bearer {token[:-4]}AAAA"}, None),
        ("GET", "/api/me", {"Authorization": f"Bearer {wrong_key}"}, None),
        ("GET", f"/api/me?access_token={token}", {}, None),
        ("GET", f"/api/shared/{'s' * 43}", {}, None),
        ("GET", "/api/me", {"Cookie": f"login={'c' * 43}; visitor={token}"}, None),
        ("POST", "/api/webhooks/avinode", {"Authorization": basic}, {}),
        ("POST", "/api/webhooks/elsewhere", {"webhook-id": "1", "webhook-signature": f"v1,{SENDERS}"}, {}),
        ("GET", f"/api/auth/login?token={link[:-4]}AAAA", {}, None),
    ]
    base = f"http://127.0.0.1:{settings.http_port}"
    async with aiohttp.ClientSession() as http:
        for method, path, headers, body in calls:
            async with http.request(method, base + path, headers=headers, json=body) as answer:
                answers.append(f"{answer.headers} {await answer.text()}")
        async with http.post(f"{base}/api/keys", json={"name": "k"}, headers=as_ann) as answer:
            assert answer.status == 201
            told.append((await answer.json())["key"]["token"])
        async with http.get(f"{base}/api/me", headers={"Authorization": f"Bearer {told[0]}"}) as answer:
            assert answer.status == 200
        async with http.post(f"{base}/api/auth/login", data={"token": link}) as answer:
            assert answer.status == 200
            told.append(answer.cookies["login"].value)
        async with http.get(f"http://127.0.0.1:{settings.internal_port}/metrics") as answer:
            answers.append(await answer.text())
    return answers, [*told, token, link, "w" * 43, "s" * 43, "c" * 43]


def command_line(process: Process) -> str:
    return Path(f"/proc/{process.pid}/cmdline").read_text()


@asynccontextmanager
async def launched(process: Process) -> AsyncIterator[None]:
    """Run a process that can't do its job."""
    process.launch()
    try:
        yield
    finally:
        await process.stop()


@asynccontextmanager
async def all_that_is_sent(settings: Settings) -> AsyncIterator[AbstractQueue]:
    """Give a queue that hears every message of the two exchanges by which ours are spread, beside those that do."""
    async with await aio_pika.connect(settings.amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(EVENTS_EXCHANGE, "#")
        await queue.bind(OUTCOMES_EXCHANGE, "#")
        yield queue


async def messages_in(queue: AbstractQueue) -> list[str]:
    """Take all out, each with its headers."""
    found = []
    while (message := await queue.get(no_ack=True, fail=False)) is not None:
        found.append(f"{message.routing_key} {message.headers} {message.body.decode()}")
    return found


async def test_no_secret_is_written_anywhere(settings: Settings, owner: asyncpg.Connection, tmp_path: Path) -> None:
    async with outside() as url, collecting() as collector, all_that_is_sent(settings) as sent:
        told = settings.model_copy(
            update={
                **SECRETS,
                "openai_base_url": f"{url}/v1",
                "avinode_base_url": f"{url}/api",
                "log_level": "DEBUG",
                "otel_exporter_otlp_endpoint": collector.endpoint,
            }
        )
        shut_out = Process("gateway", _with_wrong_passwords(told), tmp_path / "shut_out.log")
        async with (
            launched(shut_out),  # at first, since it takes its time to say so
            running(told, tmp_path, "gateway", "logger", "tagger", "workflow") as processes,
        ):
            answers, shown = await call_everything(processes["gateway"])
            await until(lambda: _is_stored(owner), "the question to be stored")
            written = {
                **{f"answer {number}": text for number, text in enumerate(answers)},
                "doctor": str([finding async for finding in examine(_with_wrong_passwords(told))]),
                "the doctor, let in": str([finding async for finding in examine(told)]),
                **{f"arguments of {name}": command_line(each) for name, each in processes.items()},
            }
            await until(lambda: _says_that_it_is_away(shut_out), "it to say what is away")
        messages = await messages_in(sent)
        written |= {"spans": b"".join(collector.bodies).decode("latin-1"), "messages": "\n".join(messages)}
        written |= {f"log of {name}": each.log for name, each in {**processes, "one shut out": shut_out}.items()}
    for secret in (MARK, SENDERS, PASSWORDS, *shown):
        assert [place for place, text in written.items() if secret in text] == [], secret[:20]
        if secret != PASSWORDS:
            assert await where(owner, secret) == set(), secret[:20]
    assert "hello" in written["messages"]
    assert {"POST /api/chat", "process logger.chat"} <= {span.name for span in collector.spans}
    assert "hello" in str(await owner.fetch("SELECT content FROM chat.messages")), "so one can be found"


def _with_wrong_passwords(settings: Settings) -> Settings:
    names = [name for name in Settings.model_fields if name.endswith(("database_url", "amqp_url"))]
    wrong = {name: getattr(settings, name).replace(":pw_", f":{MARK}-", 1) for name in names}
    return settings.model_copy(update=wrong)


async def _is_stored(owner: asyncpg.Connection) -> bool:
    return bool(await owner.fetchval("SELECT count(*) > 0 FROM chat.traces WHERE status = 'error'"))


async def _says_that_it_is_away(process: Process) -> bool:
    await asyncio.sleep(0)
    return "away" in process.log
