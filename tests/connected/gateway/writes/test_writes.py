"""Writes through the API to the services that store them: the answer shows the row."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aio_pika
import pytest

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from shared.events import MessagePosted
from shared.ids import new_id
from shared.settings import Settings
from shared.topology import LOGGER_CHAT
from tests.connected.gateway.stage import Stage, open_stage, own_database
from tests.dates import FLIGHT_DAY
from tests.processes import running
from tests.pure.gateway.samples import minutes
from tests.servers import Servers, empty_broker
from tests.waiting import until

TRIP = {"segments": [{"from": "KTEB", "to": "KPBI", "date": FLIGHT_DAY, "time": "09:30"}], "pax": 4}
PATIENT_S = 20.0  # for a stored row, since nothing of this is about how long it takes


@pytest.fixture(scope="module")
async def stage(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """All services, the gateway in this process, and a stand-in for Avinode; once for all of these tests."""
    await empty_broker(servers.amqp_url)
    async with AsyncExitStack() as stack:
        settings = await stack.enter_async_context(own_database(servers, template))
        sandbox = await stack.enter_async_context(serving(SandboxSettings(llm_port=0, avinode_port=0)))
        settings = _told(settings, avinode_base_url=f"{sandbox.avinode}/api", stored_wait_s=PATIENT_S)
        directory = tmp_path_factory.mktemp("services")
        await stack.enter_async_context(running(settings, directory, "logger", "tagger", "workflow"))
        opened = await stack.enter_async_context(open_stage(settings))
        hearing = asyncio.create_task(opened.outcomes.run())
        yield opened
        opened.outcomes.shut_down()
        await hearing


def _told(settings: Settings, **changes: Any) -> Settings:
    return settings.model_copy(update=changes)


async def speak(stage: Stage, session_id: str, user: str, model: str | None = None) -> None:
    """Say something, as the gateway would tell of it, and wait until it is stored."""
    event = MessagePosted(
        user_id=user,
        session_id=session_id,
        message_id=str(new_id()),
        role="user",
        content="Teterboro to Palm Beach",
        created_at=minutes(0),
        model=model,
    )
    await stage.publisher.publish(event)

    async def stored() -> bool:
        return (await stage.get(f"/api/chat/sessions/{session_id}", user)).status_code == 200

    await until(stored, "the session")


async def test_a_registered_model_is_answered_as_it_is_stored_and_tags_sessions(stage: Stage) -> None:
    body = {"name": "writer", "provider": "openai"}
    first = await stage.post("/api/models", body, role="admin")
    again = await stage.post("/api/models", body, role="admin")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    model = first.json()
    assert model["id"].replace("-", "").startswith(model["short_id"])

    await speak(stage, "s1", "tom", model="writer")
    tag = (await stage.get("/api/chat/sessions/s1/tag", "tom", wait=10)).json()
    assert tag["session_tag"] == f"chat_model_{model['short_id']}_001"
    session = (await stage.get("/api/chat/sessions/s1", "tom")).json()["session"]
    assert (session["session_tag"], session["tag_label"]) == (tag["session_tag"], "[writer #001]")


async def test_a_model_that_is_renamed_is_called_so_in_labels_and_experiments(stage: Stage) -> None:
    model = (await stage.post("/api/models", {"name": "named"}, role="admin")).json()
    path = f"/api/models/{model['id']}"
    await speak(stage, "s1", "kim", model="named")
    tag = (await stage.get("/api/chat/sessions/s1/tag", "kim", wait=10)).json()
    answer = await stage.http.patch(path, json={"display_name": "Best"}, headers=stage.as_user("root", role="admin"))
    assert (answer.status_code, answer.json()) == (200, {**model, "display_name": "Best"})

    session = (await stage.get("/api/chat/sessions/s1", "kim")).json()["session"]
    assert (session["session_tag"], session["tag_label"]) == (tag["session_tag"], "[Best #001]")
    assert (session["experiment_name"], session["mixed"]) == (None, False)
    renamed = (await stage.get("/api/chat/sessions/s1/tag", "kim")).json()
    assert renamed == {**tag, "experiment_name": "Best", "model_name": "Best"}

    await stage.http.patch("/api/chat/sessions/s1", json={"experiment_name": "blue"}, headers=stage.as_user("kim"))
    assert (await stage.get("/api/chat/sessions/s1/tag", "kim")).json()["experiment_name"] == "blue"


async def test_a_trip_is_answered_as_avinode_has_it(stage: Stage) -> None:
    await speak(stage, "s2", "ann")
    path, headers = "/api/chat/sessions/s2/trips", {**stage.as_user("ann"), "Idempotency-Key": "key"}
    answer = await stage.http.post(path, json=TRIP, headers=headers)
    assert answer.status_code == 201, answer.text
    trip = answer.json()["trip"]
    assert trip["avinode_trip_id"].startswith("atrip-")
    assert trip["deep_link"]
    assert (trip["request"]["state"], trip["current_step"]) == ("created", "searching_aircraft")
    assert (trip["departure_airport"], trip["arrival_airport"], trip["pax"]) == ("KTEB", "KPBI", 4)

    again = await stage.http.post(path, json=TRIP, headers=headers)
    assert (again.status_code, again.json()["trip"]["id"]) == (200, trip["id"])
    other = await stage.post(path, TRIP)
    assert (other.status_code, other.json()["trip_id"]) == (409, trip["id"])
    for reference in (trip["id"], trip["avinode_trip_id"], trip["trip_code"]):
        assert (await stage.get(f"/api/trips/{reference}")).json()["id"] == trip["id"]
    session = (await stage.get("/api/chat/sessions/s2")).json()["session"]
    assert (session["trip"]["id"], session["current_step"]) == (trip["id"], "searching_aircraft")


async def test_a_trip_may_be_attached_to_another_session_of_its_owner_only(stage: Stage) -> None:
    await speak(stage, "s3", "eve")
    await speak(stage, "s4", "eve")
    await speak(stage, "s5", "bob")
    trip = (await stage.post("/api/chat/sessions/s3/trips", TRIP, "eve")).json()["trip"]
    code = {"avinode_trip_id": trip["trip_code"]}
    own = await stage.post("/api/chat/sessions/s4/trips", code, "eve")
    again = await stage.post("/api/chat/sessions/s4/trips", code, "eve")
    strangers = await stage.post("/api/chat/sessions/s5/trips", code, "bob")
    assert (own.status_code, again.status_code, strangers.status_code) == (201, 200, 404)
    assert (own.json()["trip"]["id"], own.json()["trip"]["conversation_id"]) == (trip["id"], "s4")
    listed = await stage.get("/api/trips", "eve", avinode_trip_id=trip["avinode_trip_id"])
    assert {each["conversation_id"] for each in listed.json()["trips"]} == {"s3", "s4"}


async def test_a_dead_letter_is_dropped_and_says_by_whom(stage: Stage) -> None:
    async with await aio_pika.connect(stage.settings.amqp_url) as connection:
        channel = await connection.channel()
        await channel.default_exchange.publish(aio_pika.Message(b"garbage", type="Nothing"), LOGGER_CHAT.name)

    async def parked() -> dict[str, Any] | None:
        letters = (await stage.get("/api/admin/dead", role="admin", state="parked")).json()["dead_letters"]
        return letters[0] if letters else None

    letter = await until(parked, "the dead letter")
    assert (letter["queue"], letter["reason"]) == (LOGGER_CHAT.name, "unknown_type")
    answer = await stage.post(f"/api/admin/dead/{letter['id']}/drop", user="root", role="admin")
    assert (answer.status_code, answer.json()["stored"]) == (200, True)
    assert answer.json()["dead_letter"]["decided_by"] == "root"
    assert await parked() is None
