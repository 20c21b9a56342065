"""What users set of their trips settles field by field, and a trip that is to be cancelled is, whatever breaks."""

import itertools
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiohttp import web

from deploy.supervisor.machine.ports import free_port
from services.workflow.store.orders.fields import keep_newest
from shared.database import open_pool, transaction
from shared.events import TripChanged, TripClosed
from shared.ids import new_id
from shared.settings import Settings
from tests.connected.workflow.stage import QUICK, Stage, lose_an_answer, running_workflow, serving
from tests.pure.gateway.samples import minutes

OUTCOME = "SELECT outcome FROM workflow.trips WHERE trip_id = $1"
CANCELLATION = "SELECT state FROM workflow.cancellations WHERE trip_id = $1"


def changed(trip_id: UUID, at: int = 0, user_id: str = "ada", **fields: Any) -> TripChanged:
    """Make the event of a change that was accepted in some minute of the far future, so after any order."""
    later = minutes(at) + timedelta(days=3650)
    said = {"user_id": user_id, "session_id": "s1", "trip_id": trip_id, "accepted_at": later}
    return TripChanged(**said, changed=tuple(fields), **fields)


def closed(trip_id: UUID, outcome: str = "cancelled", session_id: str = "s1", **fields: Any) -> TripClosed:
    said = {"user_id": "ada", "session_id": session_id, "trip_id": trip_id, "outcome": outcome}
    return TripClosed.model_validate({**said, **fields})


async def fields_of(stage: Stage, trip_id: UUID) -> tuple[Any, ...]:
    row = await stage.owner.fetchrow(
        "SELECT avinode_rfp_id, workflow_state, metadata, paused_at FROM workflow.trips WHERE trip_id = $1", trip_id
    )
    assert row is not None
    return row["avinode_rfp_id"], json.loads(row["workflow_state"]), json.loads(row["metadata"]), row["paused_at"]


async def test_of_changes_in_any_order_the_last_accepted_stands(stage: Stage) -> None:
    event, _ = await stage.created()
    changes = [
        changed(event.trip_id, 1, avinode_rfp_id="rfp-1", workflow_state={"a": 1}),
        changed(event.trip_id, 2, avinode_rfp_id="rfp-2", status="paused"),
        changed(event.trip_id, 3, metadata={"b": [2]}, status="active"),
        changed(event.trip_id, 4, status="paused"),
    ]
    for order in itertools.permutations(changes):
        await stage.owner.execute(
            """
            UPDATE workflow.trips SET field_stamps = '{}', avinode_rfp_id = NULL, workflow_state = '{}',
                metadata = '{}', paused_at = NULL
            """
        )
        for change in (*order, order[0]):
            await stage.publisher.publish(change)
        stage.advanced.clear()
        await stage.publisher.publish(last := changed(event.trip_id, -1, avinode_rfp_id="older than all"))
        await stage.answered(last.event_id)

        assert await fields_of(stage, event.trip_id) == ("rfp-2", {"a": 1}, {"b": [2]}, changes[-1].accepted)


async def test_only_whose_session_is_about_a_trip_changes_it(stage: Stage) -> None:
    event, _ = await stage.created()
    for stranger in (
        changed(event.trip_id, user_id="bob", avinode_rfp_id="rfp-1"),
        closed(event.trip_id, "completed", "s2"),
        closed(event.trip_id, "cancelled", "s2"),
    ):
        await stage.publisher.publish(stranger)
    await stage.publisher.publish(mine := changed(event.trip_id, metadata={"a": 1}))
    await stage.answered(mine.event_id)

    assert (await fields_of(stage, event.trip_id))[0] is None
    assert await stage.owner.fetchval(OUTCOME, event.trip_id) is None
    assert await stage.owner.fetchval("SELECT count(*) FROM workflow.cancellations") == 0


