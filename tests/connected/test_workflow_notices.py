"""Notices from Avinode become facts, whatever their order, number and gaps."""

from collections.abc import AsyncIterator
from dataclasses import replace
from time import monotonic
from typing import Any

import aio_pika
import asyncpg
import orjson
import pytest
from aiohttp import web

from shared import topology
from shared.settings import Settings
from tests.connected.brokers import raw_channel, take, waiting
from tests.connected.workflow_stage import QUICK, Stage, open_stage, running_workflow, serving


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


async def test_every_notice_many_times_and_shuffled_is_the_same_as_once(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created()
    await stage.avinode.switch_on(duplicate=3, shuffle=True)
    rfqs = await sent_rfqs(stage, avinode_trip_id, 3)
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
        rfqs = await sent_rfqs(stage, avinode_trip_id, 1)
        await stage.avinode.switch_on(duplicate=9)
        await stage.avinode.act(f"rfqs/{rfqs[0]}/chat", {"message": "Good morning."})
        await stage.avinode.deliveries_when(lambda shown: len(shown) == 11 and all_answered(shown))
        async with running_workflow(stage.settings):
            await stage.settled()
        assert len(await stage.calls("GET", "/tripmsgs/asellermsg")) == 1


async def test_a_quote_whose_rfq_was_never_announced_brings_its_rfq(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created()
    await stage.avinode.switch_on(drop=True)
    rfqs = await sent_rfqs(stage, avinode_trip_id, 2)
    await stage.avinode.switch_on()
    await stage.avinode.act(f"rfqs/{rfqs[1]}/quote", {"price": 20000})
    await stage.stands(event.trip_id, "analyzing_options", 1, 1, 1)


async def test_a_notice_without_a_trip_is_matched_by_what_it_points_at(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created()
    await stage.avinode.switch_on(without_trip_id=True)
    rfqs = await sent_rfqs(stage, avinode_trip_id, 2)
    await stage.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": 20000})
    await stage.stands(event.trip_id, "analyzing_options", 2, 2, 1)


async def test_a_chat_just_before_a_quote_is_no_quote(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created()
    rfqs = await sent_rfqs(stage, avinode_trip_id, 1)
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
    rfqs = await sent_rfqs(stage, avinode_trip_id, 1)
    for price in (33500, 31000, 29999.5):
        await stage.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": price})
        await stage.settled()
    await stage.stands(event.trip_id, "analyzing_options", 1, 1, 1)
    assert await current_prices(stage) == [2999950]
    own = await stage.owner.fetchval("SELECT count(*) FROM workflow.quotes WHERE NOT estimate")
    assert own == 3


async def test_a_lift_added_later_belongs_to_the_same_rfq(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created()
    rfqs = await sent_rfqs(stage, avinode_trip_id, 1)
    added = await stage.avinode.act(f"rfqs/{rfqs[0]}/lifts")
    await stage.becomes(2, "SELECT count(*) FROM workflow.lifts")
    await stage.avinode.act(f"rfqs/{rfqs[0]}/decline", {"lift": added["lift_id"]})
    await stage.settled()
    await stage.stands(event.trip_id, "requesting_quotes", 1, 1, 0)


async def test_an_rfq_cancelled_while_a_quote_is_on_its_way_is_not_expected(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created()
    rfqs = await sent_rfqs(stage, avinode_trip_id, 2)
    await stage.avinode.switch_on(delay_ms=150)
    await stage.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": 20000})
    await stage.avinode.switch_on()
    await stage.avinode.act(f"rfqs/{rfqs[0]}/cancel", {})
    await stage.settled()
    await stage.stands(event.trip_id, "analyzing_options", 2, 1, 0)


async def test_a_trip_cancelled_at_avinode_is_closed_and_its_session_free(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created()
    await sent_rfqs(stage, avinode_trip_id, 2)
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


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"\xff\x00 no JSON", "not a JSON object"),
        (b'{"id": "arfq-1"}', "no href"),
        (b'{"id": "arfq-1", "href": "http://127.0.0.1:1/api/rfqs/arfq-1"}', "the href is not a resource below"),
    ],
)
async def test_a_notice_that_nobody_can_follow_is_kept_with_its_reason(
    stage: Stage, payload: bytes, error: str
) -> None:
    event = await stage.notify(payload, event_name="chat", headers={"content-type": "text/plain"})
    await stage.becomes("refused", "SELECT state FROM workflow.deliveries")
    kept = await stage.owner.fetchrow("SELECT * FROM workflow.deliveries")
    assert kept is not None
    assert (kept["delivery_id"], bytes(kept["payload"]), kept["event_name"]) == (event.delivery_id, payload, "chat")
    assert kept["error"].startswith(error)


async def test_a_forged_href_is_never_called(stage: Stage) -> None:
    called: list[str] = []

    async def trap(request: web.Request) -> web.Response:
        called.append(request.path)
        return web.json_response({})

    async with serving(trap) as evil:
        await stage.notify(orjson.dumps({"href": f"{evil}/api/rfqs/arfq-1", "id": "arfq-1"}))
        await stage.notify(orjson.dumps({"href": f"{stage.avinode.url}@{evil[7:]}/api/rfqs/arfq-1"}))
        await stage.notify(orjson.dumps({"href": f"{stage.avinode.url}/sim/trips/atrip-1"}))
        await stage.becomes(3, "SELECT count(*) FROM workflow.deliveries WHERE state = 'refused'")
    assert called == []
    assert await stage.calls() == []


async def test_a_delivery_that_comes_twice_is_kept_once(stage: Stage) -> None:
    event = await stage.notify(b"{}")
    await stage.publisher.publish(event)
    await stage.notify(b"{}")
    await stage.becomes(2, "SELECT count(*) FROM workflow.deliveries")


async def test_notices_of_other_sources_are_kept_and_not_read(stage: Stage) -> None:
    await stage.notify(b"{}", source="stripe")
    await stage.becomes("ignored", "SELECT state FROM workflow.deliveries")


async def test_a_resource_that_is_not_there_is_given_up_after_some_tries(stage: Stage) -> None:
    await stage.created()
    code = await stage.owner.fetchval("SELECT trip_code FROM workflow.trips")
    href = f"{stage.avinode.url}/api/rfqs/arfq-404"
    await stage.notify(orjson.dumps({"id": "arfq-404", "href": href, "tripId": code}))
    await stage.becomes("ignored", "SELECT state FROM workflow.deliveries")
    assert len(await stage.calls("GET", "arfq-404")) == 3
    assert "404" in await stage.owner.fetchval("SELECT error FROM workflow.deliveries")


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500, 503])
async def test_a_failing_avinode_delays_a_notice_and_loses_none(stage: Stage, status: int) -> None:
    event, avinode_trip_id = await stage.created()
    await stage.avinode.switch_on(rest_status=status)
    await sent_rfqs(stage, avinode_trip_id, 1)
    await stage.becomes(True, "SELECT attempts > 0 AND state = 'due' FROM workflow.deliveries")
    assert str(status) in await stage.owner.fetchval("SELECT error FROM workflow.deliveries")
    await stage.avinode.switch_on()
    await stage.stands(event.trip_id, "requesting_quotes", 1, 1, 0)
    await stage.settled()


async def test_a_hanging_avinode_delays_a_notice_and_loses_none(settings: Settings, owner: asyncpg.Connection) -> None:
    pace = replace(QUICK, answer_s=0.3)
    async with open_stage(settings, owner) as stage, running_workflow(stage.settings, pace):
        event, avinode_trip_id = await stage.created()
        await stage.avinode.switch_on(rest_hang_ms=60_000)
        await sent_rfqs(stage, avinode_trip_id, 1)
        await stage.becomes(True, "SELECT attempts > 0 AND state = 'due' FROM workflow.deliveries")
        await stage.avinode.switch_on()
        await stage.stands(event.trip_id, "requesting_quotes", 1, 1, 0)


async def test_what_avinode_asks_us_to_wait_is_waited(settings: Settings, owner: asyncpg.Connection) -> None:
    calls: list[float] = []

    async def busy_once(request: web.Request) -> web.Response:
        calls.append(monotonic())
        if len(calls) == 1:
            return web.Response(status=429, headers={"Retry-After": "1"})
        return web.json_response({"data": {"id": "arfq-1", "tripId": "NOBODY"}})

    async with open_stage(settings, owner) as stage, serving(busy_once) as url:
        changed = stage.settings.model_copy(update={"avinode_base_url": f"{url}/api"})
        async with running_workflow(changed):
            await stage.notify(orjson.dumps({"href": f"{url}/api/rfqs/arfq-1"}))
            await stage.becomes("unmatched", "SELECT state FROM workflow.deliveries")
    assert calls[1] - calls[0] >= 1


async def test_a_redirect_is_not_followed(settings: Settings, owner: asyncpg.Connection) -> None:
    called: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        called.append(request.path)
        return web.Response(status=302, headers={"Location": f"http://{request.host}/elsewhere"})

    async with open_stage(settings, owner) as stage, serving(redirect) as url:
        changed = stage.settings.model_copy(update={"avinode_base_url": f"{url}/api"})
        async with running_workflow(changed):
            await stage.notify(orjson.dumps({"href": f"{url}/api/rfqs/arfq-1"}))
            await stage.becomes(True, "SELECT attempts > 0 FROM workflow.deliveries")
    assert set(called) == {"/api/rfqs/arfq-1"}


async def test_garbage_in_the_queues_ends_in_dead(stage: Stage) -> None:
    async with raw_channel(stage.settings) as channel:
        for queue in (topology.WORKFLOW_TRIPS, topology.WORKFLOW_DELIVERIES):
            for name, body in (
                ("WebhookReceived", b"\xff"),
                ("TripRequested", b"{}"),
                ("Nonsense", b"{}"),
                ("ModelRegistered", b'{"name": "x", "provider": "y"}'),
            ):
                await channel.default_exchange.publish(aio_pika.Message(body, type=name), routing_key=queue.name)
    dead = await take(stage.settings, topology.DEAD, 8)
    reasons = sorted(str(message.headers["x-reason"]) for message in dead)
    assert reasons == ["poison"] * 2 + ["undecodable"] * 6
    await stage.created()


async def test_a_quote_is_told_once_in_every_open_session(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created("s1")
    await stage.attach(avinode_trip_id, "s2")
    await stage.becomes(2, "SELECT count(*) FROM workflow.trip_sessions")
    rfqs = await sent_rfqs(stage, avinode_trip_id, 1)
    await stage.avinode.switch_on(duplicate=2)
    await stage.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": 33500})
    first = await stage.told(2)
    assert {one.session_id for one in first} == {"s1", "s2"}
    assert {(one.user_id, one.role) for one in first} == {("ada", "system")}
    assert first[0].content.startswith("Simulated Operator")
    assert " quoted 33,500 USD for the Simulated" in first[0].content
    assert first[0].metadata["trip_id"] == str(event.trip_id)

    await stage.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": 31000.5})
    second = await stage.told(2)
    assert " revised its quote to 31,000.50 USD for the " in second[0].content
    assert len({one.message_id for one in first + second}) == 4
    await stage.settled()
    assert await waiting(stage.settings, topology.LOGGER_CHAT) == 0


async def test_a_quote_told_again_is_the_same_message(stage: Stage) -> None:
    _, avinode_trip_id = await stage.created()
    rfqs = await sent_rfqs(stage, avinode_trip_id, 1)
    await stage.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": 33500})
    (first,) = await stage.told(1)
    await stage.becomes(0, "SELECT count(*) FROM workflow.quotes WHERE NOT estimate AND told_at IS NULL")
    await stage.owner.execute("UPDATE workflow.quotes SET told_at = NULL")  # as after a crash before the note
    (again,) = await stage.told(1)
    assert again == first.model_copy(update={"occurred_at": again.occurred_at})


async def test_every_change_is_announced_to_every_session(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created("s1")
    await stage.attach(avinode_trip_id, "s2")
    await stage.becomes(2, "SELECT count(*) FROM workflow.trip_sessions")
    stage.advanced.clear()
    await sent_rfqs(stage, avinode_trip_id, 1)
    await stage.becomes("done", "SELECT state FROM workflow.deliveries")
    cause = await stage.owner.fetchval("SELECT event_id FROM workflow.deliveries")
    await stage.answered(cause)
    heard = [one for one in stage.advanced if str(cause) in one["causes"]]
    assert {one["session_id"] for one in heard} == {"s1", "s2"}
    assert {one["trip_id"] for one in heard} == {str(event.trip_id)}


async def sent_rfqs(stage: Stage, avinode_trip_id: str, operators: int) -> list[str]:
    """Send requests, and wait until their notices were worked, where they come at all."""
    sent = await stage.avinode.act(f"trips/{avinode_trip_id}/rfqs", {"operators": operators})
    return [str(rfq["id"]) for rfq in sent["rfqs"]]


async def current_prices(stage: Stage) -> list[int]:
    rows = await stage.owner.fetch("SELECT price_cents FROM workflow.quotes WHERE current AND NOT estimate")
    return [row["price_cents"] for row in rows]


def all_answered(deliveries: list[Any]) -> bool:
    return all(delivery["state"] == "delivered" for delivery in deliveries)
