"""Notices from Avinode become facts, whatever their order, number and gaps."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from shared.settings import Settings
from tests.connected.workflow_stage import Stage, open_stage, running_workflow


@pytest.fixture
async def stage(settings: Settings, owner: asyncpg.Connection) -> AsyncIterator[Stage]:
    async with open_stage(settings, owner) as stage, running_workflow(stage.settings):
        yield stage


async def test_quote_decline_and_silence_are_counted(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created()
    await stage.stands(event.trip_id, "searching_aircraft", 0, 0, 0)

    sent = await stage.avinode.act(f"trips/{avinode_trip_id}/rfqs", {"operators": 3})
    await stage.stands(event.trip_id, "requesting_quotes", 3, 3, 0)
    first, second, _ = (rfq["id"] for rfq in sent["rfqs"])
    await stage.avinode.act(f"rfqs/{first}/quote", {"price": 33500, "currency": "USD"})
    await stage.stands(event.trip_id, "analyzing_options", 3, 3, 1)
    await stage.avinode.act(f"rfqs/{second}/decline", {"reason": "CREW_NOT_AVAILABLE"})
    await stage.stands(event.trip_id, "analyzing_options", 3, 2, 1)

    quotes = await stage.owner.fetch("SELECT * FROM workflow.quotes ORDER BY estimate, quote_id")
    assert [quote["estimate"] for quote in quotes] == [False, True, True, True]
    assert (quotes[0]["price_cents"], quotes[0]["currency"], quotes[0]["lift_id"] is None) == (3350000, "USD", False)
    declined = await stage.owner.fetchrow("SELECT * FROM workflow.rfqs WHERE rfq_id = $1", second)
    assert declined is not None
    assert (declined["declined"], declined["decline_reason"]) == (True, "CREW_NOT_AVAILABLE")
    kinds = await stage.owner.fetch("SELECT kind FROM workflow.trip_messages ORDER BY kind")
    assert [row["kind"] for row in kinds] == ["chat", "chat", "chat", "decline", "quote"][-len(kinds) :]
