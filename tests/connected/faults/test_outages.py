"""ARCHITECTURE.md's table of what happens where something is away, on real servers that are really killed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg
import pytest

from deploy.migrate import migrate
from deploy.supervisor.private.servers import Postgres, RabbitMQ
from shared.ids import new_id
from shared.settings import Settings
from shared.topology import LOGGER_CHAT
from tests.dates import FLIGHT_DAY
from tests.processes import Process, running
from tests.servers import looking
from tests.settings import settings_for
from tests.simulated import simulated
from tests.tokens import token_for
from tests.waiting import until

pytestmark = pytest.mark.fault

TOLD_WITHIN_S = 9.0  # once the gateway knows the broker again: what nobody tells of is told of after 10
TALKERS = 10
A_THOUGHT_S = 0.5
A_MINUTE_OLDER = """
    UPDATE gateway.turns SET asked_at = asked_at - interval '1 minute', answered_at = answered_at - interval '1 minute'
    WHERE session_id = $1
"""  # than what is taken for lost
SERVICES = ("gateway", "logger", "tagger", "workflow")


@dataclass
class Site:
    """A whole stack, whose every part a test may kill and start again."""

    settings: Settings
    postgres: Postgres
    broker: RabbitMQ
    processes: dict[str, Process]
    http: aiohttp.ClientSession
    avinode_url: str

    def headers(self, user: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token_for(self.settings, user)}"}

    async def call(self, method: str, path: str, body: Any = None, *, user: str = "ann") -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.settings.http_port}{path}"
        async with self.http.request(method, url, json=body, headers=self.headers(user)) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None

    async def say(self, text: str, session: str, user: str = "ann") -> tuple[int, Any]:
        body = {"session_id": session, "message": text, "stream": False}
        return await self.call("POST", "/api/chat", body, user=user)

    async def messages(self, session: str) -> list[dict[str, Any]]:
        status, body = await self.call("GET", f"/api/chat/sessions/{session}/messages?limit=100")
        assert status == 200, body
        messages: list[dict[str, Any]] = body["messages"]
        return messages

    async def begun(self, session: str) -> bool:
        return (await self.call("GET", f"/api/chat/sessions/{session}"))[0] == 200

    async def follow(self, session: str) -> tuple[int, str]:
        """Read the session's running turn to its end."""
        url = f"http://127.0.0.1:{self.settings.http_port}/api/chat/{session}/stream"
        async with self.http.get(url, headers=self.headers("ann")) as response:
            return response.status, await response.text()

    async def all_stored(self, session: str, count: int) -> bool:
        messages = await self.messages(session)
        return len(messages) == count and all(message["stored"] for message in messages)


@pytest.fixture(scope="module")
async def site(
    own_database: Postgres, breakable: RabbitMQ, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    settings = settings_for(own_database.url, breakable.url, publish_deadline_s=3.0, lost_after_s=5.0)
    await asyncio.to_thread(migrate, settings)
    async with (
        simulated(settings) as outside,
        running(outside.settings, tmp_path_factory.mktemp("site"), *SERVICES) as processes,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=40)) as http,
    ):
        yield Site(outside.settings, own_database, breakable, processes, http, outside.avinode_url)


@pytest.fixture
def session() -> str:
    return f"s{new_id().hex}"


async def restart(site: Site, server: Postgres | RabbitMQ) -> None:
    await asyncio.to_thread(server.start)
    await asyncio.gather(*(process.ready() for process in site.processes.values()))


async def a_turn_is_stopped_and_a_message_stored(site: Site, session: str) -> None:
    """Use what there is of a chat beside asking: three messages come of it."""
    answering = asyncio.create_task(site.say("[chunks 1000] [slow 50]", session))
    await until(lambda: site.begun(session), "the turn to begin")
    following = asyncio.create_task(site.follow(session))
    while (stopped := await site.call("POST", f"/api/chat/{session}/stop"))[0] == 204:
        await asyncio.sleep(0.05)
    assert (stopped[0], stopped[1]["status"]) == (200, "stopped")
    status, body = await answering
    assert (status, body["message"]["status"]) == (200, "stopped")
    status, seen = await following
    assert status == 204 or '"type":"abort"' in seen
    note = {"role": "user", "content": "a note"}
    status, body = await site.call("POST", f"/api/chat/sessions/{session}/messages", note)
    assert (status, body["message"]["stored"]) == (202, False)


