"""The owner of a turn is killed between a tool's effect and its result: the effect happens once, and is shown."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import orjson
import pytest

from shared.settings import Settings
from shared.topology import WORKFLOW_TRIPS
from tests.connected.brokers import waiting
from tests.connected.gateway.stage import Rows
from tests.connected.gateway.tools.talking import trip_with_quotes
from tests.connected.gateway.turns.processes.pair import Pair, open_pair, parts_of
from tests.connected.workflow.stage import running_workflow
from tests.waiting import until

pytestmark = pytest.mark.fault

ASKED = '[tool prepare_proposal {"quote_ids": ["usd-A1B2C3"]}] [tool trip_status {}] [echo Done.]'


@pytest.fixture
async def pair(settings: Settings, tmp_path: Path) -> AsyncIterator[Pair]:
    async with open_pair(settings, tmp_path) as pair:
        yield pair


async def test_an_effect_happens_once_though_its_owner_is_killed_before_the_result(
    pair: Pair, rows: Rows, owner: asyncpg.Connection
) -> None:
    await trip_with_quotes(rows)
    body = {"session_id": "s1", "message": ASKED, "helper": "charter"}
    url, headers = "/api/chat", pair.headers(**{"Idempotency-Key": "k1"})

    async def published() -> bool:
        return await waiting(pair.here.settings, WORKFLOW_TRIPS) == 1

    async with pair.http.post(pair.url(pair.here, url), json=body, headers=headers):
        await until(published, "the proposal to be ordered")
        following = asyncio.create_task(pair.stream(pair.there, "s1"))

        async def kept() -> bool:
            query = "SELECT jsonb_path_exists(partial_parts, '$[*].toolCallId') FROM gateway.turns"
            return bool(await owner.fetchval(query))

        await until(kept, "the calls to be kept")
        pair.here.kill()
    await owner.execute("UPDATE gateway.turns SET lease_until = clock_timestamp()")
    status, seen = await following
    assert status == 200
    types = [part["type"] for _, part in seen]
    assert types[-1] == "error"
    assert types.count("tool-input-available") == 2, "who follows elsewhere sees what was begun"
    assert await pair.asked() == 1
    asking_again = pair.http.post(pair.url(pair.there, url), json=body, headers=headers)
    async with running_workflow(pair.there.settings), asking_again as response:
        again = [part async for _, part in parts_of(response)]
    assert again[-1]["type"] == "finish"
    assert await pair.asked() == 2, "the second round, and not the first one again"
    assert await owner.fetchval("SELECT count(*) FROM workflow.proposals") == 1
    outputs = [part["output"] for part in again if part["type"] == "tool-output-available"]
    proposal = await owner.fetchval("SELECT proposal_id FROM workflow.proposals")
    assert str(proposal) in orjson.dumps(outputs).decode()
    shown = (await pair.messages(pair.there, "s1"))[-1]
    assert [part.get("state") for part in shown["parts"]] == ["output-available", "output-available", None, None]
