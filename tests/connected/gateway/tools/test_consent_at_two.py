"""Consent at two gateways: said to both at once, or to one that is killed before the trip is ordered: one order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from shared.settings import Settings
from shared.topology import WORKFLOW_TRIPS
from tests.connected.brokers import waiting
from tests.connected.gateway.tools.test_consent import CALL, ORDER
from tests.connected.gateway.turns.processes.pair import Pair, open_pair
from tests.processes import Process
from tests.waiting import until

pytestmark = pytest.mark.fault

AGREED = """SELECT count(*) FROM gateway.turns WHERE state = 'running'
    AND partial_parts @? '$[*] ? (@.state == "approval-responded")'"""


@pytest.fixture
async def pair(settings: Settings, tmp_path: Path) -> AsyncIterator[Pair]:
    file = tmp_path / "assistants"  # one that knows no trip, so that nobody but its tool looks for one
    file.write_text('[helpers.charter]\nname = "C"\ninstructions = "Be one."\ntools = ["create_trip"]\n')
    update = {"tool_call_s": 5.0, "helpers_file": str(file)}
    async with open_pair(settings.model_copy(update=update), tmp_path) as pair:
        yield pair


async def post(pair: Pair, gateway: Process, path: str, body: dict[str, Any]) -> dict[str, Any]:
    async with pair.http.post(pair.url(gateway, path), json=body, headers=pair.headers()) as response:
        record: dict[str, Any] = await response.json()
        assert response.status == 200, record
        return record


def call_in(record: dict[str, Any]) -> dict[str, Any]:
    return next(part for part in record["message"]["parts"] if part["type"] == CALL)


async def test_a_trip_is_ordered_once_though_who_was_to_order_it_is_killed(
    pair: Pair, owner: asyncpg.Connection
) -> None:
    body = {"session_id": "s1", "message": ORDER, "helper": "charter", "stream": False}
    approval = call_in(await post(pair, pair.here, "/api/chat", body))["approval"]["id"]
    path, yes = f"/api/chat/s1/approvals/{approval}", {"approved": True, "stream": False}

    async def agreed() -> bool:
        return bool(await owner.fetchval(AGREED))

    async with owner.transaction():  # nobody can look whether the trip is ordered already
        await owner.execute("LOCK TABLE workflow.requests, workflow.trips IN ACCESS EXCLUSIVE MODE")
        agreeing = asyncio.create_task(post(pair, pair.here, path, yes))
        await until(agreed, "the consent to be kept")
        pair.here.kill()
    with suppress(aiohttp.ClientError):
        await agreeing
    assert await waiting(pair.there.settings, WORKFLOW_TRIPS) == 0
    await owner.execute("UPDATE gateway.turns SET lease_until = clock_timestamp()")
    once = await post(pair, pair.there, path, yes)
    again = await post(pair, pair.there, path, yes)
    assert call_in(once) == call_in(again)
    assert (call_in(once)["state"], once["message"]["content"]) == ("output-available", "So be it.")
    assert await waiting(pair.there.settings, WORKFLOW_TRIPS) == 1
    assert await pair.asked() == 2, "before the consent, and after the order"


async def test_said_at_two_gateways_at_once_it_is_ordered_once_and_both_hear_what_came_of_it(pair: Pair) -> None:
    body = {"session_id": "s1", "message": ORDER, "helper": "charter", "stream": False}
    approval = call_in(await post(pair, pair.here, "/api/chat", body))["approval"]["id"]
    path, yes = f"/api/chat/s1/approvals/{approval}", {"approved": True, "stream": False}
    first, second = await asyncio.gather(*(post(pair, each, path, yes) for each in (pair.here, pair.there)))
    assert first["message"] == second["message"]
    assert (call_in(first)["state"], first["message"]["content"]) == ("output-available", "So be it.")
    assert await waiting(pair.here.settings, WORKFLOW_TRIPS) == 1
