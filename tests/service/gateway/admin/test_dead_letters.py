"""Models and dead letters over HTTP."""

from uuid import UUID

import pytest

from services.gateway.admin.dead_letters.answers import DeadLetter, Parked
from shared.events import DeadLetterDropped, DeadLetterReplayed, ModelRegistered
from shared.ids import model_id, new_id
from tests.pure.gateway.samples import NOON
from tests.service.gateway.fakes import World

BODY = b'{"event": "as it came"}'


@pytest.fixture
def world() -> World:
    return World()


def park(world: World, queue: str = "logger.chat") -> Parked:
    letter = DeadLetter(
        id=new_id(),
        queue=queue,
        event_id=new_id(),
        event_name="MessagePosted",
        reason="unstorable",
        error="values refused",
        user_id="u1",
        state="parked",
        decided_by=None,
        decided_at=None,
        received_at=NOON,
        arrivals=2,
        size_bytes=len(BODY),
    )
    world.parked[letter.id] = Parked(letter, BODY, {})
    return world.parked[letter.id]


async def test_a_model_is_registered_under_the_id_that_its_name_gives(world: World) -> None:
    async with world.client("admin", role="admin") as client:
        answer = await client.post("/api/models", json={"name": "gpt", "provider": "p", "tracked": False})
        again = await client.post("/api/models", json={"name": "gpt", "provider": "p", "tracked": True})
        listed = await client.get("/api/models")
    assert (answer.status_code, again.status_code) == (201, 200)
    assert answer.json() == {
        "id": str(model_id("p", "gpt")),
        "name": "gpt",
        "display_name": "gpt",
        "provider": "p",
        "tracked": False,
        "short_id": "a1b2c3",
        "configured": False,
        "aliases": [],
        "stored": True,
    }
    assert again.json()["tracked"] is True
    (model,) = listed.json()["models"]
    assert {**model, "stored": True} == again.json()


async def test_a_models_provider_is_that_of_the_chats_by_default(world: World) -> None:
    async with world.client("admin", role="admin") as client:
        await client.post("/api/models", json={"name": "gpt"})
    (event,) = world.published
    assert isinstance(event, ModelRegistered)
    assert (event.provider, event.tracked) == (world.settings.model_provider, True)


async def test_a_model_that_is_not_stored_in_time_is_answered_whole(world: World) -> None:
    world.consumers_away = True
    async with world.client("admin", role="admin") as client:
        answer = await client.post("/api/models", json={"name": "gpt"})
    assert (answer.status_code, answer.json()["stored"]) == (202, False)
    assert answer.json()["short_id"] is None


async def test_without_a_broker_no_model_is_registered(world: World) -> None:
    world.broker_away = True
    async with world.client("admin", role="admin") as client:
        answer = await client.post("/api/models", json={"name": "gpt"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


async def test_models_are_listed_page_by_page(world: World) -> None:
    async with world.client("admin", role="admin") as client:
        for number in range(3):
            await client.post("/api/models", json={"name": f"m{number}"})
        first = (await client.get("/api/models", params={"limit": 2})).json()
        rest = (await client.get("/api/models", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    names = [model["name"] for page in (first, rest) for model in page["models"]]
    assert sorted(names) == ["m0", "m1", "m2"]


async def test_dead_letters_are_listed_without_what_users_said(world: World) -> None:
    parked = park(world)
    async with world.client("admin", role="admin") as client:
        answer = await client.get("/api/admin/dead")
    (letter,) = answer.json()["dead_letters"]
    assert letter["id"] == str(parked.letter.id)
    assert "as it came" not in answer.text


async def test_a_replay_sends_the_same_message_to_its_queue_and_is_recorded(world: World) -> None:
    parked = park(world)
    async with world.client("root", role="admin") as client:
        answer = await client.post(f"/api/admin/dead/{parked.letter.id}/replay")
    assert world.sent_to == [("logger.chat", BODY, str(parked.letter.event_id))]
    (event,) = world.published
    assert isinstance(event, DeadLetterReplayed)
    assert (event.dead_letter_id, event.operator, event.arrivals) == (parked.letter.id, "root", 2)
    assert (answer.status_code, answer.json()["dead_letter"]["state"]) == (200, "replayed")


async def test_a_drop_is_recorded_and_sends_nothing(world: World) -> None:
    parked = park(world)
    async with world.client("root", role="admin") as client:
        answer = await client.post(f"/api/admin/dead/{parked.letter.id}/drop")
    assert isinstance(world.published[0], DeadLetterDropped)
    assert world.sent_to == []
    assert (answer.status_code, answer.json()["dead_letter"]["decided_by"]) == (200, "root")


async def test_what_was_decided_is_not_decided_again(world: World) -> None:
    parked = park(world)
    async with world.client("root", role="admin") as client:
        await client.post(f"/api/admin/dead/{parked.letter.id}/drop")
        for action in ("drop", "replay"):
            answer = await client.post(f"/api/admin/dead/{parked.letter.id}/{action}")
            assert (answer.status_code, answer.json()["state"]) == (409, "dropped")
    assert (len(world.published), world.sent_to) == (1, [])


@pytest.mark.parametrize("queue", ["somebody.elses", "dead"])
async def test_a_message_that_no_consumer_would_read_is_not_replayed(world: World, queue: str) -> None:
    parked = park(world, queue=queue)
    async with world.client("root", role="admin") as client:
        answer = await client.post(f"/api/admin/dead/{parked.letter.id}/replay")
    assert (answer.status_code, world.sent_to, world.published) == (409, [], [])


async def test_an_unknown_dead_letter_is_not_found(world: World) -> None:
    async with world.client("root", role="admin") as client:
        assert (await client.post(f"/api/admin/dead/{UUID(int=0)}/replay")).status_code == 404


async def test_without_a_broker_nothing_is_decided(world: World) -> None:
    parked = park(world)
    world.broker_away = True
    async with world.client("root", role="admin") as client:
        answer = await client.post(f"/api/admin/dead/{parked.letter.id}/replay")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert world.parked[parked.letter.id].letter.state == "parked"


async def test_readiness_names_what_is_away_and_keeps_the_reasons_inside(world: World) -> None:
    async with world.client() as client:
        ready = await client.get("/readyz")
        world.faults = {"broker": "no connection to 10.0.0.7", "turns": "stopped"}
        away = await client.get("/readyz")
        world.faults, world.degraded = {}, {"broker": "no connection to 10.0.0.7"}
        degraded = await client.get("/readyz")
        alive = await client.get("/healthz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "away": [], "degraded": []})
    assert (away.status_code, away.json()["away"]) == (503, ["broker", "turns"])
    assert (degraded.status_code, degraded.json()) == (200, {"status": "ready", "away": [], "degraded": ["broker"]})
    assert "10.0.0.7" not in away.text + degraded.text
    assert alive.status_code == 200
