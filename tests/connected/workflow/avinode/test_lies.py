"""What says it is of one trip and is of another, in a notice or in Avinode's own answer, reaches the one it is of."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson
import pytest
from aiohttp import web

from shared.settings import Settings
from tests.connected.workflow.stage import Stage, open_stage, running_workflow, serving

COUNTS = "SELECT count(*) FROM workflow.rfqs r JOIN workflow.trips t USING (trip_id) WHERE t.trip_id = $1"
LIFT = {"id": "asellerlift-1", "aircraftType": "Midsize", "sourcingStatus": 1}


async def test_a_notice_that_names_another_trip_than_its_rfq_s_moves_the_rfq_s_trip(stage: Stage) -> None:
    mine, _ = await stage.created("s1")
    hers, her_trip = await stage.created("s1", "eve")
    await stage.avinode.switch_on(drop=True)
    (rfq_id,) = await stage.send_rfqs(her_trip, 1)
    code = await stage.owner.fetchval("SELECT trip_code FROM workflow.trips WHERE trip_id = $1", mine.trip_id)
    href = f"{stage.settings.avinode_base_url}/rfqs/{rfq_id}"
    await stage.notify(orjson.dumps({"id": rfq_id, "href": href, "type": "rfqs", "tripId": code}))
    await stage.becomes("done", "SELECT state FROM workflow.deliveries")
    assert await stage.owner.fetchval(COUNTS, mine.trip_id) == 0
    assert await stage.owner.fetchval(COUNTS, hers.trip_id) == 1


@asynccontextmanager
async def lying(
    settings: Settings, owner: asyncpg.Connection, answer: Callable[[web.Request], Awaitable[web.Response]]
) -> AsyncIterator[tuple[Stage, str]]:
    """Run the workflow at an Avinode that answers like this; yields its URL, too."""
    async with (
        open_stage(settings, owner) as stage,
        serving(answer) as url,
        running_workflow(stage.settings.model_copy(update={"avinode_base_url": f"{url}/api"})),
    ):
        yield stage, url


def trip(**changes: Any) -> dict[str, Any]:
    return {"id": "atrip-1", "tripId": "AAAAAA", "rfqs": [], **changes}


def rfq(**changes: Any) -> dict[str, Any]:
    return {"id": "arfq-1", "tripId": "AAAAAA", "sellerLift": [LIFT], **changes}


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ({"trips/atrip-1": trip(id="atrip-2")}, "asked for atrip-1, Avinode answers with atrip-2"),
        ({"trips/atrip-1": trip(rfqs=[rfq(tripId="BBBBBB")]), "rfqs/arfq-1": rfq(tripId="BBBBBB")}, None),
        ({"trips/atrip-1": trip(links={"rfqs": [{"id": "arfq-1"}]}), "rfqs/arfq-1": rfq(tripId="BBBBBB")}, None),
        ({"trips/atrip-1": trip(links={"rfqs": [{"id": "arfq-1"}]}), "rfqs/arfq-1": rfq(id="arfq-2")}, None),
    ],
    ids=["another-trip", "an-rfq-of-another-trip", "a-linked-rfq-of-another-trip", "another-rfq"],
)
async def test_what_avinode_answers_with_instead_of_what_it_was_asked_for_is_not_kept(
    settings: Settings, owner: asyncpg.Connection, answers: dict[str, Any], error: str | None
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"data": answers[request.path.removeprefix("/api/")]})

    async with lying(settings, owner, answer) as (stage, _):
        event = await stage.attach("atrip-1")
        read = "SELECT last_checked_at IS NOT NULL OR error IS NOT NULL FROM workflow.trips WHERE trip_id = $1"
        await stage.becomes(True, read, event.trip_id)
        await stage.becomes(True, "SELECT due_at > clock_timestamp() FROM workflow.trips")
    assert await owner.fetchval("SELECT error FROM workflow.trips") == error
    assert await owner.fetchval("SELECT count(*) FROM workflow.rfqs") == 0


async def test_a_notice_whose_href_leads_to_something_else_is_given_up(
    settings: Settings, owner: asyncpg.Connection
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"data": rfq(id="arfq-2") if "rfqs" in request.path else trip()})

    async with lying(settings, owner, answer) as (stage, url):
        await stage.attach("atrip-1")
        await stage.becomes(True, "SELECT last_checked_at IS NOT NULL FROM workflow.trips")
        await stage.notify(orjson.dumps({"href": f"{url}/api/rfqs/arfq-1"}))
        await stage.becomes("ignored", "SELECT state FROM workflow.deliveries")
    said = "SELECT error FROM workflow.deliveries"
    assert await owner.fetchval(said) == "asked for arfq-1, Avinode answers with arfq-2"
    assert await owner.fetchval("SELECT count(*) FROM workflow.rfqs") == 0
