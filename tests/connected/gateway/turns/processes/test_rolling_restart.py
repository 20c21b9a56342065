"""A new version is rolled out under users who talk: each process is stopped in order and started, one after another."""

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.supervisor.machine.ports import free_port
from shared.ids import new_id
from shared.settings import Settings
from tests.connected.proxies import before
from tests.installed.node import NODE
from tests.processes import Process, running
from tests.simulated import simulated
from tests.tokens import token_for
from tests.waiting import until

pytestmark = pytest.mark.fault

SESSIONS, USERS = 50, 10
SERVER = "    server gateway "


@dataclass
class Talkers:
    """Browsers in a process of their own."""

    process: asyncio.subprocess.Process

    async def end(self) -> list[dict[str, Any]]:
        """Let everybody finish what they say; return what each of them sees."""
        printed, said = await asyncio.wait_for(self.process.communicate(b""), 60)
        assert self.process.returncode == 0, said.decode()
        seen: list[dict[str, Any]] = json.loads(printed)
        return seen


@asynccontextmanager
async def talking(client: Path, settings: Settings, port: int) -> AsyncIterator[Talkers]:
    users = [
        {"id": f"s{new_id().hex}", "token": token_for(settings, f"user {number % USERS}")} for number in range(SESSIONS)
    ]
    environment = {"GATEWAY": f"http://127.0.0.1:{port}", "USERS": json.dumps(users)}
    process = await asyncio.create_subprocess_exec(
        *NODE, "talkers.js", cwd=client, env=environment, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    try:
        yield Talkers(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def two_gateways(settings: Settings, directory: Path) -> AsyncIterator[tuple[int, Sequence[Process]]]:
    """Run everything that a chat needs; return where it is reached, and its processes."""
    async with simulated(settings) as outside:
        other = outside.settings.model_copy(update={"http_port": free_port()})
        second = f"    server other 127.0.0.1:{other.http_port}\n"
        async with (
            running(outside.settings, directory, "gateway", "logger", "logger_2", "tagger") as first,
            running(other, directory, "gateway_2") as more,
            before(outside.settings.http_port, "haproxy", directory, {SERVER: second + SERVER}) as port,
        ):
            yield port, [*first.values(), *more.values()]


async def test_a_rolling_restart_loses_and_doubles_nothing(
    settings: Settings, owner: asyncpg.Connection, use_chat: Path, tmp_path: Path
) -> None:
    async with two_gateways(settings, tmp_path) as (port, processes), talking(use_chat, settings, port) as talkers:

        async def all_talk() -> bool:
            query = "SELECT count(DISTINCT session_id) = $1 FROM gateway.turns WHERE answered_at IS NOT NULL"
            return bool(await owner.fetchval(query, SESSIONS))

        await until(all_talk, "everybody to have an answer", patience_s=60)
        for process in processes:
            assert await process.stop() == 0, process.log
            await process.start()
        seen = await talkers.end()
        assert len(seen) == SESSIONS
        await until(lambda: _all_is_stored(owner), "everything to be stored", patience_s=60)
        await until(lambda: _all_is_tagged(owner), "every session to have its tag")
        for session in seen:
            assert session["unhealed"] == [], "one retry heals whatever a user sees"
            await _compare(owner, session)


async def _all_is_stored(owner: asyncpg.Connection) -> bool:
    query = """
        SELECT bool_and(t.state <> 'running' AND EXISTS (
            SELECT FROM chat.messages a WHERE (a.user_id, a.session_id) = (t.user_id, t.session_id)
                AND a.role = 'assistant' AND a.parent_id = t.question ->> 'message_id'))
        FROM gateway.turns t
    """
    return bool(await owner.fetchval(query))


async def _all_is_tagged(owner: asyncpg.Connection) -> bool:
    query = "SELECT user_id, array_agg(number ORDER BY number) AS numbers FROM tagging.session_tags GROUP BY user_id"
    numbers = [row["numbers"] for row in await owner.fetch(query)]
    return numbers == [list(range(1, SESSIONS // USERS + 1))] * USERS


async def _compare(owner: asyncpg.Connection, session: dict[str, Any]) -> None:
    """See that what a user sees is what is stored, once, and that nothing else is but what they had given again."""
    rows = await owner.fetch(
        "SELECT role, message_id, content, parent_id, status FROM chat.messages WHERE session_id = $1", session["id"]
    )
    stored = {row["message_id"]: row for row in rows}
    parent = None
    for role, message_id, text in session["messages"]:
        row = stored[message_id]
        assert (row["role"], row["content"], row["parent_id"]) == (role, text, parent)
        assert row["status"] == "complete"
        parent = message_id
    assert len(session["messages"]) == 2 * session["sent"]
    others = [row["role"] for row in rows if row["message_id"] not in {each[1] for each in session["messages"]}]
    assert set(others) <= {"assistant"}
    assert len(others) <= len(session["healed"])