async def test_everything_up_a_chat_is_stored(site: Site, session: str) -> None:
    status, body = await site.say("[echo hello]", session)
    assert (status, body["message"]["content"]) == (200, "hello")
    await until(lambda: site.all_stored(session, 2), "both messages")
    async with site.http.get(
        f"http://127.0.0.1:{site.processes['gateway'].settings.internal_port}/metrics"
    ) as response:
        assert 'method="POST",route="/api/chat",status="200"' in await response.text()


async def test_logger_away_chat_goes_on_with_its_memory(site: Site, session: str) -> None:
    await site.processes["logger"].stop()
    try:
        await site.say("[echo one]", session)
        _, body = await site.say("[recall]", session)
        assert json.loads(body["message"]["content"]) == ["[echo one]", "[recall]"]
        assert [message["stored"] for message in await site.messages(session)] == [False] * 4
        _, sessions = await site.call("GET", "/api/chat/sessions")
        assert sessions["sessions"][0]["id"] == session
        status, tag = await site.call("GET", f"/api/chat/sessions/{session}/tag?wait=10")
        assert (status, tag["model_name"]) == (200, "sandbox-small"), "the tagger needs no logger"
        _, found = await site.call("GET", f"/api/analytics/traces?session_tag={tag['session_tag']}")
        assert [trace["status"] for trace in found["traces"]] == ["ok", "ok"]
        await a_turn_is_stopped_and_a_message_stored(site, f"{session}2")
    finally:
        await site.processes["logger"].start()
    await until(lambda: site.all_stored(session, 4), "what was said meanwhile")
    await until(lambda: site.all_stored(f"{session}2", 3), "what was stopped and stored meanwhile")


async def test_tagger_away_the_tag_comes_later(site: Site, session: str) -> None:
    admin = {"Authorization": f"Bearer {token_for(site.settings, 'root', role='admin')}"}
    model = {"name": "sandbox-large", "provider": "openai", "tracked": True}
    url = f"http://127.0.0.1:{site.settings.http_port}/api/models"
    async with site.http.post(url, json=model, headers=admin) as response:
        assert response.status in (200, 201, 202)
    await site.processes["tagger"].stop()
    try:
        body = {"session_id": session, "message": "hi", "model": "sandbox-large", "stream": False}
        status, answer = await site.call("POST", "/api/chat", body)
        assert (status, answer["session_tag"]) == (200, None)
        assert (await site.call("GET", f"/api/chat/sessions/{session}/tag"))[0] == 204
    finally:
        await site.processes["tagger"].start()

    async def tag() -> Any:
        return (await site.call("GET", f"/api/chat/sessions/{session}/tag?wait=2"))[1]

    assert (await until(tag, "the tag"))["counter"] == 1


async def test_workflow_away_a_trip_is_accepted_and_made_later(site: Site, session: str) -> None:
    await site.processes["workflow"].stop()
    try:
        await site.say("[echo hello]", session)
        trip = {"segments": [{"from": "KTEB", "to": "KPBI", "date": FLIGHT_DAY}], "pax": 6}
        status, body = await site.call("POST", f"/api/chat/sessions/{session}/trips", trip)
        assert (status, body["stored"]) == (202, False)
        assert await post_webhook(site) == 200
    finally:
        await site.processes["workflow"].start()

    async def made() -> Any:
        status, found = await site.call("GET", f"/api/trips/{body['trip']['id']}")
        return status == 200 and found["avinode_trip_id"]

    await until(made, "the trip at Avinode")


