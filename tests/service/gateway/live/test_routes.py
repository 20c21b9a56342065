"""`GET /api/events` over HTTP, and who may hear of what."""

from datetime import UTC, datetime

import pytest

from services.gateway.account.identity import Caller
from services.gateway.live.admitting import Admitting
from services.gateway.live.changes import Change, changes
from services.gateway.live.routes import Live
from services.gateway.sessions.own_session import OwnSessions
from services.gateway.sessions.view import SessionFacts, StoredSession
from tests.pure.gateway.samples import NOON
from tests.service.gateway.fakes import World
from tests.tokens import token_for


@pytest.fixture
def world() -> World:
    return World()


async def test_a_stream_may_be_kept_by_nobody_on_its_way(world: World) -> None:
    async with world.client("ann") as client:
        answer = await client.get("/api/events")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-store", "no")
    assert answer.text.startswith("retry: 3000\nid: ")


async def test_who_had_a_stream_before_is_told_to_fetch_everything(world: World) -> None:
    async with world.client("ann") as client:
        answer = await client.get("/api/events", headers={"Last-Event-ID": "anything"})
    assert "event: resync\n" in answer.text


async def test_nobody_becomes_a_visitor_by_listening(world: World) -> None:
    async with world.client() as client:
        answer = await client.get("/api/events")
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert "set-cookie" not in answer.headers


async def test_a_stream_that_has_ended_counts_no_more(world: World) -> None:
    world.settings = world.settings.model_copy(update={"event_streams_at_once": 1})
    async with world.client("ann") as client:
        for _ in range(3):
            assert (await client.get("/api/events")).status_code == 200


async def test_a_token_that_is_good_for_ever_is_no_fault(world: World) -> None:
    async with world.client() as client:
        token = token_for(world.settings, "ann", expires_in_s=10**400)
        answer = await client.get("/api/events", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200


async def test_a_gateway_that_is_about_to_end_lets_nobody_listen(world: World) -> None:
    async with world.client("ann") as client:
        live: Live = world.api().state.handed[Live]
        live.listeners.close()
        for _ in range(world.settings.event_streams_at_once + 1):
            assert (await client.get("/api/events")).json()["code"] == "shutting_down"


def session(session_id: str, project_id: str | None, *, deleted: bool = False) -> SessionFacts:
    stored = StoredSession(NOON, NOON, NOON, project_id=project_id)
    return SessionFacts("ann", session_id, stored, deleted=deleted)


def change(session_id: str, word: str = "messages") -> Change:
    [one] = changes("ann", session_id, [word], datetime.now(UTC))
    return one


@pytest.mark.parametrize(("projects", "seen"), [(("p1",), ["one"]), (("p2", "p1"), ["one", "two"]), ((), [])])
async def test_a_token_that_names_projects_hears_of_their_sessions_only(
    world: World, projects: tuple[str, ...], seen: list[str]
) -> None:
    world.sessions = [
        session("one", "p1"),
        session("two", "p2"),
        session("none", None),
        session("gone", "p1", deleted=True),
    ]
    admitting = Admitting(own_sessions(world), Caller("ann", None, "user", projects, ("ann",)))
    told = await admitting.admit([change(name) for name in ("one", "two", "none", "gone", "unknown")])
    assert told is not None
    assert [each.session_id for each in told] == seen


async def test_of_what_was_deleted_a_limited_token_is_told_no_name(world: World) -> None:
    world.sessions = [session("gone", "p2", deleted=True)]
    admitting = Admitting(own_sessions(world), Caller("ann", None, "user", ("p1",), ("ann",)))
    assert await admitting.admit([change("gone", "deleted")]) is None


def own_sessions(world: World) -> OwnSessions:
    live: Live = world.api().state.handed[Live]
    return live.own
