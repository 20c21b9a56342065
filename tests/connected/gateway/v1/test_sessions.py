"""Which session a request of OpenAI's clients is of."""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from services.gateway.account.visitors.cookies import new_visitor
from services.logger.store import Store
from shared.database import open_pool
from shared.settings import Settings
from tests.connected.gateway.stage import Rows, Stage, open_stage
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


def answered(answer: Any) -> dict[str, Any]:
    """Return an answer as a client shows it in its next request."""
    assert answer.status_code == 200, answer.text
    message: dict[str, Any] = answer.json()["choices"][0]["message"]
    return {name: value for name, value in message.items() if value is not None}


async def talk(
    stage: Stage, *texts: str, before: Sequence[dict[str, Any]] = (), forgetting: bool = False
) -> tuple[list[str], list[Any]]:
    """Ask one question after the other with all that was said before; return the sessions, and the messages.

    A gateway that is `forgetting` knows nothing of them, as another one would.
    """
    said, sessions = list(before), []
    for text in texts:
        if forgetting:
            stage.recent.missed()
        said.append(asks(text))
        answer = await complete(stage, *said)
        said.append(answered(answer))
        sessions.append(answer.headers["x-session-id"])
    return sessions, said


async def contents(stage: Stage, session_id: str) -> list[str]:
    page = (await stage.get(f"/api/chat/sessions/{session_id}/messages")).json()["messages"]
    return [each["content"] for each in page]


@pytest.mark.parametrize("forgetting", [False, True])
async def test_five_turns_with_a_growing_history_are_one_session_of_ten_messages(
    stage: Stage, forgetting: bool
) -> None:
    """Nobody stores here: it is the turns by which it is found, or what the gateway knows."""
    sessions, said = await talk(stage, *(f"[echo {number}]" for number in range(5)), forgetting=forgetting)
    assert len(set(sessions)) == 1
    assert await contents(stage, sessions[0]) == [each["content"] for each in said]


async def test_a_history_that_is_stored_alone_is_found_as_well(
    stage: Stage, owner: asyncpg.Connection, settings: Settings
) -> None:
    sessions, said = await talk(stage, "[echo a]", "[echo b]")
    asked = await owner.fetch("SELECT turn_id FROM gateway.turns ORDER BY asked_at")
    turns = [turn for row in asked if (turn := await stage.store.find(row["turn_id"]))]
    async with open_pool(settings.logger_database_url, "test", size=1) as pool:
        for turn in turns:
            told = [type(event).model_validate_json(event.model_dump_json()) for event in turn.events()]
            await Store(pool).store_chat(told, [])
    await owner.execute("DELETE FROM gateway.turns")
    later, _ = await talk(stage, "[echo c]", before=said)
    assert later == sessions[:1]
    early, _ = await talk(stage, "[echo d]", before=said[:2])
    assert early != sessions[:1]


@pytest.mark.parametrize("forgetting", [False, True])
async def test_two_chats_that_begin_alike_part_where_they_differ(stage: Stage, forgetting: bool) -> None:
    (first, *_), said = await talk(stage, "[echo a]", "[echo b]")
    (other, *_), _ = await talk(stage, "[echo c]", before=said[:2], forgetting=forgetting)
    assert other != first
    (again, *_), _ = await talk(stage, "[echo d]", before=said, forgetting=forgetting)
    assert again == first


async def test_what_was_said_elsewhere_in_a_session_that_is_known_is_not_overlooked(stage: Stage) -> None:
    """What this gateway knows ends as the history does; the session has gone on at another one since."""
    (session_id,), said = await talk(stage, "[echo a]")
    async with open_stage(stage.settings) as elsewhere:
        assert (await talk(elsewhere, "[echo b]", before=said))[0] == [session_id]
    (other,), _ = await talk(stage, "[echo c]", before=said)
    assert other != session_id
    assert await contents(stage, session_id) == ["[echo a]", "a", "[echo b]", "b"]


async def test_a_session_that_was_deleted_elsewhere_does_not_go_on(stage: Stage) -> None:
    (session_id,), said = await talk(stage, "[echo a]")
    async with open_stage(stage.settings) as elsewhere:
        assert (await elsewhere.call("DELETE", f"/api/chat/sessions/{session_id}")).status_code in (200, 202)
    (other,), _ = await talk(stage, "[echo b]", before=said)
    assert other != session_id


@pytest.mark.parametrize("forgetting", [False, True])
async def test_nobody_goes_on_in_what_somebody_else_said(stage: Stage, forgetting: bool) -> None:
    (session_id,), said = await talk(stage, "[echo a]")
    if forgetting:
        stage.recent.missed()
    answer = await complete(stage, *said, asks("[echo b]"), user="bob")
    assert answer.headers["x-session-id"] != session_id
    limited = await complete(stage, *said, asks("[echo b]"), projects=["p1"])
    assert (limited.status_code, limited.headers["x-session-id"] != session_id) == (200, True)


