"""Deliveries over HTTP: seen, and worked again."""

from base64 import b64decode
from uuid import UUID

import pytest

from services.gateway.admin.deliveries.answers import Delivery, State, WholeDelivery
from shared.events import DeliveryReprocessed
from shared.ids import new_id
from tests.pure.gateway.samples import NOON
from tests.service.gateway.fakes import World

PATH = "/api/admin/deliveries"


@pytest.fixture
def world() -> World:
    return World()


def keep(world: World, state: State = "refused", payload: bytes = b'{"href": "http://elsewhere"}') -> WholeDelivery:
    delivery = Delivery(
        id=new_id(),
        source="avinode",
        event=None,
        state=state,
        reason="why" if state != "done" else None,
        href="http://elsewhere",
        kind=None,
        trip=None,
        attempts=1,
        received_at=NOON,
        worked_at=None,
        due_at=None,
        reprocessed_by=None,
        reprocessed_at=None,
        size_bytes=len(payload),
    )
    world.deliveries[delivery.id] = WholeDelivery.of(delivery, {"user-agent": "x"}, payload)
    return world.deliveries[delivery.id]


async def test_deliveries_are_listed_without_their_bodies_and_shown_with_them(world: World) -> None:
    kept = keep(world)
    async with world.client("root", role="admin") as client:
        listed = await client.get(PATH)
        shown = await client.get(f"{PATH}/{kept.id}")
    (delivery,) = listed.json()["deliveries"]
    assert (delivery["id"], delivery["reason"]) == (str(kept.id), "why")
    assert not delivery.keys() & {"body", "body_base64", "headers"}
    assert shown.json()["body"] == '{"href": "http://elsewhere"}'


async def test_a_body_that_is_no_text_is_shown_byte_by_byte(world: World) -> None:
    kept = keep(world, payload=b"\x00\xff")
    async with world.client("root", role="admin") as client:
        shown = (await client.get(f"{PATH}/{kept.id}")).json()
    assert (shown["body"], b64decode(shown["body_base64"])) == (None, b"\x00\xff")


@pytest.mark.parametrize("state", ["done", "refused", "ignored", "unmatched", "unreadable"])
async def test_whatever_became_of_one_it_is_worked_again_and_that_is_recorded(world: World, state: State) -> None:
    kept = keep(world, state)
    async with world.client("root", role="admin") as client:
        answer = await client.post(f"{PATH}/{kept.id}/reprocess")
    (event,) = world.published
    assert isinstance(event, DeliveryReprocessed)
    assert (event.delivery_id, event.operator) == (kept.id, "root")
    assert (answer.status_code, answer.json()["stored"]) == (200, True)
    assert (answer.json()["delivery"]["state"], answer.json()["delivery"]["reprocessed_by"]) == ("due", "root")
    assert "body" not in answer.json()["delivery"]


async def test_while_the_workflow_is_away_it_is_accepted(world: World) -> None:
    kept = keep(world)
    world.consumers_away = True
    async with world.client("root", role="admin") as client:
        answer = await client.post(f"{PATH}/{kept.id}/reprocess")
    assert (answer.status_code, answer.json()["stored"], answer.json()["delivery"]["state"]) == (202, False, "refused")


async def test_without_a_broker_nothing_is_worked_again(world: World) -> None:
    kept = keep(world)
    world.broker_away = True
    async with world.client("root", role="admin") as client:
        answer = await client.post(f"{PATH}/{kept.id}/reprocess")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


async def test_an_unknown_one_is_not_found(world: World) -> None:
    async with world.client("root", role="admin") as client:
        assert (await client.get(f"{PATH}/{UUID(int=0)}")).status_code == 404
        assert (await client.post(f"{PATH}/{UUID(int=0)}/reprocess")).status_code == 404
    assert world.published == []


async def test_they_are_for_administrators(world: World) -> None:
    kept = keep(world)
    async with world.client("ann") as client:
        answers = [await client.get(PATH), await client.get(f"{PATH}/{kept.id}")]
        answers.append(await client.post(f"{PATH}/{kept.id}/reprocess"))
    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert world.published == []


@pytest.mark.parametrize("query", ["state=lost", "from=yesterday", "from=2026-11-29T00:00:00", "trip=", "status=due"])
async def test_a_filter_that_is_none_is_refused(world: World, query: str) -> None:
    async with world.client("root", role="admin") as client:
        assert (await client.get(f"{PATH}?{query}")).status_code == 422
