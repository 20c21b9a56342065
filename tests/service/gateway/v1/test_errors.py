"""Whatever goes wrong on `/v1` is told in OpenAI's shape, with its statuses; faults that clients really make."""

import gzip
import re
from typing import Any

import httpx2
import pytest

from services.gateway.account.visitors.cookies import new_visitor
from tests.service.gateway.fakes import World
from tests.tokens import token_for

PATH = "/v1/chat/completions"
HI = {"role": "user", "content": "hi"}


@pytest.fixture
def world() -> World:
    return World()


async def complete(world: World, body: Any, user: str | None = "u1", **request: Any) -> httpx2.Response:
    async with world.client(user) as client:
        return await client.post(PATH, json=body, **request)


def told(answer: httpx2.Response) -> tuple[int, str, str | None, str | None]:
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"]
    assert answer.headers["x-request-id"]
    return answer.status_code, error["type"], error["code"], error["param"]


REFUSED = "invalid_request_error"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"n": 5}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": {}, "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type"),
        ({"messages": [HI, {"role": "tool", "tool_call_id": "c", "content": "r"}]}, "messages[1].tool_call_id"),
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"metadata": {"session_id": "a b"}}, "metadata.session_id"),
        ({"metadata": {"project_id": 1}}, "metadata.project_id"),
    ],
)
async def test_a_field_that_cannot_be_is_a_400_that_names_it(world: World, changes: dict[str, Any], param: str) -> None:
    answer = await complete(world, {"model": "m", "messages": [HI], **changes})
    assert told(answer) == (400, REFUSED, "invalid_value", param)
    assert not world.turns


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"hi"', b"\xff", b'{"a": "\\u0000"}'])
async def test_what_is_no_object_of_json_is_a_400(world: World, body: bytes) -> None:
    async with world.client("u1") as client:
        answer = await client.post(PATH, content=body, headers={"content-type": "application/json"})
    assert told(answer)[:3] == (400, REFUSED, "invalid_value")


async def test_who_shows_nothing_or_what_is_not_good_any_more_is_401_and_no_visitor(world: World) -> None:
    expired = {"Authorization": f"Bearer {token_for(world.settings, 'u1', expires_in_s=-600)}"}
    for headers in ({}, expired, {"Authorization": "Bearer sk-wrong"}):
        answer = await complete(world, {"model": "m", "messages": [HI]}, user=None, headers=headers)
        assert told(answer) == (401, REFUSED, "invalid_api_key", None)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "set-cookie" not in answer.headers


async def test_a_visitor_who_shows_their_token_may(world: World) -> None:
    headers = {"Authorization": f"Bearer {new_visitor(world.settings).value}"}
    answer = await complete(world, {"model": "m", "messages": [HI]}, user=None, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/v1/embeddings", (404, REFUSED, "unknown_url", None)),
        ("POST", "/v1/responses/compact", (404, REFUSED, "unknown_url", None)),
        ("POST", "/v1/responses/input_tokens", (404, REFUSED, "unknown_url", None)),
        ("GET", "/v1/responses/resp_1/nothing", (404, REFUSED, "unknown_url", None)),
        ("POST", "/v1/responses/resp_1/input_items", (405, REFUSED, "method_not_allowed", None)),
        ("GET", "/v1/responses/resp_1/cancel", (405, REFUSED, "method_not_allowed", None)),
        ("POST", "/v1/responses/resp_1/cancel", (404, REFUSED, "not_found", None)),
        ("GET", "/v1/responses/resp_1/input_items?limit=0", (400, REFUSED, "invalid_value", "limit")),
        ("GET", "/v1/responses/resp_1/input_items?limit=101", (400, REFUSED, "invalid_value", "limit")),
        ("GET", "/v1/responses/resp_1/input_items?limit=x", (400, REFUSED, "invalid_value", "limit")),
        ("GET", "/v1/responses/resp_1/input_items?order=up", (400, REFUSED, "invalid_value", "order")),
        ("GET", "/v1/responses/resp_1/input_items?include[]=x", (400, REFUSED, "invalid_value", "include")),
        ("GET", "/v1/responses/resp_1?stream=True", (400, REFUSED, "invalid_value", "stream")),
        ("GET", "/v1/responses/resp_1?include=x", (400, REFUSED, "invalid_value", "include")),
        ("GET", "/v1/", (404, REFUSED, "unknown_url", None)),
        ("GET", PATH, (405, REFUSED, "method_not_allowed", None)),
        ("GET", "/v1/responses", (405, REFUSED, "method_not_allowed", None)),
        ("POST", "/v1/responses/resp_1", (405, REFUSED, "method_not_allowed", None)),
        ("GET", "/v1/responses/resp_1/input_items", (404, REFUSED, "not_found", None)),
        ("GET", "/v1/responses/", (404, REFUSED, "unknown_url", None)),
        ("GET", "/v1/models/", (404, REFUSED, "unknown_url", None)),
        ("GET", "/v1/responses/resp_1", (404, REFUSED, "not_found", None)),
        ("GET", "/v1/responses/resp_1?stream=true", (400, REFUSED, "invalid_value", "stream")),
        ("DELETE", f"/v1/responses/resp_{'0' * 32}", (404, REFUSED, "not_found", None)),
        ("PUT", "/v1/responses", (405, REFUSED, "method_not_allowed", None)),
        ("DELETE", "/v1/models", (405, REFUSED, "method_not_allowed", None)),
        ("GET", "/v1/models/unknown", (404, REFUSED, "model_not_found", "model")),
    ],
)
async def test_what_is_not_there_is_told_so(world: World, method: str, path: str, expected: Any) -> None:
    async with world.client("u1") as client:
        assert told(await client.request(method, path)) == expected


