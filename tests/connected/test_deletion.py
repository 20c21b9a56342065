"""Deletion of sessions and erasure of users through all four services, as their users and operators see it."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg
import pytest

from shared.events import MessagePosted
from shared.ids import new_id
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.connected.everywhere import rows_of, where
from tests.connected.gateway.stage import own_database
from tests.dates import FLIGHT_DAY
from tests.processes import Process, environment_of, running
from tests.servers import Servers, looking
from tests.simulated import simulated
from tests.tokens import token_for
from tests.waiting import PATIENCE_S, until

SERVICES = ("gateway", "gateway_2", "logger", "tagger", "workflow")
SECRET = "marzipan"
PATIENT_S = 20.0  # for a stored row, since nothing of this is about how long it takes
TRIP = {"segments": [{"from": "KTEB", "to": "KVNY", "date": FLIGHT_DAY}], "pax": 4}
# A row in each table that no request of this test fills; for `ann`, or what her rows hang on.
FILLED_BY_HAND = (
    "INSERT INTO chat.feedback VALUES ($1, $2, 'm', 'up', 'marzipan', now(), gen_random_uuid())",
    "INSERT INTO chat.templates VALUES ($1, gen_random_uuid(), 'marzipan', '{}', now(), gen_random_uuid())",
    "INSERT INTO chat.conversation_reads VALUES (gen_random_uuid(), 'eve', $1, $2, '{\"q\": \"marzipan\"}', now())",
    "INSERT INTO gateway.usage VALUES ($1, current_date) ON CONFLICT DO NOTHING",
    "INSERT INTO gateway.users (user_id) VALUES ($1)",
    "INSERT INTO gateway.api_keys (key_id, key_hash, user_id, name, role)"
    " VALUES (gen_random_uuid(), 'x', $1, 'marzipan', 'user')",
    "INSERT INTO gateway.login_links VALUES ('x', $1, 'user', now())",
    "INSERT INTO gateway.browser_sessions (browser_session_id, token_hash, user_id, role, expires_at)"
    " VALUES (gen_random_uuid(), 'x', $1, 'user', now() + interval '1 hour')",
    "INSERT INTO gateway.linked_visitors (visitor_id, user_id) VALUES ('visitor_of ' || $1, $1)",
    "INSERT INTO gateway.shares (share_id, token_hash, user_id, session_id) VALUES (gen_random_uuid(), 'x', $1, $2)",
    "WITH hers AS (INSERT INTO gateway.shares (share_id, user_id, session_id) VALUES (gen_random_uuid(), 'eve', 's')"
    " RETURNING *) INSERT INTO gateway.shared_with SELECT share_id, $1, created_at FROM hers",
    "INSERT INTO gateway.withheld_responses VALUES ($1, gen_random_uuid(), $2, now())",
    "INSERT INTO workflow.cancellations (trip_id, reason, message, state, event_id, accepted_at)"
    " SELECT trip_id, 'OTHER', 'marzipan', 'done', gen_random_uuid(), now() FROM workflow.trip_sessions"
    " WHERE user_id = $1 AND session_id = $2",
    "INSERT INTO workflow.notes (trip_id, kind, says, told_at)"
    " SELECT trip_id, 'cancellation', '{\"reason\": \"marzipan\"}', now() FROM workflow.trip_sessions"
    " WHERE user_id = $1 AND session_id = $2",
    "INSERT INTO workflow.proposals (proposal_id, trip_id, user_id, session_id, quote_ids, note, prepared_at,"
    " accepted_at, changed_at, changed_by, event_id) SELECT gen_random_uuid(), trip_id, user_id, session_id, '{}',"
    " 'marzipan', now(), now(), now(), trip_id, trip_id FROM workflow.trip_sessions"
    " WHERE user_id = $1 AND session_id = $2",
    "INSERT INTO workflow.proposal_sends (event_id, proposal_id, trip_id, user_id, session_id, recipients, created_at,"
    " state)"
    " SELECT gen_random_uuid(), proposal_id, trip_id, user_id, session_id, '{marzipan@client.test}', now(), 'failed'"
    " FROM workflow.proposals WHERE user_id = $1 AND session_id = $2",
    "INSERT INTO chat.dead_letters (dead_letter_id, queue, dedupe_key, body, reason, error, user_id)"
    " VALUES (gen_random_uuid(), 'logger.chat', $2, 'marzipan', 'x', 'x', $1)",
)


@dataclass
class Site:
    settings: Settings
    processes: dict[str, Process]
    http: aiohttp.ClientSession
    owner: asyncpg.Connection

    async def call(
        self, method: str, path: str, body: Any = None, *, user: str = "ann", gateway: str = "gateway", **headers: str
    ) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.processes[gateway].settings.http_port}{path}"
        headers["Authorization"] = f"Bearer {token_for(self.settings, user)}"
        async with self.http.request(method, url, json=body, headers=headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None

    async def say(self, text: str, session: str, **call: Any) -> tuple[int, Any]:
        body = {"session_id": session, "message": text, "stream": False}
        return await self.call("POST", "/api/chat", body, **call)

    async def tag(self, session: str, user: str = "ann") -> str | None:
        _, tag = await self.call("GET", f"/api/chat/sessions/{session}/tag?wait=5", user=user)
        return str(tag["session_tag"]) if tag else None

    async def settled(self, *sessions: str) -> bool:
        unsettled = "SELECT count(*) FROM gateway.deletions WHERE session_id = ANY ($1) AND settled_at IS NULL"
        return bool(await self.owner.fetchval(unsettled, list(sessions)) == 0)

    async def erased(self, user: str = "ann") -> bool:
        _, state = await self.call("GET", "/api/me/data", user=user)
        return bool(state["status"] == "done")

    async def indexed(self, user: str, texts: int) -> bool:
        query = "SELECT count(*) FROM chat.search WHERE user_id = $1"
        return bool(await self.owner.fetchval(query, user) == texts)

    async def found(self, q: str, user: str = "ann") -> list[str]:
        status, body = await self.call("GET", f"/api/chat/sessions?q={q}", user=user)
        assert status == 200, body
        return [each["id"] for each in body["sessions"]]

    async def stored(self, session: str, count: int, user: str = "ann") -> bool:
        status, body = await self.call("GET", f"/api/chat/sessions/{session}/messages", user=user)
        return status == 200 and [message["stored"] for message in body["messages"]] == [True] * count


@pytest.fixture(scope="module")
async def running_site(
    servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    async with (
        own_database(servers, template) as settings,
        looking(settings.database_url) as owner,
        simulated(settings.model_copy(update={"stored_wait_s": PATIENT_S})) as outside,
        running(outside.settings, tmp_path_factory.mktemp("site"), "gateway", "logger", "tagger", "workflow") as first,
        running(
            settings.model_copy(update=others(outside.settings)), tmp_path_factory.mktemp("two"), "gateway_2"
        ) as more,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=40)) as http,
    ):
        yield Site(outside.settings, first | more, http, owner)


def others(settings: Settings) -> dict[str, Any]:
    """Return what a second gateway has of the first one's settings; its port is its own."""
    return {name: getattr(settings, name) for name in ("openai_base_url", "avinode_base_url", "stored_wait_s")}