async def post_webhook(site: Site) -> int:
    notice = {
        "id": "arfq-1",
        "href": f"{site.settings.avinode_base_url}/rfqs/arfq-1",
        "type": "rfqs",
        "tripId": "ZZZZZZ",
    }
    password = site.settings.avinode_webhook_password.get_secret_value()
    headers = {"Authorization": aiohttp.encode_basic_auth(site.settings.avinode_webhook_user, password)}
    url = f"http://127.0.0.1:{site.settings.http_port}/api/webhooks/avinode"
    async with site.http.post(url, json=notice, headers=headers) as response:
        return response.status


async def test_model_away_the_turn_says_so_and_is_kept(site: Site, session: str) -> None:
    status, problem = await site.say("[error 500]", session)
    assert (status, problem["code"]) == (503, "model_away")
    await until(lambda: site.all_stored(session, 2), "question and failed answer")
    assert (await site.messages(session))[1]["status"] == "failed"
    status, body = await site.say("[echo again]", session)
    assert (status, body["message"]["content"]) == (200, "again")


@pytest.mark.alone
async def test_avinode_hanging_a_webhook_is_answered_at_once(site: Site) -> None:
    async with site.http.put(f"{site.avinode_url}/sim/faults", json={"rest_hang_ms": 5000}) as response:
        assert response.status == 200
    try:
        async with asyncio.timeout(2):
            assert await post_webhook(site) == 200
    finally:
        async with site.http.put(f"{site.avinode_url}/sim/faults", json={}) as response:
            assert response.status == 200


async def edits(site: Site, session: str) -> set[tuple[int, str]]:
    """Do what people do to sessions beside speaking; return each status with its problem's code."""
    path = "/api/chat/sessions"
    answers = [
        await site.call("POST", path, {"title": "mine"}),
        await site.call("PATCH", f"{path}/{session}", {"pinned": True}),
        await site.call("POST", f"{path}/{session}/end"),
        await site.call("POST", f"{path}/bulk", {"ids": [session], "action": "pin"}),
    ]
    return {(status, body.get("code", "")) for status, body in answers}


async def test_broker_away_chat_goes_on_with_its_memory_and_is_told_later(site: Site, session: str) -> None:
    answering = asyncio.create_task(site.say("[chunks 20] [slow 150]", session))
    await until(lambda: site.begun(session), "the turn to begin")
    await asyncio.to_thread(site.broker.kill)
    assert (await site.say("[echo one]", f"{session}2"))[0] == 200
    status, body = await site.say("[recall]", f"{session}2")
    assert (status, json.loads(body["message"]["content"])) == (200, ["[echo one]", "[recall]"])
    assert [message["stored"] for message in await site.messages(f"{session}2")] == [False] * 4
    await a_turn_is_stopped_and_a_message_stored(site, f"{session}3")
    assert await post_webhook(site) == 503
    assert await edits(site, session) == {(503, "broker_away")}
    assert await site.call("GET", "/readyz") == (200, {"status": "ready", "away": [], "degraded": ["broker"]})
    status, body = await answering
    assert (status, body["message"]["status"]) == (200, "complete")
    assert len(await site.messages(session)) == 2
    await restart(site, site.broker)
    await until(lambda: is_back(site), "the gateway to know")
    began = time.monotonic()
    await until(lambda: site.all_stored(session, 2), "the answer that was finished without a broker")
    await until(lambda: site.all_stored(f"{session}2", 4), "what was said without a broker")
    await until(lambda: site.all_stored(f"{session}3", 3), "what was stopped and stored without a broker")
    assert time.monotonic() - began < TOLD_WITHIN_S