async def test_a_quote_of_another_trip_is_not_chosen(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created()
    (rfq,) = await stage.send_rfqs(avinode_trip_id, 1)
    quote = (await stage.avinode.act(f"rfqs/{rfq}/quote", {"price": 33_500}))["quote_id"]
    await stage.stands(event.trip_id, "analyzing_options", 1, 1, 1)
    chosen = "SELECT primary_quote_id FROM workflow.trips WHERE trip_id = $1"

    await stage.publisher.publish(changed(event.trip_id, 1, primary_quote_id=quote))
    await stage.becomes(quote, chosen, event.trip_id)
    await stage.publisher.publish(wrong := changed(event.trip_id, 2, primary_quote_id="aquote-1"))
    await stage.answered(wrong.event_id)
    assert await stage.owner.fetchval(chosen, event.trip_id) == quote
    await stage.publisher.publish(changed(event.trip_id, 3, primary_quote_id=None))
    await stage.becomes(None, chosen, event.trip_id)


async def test_a_completed_trip_makes_room_for_another(stage: Stage) -> None:
    event, _ = await stage.created()

    await stage.publisher.publish(closed(event.trip_id, "completed"))
    await stage.becomes("completed", OUTCOME, event.trip_id)
    await stage.publisher.publish(closed(event.trip_id, "cancelled"))  # too late: it stays as it ended

    second, _ = await stage.created()
    assert second.trip_id != event.trip_id
    assert await stage.owner.fetchval(OUTCOME, event.trip_id) == "completed"
    assert await stage.calls("PUT") == []


async def test_a_cancelled_trip_is_cancelled_at_avinode_with_its_reason(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created()
    (rfq,) = await stage.send_rfqs(avinode_trip_id, 1)
    wish = closed(event.trip_id, reason="CHANGED", message="The client flies another day.")

    await stage.publisher.publish(wish)
    await stage.publisher.publish(wish)

    await stage.becomes("cancelled", OUTCOME, event.trip_id)
    await stage.becomes("done", CANCELLATION, event.trip_id)
    assert (await stage.avinode.read(f"rfqs/{rfq}"))["canceled"] is True
    await stage.created()  # its session may have another


async def test_a_request_that_was_not_sent_is_withdrawn(quiet: Stage) -> None:
    nobody = quiet.settings.model_copy(update={"avinode_base_url": f"http://127.0.0.1:{free_port()}/api"})
    async with running_workflow(nobody):
        event = await quiet.request()
        await quiet.becomes(True, "SELECT error IS NOT NULL FROM workflow.trips WHERE trip_id = $1", event.trip_id)
        await quiet.publisher.publish(closed(event.trip_id))
        await quiet.becomes("cancelled", OUTCOME, event.trip_id)
    state = await quiet.owner.fetchrow("SELECT state, code FROM workflow.requests WHERE trip_id = $1", event.trip_id)
    async with running_workflow(quiet.settings):
        await quiet.created()

    assert state is not None
    assert tuple(state) == ("refused", "trip_cancelled")
    assert await quiet.trips_at_avinode() == 1


async def test_a_trip_that_nobody_can_confirm_is_ended_here_with_a_word(quiet: Stage) -> None:
    event = await lose_an_answer(quiet)
    async with running_workflow(quiet.settings):
        await quiet.publisher.publish(closed(event.trip_id))
        await quiet.becomes("cancelled", OUTCOME, event.trip_id)

    error = await quiet.owner.fetchval("SELECT error FROM workflow.trips WHERE trip_id = $1", event.trip_id)
    assert "nobody can tell" in error


async def test_a_lost_answer_is_asked_for_again(quiet: Stage) -> None:
    async with running_workflow(quiet.settings):
        event, _ = await quiet.created()
    await quiet.avinode.switch_on(rest_hang_ms=60_000)
    async with running_workflow(quiet.settings, replace(QUICK, answer_s=0.3)):
        await quiet.publisher.publish(closed(event.trip_id))
        await quiet.becomes(True, "SELECT attempts > 0 FROM workflow.cancellations WHERE trip_id = $1", event.trip_id)
        assert await quiet.owner.fetchval(OUTCOME, event.trip_id) is None
    await quiet.avinode.switch_on()
    async with running_workflow(quiet.settings):
        await quiet.becomes("cancelled", OUTCOME, event.trip_id)
        await quiet.becomes("done", CANCELLATION, event.trip_id)


@pytest.mark.parametrize("status", [429, 503])
async def test_an_avinode_that_is_busy_is_asked_again(stage: Stage, status: int) -> None:
    event, _ = await stage.created()
    await stage.avinode.switch_on(rest_status=status)
    await stage.publisher.publish(closed(event.trip_id))
    await stage.becomes(True, "SELECT attempts > 0 FROM workflow.cancellations WHERE trip_id = $1", event.trip_id)
    await stage.avinode.switch_on()

    await stage.becomes("cancelled", OUTCOME, event.trip_id)


async def test_a_trip_that_avinode_does_not_cancel_goes_on_and_may_be_asked_for_again(quiet: Stage) -> None:
    answers = [422, 404]

    async def refuse(request: web.Request) -> web.Response:
        return web.json_response({"meta": {"errors": [{"title": "too late"}]}}, status=answers.pop(0))

    async with running_workflow(quiet.settings):
        event, _ = await quiet.created()
    async with (
        serving(refuse) as url,
        running_workflow(quiet.settings.model_copy(update={"avinode_base_url": f"{url}/api"})),
    ):
        await quiet.publisher.publish(first := closed(event.trip_id))
        await quiet.becomes("refused", CANCELLATION, event.trip_id)
        await quiet.publisher.publish(first)  # a repeat is no second wish
        await quiet.answered(first.event_id)
        assert await quiet.owner.fetchval(OUTCOME, event.trip_id) is None
        await quiet.publisher.publish(closed(event.trip_id))  # 404: it is not there any more
        await quiet.becomes("cancelled", OUTCOME, event.trip_id)


async def test_a_trip_that_was_two_rows_has_what_was_set_last_of_either(
    owner: asyncpg.Connection, settings: Settings
) -> None:
    kept, other = [
        await two_fields(owner, 1, "kept", 3, "of other's time"),
        await two_fields(owner, 2, "other", 0, "early"),
    ]
    await owner.execute(
        """
        INSERT INTO workflow.cancellations (trip_id, reason, event_id, accepted_at)
        VALUES ($1, 'BOOKED', gen_random_uuid(), now())
        """,
        other,
    )

    async with open_pool(settings.workflow_database_url, "test", 1) as pool, transaction(pool) as db:
        await keep_newest(db, kept, other)

    row = await owner.fetchrow("SELECT avinode_rfp_id, metadata FROM workflow.trips WHERE trip_id = $1", kept)
    assert row is not None
    assert (row["avinode_rfp_id"], json.loads(row["metadata"])) == ("other", {"said": "of other's time"})
    assert await owner.fetchval(CANCELLATION, kept) == "intended"


async def two_fields(owner: asyncpg.Connection, rfp_at: int, rfp: str, metadata_at: int, said: str) -> UUID:
    """Make a trip of which two fields were set in these minutes."""
    trip_id = new_id()
    stamps = {"avinode_rfp_id": changed(trip_id, rfp_at).stamp, "metadata": changed(trip_id, metadata_at).stamp}
    await owner.execute(
        """
        INSERT INTO workflow.trips (trip_id, avinode_rfp_id, metadata, field_stamps)
        VALUES ($1, $2, $3::text::jsonb, $4::text::jsonb)
        """,
        trip_id,
        rfp,
        json.dumps({"said": said}),
        json.dumps(stamps),
    )
    return trip_id
