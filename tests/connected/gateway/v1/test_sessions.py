"""Which session a request of OpenAI's clients is of."""

from typing import Any

from tests.connected.gateway.stage import Stage
from tests.tokens import token_for

PATH = "/v1/chat/completions"


async def complete(
    stage: Stage, *messages: dict[str, Any], user: str = "ann", projects: list[str] | None = None, **body: Any
) -> Any:
    token = token_for(stage.settings, user, projects=projects)
    headers = {"Authorization": f"Bearer {token}", **body.pop("headers", {})}
    said = {"model": "sandbox-small", "messages": list(messages), **body}
    return await stage.http.post(PATH, json=said, headers=headers)


def asks(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


async def test_a_session_of_another_project_or_user_is_not_found_and_not_taken(stage: Stage) -> None:
    named = {"X-Session-Id": "s1"}
    first = await complete(stage, asks("[echo a]"), projects=["p1"], headers=named)
    assert first.status_code == 200
    other = await complete(stage, asks("[echo b]"), projects=["p2"], headers=named)
    assert (other.status_code, other.json()["error"]["type"]) == (404, "invalid_request_error")
    refused = await complete(stage, asks("[echo b]"), projects=["p1"], metadata={"project_id": "p2"})
    assert refused.status_code == 403
    stranger = await complete(stage, asks("[echo c]"), user="bob", headers=named)
    assert stranger.status_code == 200  # a session of this id that is theirs
    page = (await stage.get("/api/chat/sessions/s1/messages")).json()["messages"]
    assert [each["content"] for each in page] == ["[echo a]", "a"]


async def test_a_deleted_session_is_not_found(stage: Stage) -> None:
    await complete(stage, asks("[echo a]"), headers={"X-Session-Id": "s1"})
    assert (await stage.call("DELETE", "/api/chat/sessions/s1")).status_code in (200, 202)
    again = await complete(stage, asks("[echo b]"), headers={"X-Session-Id": "s1"})
    assert again.status_code == 404