async def test_broker_away_for_long_what_is_said_meanwhile_is_told_in_order(
    site: Site, request: pytest.FixtureRequest
) -> None:
    sessions = [f"s{new_id().hex}" for _ in range(TALKERS)]
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(site.broker.kill)
    over = loop.time() + request.config.getoption("--outage-s")

    async def talk(session: str) -> list[str]:
        said: list[str] = []
        while loop.time() < over:
            said.append(f"[echo {len(said)}]")
            status, body = await site.say(said[-1], session, user=session)
            assert (status, body["message"]["content"]) == (200, str(len(said) - 1))
            await asyncio.sleep(A_THOUGHT_S)
        return said

    said = dict(zip(sessions, await asyncio.gather(*map(talk, sessions)), strict=True))
    await restart(site, site.broker)
    await until(lambda: is_back(site), "the gateway to know")
    began = time.monotonic()
    async with looking(site.settings.database_url) as owner:

        async def rows(query: str) -> list[asyncpg.Record]:
            return list(await owner.fetch(query, sessions))

        await until(lambda: rows("SELECT FROM chat.messages WHERE session_id = ANY ($1)"), "the first to be told")
        assert time.monotonic() - began < TOLD_WITHIN_S

        async def all_stored() -> bool:
            return not await rows("SELECT FROM gateway.turns WHERE session_id = ANY ($1) AND stored_at IS NULL")

        await until(all_stored, "everything that was said")
        query = "SELECT session_id, role, content FROM chat.messages WHERE session_id = ANY ($1) ORDER BY created_at"
        stored = await rows(query)
    for session, texts in said.items():
        assert [row["content"] for row in stored if (row["session_id"], row["role"]) == (session, "user")] == texts
        answers = [row["content"] for row in stored if (row["session_id"], row["role"]) == (session, "assistant")]
        assert answers == [str(number) for number in range(len(texts))]


async def test_a_queue_that_was_deleted_loses_nothing_for_good(site: Site, session: str) -> None:
    await site.processes["logger"].stop()
    try:
        assert (await site.say("[echo lost]", session))[0] == 200
        async with looking(site.settings.database_url) as owner:

            async def told() -> bool:
                query = "SELECT question_published AND answer_published FROM gateway.turns WHERE session_id = $1"
                return bool(await owner.fetchval(query, session))

            await until(told, "question and answer to be with the broker")
        await asyncio.to_thread(site.broker.ctl, "delete_queue", LOGGER_CHAT.name)
    finally:
        await site.processes["logger"].start()
    assert (await site.say("[echo kept]", session))[0] == 200

    async def kept() -> bool:
        return [message["stored"] for message in await site.messages(session)].count(True) == 2

    await until(kept, "what was said since")
    assert [message["stored"] for message in await site.messages(session)] == [False, False, True, True]
    async with looking(site.settings.database_url) as owner:
        await owner.execute(A_MINUTE_OLDER, session)
        await until(lambda: site.all_stored(session, 4), "what was lost to be told once more")
        texts = await owner.fetch(
            "SELECT content FROM chat.messages WHERE session_id = $1 ORDER BY created_at", session
        )
    assert [row["content"] for row in texts] == ["[echo lost]", "lost", "[echo kept]", "kept"]


async def test_a_queue_that_is_deleted_under_its_reader_is_read_again(site: Site, session: str) -> None:
    await asyncio.to_thread(site.broker.ctl, "delete_queue", LOGGER_CHAT.name)
    assert (await site.say("[echo hello]", session))[0] == 200
    await asyncio.gather(*(process.ready() for process in site.processes.values()))
    async with looking(site.settings.database_url) as owner:
        await owner.execute(A_MINUTE_OLDER, session)
    await until(lambda: site.all_stored(session, 2), "what was said without a queue")


