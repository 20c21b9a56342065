"""Sessions that their users change, end and organise at two gateways, as the logger stores them."""

import asyncio
from typing import Any

import httpx2
import pytest

from shared.ids import new_id
from tests.connected.gateway.sessions.conftest import Two
from tests.connected.gateway.stage import Stage, ids
from tests.servers import looking
from tests.tokens import token_for

PATH = "/api/chat/sessions"
FOLDERS = "/api/chat/folders"


@pytest.fixture
def user() -> str:
    return f"u{new_id().hex}"


async def begin(stage: Stage, user: str, session: str | None = None, **body: Any) -> str:
    answer = await stage.post(PATH, {"id": session or f"s{new_id().hex}", **body}, user)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["session"]["id"])


async def patch(
    stage: Stage, user: str, session: str, body: dict[str, Any], headers: dict[str, str] | None = None
) -> httpx2.Response:
    return await stage.http.patch(f"{PATH}/{session}", json=body, headers=stage.as_user(user) | (headers or {}))


async def shown(stage: Stage, user: str, session: str) -> Any:
    return (await stage.get(f"{PATH}/{session}", user)).json()["session"]


async def test_a_change_is_read_at_every_gateway_and_found_by_what_it_set(gateways: Two, user: str) -> None:
    session, other = await begin(gateways.here, user), await begin(gateways.here, user, title="other")
    body = {"title": "mine", "pinned": True, "folder": "clients", "labels": ["b", "a"], "metadata": {"n": 1}}
    answer = await patch(gateways.here, user, session, body)
    assert answer.status_code == 200, answer.text
    assert {name: answer.json()["session"][name] for name in body} == body
    assert await shown(gateways.there, user, session) == answer.json()["session"]
    for query in ({"pinned": True}, {"folder": "clients"}, {"label": "a"}, {"label": ["a", "b"]}):
        assert ids(await gateways.there.get(PATH, user, **query), "sessions") == [session]
    assert (await patch(gateways.there, user, session, {"archived": True})).status_code == 200
    assert ids(await gateways.here.get(PATH, user), "sessions") == [other]
    assert ids(await gateways.here.get(PATH, user, archived=True, label="a"), "sessions") == [session]


async def test_a_title_is_the_users_own_until_they_take_it_back(gateways: Two, user: str) -> None:
    session = await begin(gateways.here, user, title="mine")
    message = {"role": "user", "content": "From Teterboro to Palm Beach"}
    assert (await gateways.here.post(f"{PATH}/{session}/messages", message, user)).status_code == 201
    assert (await shown(gateways.there, user, session))["title"] == "mine"
    answer = await patch(gateways.there, user, session, {"title": None})
    assert (answer.status_code, answer.json()["session"]["title"]) == (200, "From Teterboro to Palm Beach")


async def test_two_devices_settle_field_by_field(gateways: Two, user: str) -> None:
    session = await begin(gateways.here, user)
    stages = (gateways.here, gateways.there)
    answers = await asyncio.gather(
        *(
            patch(stages[n % 2], user, session, {"title": f"title {n}", ("folder", "experiment_name")[n % 2]: "x"})
            for n in range(6)
        )
    )
    assert {answer.status_code for answer in answers} == {200}
    final = await shown(gateways.here, user, session)
    assert (final["folder"], final["experiment_name"]) == ("x", "x")
    async with looking(gateways.here.settings.database_url) as owner:
        stamp = await owner.fetchval(
            "SELECT field_stamps ->> 'title' FROM chat.sessions WHERE session_id = $1", session
        )
    assert stamp
    assert final["title"] in {f"title {n}" for n in range(6)}


async def test_of_two_edits_of_what_was_read_the_second_is_refused(gateways: Two, user: str) -> None:
    session = await begin(gateways.here, user)
    etag = {"If-Match": (await gateways.here.get(f"{PATH}/{session}", user)).headers["etag"]}
    first = await patch(gateways.here, user, session, {"title": "first"}, etag)
    second = await patch(gateways.there, user, session, {"title": "second"}, etag)
    assert (first.status_code, second.status_code) == (200, 412)
    assert (await shown(gateways.there, user, session))["title"] == "first"
    again = await patch(gateways.there, user, session, {"title": "second"}, {"If-Match": first.headers["etag"]})
    assert again.status_code == 200


async def test_a_session_ends_and_a_message_begins_it_again(gateways: Two, user: str) -> None:
    session = await begin(gateways.here, user)
    ended = await gateways.here.post(f"{PATH}/{session}/end", user=user)
    again = await gateways.there.post(f"{PATH}/{session}/end", user=user)
    assert (ended.status_code, again.status_code) == (200, 200)
    assert ended.json()["session"]["ended_at"] == again.json()["session"]["ended_at"] is not None
    await gateways.there.post(f"{PATH}/{session}/messages", {"role": "user", "content": "and back"}, user)
    assert (await shown(gateways.here, user, session))["ended_at"] is None


