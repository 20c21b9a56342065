"""Notices from Avinode become facts, whatever their order, number and gaps."""

from typing import Any

import asyncpg

from services.workflow.store.deliveries import MOST_NOTICES
from shared.settings import Settings
from tests.connected.workflow.stage import Stage, open_stage, running_workflow
from tests.waiting import until_true


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


async def test_every_notice_many_times_and_shuffled_is_the_same_as_once(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created()
    await stage.avinode.switch_on(duplicate=3, shuffle=True)
    rfqs = await stage.send_rfqs(avinode_trip_id, 3)
    await stage.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": 33500})
    await stage.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": 31000})
    await stage.avinode.act(f"rfqs/{rfqs[1]}/decline", {})
    await stage.settled()
    await stage.stands(event.trip_id, "analyzing_options", 3, 2, 1)
    assert await stage.owner.fetchval("SELECT count(*) FROM workflow.deliveries") == 24
    assert await current_prices(stage) == [3100000]


async def test_several_notices_of_one_href_cost_one_fetch(settings: Settings, owner: asyncpg.Connection) -> None:
    async with open_stage(settings, owner) as stage:
        async with running_workflow(stage.settings):
            _, avinode_trip_id = await stage.created()
        rfqs = await stage.send_rfqs(avinode_trip_id, 1)
        await stage.avinode.switch_on(duplicate=9)
        await stage.avinode.act(f"rfqs/{rfqs[0]}/chat", {"message": "Good morning."})
        await stage.avinode.deliveries_when(lambda shown: len(shown) == 11 and all_answered(shown))
        async with running_workflow(stage.settings):
            await stage.settled()
        assert len(await stage.calls("GET", "/tripmsgs/asellermsg")) == 1


async def test_a_flood_of_notices_of_one_href_is_worked_in_portions(stage: Stage) -> None:
    _, avinode_trip_id = await stage.created()
    (rfq_id,) = await stage.send_rfqs(avinode_trip_id, 1)
    await stage.settled()
    before = len(await stage.calls("GET", f"/rfqs/{rfq_id}"))
    await stage.owner.execute(
        """
        INSERT INTO workflow.deliveries (delivery_id, source, payload, href, kind, received_at, event_id)
        SELECT gen_random_uuid(), 'avinode', '', $1, 'rfqs', now(), gen_random_uuid()
        FROM generate_series(1, $2)
        """,
        f"{stage.settings.avinode_base_url}/rfqs/{rfq_id}",
        2 * MOST_NOTICES + 1,
    )
    await stage.becomes(2 * MOST_NOTICES + 2, "SELECT count(*) FROM workflow.deliveries WHERE state = 'done'")
    assert len(await stage.calls("GET", f"/rfqs/{rfq_id}")) == before + 3
    # What was committed is announced after it.
    await until_true(lambda: max((len(each["causes"]) for each in stage.advanced), default=0) == MOST_NOTICES)


async def test_a_quote_whose_rfq_was_never_announced_brings_its_rfq(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created()
    await stage.avinode.switch_on(drop=True)
    rfqs = await stage.send_rfqs(avinode_trip_id, 2)
    await stage.avinode.switch_on()
    await stage.avinode.act(f"rfqs/{rfqs[1]}/quote", {"price": 20000})
    await stage.stands(event.trip_id, "analyzing_options", 1, 1, 1)


async def test_a_notice_without_a_trip_is_matched_by_what_it_points_at(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created()
    await stage.avinode.switch_on(without_trip_id=True)
    rfqs = await stage.send_rfqs(avinode_trip_id, 2)
    await stage.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": 20000})
    await stage.stands(event.trip_id, "analyzing_options", 2, 2, 1)


async def test_a_chat_just_before_a_quote_is_no_quote(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created()
    rfqs = await stage.send_rfqs(avinode_trip_id, 1)
    await stage.avinode.act(f"rfqs/{rfqs[0]}/chat", {"message": "We will quote 10 soon."})
    await stage.settled()
    await stage.stands(event.trip_id, "requesting_quotes", 1, 1, 0)
    await stage.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": 20000})
    await stage.stands(event.trip_id, "analyzing_options", 1, 1, 1)
    chats = await stage.owner.fetch(
        "SELECT kind, sender, content FROM workflow.trip_messages WHERE sender LIKE '%Operator%' ORDER BY kind"
    )
    assert [row["kind"] for row in chats] == ["chat", "quote"]
    assert chats[0]["content"] == "We will quote 10 soon."
    assert chats[0]["sender"].startswith("Simulated Operator")


async def test_a_revised_quote_replaces_the_one_before(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created()
    rfqs = await stage.send_rfqs(avinode_trip_id, 1)
    for price in (33500, 31000, 29999.5):
        await stage.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": price})
        await stage.settled()
    await stage.stands(event.trip_id, "analyzing_options", 1, 1, 1)
    assert await current_prices(stage) == [2999950]
    own = await stage.owner.fetchval("SELECT count(*) FROM workflow.quotes WHERE NOT estimate")
    assert own == 3


async def test_a_lift_added_later_belongs_to_the_same_rfq(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created()
    rfqs = await stage.send_rfqs(avinode_trip_id, 1)
    added = await stage.avinode.act(f"rfqs/{rfqs[0]}/lifts")
    await stage.becomes(2, "SELECT count(*) FROM workflow.lifts")
    await stage.avinode.act(f"rfqs/{rfqs[0]}/decline", {"lift": added["lift_id"]})
    await stage.settled()
    await stage.stands(event.trip_id, "requesting_quotes", 1, 1, 0)


async def test_an_rfq_cancelled_while_a_quote_is_on_its_way_is_not_expected(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created()
    rfqs = await stage.send_rfqs(avinode_trip_id, 2)
    await stage.avinode.switch_on(delay_ms=150)
    await stage.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": 20000})
    await stage.avinode.switch_on()
    await stage.avinode.act(f"rfqs/{rfqs[0]}/cancel", {})
    await stage.settled()
    await stage.stands(event.trip_id, "analyzing_options", 2, 1, 0)


async def test_a_trip_cancelled_at_avinode_is_closed_and_its_session_free(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created()
    await stage.send_rfqs(avinode_trip_id, 2)
    await stage.avinode.act(f"trips/{avinode_trip_id}/cancel", {})
    await stage.becomes("cancelled", "SELECT outcome FROM workflow.trips WHERE trip_id = $1", event.trip_id)
    await stage.stands(event.trip_id, "requesting_quotes", 2, 0, 0)
    again, _ = await stage.created()
    assert again.trip_id != event.trip_id


async def test_the_notice_of_an_unknown_trip_waits_until_the_trip_is_attached(stage: Stage) -> None:
    code, _ = await stage.avinode.trip_with_rfqs(2)
    await stage.becomes(2, "SELECT count(*) FROM workflow.deliveries WHERE state = 'unmatched'")
    assert await stage.calls("GET") == []
    await stage.owner.execute("UPDATE workflow.deliveries SET due_at = 'infinity'")
    event = await stage.attach(code)
    await stage.stands(event.trip_id, "requesting_quotes", 2, 2, 0)
    await stage.becomes(2, "SELECT count(*) FROM workflow.deliveries WHERE state = 'done'")


async def test_an_unknown_trip_is_asked_for_less_and_less(stage: Stage) -> None:
    await stage.avinode.switch_on(without_trip_id=True)
    await stage.avinode.trip_with_rfqs(1)
    await stage.becomes(True, "SELECT attempts > 2 FROM workflow.deliveries WHERE state = 'unmatched'")
    # Its trip is known from the first look, which is the last call.
    assert len(await stage.calls("GET")) == 1
    waits = await stage.owner.fetchval("SELECT extract(epoch FROM due_at - worked_at) FROM workflow.deliveries")
    assert waits >= 0.15


async def test_a_delivery_that_comes_twice_is_kept_once(stage: Stage) -> None:
    event = await stage.notify(b"{}")
    await stage.publisher.publish(event)
    await stage.notify(b"{}")
    await stage.becomes(2, "SELECT count(*) FROM workflow.deliveries")


async def current_prices(stage: Stage) -> list[int]:
    rows = await stage.owner.fetch("SELECT price_cents FROM workflow.quotes WHERE current AND NOT estimate")
    return [row["price_cents"] for row in rows]


def all_answered(deliveries: list[Any]) -> bool:
    return all(delivery["state"] == "delivered" for delivery in deliveries)
