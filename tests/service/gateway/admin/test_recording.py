"""Whoever reads what others said is recorded before they have it, or does not have it at all."""

from datetime import datetime
from typing import Any, cast

import httpx2
import pytest
from starlette.requests import Request

from services.gateway.account.caller import Caller
from services.gateway.account.recording import Recording
from services.gateway.analytics.traces.record import WholeTrace
from shared.errors import BrokerAway
from shared.events import ConversationRead
from shared.ids import new_id
from shared.publishing.publisher import Publisher
from tests.pure.gateway.samples import NOON, facts, stored
from tests.service.gateway.admin.test_dead_letters import BODY, park
from tests.service.gateway.admin.test_deliveries import keep
from tests.service.gateway.fakes import World
from tests.service.gateway.fakes.publisher import FakePublisher

SECRET = "as it came"


@pytest.fixture
def world() -> World:
    return World()


def reads(world: World) -> list[ConversationRead]:
    return [event for event in world.published if isinstance(event, ConversationRead)]


def paths(world: World) -> dict[str, str]:
    """Return by kind the paths by which an administrator is shown a body, in a world that has one of each."""
    letter, delivery = park(world).letter, keep(world, payload=BODY)
    return {"dead_letter": f"/api/admin/dead/{letter.id}", "delivery": f"/api/admin/deliveries/{delivery.id}"}


async def call(world: World, path: str, role: str = "admin", **query: str) -> httpx2.Response:
    async with world.client("root", role=role) as client:
        return await client.get(path, params=query)


@pytest.mark.parametrize(("kind", "owner"), [("dead_letter", "u1"), ("delivery", None)])
async def test_a_body_is_shown_once_it_is_recorded_who_reads_it_and_why(
    world: World, kind: str, owner: str | None
) -> None:
    path = paths(world)[kind]
    answer = await call(world, path, reason="ticket 12")
    assert SECRET in answer.json()["body"]
    (read,) = reads(world)
    assert (read.operator, read.kind, read.user_id, read.items) == ("root", kind, owner, 1)
    assert read.query == {"path": path, "reason": "ticket 12"}
    (listed,) = (await call(world, "/api/admin/reads")).json()["reads"]
    assert (listed["operator"], listed["user_id"], listed["reason"]) == ("root", owner, "ticket 12")


@pytest.mark.parametrize("host", ["gateway.test/harmless?", "gateway.test#", "gateway.test/api/me?path=/api/me&x="])
async def test_no_host_that_a_reader_calls_by_changes_what_is_recorded(world: World, host: str) -> None:
    path = paths(world)["delivery"]
    async with world.client("root", role="admin") as client:
        answer = await client.get(path, params={"reason": "ticket 12"}, headers={"Host": host})
    assert answer.status_code == 200
    assert [read.query for read in reads(world)] == [{"path": path, "reason": "ticket 12"}]


@pytest.mark.parametrize("kind", ["dead_letter", "delivery"])
@pytest.mark.parametrize("fault", ["broker_away", "broker_loses_all"])
async def test_without_a_record_no_body_leaves(world: World, kind: str, fault: str) -> None:
    path = paths(world)[kind]
    setattr(world, fault, True)
    answer = await call(world, path)
    assert (answer.status_code, answer.json()["code"]) == (503, "broker_away")
    assert SECRET not in answer.text


@pytest.mark.parametrize("kind", ["dead_letter", "delivery"])
async def test_where_administrators_read_no_bodies_there_are_none_and_nothing_is_recorded(
    world: World, kind: str
) -> None:
    world.settings = world.settings.model_copy(update={"admins_read_bodies": False})
    path = paths(world)[kind]
    world.broker_away = True  # which is none of its business then
    answer = await call(world, path)
    assert (answer.status_code, answer.json()["body"], answer.json()["body_base64"]) == (200, None, None)
    assert SECRET not in answer.text
    assert reads(world) == []


@pytest.mark.parametrize("query", [{"reason": ""}, {"reason": "x" * 501}, {"why": "x"}, {"reason": "a\x00b"}])
async def test_a_reason_is_a_text_of_some_length(world: World, query: dict[str, str]) -> None:
    for path in paths(world).values():
        assert (await call(world, path, **query)).status_code == 422
    assert reads(world) == []


async def test_nobody_else_reads_bodies_or_who_has_read_them(world: World) -> None:
    for path in (*paths(world).values(), "/api/admin/reads"):
        for role in ("user", "service"):
            assert (await call(world, path, role=role)).status_code == 403
    assert reads(world) == []


