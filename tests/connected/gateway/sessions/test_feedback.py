"""What users think of messages, given at one gateway and read at another, as the logger stores it."""

import httpx2

from shared.ids import new_id
from tests.connected.gateway.sessions.conftest import Two
from tests.connected.gateway.stage import Stage

PATH = "/api/chat/sessions"


async def say(stage: Stage, user: str, session: str) -> str:
    answer = await stage.post(f"{PATH}/{session}/messages", {"role": "assistant", "content": "hello"}, user)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["message"]["id"])


async def give(stage: Stage, user: str, session: str, message: str, **body: str) -> httpx2.Response:
    return await stage.post(f"{PATH}/{session}/messages/{message}/feedback", body, user)


async def test_it_is_read_at_every_gateway_and_the_last_one_stands(gateways: Two, session: str) -> None:
    user = f"u{new_id().hex}"
    message = await say(gateways.here, user, session)
    first = await give(gateways.here, user, session, message, value="up", comment="\u202eso good</script>")
    assert first.status_code == 201, first.text
    second = await give(gateways.there, user, session, message, value="down")
    assert (second.status_code, second.json()["feedback"]["value"]) == (200, "down")
    for stage in (gateways.here, gateways.there):
        (shown,) = (await stage.get(f"{PATH}/{session}/messages", user)).json()["messages"]
        assert shown["feedback"] == second.json()["feedback"]


async def test_a_stranger_says_nothing_and_sees_nothing(gateways: Two, session: str) -> None:
    user = f"u{new_id().hex}"
    message = await say(gateways.here, user, session)
    assert (await give(gateways.here, user, session, message, value="up")).status_code == 201
    own = f"{session}-own"
    hers = await say(gateways.there, f"{user}-eve", own)
    assert (await give(gateways.there, f"{user}-eve", session, message, value="down")).status_code == 404
    assert (await give(gateways.there, f"{user}-eve", own, message, value="down")).status_code == 404
    assert (await give(gateways.there, user, session, hers, value="down")).status_code == 404
    (shown,) = (await gateways.there.get(f"{PATH}/{session}/messages", user)).json()["messages"]
    assert shown["feedback"]["value"] == "up"


async def test_while_the_logger_is_away_it_is_accepted_and_stored_on_its_return(gateways: Two, session: str) -> None:
    user = f"u{new_id().hex}"
    message = await say(gateways.here, user, session)
    await gateways.logger.stop()
    try:
        headers = gateways.here.as_user(user) | {"Prefer": "respond-async"}
        path = f"{PATH}/{session}/messages/{message}/feedback"
        answer = await gateways.here.http.post(path, json={"value": "up"}, headers=headers)
        assert (answer.status_code, answer.json()["stored"]) == (202, False)
    finally:
        await gateways.logger.start()
    assert (await give(gateways.there, user, session, message, value="down")).json()["feedback"]["value"] == "down"