@pytest.fixture
def site(running_site: Site) -> Site:
    return running_site


@pytest.fixture
def session() -> str:
    return f"s{new_id().hex}"


async def a_whole_session(site: Site, session: str, user: str = "ann") -> None:
    """Talk, and order a trip: something of it is in every service."""
    opened = {"id": session, "title": f"{SECRET} of {user}", "metadata": {"kept": SECRET}}
    status, body = await site.call("POST", "/api/chat/sessions", opened, user=user)
    assert status in (201, 202), body
    status, body = await site.say(f"[echo {SECRET} of {user}]", session, user=user)
    assert status == 200, body
    assert await site.tag(session, user) is not None
    status, body = await site.call("POST", f"/api/chat/sessions/{session}/trips", TRIP, user=user)
    assert status in (201, 202), body
    await until(lambda: site.stored(session, 2, user), "both messages")


@pytest.mark.parametrize("gateway", ["gateway", "gateway_2"])
async def test_a_deleted_session_is_gone_from_everywhere(site: Site, session: str, gateway: str) -> None:
    await a_whole_session(site, session)
    await a_whole_session(site, f"{session}-other")
    await a_whole_session(site, session, "bob")
    status, body = await site.call("DELETE", f"/api/chat/sessions/{session}", gateway=gateway)
    assert (status, body["id"], body["status"], body["stored"]) == (200, session, "deleted", True)
    for path in ("", "/messages", "/tag", "/trips"):
        for seen_at in ("gateway", "gateway_2"):
            method, sent = ("POST", TRIP) if path == "/trips" else ("GET", None)
            status, _ = await site.call(method, f"/api/chat/sessions/{session}{path}", sent, gateway=seen_at)
            assert status == 404, path
    assert (await site.say("again", session))[0] == 404
    note = {"role": "user", "content": "a note"}
    assert (await site.call("POST", f"/api/chat/sessions/{session}/messages", note))[0] == 404
    assert (await site.call("DELETE", f"/api/chat/sessions/{session}"))[0] == 404
    _, listed = await site.call("GET", "/api/chat/sessions?limit=200")
    assert session not in [each["id"] for each in listed["sessions"]]
    _, trips = await site.call("GET", "/api/trips?limit=200")
    assert session not in [each["conversation_id"] for each in trips["trips"]]
    await until(lambda: site.settled(session), "the end of it")
    left = await where(site.owner, session)
    assert (await site.call("GET", f"/api/chat/sessions/{session}", user="bob"))[0] == 200
    assert (
        await site.owner.fetchval(
            "SELECT count(*) FROM chat.messages WHERE user_id = 'ann' AND session_id = $1", session
        )
        == 0
    )
    assert await site.tag(f"{session}-other") is not None
    assert {"chat.sessions", "tagging.session_tags", "gateway.deletions"} <= left  # the tombstones, and bob's


