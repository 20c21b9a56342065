"""Bad input is answered by a problem document, never by a 500, and nothing of it is published."""

from dataclasses import replace
from typing import Any

import httpx2
import orjson
import pytest

from tests.dates import FLIGHT_DAY
from tests.pure.gateway.samples import facts, stored
from tests.service.gateway.fakes import BASE_URL, World

JSON = {"Content-Type": "application/json"}
TRIPS, MODELS, CHAT = "/api/chat/sessions/s1/trips", "/api/models", "/api/chat"
LEG = {"from": "KTEB", "to": "KPBI", "date": FLIGHT_DAY}
TRIP: dict[str, Any] = {"segments": [LEG], "pax": 4}


@pytest.fixture
def world() -> World:
    return World(sessions=[facts("s1", stored=stored())])


async def refused(world: World, method: str, path: str, **request: Any) -> dict[str, Any]:
    async with world.client("u1", role="admin") as client:
        answer = await client.request(method, path, **request)
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["error"] == problem["detail"]
    assert {"type", "title", "code"} <= problem.keys()
    assert world.published == []
    return problem


@pytest.mark.parametrize("path", [TRIPS, MODELS])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b"[" * 10_000 + b"]" * 10_000,
        b'{"name": ' * 10_000,
        rb'{"name": "a\u0000b"}',
        rb'{"name": "\ud800"}',
        b'{"name": {"$ne": null}}',
        b'{"name": ""}',
        b'{"name": " "}',
        b'{"name": "m", "provider": "\\t"}',
        b'{"name": "m", "unknown": 1}',
        b'{"name": "m", "tracked": "yes"}',
        b'{"name": "m", "tracked": 1}',
        b'{"name": 5}',
        b'{"name": "' + b"x" * 256 + b'"}',
    ],
)
async def test_a_body_that_is_no_command_is_refused(world: World, path: str, body: bytes) -> None:
    problem = await refused(world, "POST", path, content=body, headers=JSON)
    assert (problem["status"], problem["code"]) == (422, "invalid")


