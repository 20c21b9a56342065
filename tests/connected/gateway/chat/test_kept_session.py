"""Which session a chat continues that only a browser's cookie names."""

from services.gateway.account.visitors.cookies import new_visitor
from tests.connected.gateway.stage import Stage, ask

QUESTION = {"message": "[echo heard]", "stream": False}


async def chat(stage: Stage, cookies: str, session_id: str | None = None, header: str | None = None) -> tuple[int, str]:
    body = QUESTION | ({"session_id": session_id} if session_id else {})
    headers = {**stage.as_user("ann"), "Cookie": cookies, **({"X-Session-Id": header} if header else {})}
    answer = await stage.http.post("/api/chat", json=body, headers=headers)
    stage.http.cookies.clear()
    return answer.status_code, answer.headers.get("x-session-id", "")


async def test_a_bearer_continues_a_visitors_session_only_where_it_is_named(stage: Stage) -> None:
    visitor = new_visitor(stage.settings)
    await ask(stage, "theirs", user=visitor.visitor_id)  # and it is still being answered
    kept = f"visitor={visitor.value}; session_id=theirs"
    status, session_id = await chat(stage, kept)
    assert (status, session_id == "theirs") == (200, False)
    assert (await stage.get(f"/api/chat/sessions/{session_id}")).status_code == 200
    assert await chat(stage, kept, session_id="theirs") == (409, "")
    assert await chat(stage, kept, header="theirs") == (409, "")


async def test_a_bearer_continues_their_own_session_by_the_first_cookie_that_can_be_one(stage: Stage) -> None:
    value = new_visitor(stage.settings).value
    status, _ = await chat(stage, f"visitor={value}", session_id="anns")
    assert status == 200
    assert await chat(stage, f"visitor={value}; session_id=not an id; session_id=anns; session_id=other") == (
        200,
        "anns",
    )