async def test_equal_requests_at_once_are_turns_of_their_own(stage: Stage) -> None:
    _, said = await talk(stage, "[echo a]")
    answers = await asyncio.gather(*(complete(stage, *said, asks("[echo b] [slow 100]")) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({answer.headers["x-session-id"] for answer in answers}) == 4
    assert len({answer.headers["x-turn-id"] for answer in answers}) == 4


async def test_a_retry_is_the_same_turn(stage: Stage, owner: asyncpg.Connection) -> None:
    first = await complete(stage, asks("[echo a]"))
    again = await complete(stage, asks("[echo a]"), headers={"X-Stainless-Retry-Count": "1"})
    assert again.headers["x-turn-id"] == first.headers["x-turn-id"]
    assert answered(again)["content"] == "a"
    streamed = await complete(stage, asks("[echo a]"), stream=True, headers={"X-Stainless-Retry-Count": "1"})
    assert streamed.headers["x-turn-id"] != first.headers["x-turn-id"]  # another request
    assert await owner.fetchval("SELECT count(*) FROM gateway.turns") == 2


async def test_a_retry_runs_a_turn_again_that_failed(stage: Stage) -> None:
    failed = await complete(stage, asks("[error 500]"))
    assert failed.status_code == 503
    again = await complete(stage, asks("[error 500]"), headers={"X-Stainless-Retry-Count": "1"})
    assert again.headers["x-turn-id"] == failed.headers["x-turn-id"]
    other = await complete(stage, asks("[error 500]"))
    assert other.headers["x-turn-id"] != failed.headers["x-turn-id"]


async def test_a_key_makes_a_request_the_same_turn_and_no_other_one(stage: Stage) -> None:
    keyed = {"Idempotency-Key": "k1"}
    first, again = [await complete(stage, asks("[echo a]"), headers=keyed) for _ in range(2)]
    assert first.headers["x-turn-id"] == again.headers["x-turn-id"]
    assert answered(first) == answered(again)
    other = await complete(stage, asks("[echo b]"), headers=keyed)
    assert (other.status_code, other.json()["error"]["param"]) == (400, "Idempotency-Key")


@pytest.mark.parametrize(
    ("path", "said", "status"),
    [
        (PATH, {"model": "sandbox-small", "messages": [{"role": "user", "content": "[echo a]"}]}, 400),
        ("/api/chat", {"message": "[echo a]", "stream": False}, 422),
    ],
    ids=["v1", "chat"],
)
async def test_a_key_is_no_other_sessions(stage: Stage, path: str, said: dict[str, Any], status: int) -> None:
    """The session may be named beside the body: what is said there must not be taken for what was said elsewhere."""
    for session_id, expected in (("s1", 200), ("s2", status), ("s1", 200)):
        answer = await stage.call("POST", path, said, Idempotency_Key="k1", X_Session_Id=session_id)
        assert answer.status_code == expected, answer.text
    assert await contents(stage, "s1") == ["[echo a]", "a"]


async def test_a_retry_is_of_the_session_that_it_names(stage: Stage, owner: asyncpg.Connection) -> None:
    """The same was said in another one; the first try of this one never came."""
    await complete(stage, asks("[echo a]"), headers={"X-Session-Id": "s1"})
    retried = {"X-Session-Id": "s2", "X-Stainless-Retry-Count": "1"}
    turns = []
    for _ in range(2):
        answer = await complete(stage, asks("[echo a]"), headers=retried)
        assert answer.headers["x-session-id"] == "s2"
        turns.append(answer.headers["x-turn-id"])
    assert turns[0] == turns[1]
    assert await contents(stage, "s1") == await contents(stage, "s2") == ["[echo a]", "a"]
    assert await owner.fetchval("SELECT count(*) FROM gateway.turns") == 2


async def test_a_retry_is_of_no_project_that_its_caller_does_not_see(stage: Stage) -> None:
    tries = [{}, {"X-Stainless-Retry-Count": "1"}, {"X-Stainless-Retry-Count": "1"}]
    turns = []
    for projects, headers in zip((["p1"], ["p2"], ["p2"]), tries, strict=True):
        answer = await complete(stage, asks("[echo a]"), projects=projects, headers=headers)
        assert answer.status_code == 200
        turns.append((answer.headers["x-session-id"], answer.headers["x-turn-id"]))
    assert turns[0][0] != turns[1][0]
    assert turns[1] == turns[2]


async def test_a_retry_in_a_session_of_before_its_user_signed_in_is_the_same_turn(
    stage: Stage, owner: asyncpg.Connection
) -> None:
    visitor = new_visitor(stage.settings)
    await Rows(owner).session("one", user=visitor.visitor_id)
    named = {"X-Session-Id": "one", "Cookie": f"visitor={visitor.value}"}
    for count in ("0", "1"):
        answer = await complete(stage, asks("[echo a]"), headers=named | {"X-Stainless-Retry-Count": count})
        assert answer.status_code == 200
    (row,) = await owner.fetch("SELECT user_id, session_id FROM gateway.turns")
    assert tuple(row) == (visitor.visitor_id, "one")


async def test_who_asks_again_after_a_failure_stays_in_the_session(stage: Stage) -> None:
    (session_id,), said = await talk(stage, "[echo a]")
    assert (await complete(stage, *said, asks("[error 500]"))).status_code == 503
    later, _ = await talk(stage, "[echo b]", before=said)
    assert later == [session_id]
