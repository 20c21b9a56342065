"""`tripthread verify` finds what is planted, of each kind, and mends what it says and nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isnan
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY
from typer.testing import CliRunner

from deploy.cli import app
from deploy.commands.verify import OF_SESSIONS, verify
from services.gateway.admin.verifying.drift import DriftCensus
from services.gateway.admin.verifying.verification import CHECKS, Finding
from services.logger.handlers import ChatHandler
from services.logger.store import Store as LoggerStore
from services.tagger.handlers import SessionHandler
from services.tagger.store import Store as TaggerStore
from shared.database import open_pool
from shared.events import Event, SessionChanged, SessionForked, SessionOpened
from shared.ids import model_id, new_id
from shared.settings import Settings
from tests.processes import environment_of
from tests.pure.logger.samples import NOON, answered
from tests.tagging import MODEL, batch, deleted, erased, read_counters, registered, spoke

pytestmark = pytest.mark.no_broker

BEGAN = datetime(2030, 1, 1, tzinfo=UTC)
SMALL = model_id("acme", MODEL)
EVERYTHING = (
    "SELECT to_jsonb(r) - '{updated_at}'::text[] AS row FROM chat.sessions r",
    "SELECT to_jsonb(r) AS row FROM chat.messages r",
    "SELECT to_jsonb(r) AS row FROM tagging.session_tags r",
    "SELECT to_jsonb(r) AS row FROM tagging.counters r",
    "SELECT to_jsonb(r) AS row FROM gateway.turns r",
    "SELECT to_jsonb(r) AS row FROM workflow.trips r",
)


@dataclass
class Stack:
    """What the services have stored, and who may change it beside them."""

    settings: Settings
    owner: asyncpg.Connection
    chat: ChatHandler
    tags: SessionHandler

    async def hear(self, *events: Event) -> None:
        """Let each service commit what it hears of these."""
        await self.tags.commit([each for each in events if type(each).__name__ in TAGGERS])
        await self.chat.commit([each for each in events if type(each).__name__ in LOGGERS])

    async def found(self, *, fix: bool = False, settled_s: float = 0.0) -> list[tuple[Finding, bool]]:
        return [each async for each in verify(self.settings, fix=fix, settled_s=settled_s)]

    async def rows(self) -> list[list[Any]]:
        return [sorted(row["row"] for row in await self.owner.fetch(query)) for query in EVERYTHING]


TAGGERS = {"MessagePosted", "ModelRegistered", "TagBatchRequested", "SessionDeleted", "UserErased"}
LOGGERS = {*TAGGERS, "MessageAnswered", "SessionOpened", "SessionChanged", "SessionForked"} - {
    "ModelRegistered",
    "TagBatchRequested",
}


@pytest.fixture
async def stack(settings: Settings, owner: asyncpg.Connection) -> AsyncIterator[Stack]:
    """A user with three sessions of four messages each, tagged 1 to 3, and others of every odd sort."""
    async with (
        open_pool(settings.logger_database_url, "test", 2) as logger,
        open_pool(settings.tagger_database_url, "test", 2) as tagger,
    ):
        stack = Stack(settings, owner, ChatHandler(LoggerStore(logger)), SessionHandler(TaggerStore(tagger)))
        await stack.hear(registered(at=-60))
        for number in range(3):
            await stack.hear(*talk(f"s{number}", 10 * number))
        at = BEGAN + timedelta(hours=1)
        await stack.hear(
            SessionOpened(user_id="ada", session_id="opened", accepted_at=at),
            SessionChanged(user_id="ada", session_id="set", accepted_at=at, began_at=at, changed=("title",), title="t"),
            SessionForked(user_id="ada", session_id="fork", accepted_at=at, source_id="s1", message_id="s1-a0"),
            batch(at=40),
            *talk("gone", 50),
            deleted("gone", at=60),
            *talk("of-bob", 0, user="bob"),
            erased("bob", at=90),
        )
        yield stack


def talk(session: str, at: int, *, user: str = "ada") -> list[Event]:
    """Two questions with their answers."""
    events: list[Event] = []
    for number in range(2):
        about: dict[str, Any] = {"user_id": user, "session_id": session, "model": MODEL, "provider": "acme"}
        asked = spoke(session, user=user, at=at + 4 * number, message_id=f"{session}-q{number}", content=f"q {number}")
        said: dict[str, Any] = {"content": f"a {number}" * 100, "created_at": asked.created_at + timedelta(seconds=1)}
        events += [asked, answered(f"{session}-a{number}", **about, **said)]
    return events


async def turn(owner: asyncpg.Connection, session: str, **changes: Any) -> str:
    """Write the row of a turn that has ended."""
    turn_id = new_id()
    columns = {
        "turn_id": turn_id, "user_id": "ada", "session_id": session, "body_hash": b"", "owner": "", "state": "complete",
        "lease_until": BEGAN, "correlation_id": turn_id, "model": MODEL, "provider": "acme", "question": "{}",
        "asked_at": NOON, "answer": "{}", "answered_at": NOON, **changes,
    }  # fmt: skip
    places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    names = ", ".join(columns)
    query = f"INSERT INTO gateway.turns ({names}) VALUES ({places})"  # noqa: S608 - names of this test
    await owner.execute(query, *columns.values())
    return str(turn_id)


async def test_nothing_is_found_where_all_is_as_it_should_be(stack: Stack) -> None:
    await turn(stack.owner, "s0", state="running", answer=None, answered_at=None)
    await turn(stack.owner, "s0", state="posted", answer=None, answered_at=None)
    assert await stack.found() == []


PLANTED = {
    "message_count": "UPDATE chat.sessions SET message_count = 5 WHERE session_id = 's1'",
    "preview": "UPDATE chat.sessions SET last_message = 'q 0' WHERE session_id = 's1'",
    "place": "UPDATE chat.sessions SET last_message_at = last_message_at - interval '1 s' WHERE session_id = 's1'",
    "session_without_messages": """
        INSERT INTO chat.sessions (user_id, session_id, created_at, last_activity_at, updated_at)
        SELECT 'ada', 'empty', now(), now(), now() - interval '1 s'
    """,
    "trip_without_sessions": """
        INSERT INTO workflow.trips (trip_id, updated_at)
        VALUES ('01a1fe39-64df-761e-8663-799e1359cb2d', now() - interval '1 s')
    """,
    "tag_missing": """
        UPDATE tagging.session_tags SET session_id = 'other' WHERE session_id = 's1'
    """,
    "tag_spelling": "UPDATE tagging.session_tags SET session_tag = 'chat_model_000000_002' WHERE session_id = 's1'",
    "tag_gap": "DELETE FROM tagging.session_tags WHERE session_id = 's1'",
    "counter_behind": "UPDATE tagging.counters SET last_number = 2 WHERE user_id = 'ada'",
    "counter_ahead": "UPDATE tagging.counters SET last_number = 9 WHERE user_id = 'ada'",
}


async def plant(stack: Stack, kind: str) -> None:
    if kind == "turn_without_answer":
        await turn(stack.owner, "s1")
    else:
        await stack.owner.execute(PLANTED[kind])


def kinds(found: Sequence[tuple[Finding, bool]]) -> list[str]:
    return sorted(finding.kind for finding, _ in found)


@pytest.mark.parametrize("kind", CHECKS)
async def test_a_drift_of_each_kind_is_found_and_mended_where_that_is_no_guess(stack: Stack, kind: str) -> None:
    sound = await stack.rows()
    await plant(stack, kind)
    before = await stack.rows()

    found = await stack.found()
    assert kind in kinds(found)
    assert set(kinds(found)) <= {kind, *(("tag_missing",) if kind == "tag_gap" else ())}
    assert await stack.rows() == before, "whoever only looks changes nothing"

    fixed = await stack.found(fix=True)
    is_mendable = kind in {*OF_SESSIONS, "counter_behind"}
    assert {is_mended for _, is_mended in fixed} == {is_mendable}
    assert await stack.rows() == (sound if is_mendable else before)
    assert kinds(await stack.found()) == ([] if is_mendable else kinds(found))


async def test_what_is_not_settled_is_left_to_the_next_time(stack: Stack) -> None:
    for kind in ("message_count", "counter_behind", "tag_spelling", "trip_without_sessions"):
        await plant(stack, kind)
    assert len(await stack.found()) == 4
    assert await stack.found(settled_s=3600) == []


async def test_nothing_is_found_of_users_whose_erasure_is_under_way(stack: Stack) -> None:
    await stack.owner.execute("UPDATE chat.sessions SET message_count = 7 WHERE user_id = 'bob'")
    await stack.owner.execute("UPDATE tagging.counters SET last_number = 7 WHERE user_id = 'bob'")
    assert await stack.found(fix=True) == []


async def test_a_counter_is_raised_and_the_next_session_has_the_next_number(stack: Stack) -> None:
    await plant(stack, "counter_behind")
    await stack.found(fix=True)
    await stack.hear(spoke("next", at=100))
    assert (await read_counters(stack.owner))["ada", SMALL] == 7  # s0 to s2, three reserved, this one
    assert await stack.found() == []


def run(settings: Settings, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["verify", *arguments], env=environment_of(settings))
    return result.exit_code, result.output


async def test_the_command_says_what_it_found_and_ends_with_it(stack: Stack) -> None:
    settings, owner = stack.settings, stack.owner
    assert await asyncio.to_thread(run, settings) == (0, "all is as it should be\n")

    await plant(stack, "preview")
    await plant(stack, "counter_ahead")
    await owner.execute("UPDATE chat.sessions SET updated_at = updated_at - interval '1 h'")
    await owner.execute("UPDATE tagging.session_tags SET tagged_at = tagged_at - interval '1 h'")
    status, output = await asyncio.to_thread(run, settings, "--json")
    lines = [json.loads(line) for line in output.splitlines()]
    assert status == 1
    assert {(line["kind"], line["user_id"], line["mended"]) for line in lines} == {
        ("preview", "ada", False),
        ("counter_ahead", "ada", False),
    }
    assert "q 0" not in output, "nothing that was said"

    status, output = await asyncio.to_thread(run, settings, "--fix")
    assert status == 1
    assert output.splitlines()[-1] == "2 found, 1 mended"
    await owner.execute("UPDATE tagging.counters SET last_number = 6 WHERE user_id = 'ada'")
    assert (await asyncio.to_thread(run, settings, "--fix"))[0] == 0


async def test_the_gateway_that_leads_says_it_as_a_metric(stack: Stack) -> None:
    def drift(kind: str) -> float:
        return REGISTRY.get_sample_value("tripthread_drift", {"kind": kind}) or 0.0

    await plant(stack, "tag_spelling")
    await stack.owner.execute("UPDATE tagging.session_tags SET tagged_at = tagged_at - interval '1 h'")
    async with open_pool(stack.settings.admin_database_url, "test", 1) as admin:
        census = DriftCensus(admin, lambda: True)
        assert isnan(drift("tag_spelling"))
        await census.count()
        assert (drift("tag_spelling"), drift("tag_gap")) == (1.0, 0.0)
        await stack.owner.execute("REVOKE SELECT ON tagging.models FROM tripthread_admin")
        await census.count()
        assert isnan(drift("tag_spelling"))