OTHER_TYPES = ["text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "multipart/form-data", ""]


@pytest.mark.parametrize("content_type", OTHER_TYPES)
@pytest.mark.parametrize(("path", "body"), [(TRIPS, TRIP), (CHAT, {"message": "hi"})])
async def test_with_a_cookie_alone_a_body_of_another_type_is_refused(
    world: World, path: str, body: dict[str, Any], content_type: str
) -> None:
    world.settings = world.settings.model_copy(update={"visitor_trips": True})
    async with world.client() as client:
        await visit(world, client)
        answer = await client.post(path, content=orjson.dumps(body), headers={"Content-Type": content_type})
        assert world.published == []
        same = {"Content-Type": content_type, "Sec-Fetch-Site": "same-origin"}
        own = await client.post(path, content=orjson.dumps(body), headers=same)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert own.is_success, own.text


@pytest.mark.parametrize("content_type", [*OTHER_TYPES, None])
@pytest.mark.parametrize(
    ("path", "body"), [(TRIPS, TRIP), (MODELS, {"name": "m"}), (CHAT, {"message": "hi", "stream": False})]
)
async def test_with_a_token_a_body_is_json_whatever_its_type(
    world: World, path: str, body: dict[str, Any], content_type: str | None
) -> None:
    async with world.client("u1", role="admin") as client:
        headers = {} if content_type is None else {"Content-Type": content_type}
        answer = await client.post(path, content=orjson.dumps(body), headers=headers)
        broken = await client.post(path, content=b"message=hi", headers=headers)
    assert answer.is_success, answer.text
    assert (broken.status_code, broken.json()["code"]) == (422, "invalid")


async def test_a_stranger_whose_body_is_read_becomes_a_visitor(world: World) -> None:
    async with world.client() as client:
        headers = {"Content-Type": "text/plain;charset=UTF-8", "Origin": BASE_URL}
        answer = await client.post(CHAT, content=orjson.dumps({"message": "hi", "stream": False}), headers=headers)
    assert answer.status_code == 200
    assert "set-cookie" in answer.headers


async def visit(world: World, client: httpx2.AsyncClient) -> None:
    """Become a visitor, whose session s1 is."""
    visitor_id = (await client.post("/api/auth/visitor")).json()["visitor_id"]
    world.sessions = [replace(facts("s1", stored=stored()), user_id=visitor_id)]


async def test_a_body_that_is_too_large_is_refused(world: World) -> None:
    problem = await refused(world, "POST", MODELS, content=b"x" * 10_000_000, headers=JSON)
    assert (problem["status"], problem["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"pax": 0}, "pax"),
        ({"pax": 1000}, "pax"),
        ({"pax": "4"}, "pax"),
        ({"pax": 4.5}, "pax"),
        ({"pax": True}, "pax"),
        ({"pax": None}, "pax"),
        ({"segments": []}, "segments"),
        ({"segments": [LEG] * 21}, "segments"),
        ({"segments": "KTEB"}, "segments"),
        ({"segments": [{**LEG, "from": "kteb"}]}, "segments.0.from"),
        ({"segments": [{**LEG, "from": "TEB"}]}, "segments.0.from"),
        ({"segments": [{**LEG, "to": "KPBI\n"}]}, "segments.0.to"),
        ({"segments": [{**LEG, "date": "2030-02-30"}]}, "segments.0.date"),
        ({"segments": [{**LEG, "date": "20300504"}]}, "segments.0.date"),
        ({"segments": [{**LEG, "date": "2\u0660\u0663\u0660-05-04"}]}, "segments.0.date"),
        ({"segments": [{**LEG, "date": 1}]}, "segments.0.date"),
        ({"segments": [LEG, {**LEG, "date": "2019-12-31"}]}, "segments.1.date"),
        ({"segments": [{**LEG, "time": "24:00"}]}, "segments.0.time"),
        ({"segments": [{**LEG, "seats": 4}]}, "segments.0.seats"),
        ({"criteria": []}, "criteria"),
        ({"avinode_trip_id": "atrip-1"}, "segments"),
        ({"avinode_trip_id": "../../admin"}, "avinode_trip_id"),
        ({"wings": 2}, "wings"),
    ],
)
async def test_a_trip_is_refused_field_by_field(world: World, change: dict[str, Any], field: str) -> None:
    problem = await refused(world, "POST", TRIPS, json={**TRIP, **change})
    assert problem["status"] == 422
    assert field in [error["field"] for error in problem["errors"]]


async def test_criteria_nested_too_deeply_are_refused(world: World) -> None:
    criteria: dict[str, Any] = {}
    for _ in range(100):
        criteria = {"and": criteria}
    assert (await refused(world, "POST", TRIPS, json={**TRIP, "criteria": criteria}))["status"] == 422


@pytest.mark.parametrize(
    "path",
    [
        "/api/chat/sessions?query=later",
        "/api/chat/sessions?q=",
        "/api/chat/sessions?q=%27%26%7C%21%3A%2A",
        "/api/chat/sessions?q=%00",
        "/api/chat/sessions?q=%ED%A0%80",
        "/api/chat/sessions?q=" + "x" * 10_000,
        "/api/chat/sessions?helper=a&helper=b",
        "/api/chat/sessions?limit=0",
        "/api/chat/sessions?limit=201",
        "/api/chat/sessions/s1/messages?limit=1001",
        "/api/chat/sessions?project_id=a&projectId=a",
        "/api/chat/sessions?projectId=a&projectId=a",
        "/api/chat/sessions?projectID=a",
        "/api/chat/sessions?sessionId=s1",
        "/api/trips?sessionId=a.b",
        "/api/chat/sessions?limit=ten",
        "/api/chat/sessions?cursor=nonsense",
        "/api/chat/sessions?helper=%00",
        "/api/chat/sessions?pinned=perhaps",
        "/api/chat/sessions/" + "x" * 65,
        "/api/chat/sessions/a%00b",
        "/api/chat/sessions/a%20b",
        "/api/chat/sessions/%ff",
        "/api/chat/sessions/s1/tag?wait=-1",
        "/api/chat/sessions/s1/tag?wait=11",
        "/api/chat/sessions/s1/tag?wait=nan",
        "/api/chat/sessions/s1/messages?order=up",
        "/api/chat/sessions/s1/messages?before=nowhere",
        "/api/chat/sessions/s1/messages?before=a%00b",
        "/api/trips?session_id=a.b",
        "/api/trips?avinode_trip_id=x",
        "/api/trips/x",
        "/api/trips/xyz",
        "/api/trips/a%00bcd",
        "/api/admin/dead?state=lost",
        "/api/models?tracked=true",
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(world: World, path: str) -> None:
    assert (await refused(world, "GET", path))["status"] == 422


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/api/chat/sessions?limit=200", ["s2", "s1"]),
        ("/api/chat/sessions/s1/messages?limit=1000", []),
        ("/api/chat/sessions?projectId=p", ["s2"]),
        ("/api/chat/sessions?limit=1&projectId=p&archived=false", ["s2"]),
        ("/api/trips?sessionId=s1", []),
    ],
)
async def test_a_list_takes_its_limits_and_both_spellings(world: World, path: str, found: list[str]) -> None:
    world.sessions.append(facts("s2", stored=stored(5, project_id="p")))
    async with world.client("u1") as client:
        answer = await client.get(path)
    (items,) = (value for name, value in answer.json().items() if name in ("sessions", "messages", "trips"))
    assert [item["id"] for item in items] == found


async def test_a_slash_too_many_sends_nobody_elsewhere(world: World) -> None:
    for path in ("/api/models/", "/api/chat/", "/api/chat/sessions/s1/"):
        problem = await refused(world, "GET", path, headers={"Host": "elsewhere.example"})
        assert (problem["status"], problem["code"]) == (404, "not_found")


async def test_what_is_not_there_is_not_found(world: World) -> None:
    assert (await refused(world, "GET", "/api/nothing"))["code"] == "not_found"
    assert (await refused(world, "GET", "/api/chat/sessions/s2"))["code"] == "not_found"
    assert (await refused(world, "POST", "/api/admin/dead/not-a-uuid/drop"))["status"] == 422


@pytest.mark.parametrize(
    ("path", "field"), [("/api/trips/xyz", "trip_id"), ("/api/trips?avinode_trip_id=x", "avinode_trip_id")]
)
async def test_what_is_no_name_of_a_trip_is_told_what_one_looks_like(world: World, path: str, field: str) -> None:
    (error,) = (await refused(world, "GET", path))["errors"]
    assert error["field"] == field
    assert "must be `atrip-` and digits" in error["detail"]


async def test_a_wrong_method_says_which_are_right(world: World) -> None:
    async with world.client("u1") as client:
        for path, methods in (("/api/me", "GET"), ("/api/models", "GET, POST"), (TRIPS, "POST")):
            answer = await client.delete(path)
            assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
            assert answer.headers["allow"] == methods
            assert answer.json()["detail"] == f"This path takes {methods}."


@pytest.mark.parametrize(("path", "body"), [(TRIPS, TRIP), (CHAT, {"message": "hi"})])
@pytest.mark.parametrize("key", [b"x" * 256, b"a\x7fb", b"a\tb", b"caf\xe9", b"caf\xc3\xa9", b""])
async def test_a_key_that_is_not_printable_ascii_is_refused_on_every_route(
    world: World, path: str, body: dict[str, Any], key: bytes
) -> None:
    problem = await refused(world, "POST", path, json=body, headers=[(b"Idempotency-Key", key)])
    assert problem["errors"] == [{"field": "Idempotency-Key", "detail": "must be 1 to 255 printable ASCII characters"}]


@pytest.mark.parametrize(("path", "body"), [(TRIPS, TRIP), (CHAT, {"message": "hi"})])
async def test_a_key_of_printable_ascii_is_taken_on_every_route(world: World, path: str, body: dict[str, Any]) -> None:
    async with world.client("u1") as client:
        answer = await client.post(path, json=body, headers={"Idempotency-Key": " !~" + "x" * 250})
    assert answer.is_success, answer.text
