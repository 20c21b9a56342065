"""The simulated Avinode's webhooks over real HTTP: bodies, credentials, retries and faults."""

import base64

from tests.sandbox_client import Avinode, Receiver, all_delivered, running
from tests.waiting import PATIENCE_S


async def test_webhook_is_a_flat_pointer_with_basic_auth(avinode: Avinode, receiver: Receiver) -> None:
    code, [rfq] = await avinode.trip_with_rfqs()
    [body] = await receiver.bodies(1)
    sent = receiver.received[0][0]

    assert body == {"id": rfq, "href": f"{avinode.url}/api/rfqs/{rfq}", "type": "rfqs", "tripId": code}
    assert sent["Authorization"] == "Basic " + base64.b64encode(b"hook-user:hook-password").decode()
    assert sent["Content-Type"] == "application/json"
    assert "X-Simulator" not in sent


async def test_anything_but_200_is_sent_again(avinode: Avinode, receiver: Receiver) -> None:
    receiver.answers = [202, 302]
    await avinode.trip_with_rfqs()

    [delivery] = await avinode.deliveries_when(all_delivered)

    assert [attempt["status"] for attempt in delivery["attempts"]] == [202, 302, 200]
    assert delivery["attempt_count"] == 3
    bodies = await receiver.bodies(3)
    assert bodies[0] == bodies[1] == bodies[2]


async def test_receiver_that_is_away_is_tried_until_it_is_back() -> None:
    async with running(avinode_webhook_target="http://127.0.0.1:1/") as avinode:
        await avinode.trip_with_rfqs()
        [delivery] = await avinode.deliveries_when(lambda shown: shown[0]["attempt_count"] >= 2)

    assert delivery["state"] == "pending"
    assert "ClientConnectorError" in delivery["attempts"][0]["error"]
    assert delivery["attempts"][0]["status"] is None


async def test_slow_receiver_does_not_hold_up_the_others(avinode: Avinode, receiver: Receiver) -> None:
    receiver.delay_s = 2 * PATIENCE_S
    await avinode.trip_with_rfqs(3)

    await receiver.bodies(3)
    attempts = [each["attempt_count"] for each in await avinode.deliveries()]
    assert attempts == [0, 0, 0], "all three go on: for no answer was waited, nor until one was given up"


async def test_first_attempt_without_credentials_is_followed_by_one_with(avinode: Avinode, receiver: Receiver) -> None:
    receiver.answers = [401]
    await avinode.switch_on(first_without_auth=True)
    await avinode.trip_with_rfqs()

    [delivery] = await avinode.deliveries_when(all_delivered)

    assert [(attempt["with_auth"], attempt["status"]) for attempt in delivery["attempts"]] == [
        (False, 401),
        (True, 200),
    ]
    assert ["Authorization" in sent for sent, _ in receiver.received] == [False, True]


async def test_duplicates_are_sent_besides(avinode: Avinode, receiver: Receiver) -> None:
    await avinode.switch_on(duplicate=2, without_trip_id=True)
    _, [rfq] = await avinode.trip_with_rfqs()
    bodies = await receiver.bodies(3)

    assert bodies == [{"id": rfq, "href": f"{avinode.url}/api/rfqs/{rfq}", "type": "rfqs"}] * 3
    assert len(await avinode.deliveries_when(all_delivered)) == 3


async def test_shuffled_notices_come_in_another_order(avinode: Avinode, receiver: Receiver) -> None:
    await avinode.switch_on(shuffle=True)
    _, rfqs = await avinode.trip_with_rfqs(6)
    arrived = [body["id"] for body in await receiver.bodies(6)]

    assert arrived != rfqs
    assert sorted(arrived) == sorted(rfqs)


async def test_notices_come_in_order_without_faults(avinode: Avinode, receiver: Receiver) -> None:
    _, rfqs = await avinode.trip_with_rfqs(6)

    assert [body["id"] for body in await receiver.bodies(6)] == rfqs


async def test_quick_receiver_gets_one_notice_at_a_time(avinode: Avinode, receiver: Receiver) -> None:
    receiver.delay_s = 0.01
    await avinode.trip_with_rfqs(4)
    await avinode.deliveries_when(all_delivered)

    assert receiver.most_at_once == 1


