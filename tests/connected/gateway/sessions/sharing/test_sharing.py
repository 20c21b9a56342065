"""Links that are made at one gateway and read at another, on a real database."""

from typing import Any

import httpx2
import pytest

from shared.ids import new_id
from tests.connected.everywhere import where
from tests.connected.gateway.sessions.conftest import Two
from tests.connected.gateway.stage import Stage
from tests.servers import looking
from tests.tokens import token_for

PATH = "/api/chat/sessions"


@pytest.fixture
def user() -> str:
    return f"u{new_id().hex}"


async def talk(stage: Stage, user: str, session: str, *texts: str, **about: Any) -> None:
    opened = await stage.post(PATH, {"id": session, "title": "before", **about}, user)
    assert opened.status_code in (200, 201), opened.text
    for text in texts:
        body = {"role": "user", "content": text, "metadata": {"k": "secret"}}
        assert (await stage.post(f"{PATH}/{session}/messages", body, user)).status_code == 201


async def share(stage: Stage, user: str, session: str, **body: Any) -> Any:
    answer = await stage.post(f"{PATH}/{session}/shares", body, user)
    assert answer.status_code == 201, answer.text
    return answer.json()["share"]


async def read(stage: Stage, share: Any) -> httpx2.Response:
    stage.http.cookies.clear()
    return await stage.http.get(share["url"])


async def test_a_link_shows_the_moment_of_sharing_at_every_gateway(gateways: Two, user: str, session: str) -> None:
    await talk(gateways.here, user, session, "one", "two", metadata={"k": "secret"})
    made = await share(gateways.here, user, session)
    await talk(gateways.here, user, session, "three")
    headers = gateways.here.as_user(user)
    await gateways.here.http.patch(f"{PATH}/{session}", json={"title": "after"}, headers=headers)
    answer = await read(gateways.there, made)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["title"], [message["content"] for message in told["messages"]]) == ("before", ["one", "two"])
    for kept_back in ("secret", user, session, "after", "three"):
        assert kept_back not in answer.text
    async with looking(gateways.here.settings.database_url) as owner:
        assert await where(owner, made["token"]) == set()


async def test_a_link_ends(gateways: Two, user: str, session: str) -> None:
    await talk(gateways.here, user, session, "one")
    revoked, expired, other = [await share(gateways.here, user, session, expires_in=60) for _ in range(3)]
    path = f"{PATH}/{session}/shares/{revoked['id']}"
    assert (await gateways.there.http.delete(path, headers=gateways.there.as_user(f"{user}-eve"))).status_code == 404
    token = token_for(gateways.there.settings, user, projects=["p"])
    limited = {"Authorization": f"Bearer {token}"}
    assert (await gateways.there.http.delete(path, headers=limited)).status_code == 404
    assert (await read(gateways.here, revoked)).status_code == 200
    assert (await gateways.there.http.delete(path, headers=gateways.there.as_user(user))).status_code == 200
    async with looking(gateways.here.settings.database_url) as owner:
        await owner.execute("UPDATE gateway.shares SET expires_at = now() WHERE share_id = $1", expired["id"])
    answers = [await read(gateways.here, each) for each in (revoked, expired, other)]
    assert [answer.status_code for answer in answers] == [410, 410, 200]
    listed = (await gateways.there.get(f"{PATH}/{session}/shares", user)).json()["shares"]
    assert [each["id"] for each in listed] == [other["id"], expired["id"], revoked["id"]]
    assert [each["revoked_at"] is None for each in listed] == [True, True, False]


async def test_what_is_deleted_is_shared_with_nobody(gateways: Two, user: str, session: str) -> None:
    await talk(gateways.here, user, session, "one")
    await talk(gateways.here, user, f"{session}-2", "two")
    made = await share(gateways.here, user, session)
    other = await share(gateways.here, user, f"{session}-2")
    await gateways.there.http.delete(f"{PATH}/{session}", headers=gateways.there.as_user(user))
    assert [(await read(gateways.here, each)).status_code for each in (made, other)] == [404, 200]
    refused = await gateways.here.post(f"{PATH}/{session}/shares", {}, user)
    assert refused.status_code == 404
    await gateways.there.http.delete("/api/me/data", headers=gateways.there.as_user(user))
    await talk(gateways.here, user, f"{session}-3", "a new beginning")
    assert (await read(gateways.here, other)).status_code == 404


async def test_somebody_elses_session_of_the_same_id_is_another(gateways: Two, user: str, session: str) -> None:
    eve = f"{user}-eve"
    await talk(gateways.here, user, session, "mine")
    await talk(gateways.here, eve, session, "hers")
    made, hers = await share(gateways.here, user, session), await share(gateways.here, eve, session)
    told = [(await read(gateways.there, each)).json()["messages"][0]["content"] for each in (made, hers)]
    assert told == ["mine", "hers"]
    assert len((await gateways.there.get(f"{PATH}/{session}/shares", eve)).json()["shares"]) == 1
    token = token_for(gateways.there.settings, user, projects=["p"])
    limited = {"Authorization": f"Bearer {token}"}
    for method, path in (("GET", ""), ("POST", "")):
        answer = await gateways.there.http.request(
            method, f"{PATH}/{session}/shares{path}", json={} if method == "POST" else None, headers=limited
        )
        assert answer.status_code == 404
