"""An operator has a notice worked again, whatever became of it."""

from datetime import timedelta
from uuid import UUID

import orjson

from shared.events import DeliveryReprocessed, WebhookReceived
from tests.connected.workflow.stage import Stage, running_workflow

STATE = "SELECT state FROM workflow.deliveries WHERE delivery_id = $1"


async def again(stage: Stage, delivery_id: UUID) -> DeliveryReprocessed:
    event = DeliveryReprocessed(delivery_id=delivery_id, operator="root")
    await stage.publisher.publish(event)
    return event


async def shown(stage: Stage, delivery_id: UUID) -> tuple[str, str | None]:
    row = await stage.owner.fetchrow(
        "SELECT reprocessed_by, error FROM workflow.deliveries WHERE delivery_id = $1", delivery_id
    )
    assert row is not None
    return row["reprocessed_by"], row["error"]


async def test_a_notice_that_was_refused_is_followed_once_its_place_is_configured(quiet: Stage) -> None:
    elsewhere = quiet.settings.model_copy(update={"avinode_base_url": "http://127.0.0.1:9/api"})
    async with running_workflow(quiet.settings):
        event, avinode_trip_id = await quiet.created()
    (rfq_id,) = await quiet.send_rfqs(avinode_trip_id, 1)
    await quiet.avinode.deliveries_when(lambda sent: all(one["state"] == "delivered" for one in sent))
    async with running_workflow(elsewhere):
        await quiet.becomes("refused", "SELECT state FROM workflow.deliveries")
    delivery_id = await quiet.owner.fetchval("SELECT delivery_id FROM workflow.deliveries")
    async with running_workflow(quiet.settings):
        await again(quiet, delivery_id)
        await quiet.becomes("done", STATE, delivery_id)
        await quiet.stands(event.trip_id, "requesting_quotes", 1, 1, 0)
    assert await shown(quiet, delivery_id) == ("root", None)
    assert await quiet.owner.fetchval("SELECT rfq_id FROM workflow.rfqs") == rfq_id


async def test_a_notice_that_is_done_is_fetched_once_more_and_no_more_often(stage: Stage) -> None:
    _, avinode_trip_id = await stage.created()
    (rfq_id,) = await stage.send_rfqs(avinode_trip_id, 1)
    await stage.settled()
    delivery_id = await stage.owner.fetchval("SELECT delivery_id FROM workflow.deliveries")
    before = len(await stage.calls("GET", f"/rfqs/{rfq_id}"))
    event = await again(stage, delivery_id)
    await stage.becomes("root", "SELECT reprocessed_by FROM workflow.deliveries")
    await stage.becomes("done", STATE, delivery_id)
    await stage.publisher.publish(event)  # the same event, delivered again
    last = await stage.notify(b"no notice")
    await stage.becomes("unreadable", STATE, last.delivery_id)
    assert await stage.owner.fetchval(STATE, delivery_id) == "done"
    assert len(await stage.calls("GET", f"/rfqs/{rfq_id}")) == before + 1


async def test_a_notice_of_another_sender_is_read_and_still_ignored(stage: Stage) -> None:
    event = await stage.notify(b"{}", source="billing")
    await stage.becomes("ignored", STATE, event.delivery_id)
    await again(stage, event.delivery_id)
    await stage.becomes("root", "SELECT reprocessed_by FROM workflow.deliveries")
    assert await shown(stage, event.delivery_id) == ("root", "nobody reads notices from billing")


async def test_a_notice_that_waits_for_its_trip_is_looked_at_at_once(stage: Stage) -> None:
    href = f"{stage.settings.avinode_base_url}/rfqs/arfq-1"
    event = await stage.notify(orjson.dumps({"href": href, "tripId": "NOBODY"}))
    await stage.becomes("unmatched", STATE, event.delivery_id)
    await stage.owner.execute("UPDATE workflow.deliveries SET due_at = 'infinity'")
    await again(stage, event.delivery_id)
    await stage.becomes(True, "SELECT state = 'unmatched' AND isfinite(due_at) FROM workflow.deliveries")


async def test_a_webhook_id_that_is_seen_again_is_not_kept_twice(stage: Stage) -> None:
    event = await stage.notify(b"{}", source="billing")
    later = event.occurred_at + timedelta(minutes=1)
    await stage.publisher.publish(event.model_copy(update={"occurred_at": later, "payload": b"{ }"}))
    other = await stage.notify(b"{}", source="billing")
    await stage.becomes("ignored", STATE, other.delivery_id)
    assert isinstance(event, WebhookReceived)
    assert await stage.owner.fetchval("SELECT count(*) FROM workflow.deliveries") == 2