async def test_redelivery_that_succeeds_ends_the_trying(avinode: Avinode, receiver: Receiver) -> None:
    receiver.answers = [500]
    _, [rfq] = await avinode.trip_with_rfqs()
    [owed] = await avinode.deliveries_when(lambda shown: shown[0]["attempt_count"] == 1)
    await avinode.act("redeliver", {"id": owed["id"]})
    await avinode.deliveries_when(all_delivered)
    receiver.answers = [500]
    await avinode.act(f"rfqs/{rfq}/chat", {"message": "tried again later than the first would be"})

    first, later = await avinode.deliveries_when(all_delivered)
    assert (first["attempt_count"], later["attempt_count"]) == (2, 2)


async def test_delayed_notice_lets_a_later_one_pass(avinode: Avinode, receiver: Receiver) -> None:
    await avinode.switch_on(delay_ms=300)
    _, [rfq] = await avinode.trip_with_rfqs()
    await avinode.switch_on()
    quoted = await avinode.act(f"rfqs/{rfq}/quote", {"price": 1})

    assert [body["id"] for body in await receiver.bodies(2)] == [quoted["message_id"], rfq]


async def test_dropped_notice_is_sent_only_by_redelivery(avinode: Avinode, receiver: Receiver) -> None:
    await avinode.switch_on(drop=True)
    _, [rfq] = await avinode.trip_with_rfqs()
    [dropped] = await avinode.deliveries()
    await avinode.switch_on()
    await avinode.act(f"rfqs/{rfq}/chat", {"message": "later"})
    await receiver.bodies(1)

    assert (dropped["state"], dropped["attempts"]) == ("dropped", [])
    await avinode.act("redeliver", {"id": dropped["id"]})
    await avinode.act("redeliver", {"id": dropped["id"]})
    bodies = await receiver.bodies(2)
    assert bodies[1]["id"] == rfq
    shown = await avinode.deliveries_when(all_delivered)
    assert (await avinode.call("GET", f"/sim/deliveries?since={dropped['id']}")).body["deliveries"] == shown[1:]
    assert (await avinode.call("POST", "/sim/redeliver", {"id": 99})).status == 404


async def test_webhooks_are_told_what_they_asked_for(avinode: Avinode, receiver: Receiver) -> None:
    setting = {
        "targetURI": receiver.url + "?chat",
        "displayName": "Chat only",
        "clientIdentifier": "u",
        "clientSecret": "p",
        "clientAuthenticationType": "BASIC",
        "eventTypes": ["TripChatFromSeller"],
    }
    created = await avinode.rest("POST", "/api/webhooks/settings", setting)
    _, [rfq] = await avinode.trip_with_rfqs()
    await avinode.act(f"rfqs/{rfq}/chat", {"message": "hi"})
    deliveries = await avinode.deliveries_when(all_delivered)
    listed = (await avinode.rest("GET", "/api/webhooks/settings")).body["data"]

    assert created.status == 201
    assert created.body["data"]["id"].startswith("whs-")
    assert [webhook["displayName"] for webhook in listed] == ["From the environment", "Chat only"]
    assert "clientSecret" not in listed[1]
    told = [(delivery["event"], delivery["webhook_id"]) for delivery in deliveries]
    assert told == [
        ("TripRequestMine", listed[0]["id"]),
        ("TripChatFromSeller", listed[0]["id"]),
        ("TripChatFromSeller", listed[1]["id"]),
    ]


async def test_inactive_webhook_is_told_nothing(avinode: Avinode) -> None:
    [webhook] = (await avinode.rest("GET", "/api/webhooks/settings")).body["data"]
    changed = {"targetURI": webhook["targetURI"], "displayName": "off", "active": False}

    assert (await avinode.rest("PUT", f"/api/webhooks/settings/{webhook['id']}", changed)).status == 200
    await avinode.trip_with_rfqs()
    assert await avinode.deliveries() == []
    assert (await avinode.rest("PUT", "/api/webhooks/settings/whs-1", changed)).status == 404