async def test_database_away_nothing_is_accepted_and_nothing_is_lost(site: Site, session: str) -> None:
    await site.say("[echo before]", session)
    await asyncio.to_thread(site.postgres.kill)
    for status, problem in (
        await site.say("[echo refused]", session),
        await site.call("GET", f"/api/chat/sessions/{session}/messages"),
        await site.call("POST", f"/api/chat/sessions/{session}/messages", {"role": "user", "content": "refused"}),
        await site.call("GET", f"/api/chat/{session}/stream"),
        await site.call("POST", f"/api/chat/{session}/stop"),
    ):
        assert (status, problem["code"]) == (503, "database_away")
    assert await edits(site, session) == {(503, "database_away")}
    assert await post_webhook(site) == 200
    for process in site.processes.values():
        assert "database" in await process.faults(), process.service
    assert await site.call("GET", "/readyz") == (
        503,
        {"status": "not ready", "away": ["database"], "degraded": []},
    )
    await restart(site, site.postgres)
    await until(lambda: site.all_stored(session, 2), "what was said before")
    status, _ = await site.say("[echo after]", session)
    assert status == 200
    await until(lambda: site.all_stored(session, 4), "what was said after")


async def test_database_killed_in_the_middle_of_an_answer_keeps_the_answer(site: Site, session: str) -> None:
    answering = asyncio.create_task(site.say("[chunks 20] [slow 150]", session))

    async def cannot_keep() -> bool:
        return "turn not written yet" in site.processes["gateway"].log

    await until(lambda: site.begun(session), "the turn to begin")
    await asyncio.to_thread(site.postgres.kill)
    await until(cannot_keep, "the gateway to try to keep the answer")
    await restart(site, site.postgres)
    status, body = await answering
    assert (status, body["message"]["status"]) == (200, "complete")
    await until(lambda: site.all_stored(session, 2), "question and answer")


async def test_gateway_killed_in_the_middle_of_an_answer_keeps_the_question(site: Site, session: str) -> None:
    answering = asyncio.create_task(site.say("[chunks 100] [slow 100]", session))
    owner = await asyncpg.connect(site.settings.database_url)

    async def checkpointed() -> Any:
        return await owner.fetchval(
            "SELECT partial_parts IS NOT NULL FROM gateway.turns WHERE session_id = $1", session
        )

    await until(checkpointed, "a checkpoint")
    site.processes["gateway"].kill()
    with pytest.raises(aiohttp.ClientError):
        await answering
    await site.processes["gateway"].start()
    await owner.execute("UPDATE gateway.turns SET lease_until = clock_timestamp() WHERE session_id = $1", session)
    await owner.close()
    status, body = await site.say("[recall]", session)
    assert status == 200, body
    assert json.loads(body["message"]["content"])[0] == "[chunks 100] [slow 100]"
    statuses = [message["status"] for message in await site.messages(session)]
    assert statuses == ["complete", "interrupted", "complete", "complete"]


async def test_broker_away_a_deletion_is_accepted_hidden_and_told_later(site: Site, session: str) -> None:
    await site.say("[echo gone]", session)
    await site.say("[echo kept]", f"{session}2")
    await until(lambda: site.all_stored(session, 2), "both messages")
    await asyncio.to_thread(site.broker.kill)
    try:
        await until(lambda: is_away(site), "the gateway to know")
        status, body = await site.call("DELETE", f"/api/chat/sessions/{session}")
        assert (status, body["stored"]) == (202, False)
        assert (await site.call("GET", f"/api/chat/sessions/{session}"))[0] == 404
        assert (await site.say("again", session))[0] == 404
        status, state = await site.call("DELETE", "/api/me/data", user="zoe")
        assert (status, state["status"]) == (202, "pending")
    finally:
        await restart(site, site.broker)
    await until(lambda: settled(site, session), "the end of it")
    assert (await site.call("GET", f"/api/chat/sessions/{session}2"))[0] == 200

    async def erased() -> bool:
        _, state = await site.call("GET", "/api/me/data", user="zoe")
        return bool(state["status"] == "done")

    await until(erased, "the erasure")


async def settled(site: Site, session: str) -> bool:
    async with looking(site.settings.database_url) as owner:
        query = "SELECT settled_at IS NOT NULL FROM gateway.deletions WHERE session_id = $1"
        return bool(await owner.fetchval(query, session))


async def is_away(site: Site) -> bool:
    return "broker" in (await site.call("GET", "/readyz"))[1]["degraded"]


async def is_back(site: Site) -> bool:
    return not await is_away(site)