async def test_no_word_is_left_of_a_deleted_session(site: Site, session: str) -> None:
    word = f"cocoa{new_id().hex}"
    await site.say(f"[echo {word}]", session)
    await site.call("POST", f"/api/chat/sessions/{session}/messages", {"role": "tool", "content": f"used {word}"})

    async def is_indexed() -> bool:
        return await site.found(word) == [session]

    await until(is_indexed, "the word in the index")
    assert {"gateway.turns", "chat.search"} <= await where(site.owner, word)
    assert (await site.call("DELETE", f"/api/chat/sessions/{session}", Prefer="respond-async"))[0] == 202
    await until(lambda: site.settled(session), "the end of it")
    assert await where(site.owner, word) == set()


async def test_somebody_else_s_session_cannot_be_deleted(site: Site, session: str) -> None:
    await site.say("[echo mine]", session)
    assert (await site.call("DELETE", f"/api/chat/sessions/{session}", user="eve"))[0] == 404
    status, body = await site.call("DELETE", f"/api/chat/sessions?id={session}&id=nobody-s", user="eve")
    assert (status, [each["code"] for each in body["results"]]) == (200, ["not_found"] * 2)
    assert (await site.call("GET", f"/api/chat/sessions/{session}"))[0] == 200


async def test_several_are_deleted_at_once_and_a_bad_id_spoils_nothing(site: Site, session: str) -> None:
    mine = [f"{session}-{number}" for number in range(3)]
    for each in mine:
        await site.say("[echo mine]", each)
    query = "&".join(f"id={each}" for each in (mine[0], "unknown", mine[1], mine[1]))
    status, body = await site.call("DELETE", f"/api/chat/sessions?{query}")
    assert status == 200
    assert [(each["id"], each["code"] or "deleted") for each in body["results"]] == [
        (mine[0], "deleted"), ("unknown", "not_found"), (mine[1], "deleted"),
    ]  # fmt: skip
    assert [(await site.call("GET", f"/api/chat/sessions/{each}"))[0] for each in mine] == [404, 404, 200]
    assert (await site.call("DELETE", "/api/chat/sessions"))[0] == 400
    too_many = "&".join(f"id=s{number}" for number in range(201))
    assert (await site.call("DELETE", f"/api/chat/sessions?{too_many}"))[0] == 422
    status, body = await site.call("DELETE", "/api/chat/sessions?id=no%20id")
    assert (status, body["results"][0]["code"]) == (200, "invalid")
    bulk = {"ids": [mine[2], "unknown"], "action": "delete"}
    status, body = await site.call("POST", "/api/chat/sessions/bulk", bulk)
    assert (status, [each["ok"] for each in body["results"]]) == (200, [True, False])
    assert (await site.call("GET", f"/api/chat/sessions/{mine[2]}"))[0] == 404


@pytest.mark.parametrize("gateway", ["gateway", "gateway_2"])
async def test_a_deletion_stops_what_is_answered(site: Site, session: str, gateway: str) -> None:
    answering = asyncio.create_task(site.say("[chunks 1000] [slow 100]", session))

    async def begun() -> bool:
        return (await site.call("GET", f"/api/chat/sessions/{session}"))[0] == 200

    await until(begun, "the turn")
    assert (await site.call("DELETE", f"/api/chat/sessions/{session}", gateway=gateway))[0] in (200, 202)
    await asyncio.wait_for(answering, PATIENCE_S)  # by itself it would take longer
    await until(lambda: site.settled(session), "the end of it")
    for table in ("gateway.turns", "chat.messages", "chat.traces"):
        assert await site.owner.fetchval(f"SELECT count(*) FROM {table} WHERE session_id = $1", session) == 0  # noqa: S608