async def test_one_bad_id_spoils_nothing(gateways: Two, user: str) -> None:
    own = [await begin(gateways.here, user, title=f"title {n}") for n in range(3)]
    theirs = await begin(gateways.here, "somebody-else")
    body = {"ids": [own[0], theirs, "no such", own[1]], "action": "move", "value": "December"}
    answer = await gateways.there.post(f"{PATH}/bulk", body, user)
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert [(each["ok"], each["stored"]) for each in results] == [
        (True, True),
        (False, False),
        (False, False),
        (True, True),
    ]
    assert set(ids(await gateways.here.get(PATH, user, folder="December"), "sessions")) == set(own[:2])
    assert (await shown(gateways.here, "somebody-else", theirs))["folder"] is None


async def test_two_hundred_sessions_are_archived_at_once(gateways: Two, user: str) -> None:
    async with looking(gateways.here.settings.database_url) as owner:
        await owner.execute(
            """
            INSERT INTO chat.sessions (user_id, session_id, created_at, last_activity_at)
            SELECT $1, 's' || n, now(), now() FROM generate_series(1, 200) AS n
            """,
            user,
        )
    body = {"ids": [f"s{n}" for n in range(1, 201)], "action": "archive"}
    answer = await gateways.here.post(f"{PATH}/bulk", body, user)
    assert (answer.status_code, {each["stored"] for each in answer.json()["results"]}) == (200, {True})
    assert ids(await gateways.there.get(PATH, user), "sessions") == []


async def test_folders_and_labels_are_counted_as_the_lists_show_them(gateways: Two, user: str) -> None:
    for number, (folder, labels, project) in enumerate(
        [("b", ["x", "y"], "p1"), ("a", ["x"], "p2"), ("b", [], "p2"), (None, ["z"], "p1"), ("gone", ["gone"], "p1")]
    ):
        session = await begin(gateways.here, user, title=f"title {number}", project_id=project)
        await patch(gateways.here, user, session, {"folder": folder, "labels": labels, "archived": folder == "gone"})
    answer = await gateways.there.get(FOLDERS, user)
    assert answer.json() == {
        "folders": [{"name": "a", "count": 1}, {"name": "b", "count": 2}],
        "labels": [{"name": name, "count": count} for name, count in (("x", 2), ("y", 1), ("z", 1))],
    }
    token = token_for(gateways.there.settings, user, projects=["p2"])
    limited = await gateways.there.http.get(FOLDERS, headers={"Authorization": f"Bearer {token}"})
    assert limited.json() == {
        "folders": [{"name": "a", "count": 1}, {"name": "b", "count": 1}],
        "labels": [{"name": "x", "count": 1}],
    }
    assert (await gateways.there.get(FOLDERS, f"{user}-2")).json() == {"folders": [], "labels": []}


async def test_somebody_elses_session_is_404_on_every_path_and_stays_as_it_is(gateways: Two, user: str) -> None:
    session, eve = await begin(gateways.here, user, title="mine"), f"{user}-eve"
    before = await shown(gateways.here, user, session)
    answers = [
        await patch(gateways.there, eve, session, {"title": "hers"}),
        await patch(gateways.there, eve, session, {"title": "hers"}, {"If-Match": "*"}),
        await gateways.there.post(f"{PATH}/{session}/end", user=eve),
        await gateways.there.get(f"{PATH}/{session}", eve),
    ]
    assert {answer.status_code for answer in answers} == {404}
    bulk = await gateways.there.post(f"{PATH}/bulk", {"ids": [session], "action": "archive"}, eve)
    assert [each["code"] for each in bulk.json()["results"]] == ["not_found"]
    assert await shown(gateways.here, user, session) == before
    assert ids(await gateways.here.get(PATH, eve), "sessions") == []


async def test_while_the_logger_is_away_a_change_is_accepted_and_stored_on_its_return(gateways: Two, user: str) -> None:
    session = await begin(gateways.here, user)
    await gateways.logger.stop()
    try:
        headers = {"Prefer": "respond-async"}
        answer = await patch(gateways.here, user, session, {"title": "mine"}, headers)
        assert (answer.status_code, answer.json()["session"]["title"]) == (202, "mine")
        ended = await gateways.here.http.post(f"{PATH}/{session}/end", headers=gateways.here.as_user(user) | headers)
        assert ended.status_code == 202
    finally:
        await gateways.logger.start()
    final = (await patch(gateways.there, user, session, {"pinned": True})).json()["session"]
    assert (final["title"], final["pinned"], final["ended_at"] is None) == ("mine", True, False)