async def noon() -> datetime:
    return NOON


async def recorded(world: World, owners: list[str | None]) -> list[tuple[str | None, int]]:
    """Record these owners' items; return what was published of each."""
    recording = Recording(cast(Publisher, FakePublisher(world)), noon, shows_bodies=True)
    reading = await recording.begin(*_request())
    await reading.record("messages", owners)
    return [(read.user_id, read.items) for read in reads(world)]


def _request() -> tuple[Caller, Request]:
    scope = {
        "type": "http",
        "path": "/api/admin/messages",
        "query_string": b"q=x&cursor=y",
        "headers": [],
        "state": {"correlation_id": new_id()},
    }
    return Caller("root", None, "admin", None, ("root",)), Request(scope)


async def test_a_page_is_one_record_for_each_owner_on_it(world: World) -> None:
    assert await recorded(world, ["ada", "bob", "ada", None]) == [("ada", 2), ("bob", 1), (None, 1)]
    assert {tuple(read.query.items()) for read in reads(world)} == {(("path", "/api/admin/messages"), ("q", "x"))}


async def test_what_can_be_nobody_s_id_names_nobody(world: World) -> None:
    assert await recorded(world, ["x" * 256, ""]) == [(None, 2)]


async def test_a_page_with_nothing_on_it_is_not_recorded_and_needs_no_broker(world: World) -> None:
    world.broker_away = True
    assert await recorded(world, []) == []


async def test_of_several_records_one_that_is_lost_is_enough(world: World) -> None:
    class Forgetful(FakePublisher):
        async def publish(self, event: Any, **rest: Any) -> None:
            if event.user_id == "bob":
                raise BrokerAway
            await super().publish(event, **rest)

    recording = Recording(cast(Publisher, Forgetful(world)), noon, shows_bodies=True)
    reading = await recording.begin(*_request())
    with pytest.raises(BrokerAway):
        await reading.record("messages", ["ada", "bob", "cy"])


async def test_titles_of_others_trips_are_recorded_or_left_out(world: World) -> None:
    world.sessions.append(facts("s1", stored=stored()))
    async with world.client("u1") as client:
        await client.post("/api/chat/sessions/s1/trips", json={"avinode_trip_id": "ABCDEF"})
    (trip,) = world.trips
    world.trips = [trip.model_copy(update={"conversation_subject": "to Paris", "metadata": {"note": "vip"}})]
    path = "/api/admin/trips"
    (shown,) = (await call(world, path, user_id="u1", reason="x")).json()["trips"]
    assert shown["conversation_subject"] == "to Paris"
    assert [(read.kind, read.user_id, read.query["reason"]) for read in reads(world)] == [("trips", "u1", "x")]
    world.broker_away = True
    assert (await call(world, path, user_id="u1")).status_code == 503
    world.settings = world.settings.model_copy(update={"admins_read_bodies": False})
    (hidden,) = (await call(world, path, user_id="u1")).json()["trips"]
    assert (hidden["conversation_subject"], hidden["metadata"], hidden["iso_agent_id"]) == (None, {}, "u1")


async def test_what_others_have_told_with_a_trace_is_recorded_or_left_out(world: World) -> None:
    trace = WholeTrace(trace_id="t1", user_id="bob", status="error", error="no Rome", model="m", started_at=NOON)
    path = "/api/analytics/traces/t1"
    world.traces = [trace]
    assert (await call(world, path, user_id="bob")).json()["attributes"] == {}
    assert reads(world) == [], "there was nothing of theirs in it"
    world.traces = [trace.model_copy(update={"attributes": {"said": "to Paris"}})]
    assert "to Paris" in (await call(world, path, user_id="bob", reason="x")).text
    assert [(read.kind, read.user_id) for read in reads(world)] == [("trace", "bob")]
    world.broker_away = True
    assert (await call(world, path, user_id="bob")).status_code == 503
    async with world.client("bob") as client:
        assert "to Paris" in (await client.get(path)).text, "it is bob's own"
    world.settings = world.settings.model_copy(update={"admins_read_bodies": False})
    answer = await call(world, path, user_id="bob")
    assert (answer.status_code, answer.json()["attributes"], answer.json()["error"]) == (200, {}, None)
    for query in ({}, {"user_id": "bob"}):
        (listed,) = (await call(world, "/api/analytics/traces", **query)).json()["traces"]
        assert (listed["trace_id"], listed["error"]) == ("t1", None)
    async with world.client("bob") as client:
        assert "no Rome" in (await client.get("/api/analytics/traces")).text, "it is bob's own"