@pytest.mark.parametrize("service", ["logger", "tagger", "workflow"])
async def test_a_service_that_is_away_hears_of_it_later(site: Site, session: str, service: str) -> None:
    await a_whole_session(site, session)
    await site.processes[service].stop()
    try:
        unwaited = {"Prefer": "respond-async"} if service == "logger" else {}
        status, body = await site.call("DELETE", f"/api/chat/sessions/{session}", **unwaited)
        assert (status, body["stored"]) == ((202, False) if service == "logger" else (200, True))
        assert (await site.call("GET", f"/api/chat/sessions/{session}"))[0] == 404
        assert (await site.say("again", session))[0] == 404
        _, listed = await site.call("GET", "/api/chat/sessions?limit=200")
        assert session not in [each["id"] for each in listed["sessions"]]
        assert not await site.settled(session)
    finally:
        await site.processes[service].start()
    await until(lambda: site.settled(session), "the end of it")


async def test_a_message_that_comes_late_or_again_does_not_bring_it_back(site: Site, session: str) -> None:
    await a_whole_session(site, session)
    _, body = await site.call("GET", f"/api/chat/sessions/{session}/messages")
    said = body["messages"][0]
    again = MessagePosted(
        user_id="ann", session_id=session, message_id=said["id"], content=SECRET, role="user",
        created_at=said["created_at"], model=said["model"],
    )  # fmt: skip
    assert (await site.call("DELETE", f"/api/chat/sessions/{session}"))[0] == 200
    await until(lambda: site.settled(session), "the end of it")
    async with Publisher(site.settings, "test") as publisher:
        await publisher.publish(again)
        await publisher.publish(again.model_copy(update={"event_id": new_id(), "message_id": "another"}))
    await site.say("[echo after]", f"{session}-next")
    await until(lambda: site.stored(f"{session}-next", 2), "what was said after it")
    assert (
        await site.owner.fetchval(
            "SELECT count(*) FROM chat.messages WHERE user_id = 'ann' AND session_id = $1", session
        )
        == 0
    )
    assert (await site.call("GET", f"/api/chat/sessions/{session}"))[0] == 404


async def test_of_an_erased_user_nothing_is_left_in_any_table(site: Site, session: str) -> None:
    user, other = f"ann{new_id().hex}", f"bob{new_id().hex}"
    for each in (user, other):
        await a_whole_session(site, session, each)
        await a_whole_session(site, f"{session}-gone", each)
        await site.call("DELETE", f"/api/chat/sessions/{session}-gone", user=each)
    for statement in FILLED_BY_HAND:
        places = 2 if "$2" in statement else 1
        await site.owner.execute(statement, *(user, session)[:places])
    await until(lambda: site.settled(f"{session}-gone"), "the deletion")
    for each in (user, other):
        await until(lambda each=each: site.indexed(each, 3), "the words of a title and two messages")  # type: ignore[misc]
        assert await site.found("marzi", each) == [session]
    before = await rows_of(site.owner, user)
    ledgers = {name for name in before if name.endswith((".erased_users", ".erasures"))}
    assert {name for name, count in before.items() if count == 0} == ledgers, "a table that this test does not fill"
    first = await site.tag(session, user)
    others = await rows_of(site.owner, other)

    status, body = await site.call("DELETE", "/api/me/data", user=user)
    assert (status, body["status"]) == (202, "pending")
    assert (await site.call("GET", f"/api/chat/sessions/{session}", user=user))[0] == 404
    _, listed = await site.call("GET", "/api/chat/sessions", user=user)
    _, trips = await site.call("GET", "/api/trips", user=user)
    assert listed["sessions"] == trips["trips"] == await site.found("marzi", user) == []
    new = f"{session}-new"
    assert (await site.say("[recall]", new, user=user))[1]["message"]["content"] == '["[recall]"]'
    await until(lambda: site.erased(user), "the erasure")
    _, body = await site.call("GET", "/api/me/data", user=user)
    assert body["services"] == dict.fromkeys(("gateway", "logger", "tagger", "workflow"), True)
    assert await site.tag(new, user) == first, "a new beginning counts from 001 again"
    await until(lambda: site.stored(new, 2, user), "what was said since")
    await until(lambda: site.indexed(user, 3), "its words")
    left = {name: count for name, count in (await rows_of(site.owner, user)).items() if count}
    assert left == {
        "chat.messages": 2,
        "chat.search": 3,
        "chat.session_marks": 1,
        "chat.sessions": 1,
        "chat.traces": 1,
        "gateway.turns": 1,
        "tagging.counters": 1,
        "tagging.session_tags": 1,
    }
    assert await rows_of(site.owner, other) == others
    assert not await site.owner.fetchval("SELECT count(*) FROM chat.dead_letters WHERE dedupe_key = $1", session)
    mentions = await where(site.owner, user)
    assert mentions == set(left), "somewhere a row still names the user"


