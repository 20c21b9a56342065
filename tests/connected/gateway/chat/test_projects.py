"""A token that names projects sees the sessions of these and what hangs on them, and nothing else, by any route.

The routes are those of the OpenAPI document: one that is new is found here, and fails until it is told what it shows.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest

from services.gateway.turns.turn import Question
from shared.ids import new_id
from tests.connected.gateway.stage import Rows, Stage
from tests.dates import FLIGHT_DAY
from tests.pure.gateway.samples import claim
from tests.tokens import token_for

SESSIONS, TRIPS, CHAT = "/api/chat/sessions", "/api/trips", "/api/chat"

# What a route is sent whose body must say something.
BODIES: dict[tuple[str, str], Any] = {
    ("patch", "/api/chat/sessions/{session_id}"): {"pinned": True},
    ("post", "/api/chat/sessions/{session_id}/messages"): {"role": "user", "content": "hello"},
    ("post", "/api/chat/sessions/{session_id}/messages/{message_id}/feedback"): {"value": "up"},
    ("post", "/api/chat/sessions/{session_id}/fork"): {},
    ("post", "/api/chat/sessions/{session_id}/shares"): {},
    ("patch", "/api/trips/{trip_id}"): {"metadata": {"a": 1}},
    ("patch", "/api/admin/users/{user_id}"): {"quota": {}},
    ("post", "/api/trips/{trip_id}/cancel"): {"reason": "OTHER"},
    ("post", "/api/chat/sessions/{session_id}/trips"): {
        "segments": [{"from": "KTEB", "to": "KPBI", "date": FLIGHT_DAY}],
        "pax": 2,
    },
    ("patch", "/api/proposals/{proposal_id}"): {"note": "hello"},
    ("post", "/api/proposals/{proposal_id}/send"): {},
}
# Lists, by the word for what they list.
LISTS = {SESSIONS: "sessions", TRIPS: "trips"}
# Routes that show nothing of anybody's session, and those with tests of their own.
ELSEWHERE = {
    ("post", CHAT),  # below
    ("post", "/api/chat/{session_id}/approvals/{approval_id}"),  # in tests/connected/gateway/tools/test_consent.py
    ("post", "/v1/chat/completions"),  # in tests/connected/gateway/v1/test_sessions.py
    ("post", "/v1/responses"),  # in tests/connected/gateway/v1/test_responses.py, with the next two
    ("get", "/v1/responses/{response_id}"),
    ("delete", "/v1/responses/{response_id}"),
    (
        "get",
        "/v1/responses/{response_id}/input_items",
    ),  # tests/connected/gateway/v1/test_asked_again.py
    ("post", "/v1/responses/{response_id}/cancel"),
    ("get", "/v1/models"),  # which nobody owns
    ("get", "/v1/models/{model}"),
    ("post", SESSIONS),  # in tests/service/gateway/sessions/test_creating.py
    ("delete", SESSIONS),  # below
    ("delete", "/api/me/data"),  # below
    ("get", "/api/me/data"),
    ("get", "/api/me/export"),  # in tests/connected/gateway/privacy/test_export.py
    ("post", f"{SESSIONS}/bulk"),  # in tests/service/gateway/sessions/test_bulk.py
    ("get", "/api/chat/folders"),  # in tests/connected/gateway/sessions/test_changing.py
    ("get", "/api/chat/templates"),  # in tests/service/gateway/sessions/test_templates.py, with the next three
    ("post", "/api/chat/templates"),
    ("patch", "/api/chat/templates/{template_id}"),
    ("delete", "/api/chat/templates/{template_id}"),
    ("get", "/api/shared/{token}"),  # in tests/connected/gateway/sessions/sharing/test_sharing.py
    ("delete", "/api/chat/sessions/{session_id}/shares/{share_id}"),  # there, too
    ("get", "/api/chat/shared/{share_id}"),  # in tests/connected/gateway/sessions/sharing/test_shared_with.py
    ("delete", "/api/chat/shared/{share_id}"),  # there, too
    ("get", "/api/events"),  # in tests/service/gateway/live/test_routes.py
    ("get", "/api/sessions"),
    ("post", "/api/sessions"),
    ("get", "/api/analytics/traces"),  # in tests/connected/gateway/analytics/test_searching.py, with the next two
    ("get", "/api/analytics/traces/list"),
    ("post", "/v1/traces"),  # the same, by another form
    ("post", "/api/analytics/traces"),  # in tests/connected/gateway/analytics/test_reporting.py
    ("get", "/api/analytics/traces/{trace_id}"),
    ("get", "/api/trips/stats"),  # below
    ("get", "/api/models"),
    ("post", "/api/analytics/session-tags"),  # in tests/service/gateway/models/test_reserving.py
    ("get", "/api/analytics/models"),  # in tests/connected/gateway/analytics/test_comparing.py
    ("get", "/api/helpers"),
    ("get", "/api/config"),
    ("get", "/api/me"),
    ("post", "/api/auth/visitor"),
    ("get", "/api/auth/login"),  # in tests/service/gateway/account/test_logins.py, with the next two
    ("post", "/api/auth/login"),
    ("post", "/api/auth/logout"),
    ("get", "/api/keys"),  # in tests/connected/gateway/account/test_keys.py, with the next two
    ("post", "/api/keys"),
    ("delete", "/api/keys/{key_id}"),
    ("post", "/api/webhooks/avinode"),
    ("post", "/api/webhooks/avinode/{event}"),
    ("post", "/api/webhooks/{source}"),
    ("get", "/healthz"),
    ("get", "/readyz"),
}
# Those that are for administrators, whose token may be limited to nothing.
ADMINISTRATION = {("post", "/api/models"), ("patch", "/api/models/{model_id}")}

HIDDEN = ("stored-p2", "stored-none", "fresh-p2", "fresh-none", "running-p2")  # from a token for p1
SEEN = ("stored-p1", "fresh-p1", "named-later")


@dataclass(frozen=True)
class Caller:
    stage: Stage
    projects: Sequence[str] | None
    role: str = "user"

    async def call(self, method: str, path: str, body: Any = None, **query: Any) -> httpx2.Response:
        token = token_for(self.stage.settings, "ann", role=self.role, projects=self.projects)
        headers = {"Authorization": f"Bearer {token}", "Prefer": "respond-async"}
        self.stage.http.cookies.clear()
        return await self.stage.http.request(method, path, json=body, params=query, headers=headers)

    async def chat(self, **body: Any) -> httpx2.Response:
        return await self.call("POST", CHAT, {"message": "[echo hi]", "stream": False, **body})

    async def listed(self, path: str, **query: Any) -> set[str]:
        key = {SESSIONS: "id", TRIPS: "conversation_id"}[path]
        answer = await self.call("GET", path, **query)
        assert answer.status_code == 200, answer.text
        return {each[key] for each in answer.json()[LISTS[path]]}


@pytest.fixture
async def trips(stage: Stage, owner: asyncpg.Connection) -> dict[str, UUID]:
    """Give ann sessions in two projects and in none, stored and not, and a trip to each: trips by session."""
    rows = Rows(owner)
    await rows.session("stored-p1", at=1, project_id="p1")
    await rows.session("stored-p2", at=2, project_id="p2")
    await rows.session("stored-none", at=3)
    await rows.session("named-later", at=4)
    for session_id in ("stored-p1", "stored-p2", "stored-none"):
        await rows.message(session_id, f"m-{session_id}", at=1)
    model = await rows.model("sandbox-small")
    for number, session_id in enumerate(("stored-p1", "stored-p2", "stored-none")):
        await rows.tag(session_id, model, number + 1)
    for session_id, project_id in (
        ("fresh-p1", "p1"),
        ("fresh-p2", "p2"),
        ("fresh-none", None),
        ("named-later", "p1"),
    ):
        question = Question(f"m-{session_id}", "hello")
        wanted = claim(session_id=session_id, project_id=project_id, state="posted", question=question)
        assert await stage.store.claim(wanted) is not None
    question = Question("m-running-p2", "hello")
    assert await stage.store.claim(claim(session_id="running-p2", project_id="p2", question=question)) is not None
    trips = {
        session_id: await rows.trip(session_id, avinode_trip_id=f"atrip-{number}")
        for number, session_id in enumerate((*HIDDEN, *SEEN))
    }
    for session_id, trip_id in trips.items():
        await rows.quote(f"q-{session_id}", trip_id)
        await rows.proposal(trip_id, f"q-{session_id}", session_id)
    return trips


def operations(stage: Stage) -> Iterator[tuple[str, str]]:
    document = stage.http._transport.app.openapi()  # type: ignore[attr-defined]
    for path, methods in document["paths"].items():
        for method in methods:
            yield method, path


def of_one(stage: Stage) -> list[tuple[str, str]]:
    """Return the routes that are about one session, or what hangs on it; what ends one comes last."""
    known = {*ELSEWHERE, *ADMINISTRATION, *(("get", path) for path in LISTS)}
    found = [each for each in operations(stage) if each not in known and not each[1].startswith("/api/admin/")]
    return sorted(found, key=lambda each: each[0] == "delete")


def filled(path: str, session_id: str, trip_id: UUID) -> str:
    """Put ids into a path; a route that is about something else must be told of here."""
    filled = path.format(session_id=session_id, trip_id=trip_id, proposal_id=trip_id, message_id=f"m-{session_id}")
    assert filled != path, f"what does {path} show of whom? See the tables of this test."
    return filled


async def test_by_no_route_a_session_of_another_project_is_found(
    stage: Stage, owner: asyncpg.Connection, trips: dict[str, UUID]
) -> None:
    await owner.execute(
        "UPDATE gateway.turns SET lease_until = now() + interval '1 hour' WHERE state = 'running'"
    )  # as long as this takes
    before = await owner.fetch("SELECT turn_id, state, stored_at FROM gateway.turns ORDER BY turn_id")
    told = {session_id: (await stage.get(f"{SESSIONS}/{session_id}")).json() for session_id in HIDDEN}
    for projects in (["p1"], ["p1", "p3"], []):
        caller = Caller(stage, projects)
        for method, path in of_one(stage):
            for session_id in HIDDEN:
                answer = await caller.call(
                    method.upper(), filled(path, session_id, trips[session_id]), body_of(method, path, session_id)
                )
                refused = (403, 404) if projects == [] and method != "get" else (404,)
                assert answer.status_code in refused, (projects, method, path, session_id, answer.text)
                unknown = await caller.call(
                    method.upper(), filled(path, f"unknown-{new_id()}", new_id()), body_of(method, path, session_id)
                )
                if (method, path) != ("post", "/api/chat/sessions/{session_id}/messages"):  # which begins it
                    assert _known_of(answer) == _known_of(unknown), (method, path, session_id)
    for session_id in HIDDEN:
        assert (await stage.get(f"{SESSIONS}/{session_id}")).json() == told[session_id]
    after = await owner.fetch(
        "SELECT turn_id, state, stored_at FROM gateway.turns WHERE session_id NOT LIKE 'unknown%' ORDER BY 1"
    )
    assert after == before


def body_of(method: str, path: str, session_id: str) -> Any:
    """Return what a route is sent about what this session has."""
    if path == "/api/trips/{trip_id}/proposals":
        return {"quote_ids": [f"q-{session_id}"]}
    return BODIES.get((method, path))


def _known_of(answer: httpx2.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json().get("detail")


@pytest.mark.parametrize(
    ("projects", "seen"),
    [(["p1"], SEEN), (["p3", "p1"], SEEN), (["p2"], HIDDEN[:1]), (None, (*HIDDEN, *SEEN))],
)
async def test_by_every_route_a_session_of_the_tokens_project_is_found(
    stage: Stage, owner: asyncpg.Connection, trips: dict[str, UUID], projects: list[str] | None, seen: Sequence[str]
) -> None:
    """So that the test before this one is about the project, and not about a body that is wrong."""
    # Nobody runs it, so whoever follows it waits for its lease.
    await owner.execute("UPDATE gateway.turns SET lease_until = now() + interval '1 s' WHERE state = 'running'")
    caller = Caller(stage, projects)
    for method, path in of_one(stage):
        for session_id in seen:
            filled_path = filled(path, session_id, trips[session_id])
            answer = await caller.call(method.upper(), filled_path, body_of(method, path, session_id))
            assert answer.status_code in (200, 201, 202, 204, 409), (method, path, session_id, answer.text)


@pytest.mark.parametrize(
    ("projects", "seen"),
    [
        (["p1"], set(SEEN)),
        (["p1", "p2"], {*SEEN, "stored-p2", "fresh-p2", "running-p2"}),
        ([], set()),
        (None, {*SEEN, *HIDDEN}),
    ],
)
@pytest.mark.usefixtures("trips")
async def test_lists_have_the_tokens_projects_alone(
    stage: Stage, owner: asyncpg.Connection, projects: list[str] | None, seen: set[str]
) -> None:
    if projects is not None:
        for number in range(12):  # newer ones, more than a page looks ahead
            await Rows(owner).session(f"p4-{number}", at=10 + number, project_id="p4")
    caller = Caller(stage, projects)
    for path in LISTS:
        assert await caller.listed(path) == seen
    assert await caller.listed(SESSIONS, project_id="p2") == {each for each in seen if each.endswith("p2")}
    assert await caller.listed(SESSIONS, project_id="unknown") == set()
    paged, cursor = set(), None
    for _ in range(9):
        page = (await caller.call("GET", SESSIONS, limit=1, **({"cursor": cursor} if cursor else {}))).json()
        paged |= {each["id"] for each in page["sessions"]}
        cursor = page["next_cursor"]
    assert paged == seen


@pytest.mark.parametrize(("projects", "seen"), [(["p1"], set(SEEN)), ([], set()), (None, {*SEEN, *HIDDEN})])
@pytest.mark.usefixtures("trips")
async def test_sessions_without_a_trip_are_listed_and_counted_in_the_tokens_projects_alone(
    stage: Stage, owner: asyncpg.Connection, projects: list[str] | None, seen: set[str]
) -> None:
    caller = Caller(stage, projects)
    for _ in ("with their trips", "without"):
        assert await caller.listed(TRIPS, include="sessions") == seen
        for status in ("active", "paused"):
            listed = await caller.listed(TRIPS, include="sessions", status=status)
            stats = (await caller.call("GET", f"{TRIPS}/stats")).json()
            assert stats["by_status"][status] == len(listed)
        assert stats["total"] == len(seen)
        await owner.execute("DELETE FROM workflow.trip_sessions")


async def test_administration_is_not_for_tokens_that_are_limited(stage: Stage) -> None:
    """It shows all projects, such as the bodies of dead letters."""
    for method, path in operations(stage):
        if (method, path) in ADMINISTRATION or path.startswith("/api/admin/"):
            ids = dict.fromkeys(("dead_letter_id", "delivery_id", "model_id"), new_id())
            wanted = path.format(user_id="ann", **ids)
            body = BODIES.get((method, path))
            if "/models" in path:
                body = {"post": {"name": "m"}, "patch": {"tracked": True}}[method]
            for projects in (["p1"], []):
                answer = await Caller(stage, projects, "admin").call(method.upper(), wanted, body)
                assert answer.status_code == 403, (method, path)
            assert (await Caller(stage, None, "admin").call(method.upper(), wanted, body)).status_code != 403


@pytest.mark.usefixtures("trips")
async def test_nobody_deletes_what_they_do_not_see(stage: Stage) -> None:
    for projects in (["p1"], ["p1", "p3"], []):
        caller = Caller(stage, projects)
        answer = await caller.call("DELETE", SESSIONS, id=[*HIDDEN, "unknown"])
        results = [(each["ok"], each["code"], each["error"]) for each in answer.json()["results"]]
        assert set(results) == {(False, "not_found", results[-1][2])}, "as one that is not there"
        assert (await caller.call("DELETE", "/api/me/data")).status_code == 403
    assert await Caller(stage, None).listed(SESSIONS) == {*SEEN, *HIDDEN}


@pytest.mark.usefixtures("trips")
async def test_nobody_speaks_in_a_session_of_another_project(stage: Stage, owner: asyncpg.Connection) -> None:
    asked = "SELECT count(*) FROM gateway.turns"
    before = await owner.fetchval(asked)
    for projects in (["p1"], ["p1", "p3"]):
        for session_id in HIDDEN:
            for said in ({}, {"project_id": "p1"}, {"on_busy": "interrupt"}, {"trigger": "regenerate-message"}):
                answer = await Caller(stage, projects).chat(session_id=session_id, **said)
                assert answer.status_code == 404, (session_id, said, answer.text)
    assert (await Caller(stage, []).chat(session_id="stored-p1")).status_code == 403
    assert (await Caller(stage, []).chat()).status_code == 403
    assert await owner.fetchval(asked) == before
    assert await Caller(stage, ["p1"]).listed(SESSIONS) == set(SEEN)


async def test_a_new_session_is_of_the_tokens_project(stage: Stage) -> None:
    one, several, free = Caller(stage, ["p1"]), Caller(stage, ["p1", "p2"]), Caller(stage, None)
    made = (await one.chat()).json()["session_id"]
    assert await one.listed(SESSIONS) == {made}
    unnamed = await several.chat()
    assert (unnamed.status_code, unnamed.json()["errors"][0]["field"]) == (422, "project_id")
    named = (await several.chat(project_id="p2")).json()["session_id"]
    spelled = (await several.chat(projectId="p1")).json()["session_id"]
    assert await one.listed(SESSIONS) == {made, spelled}
    assert await Caller(stage, ["p2"]).listed(SESSIONS) == {named}
    for foreign in ("p3", "nowhere"):
        for caller in (one, several):
            refused = await caller.chat(project_id=foreign)
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (await free.chat(project_id="p3")).status_code == 200
    assert (await free.chat()).status_code == 200


async def test_a_posted_message_begins_a_session_of_the_tokens_project(stage: Stage) -> None:
    one, several = Caller(stage, ["p1"]), Caller(stage, ["p1", "p2"])
    message = {"role": "user", "content": "hello"}

    async def post(caller: Caller, session_id: str, **body: Any) -> int:
        return (await caller.call("POST", f"{SESSIONS}/{session_id}/messages", {**message, **body})).status_code

    assert await post(one, "s1") == 202
    assert await post(several, "s2") == 422
    assert await post(several, "s2", projectId="p2") == 202
    assert await post(one, "s3", project_id="p2") == 403
    assert await post(Caller(stage, []), "s4") == 403
    assert await post(one, "s2") == 404
    assert await post(several, "s1", project_id="p2") == 202  # in which session it stays, and of which project
    assert await one.listed(SESSIONS) == {"s1"}
    assert await Caller(stage, None).listed(SESSIONS) == {"s1", "s2"}


async def test_a_session_stays_in_its_project_whatever_is_named_later(stage: Stage) -> None:
    free, one, two = (Caller(stage, projects) for projects in (None, ["p1"], ["p2"]))
    session_id = (await free.chat(project_id="p1")).json()["session_id"]
    assert (await free.chat(session_id=session_id, project_id="p2")).status_code == 200
    assert (await free.chat(session_id=session_id)).status_code == 200
    assert (await Caller(stage, ["p1", "p2"]).chat(session_id=session_id, project_id="p2")).status_code == 200
    assert (await one.listed(SESSIONS), await two.listed(SESSIONS)) == ({session_id}, set())
    assert (await two.chat(session_id=session_id)).status_code == 404


async def test_a_key_replays_nothing_of_another_project(stage: Stage) -> None:
    body = {"message": "[echo secret]", "stream": False}

    async def ask_with_key(projects: Sequence[str] | None) -> str:
        token = token_for(stage.settings, "ann", projects=projects)
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k1"}
        stage.http.cookies.clear()
        answer = await stage.http.post(CHAT, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["session_id"])

    everywhere, here, there = [await ask_with_key(projects) for projects in (None, ["p1"], ["p2"])]
    assert len({everywhere, here, there}) == 3
    assert [await ask_with_key(projects) for projects in (None, ["p1"], ["p2"])] == [everywhere, here, there]


async def test_a_trip_of_another_project_is_not_there_to_attach(
    stage: Stage, owner: asyncpg.Connection, trips: dict[str, UUID]
) -> None:
    rows = Rows(owner)
    await rows.session("empty", at=1, project_id="p1")
    path, foreign = f"{SESSIONS}/empty/trips", {"avinode_trip_id": f"atrip-{list(trips).index('stored-p2')}"}
    assert (await Caller(stage, ["p1"]).call("POST", path, foreign)).status_code == 404
    assert (await Caller(stage, ["p1", "p2"]).call("POST", path, foreign)).status_code == 202
    assert (await Caller(stage, None).call("POST", path, foreign)).status_code == 202


async def test_what_became_of_an_order_is_shown_in_its_project_alone(
    stage: Stage, owner: asyncpg.Connection, trips: dict[str, UUID]
) -> None:
    promised, unknown = new_id(), new_id()
    await Rows(owner).insert(
        "workflow.requests",
        request_id=new_id(),
        promised_trip_id=promised,
        trip_id=trips["stored-p2"],
        user_id="ann",
        session_id="stored-p2",
        event_id=new_id(),
        state="lost",
        code="trip_open",
        error="there was another",
        segments='[{"from_icao":"KTEB","to_icao":"KPBI","date":"2030-05-04","time":null}]',
        pax=4,
    )
    hidden, nothing = [await Caller(stage, ["p1"]).call("GET", f"{TRIPS}/{each}") for each in (promised, unknown)]
    assert _known_of(hidden) == _known_of(nothing)
    assert hidden.status_code == 404
    assert (await Caller(stage, ["p2"]).call("GET", f"{TRIPS}/{promised}")).status_code == 200


async def test_of_two_that_begin_a_session_at_once_the_first_has_it(stage: Stage) -> None:
    """And whoever comes second ends nothing of it."""
    said = {"session_id": "s1", "message": "[slow 40] [chunks 10]", "on_busy": "interrupt"}
    first, second = await asyncio.gather(*(Caller(stage, [project]).chat(**said) for project in ("p1", "p2")))
    assert {first.status_code, second.status_code} == {200, 404}
    had = "p1" if first.status_code == 200 else "p2"
    assert (first if had == "p1" else second).json()["message"]["status"] == "complete"
    assert (await stage.get(f"{SESSIONS}/s1")).json()["session"]["project_id"] == had
    assert await Caller(stage, [had]).listed(SESSIONS) == {"s1"}
