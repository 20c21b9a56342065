"""Forks that are made at one gateway and read at another, as the logger stores them."""

import asyncio
from typing import Any

import httpx2
import pytest

from shared.ids import new_id
from tests.connected.gateway.sessions.conftest import Two
from tests.connected.gateway.stage import Stage

PATH = "/api/chat/sessions"


@pytest.fixture
def user() -> str:
    return f"u{new_id().hex}"


async def say(stage: Stage, user: str, session: str, *texts: str) -> list[str]:
    ids = []
    for text in texts:
        answer = await stage.post(f"{PATH}/{session}/messages", {"role": "user", "content": text}, user)
        assert answer.status_code == 201, answer.text
        ids.append(str(answer.json()["message"]["id"]))
    return ids


async def fork(stage: Stage, user: str, session: str, key: str | None = None, **body: Any) -> httpx2.Response:
    headers = stage.as_user(user) | ({"Idempotency-Key": key} if key else {})
    return await stage.http.post(f"{PATH}/{session}/fork", json=body, headers=headers)


async def texts(stage: Stage, user: str, session: str) -> list[str]:
    answer = await stage.get(f"{PATH}/{session}/messages", user)
    return [message["content"] for message in answer.json()["messages"]]


async def test_a_fork_and_its_source_go_on_by_themselves(gateways: Two, user: str, session: str) -> None:
    one, two, _ = await say(gateways.here, user, session, "one", "two", "three")
    answer = await fork(gateways.there, user, session, message_id=two, title="Another way")
    assert answer.status_code == 201, answer.text
    forked = answer.json()["session"]
    assert (forked["forked_from"], forked["title"], forked["message_count"]) == (session, "Another way", 2)
    await say(gateways.here, user, forked["id"], "four")
    assert await texts(gateways.there, user, forked["id"]) == ["one", "two", "four"]
    assert await texts(gateways.there, user, session) == ["one", "two", "three"]
    listed = (await gateways.here.get(PATH, user)).json()["sessions"]
    assert [each["id"] for each in listed] == [forked["id"], session]
    assert (
        await gateways.here.http.delete(f"{PATH}/{session}", headers=gateways.here.as_user(user))
    ).status_code == 200
    assert await texts(gateways.there, user, forked["id"]) == ["one", "two", "four"]
    assert (await fork(gateways.here, user, session, message_id=one)).status_code == 404


async def test_one_key_makes_one_fork_at_two_gateways(gateways: Two, user: str, session: str) -> None:
    await say(gateways.here, user, session, "one")
    stages = [gateways.here, gateways.there] * 3
    answers = await asyncio.gather(*(fork(stage, user, session, "k") for stage in stages))
    assert {answer.status_code for answer in answers} <= {200, 201}
    (forked,) = {answer.json()["session"]["id"] for answer in answers}
    assert await texts(gateways.here, user, forked) == ["one"]
    assert len((await gateways.here.get(PATH, user)).json()["sessions"]) == 2


async def test_nobody_forks_somebody_elses_session(gateways: Two, user: str, session: str) -> None:
    (one,) = await say(gateways.here, user, session, "one")
    eve = f"{user}-eve"
    await say(gateways.here, eve, f"{session}-own", "hers")
    assert (await fork(gateways.there, eve, session)).status_code == 404
    assert (await fork(gateways.there, eve, f"{session}-own", message_id=one)).status_code == 404
    assert len((await gateways.here.get(PATH, eve)).json()["sessions"]) == 1


async def test_while_the_logger_is_away_what_is_stored_is_forked_and_what_is_not_is_refused(
    gateways: Two, user: str, session: str
) -> None:
    (one,) = await say(gateways.here, user, session, "one")
    quick = {"Prefer": "respond-async"}
    await gateways.logger.stop()
    try:
        headers = gateways.here.as_user(user) | quick
        path = f"{PATH}/{session}"
        said = await gateways.here.http.post(
            f"{path}/messages", json={"role": "user", "content": "two"}, headers=headers
        )
        assert said.status_code == 202
        refused = await gateways.there.http.post(f"{path}/fork", json={}, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (409, "not_stored_yet")
        accepted = await gateways.there.http.post(f"{path}/fork", json={"message_id": one}, headers=headers)
        assert accepted.status_code == 202, accepted.text
    finally:
        await gateways.logger.start()
    (again,) = [await fork(gateways.here, user, session)]
    assert again.status_code in (201, 409)
    assert await texts(gateways.there, user, accepted.json()["session"]["id"]) == ["one"]
