"""Whatever is killed, and however often, nothing is lost, doubled or left hanging; who tries again is answered."""

import asyncio
import random
import time
from collections import Counter
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from deploy.commands.verify import verify
from deploy.migrate import migrate
from deploy.supervisor.machine.ports import free_port
from deploy.supervisor.private.servers import Postgres, RabbitMQ
from tests.connected.faults.completing import complete_on
from tests.connected.faults.killers import Killers
from tests.connected.faults.talkers import SILENT_S, Said, Talk
from tests.processes import running
from tests.servers import looking
from tests.settings import settings_for
from tests.simulated import simulated
from tests.waiting import until

pytestmark = pytest.mark.fault

USERS = 16
CLIENTS = 4  # of them, of OpenAI's
KILL_EVERY_S = 4.0
# A lease of a turn (30 s), two looks at it, and what lies in queues that were away.
SETTLED_WITHIN_S = 150.0


async def test_of_a_stack_whose_processes_are_killed_all_the_time_nothing_is_lost(
    own_database: Postgres, breakable: RabbitMQ, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    def report(of: str, what: object) -> None:
        """Say what happened: pytest shows it of a failure, and with -rP."""
        request.node.add_report_section("call", of, str(what))

    kill_run_s = request.config.getoption("--kill-run-s")
    settings = settings_for(own_database.url, breakable.url)
    await asyncio.to_thread(migrate, settings)
    async with simulated(settings) as outside:
        other = outside.settings.model_copy(update={"http_port": free_port()})
        gateways = [f"http://127.0.0.1:{each.http_port}" for each in (outside.settings, other)]
        async with (
            running(outside.settings, tmp_path, "gateway", "logger", "logger_2", "tagger", "workflow") as first,
            running(other, tmp_path, "gateway_2") as second,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_read=SILENT_S)) as http,
        ):
            talk = Talk(gateways, outside.settings, http)
            killers = Killers({**first, **second}, {"postgres": own_database, "rabbitmq": breakable})
            seed = random.randrange(2**32)
            report("seed", seed)
            supervising = asyncio.create_task(killers.supervise())
            async with asyncio.TaskGroup() as users:
                for number in range(USERS):
                    users.create_task(complete_on(talk, number) if number < CLIENTS else talk.user(number))
                await killers.kill_every(KILL_EVERY_S, kill_run_s, random.Random(seed))
                talk.is_over = True
            await killers.everything_ready()
            supervising.cancel()
            report("kills", killers.kills)
            report("starts", killers.starts)
            report("users", talk.counts)
            async with looking(own_database.url) as owner:
                ended = time.monotonic()
                await until(lambda: is_settled(owner), "every turn to be stored", SETTLED_WITHIN_S)
                report("settled", f"after {time.monotonic() - ended:.0f} s")
                assert talk.odd == []
                await is_stored_once(owner, talk)
                await is_tagged_without_gaps(owner, talk.said)
                assert await owner.fetchval("SELECT count(*) FROM chat.dead_letters") == 0
            assert [found async for found, _ in verify(settings, settled_s=0)] == []
            await _is_remembered(talk)


async def is_settled(owner: asyncpg.Connection) -> bool:
    query = """
        SELECT count(*) = 0 FROM gateway.turns
        WHERE state = 'running' OR NOT question_published OR (answer IS NOT NULL AND NOT answer_published)
            OR stored_at IS NULL
    """
    return bool(await owner.fetchval(query))


async def is_stored_once(owner: asyncpg.Connection, talk: Talk) -> None:
    """See that each message is there once, and each answer as it was seen."""
    rows = await owner.fetch(
        "SELECT user_id, session_id, message_id, role, content, parent_id, status FROM chat.messages"
    )
    stored = {(row["user_id"], row["session_id"], row["message_id"]): row for row in rows}
    questions = [row["content"] for row in rows if row["role"] == "user"]
    assert sorted(questions) == sorted(said.text for said in talk.said), "every message once, and no other"
    whole = [row for row in rows if row["role"] == "assistant" and row["status"] == "complete"]
    ids = {row["parent_id"]: row["message_id"] for row in whole}
    assert len(ids) == len(whole), "no question has two whole answers"
    for said in talk.said:
        assert (said.user, said.session, said.message_id) in stored
        if said.answer is None:
            continue
        answer = stored[said.user, said.session, said.answer.answer_id or ids[said.message_id]]
        assert answer["parent_id"] == said.message_id
        if said.answer.end == "finish":
            assert (answer["status"], answer["content"]) == ("complete", said.answer.text)
        else:  # of what was stopped a gateway that is killed takes the last moments with it
            assert answer["status"] == "stopped"
            assert said.answer.text.startswith(answer["content"])


async def is_tagged_without_gaps(owner: asyncpg.Connection, said: list[Said]) -> None:
    sessions = Counter(user for user, _ in {(each.user, each.session) for each in said})

    async def tagged() -> bool:
        query = (
            "SELECT user_id, array_agg(number ORDER BY number) AS numbers FROM tagging.session_tags GROUP BY user_id"
        )
        numbers = {row["user_id"]: row["numbers"] for row in await owner.fetch(query)}
        return numbers == {user: list(range(1, count + 1)) for user, count in sessions.items()}

    await until(tagged, "every session to have the next number of its user")


async def _is_remembered(talk: Talk) -> None:
    """See that no session is busy, and that the model is told all that was said in it."""
    sessions: dict[tuple[str, str], list[str]] = {}
    for said in talk.said:
        sessions.setdefault((said.user, said.session), []).append(said.text)
    for (user, session), texts in sessions.items():
        assert await talk.recall(user, session) == texts