async def test_who_talks_meanwhile_keeps_what_is_newer(site: Site) -> None:
    user = f"cleo{new_id().hex}"
    statuses: list[int] = []

    async def talk(number: int) -> None:
        for turn in range(6):
            statuses.append((await site.say("[echo hello]", f"{user}-{number}", user=user))[0])
            statuses.append((await site.say("[echo hello]", f"{user}-{number}-{turn}", user=user))[0])

    talking = [asyncio.create_task(talk(number)) for number in range(3)]
    await until(lambda: several(statuses), "a few turns")
    await site.call("DELETE", "/api/me/data", user=user)
    erased_at = await site.owner.fetchval("SELECT max(erased_at) FROM gateway.erasures")
    await asyncio.gather(*talking)
    await until(lambda: site.erased(user), "the erasure")
    assert set(statuses) <= {200, 404, 409}

    async def all_stored() -> bool:
        query = "SELECT count(*) FROM gateway.turns WHERE user_id = $1 AND stored_at IS NULL"
        return bool(await site.owner.fetchval(query, user) == 0)

    await until(all_stored, "all that was said since")
    rows = await site.owner.fetch(
        "SELECT session_id, message_id, role, parent_id, created_at FROM chat.messages WHERE user_id = $1", user
    )
    assert rows
    assert all(row["created_at"] > erased_at for row in rows)
    told = await site.owner.fetch(
        "SELECT session_id, question ->> 'message_id' AS id FROM gateway.turns WHERE user_id = $1", user
    )
    assert {(row["session_id"], row["id"]) for row in told} <= {(row["session_id"], row["message_id"]) for row in rows}
    counts = await site.owner.fetch(
        """
        SELECT s.session_id, s.message_count, count(m.message_id) AS messages FROM chat.sessions s
        JOIN chat.messages m USING (user_id, session_id) WHERE s.user_id = $1 GROUP BY 1, 2
        """,
        user,
    )
    assert all(row["message_count"] == row["messages"] for row in counts)
    numbers = await site.owner.fetch("SELECT number FROM tagging.session_tags WHERE user_id = $1 ORDER BY 1", user)
    assert [row["number"] for row in numbers] == list(range(1, len(numbers) + 1))


async def several(statuses: list[int]) -> bool:
    return len(statuses) >= 8


async def test_operators_erase_a_user_by_the_command_line(site: Site, session: str) -> None:
    user = f"dan{new_id().hex}"
    await site.say("[echo hello]", session, user=user)
    assert await command(site, "erase", "--user", user, "--status") == (0, f"{user}: none\n")
    status, said = await command(site, "erase", "--user", user, "--wait", "60s")
    assert (status, said.partition(" of ")[0]) == (0, f"{user}: done")
    assert (await site.call("GET", f"/api/chat/sessions/{session}", user=user))[0] == 404
    assert [count for count in (await rows_of(site.owner, user)).values() if count] == []
    assert (await command(site, "erase", "--user", user, "--wait", "soon"))[0] == 2


async def command(site: Site, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "deploy.cli",
        *arguments,
        env={**os.environ, **environment_of(site.settings)},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_a_big_session_is_swept_in_portions_while_others_are_stored(site: Site, session: str) -> None:
    await site.say("[echo hello]", session)
    await until(lambda: site.stored(session, 2), "both messages")
    await site.owner.execute(
        """
        INSERT INTO chat.messages (user_id, session_id, message_id, role, content, event_id, created_at)
        SELECT 'ann', $1, 'm' || i, 'user', 'x', gen_random_uuid(), now() FROM generate_series(1, 20000) i
        """,
        session,
    )
    assert (await site.call("DELETE", f"/api/chat/sessions/{session}"))[0] == 200
    assert (await site.say("[echo meanwhile]", f"{session}-next"))[0] == 200
    await until(lambda: site.stored(f"{session}-next", 2), "what others said meanwhile")
    await until(lambda: site.settled(session), "the end of it")
    assert not await site.owner.fetchval("SELECT EXISTS (SELECT FROM chat.messages WHERE session_id = $1)", session)