@pytest.mark.parametrize("path", ["/v1/models/", "/v1//models", "/v1/v1/models", "/v1/v1//v1/models//"])
async def test_of_an_address_and_a_path_that_do_not_go_together_their_client_hears_which_is_meant(
    world: World, path: str
) -> None:
    """With a slash too many, or `/v1` twice: clients are configured so (https://github.com/cline/cline/pull/12532)."""
    async with world.client("u1") as client:
        answer = await client.get(path)
        assert told(answer) == (404, REFUSED, "unknown_url", None)
        assert "Did you mean /v1/models?" in answer.json()["error"]["message"]
        assert (await client.post(path.replace("models", "chat/completions"), json={})).status_code == 404


async def test_what_openai_has_beside_is_refused_with_what_is_here(world: World) -> None:
    async with world.client("u1") as client:
        for path in ("embeddings", "completions", "assistants", "conversations", "images/generations"):
            answer = await client.post(f"/v1/{path}", json={})
            assert told(answer)[:3] == (404, REFUSED, "unknown_url")
            assert "/v1/responses" in answer.json()["error"]["message"]


async def test_a_packed_body_is_refused_by_its_name(world: World) -> None:
    body = gzip.compress(b'{"model": "m", "messages": []}')
    async with world.client("u1") as client:
        answer = await client.post(PATH, content=body, headers={"Content-Encoding": "gzip"})
    assert told(answer)[:3] == (415, REFUSED, "unsupported_media_type")
    assert "gzip" in answer.json()["error"]["message"]


async def test_a_model_that_is_not_configured_is_not_found(world: World) -> None:
    world.settings = world.settings.model_copy(update={"allowed_models": "other"})
    answer = await complete(world, {"model": "mine", "messages": [HI]})
    assert told(answer) == (404, REFUSED, "model_not_found", "model")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"input": []}, (400, REFUSED, "invalid_value", "input")),
        ({"model": "other"}, (404, REFUSED, "model_not_found", "model")),
        ({"previous_response_id": "resp_1"}, (400, REFUSED, "previous_response_not_found", "previous_response_id")),
        ({"tools": [{"type": "web_search"}]}, (400, REFUSED, "invalid_value", "tools[0].type")),
    ],
)
async def test_a_response_that_cannot_be_is_refused_in_the_same_shape(
    world: World, changes: dict[str, Any], expected: Any
) -> None:
    world.settings = world.settings.model_copy(update={"allowed_models": "mine,sandbox-small"})
    async with world.client("u1") as client:
        answer = await client.post("/v1/responses", json={"model": "mine", "input": "hi", **changes})
    assert told(answer) == expected
    assert not world.turns


async def test_a_body_that_is_too_long_is_413(world: World) -> None:
    long = {"role": "user", "content": "x" * world.settings.max_body_bytes}
    answer = await complete(world, {"model": "m", "messages": [long]})
    assert told(answer)[:3] == (413, REFUSED, "too_large")


async def test_a_history_of_2000_messages_is_taken_and_one_question_kept(world: World) -> None:
    history = [{"role": ("user", "assistant")[number % 2], "content": f"text {number}"} for number in range(2000)]
    answer = await complete(world, {"model": "m", "messages": [*history, HI]})
    assert answer.status_code == 200
    (turn,) = world.turns
    assert (turn.question.content, turn.question.earlier) == ("hi", ())


async def test_who_begins_too_many_turns_is_told_when_to_come_again(world: World) -> None:
    world.settings = world.settings.model_copy(update={"turns_per_minute": 1})
    first, second = [await complete(world, {"model": "m", "messages": [HI]}) for _ in range(2)]
    assert first.status_code == 200
    assert told(second) == (429, "requests", "rate_limit_exceeded", None)
    assert int(second.headers["retry-after"]) > 0
    for answer in (first, second):
        kinds = ("limit", "remaining", "reset")
        limit, remaining, reset = [answer.headers[f"x-ratelimit-{kind}-requests"] for kind in kinds]
        assert (limit, remaining) == ("1", "0")
        assert re.fullmatch(r"[1-9]\d*s", reset)


async def test_what_breaks_on_our_side_is_no_fault_of_the_client(world: World) -> None:
    world.turns_break = True
    answer = await complete(world, {"model": "m", "messages": [HI]})
    assert told(answer)[:2] == (500, "server_error")
    world.turns_break, world.database_leaves = False, True
    answer = await complete(world, {"model": "m", "messages": [HI]})
    assert told(answer)[:3] == (503, "server_error", "database_away")
    assert answer.headers["retry-after"]


async def test_otlp_keeps_its_own_shape(world: World) -> None:
    async with world.client() as client:
        answer = await client.post("/v1/traces", content=b"{}")
    assert answer.status_code == 401
    assert answer.json()["code"] == "not_authenticated"


async def test_models_are_listed_and_shown_as_openai_does(world: World) -> None:
    async with world.client("u1") as client:
        listed = (await client.get("/v1/models")).json()
        shown = (await client.get(f"/v1/models/{listed['data'][0]['id']}")).json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == [world.settings.default_model]
    assert shown == listed["data"][0] == {**shown, "object": "model", "owned_by": "openai", "created": 0}
