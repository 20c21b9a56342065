"""Sessions that are begun before anything is said in them, at two gateways, as the logger stores them."""

import asyncio
from typing import Any

import asyncpg

from services.gateway.sessions.openings import SessionOpenings
from shared.database import open_pool
from shared.ids import new_id
from tests.connected.gateway.sessions.conftest import Two
from tests.connected.gateway.stage import Stage, ask, ids
from tests.servers import looking
from tests.tokens import token_for
from tests.waiting import until

PATH = "/api/chat/sessions"


def somebody() -> str:
    return f"u{new_id().hex}"


async def create(
    stage: Stage, user: str, key: str | None = None, *, wait: bool = True, **body: Any
) -> tuple[int, dict[str, Any]]:
    headers = stage.as_user(user) | ({"Idempotency-Key": key} if key else {})
    headers |= {} if wait else {"Prefer": "respond-async"}
    answer = await stage.http.post(PATH, json=body, headers=headers)
    assert answer.is_success, answer.text
    return answer.status_code, answer.json()["session"]


async def count(owner: asyncpg.Connection, user: str) -> int:
    return int(await owner.fetchval("SELECT count(*) FROM chat.sessions WHERE user_id = $1", user))


async def test_a_session_that_was_begun_is_read_and_listed_at_every_gateway(gateways: Two) -> None:
    user = somebody()
    body: dict[str, Any] = {
        "title": "Smith",
        "helper": "h",
        "project_id": "p",
        "model": "m",
        "metadata": {"client": "Smith"},
    }
    status, session = await create(gateways.here, user, **body)
    assert (status, session["stored"]) == (201, True)
    assert {name: session[name] for name in body} == body
    shown = await gateways.there.get(f"{PATH}/{session['id']}", user)
    assert (shown.json()["session"], "etag" in shown.headers) == (session, True)
    for query in ({}, {"helper": "h"}, {"project_id": "p"}, {"model": "m"}):
        assert ids(await gateways.there.get(PATH, user, **query), "sessions") == [session["id"]]
    assert ids(await gateways.there.get(PATH, somebody()), "sessions") == []


async def test_equal_creations_at_two_gateways_make_one_session(gateways: Two) -> None:
    user = somebody()
    made = await asyncio.gather(
        *(create(stage, user, title="New Chat") for stage in (gateways.here, gateways.there) for _ in range(5))
    )
    assert len({session["id"] for _, session in made}) == 1
    assert sorted(status for status, _ in made) == [200] * 9 + [201]
    async with looking(gateways.here.settings.database_url) as owner:
        assert await count(owner, user) == 1


async def test_an_equal_creation_is_another_session_once_the_first_is_spoken_in(gateways: Two) -> None:
    user = somebody()
    _, first = await create(gateways.here, user)
    await ask(gateways.here, first["id"], user)
    status, second = await create(gateways.there, user)
    assert (status, second["id"] == first["id"]) == (201, False)


async def test_an_equal_creation_is_another_session_two_seconds_later(gateways: Two) -> None:
    user = somebody()
    _, first = await create(gateways.here, user)
    async with looking(gateways.here.settings.database_url) as owner:
        await owner.execute("UPDATE gateway.session_openings SET accepted_at = accepted_at - interval '2 seconds'")
    status, second = await create(gateways.there, user)
    assert (status, second["id"] == first["id"]) == (201, False)


async def test_one_key_makes_one_session_at_two_gateways(gateways: Two) -> None:
    user = somebody()
    made = await asyncio.gather(
        *(create(stage, user, "key", title=f"title {n}") for n, stage in enumerate((gateways.here, gateways.there) * 3))
    )
    assert len({(session["id"], session["title"]) for _, session in made}) == 1
    assert sorted(status for status, _ in made) == [200] * 5 + [201]


async def test_a_session_has_one_opening_however_late_it_is_repeated(gateways: Two, session: str) -> None:
    user = somebody()
    async with open_pool(gateways.here.settings.gateway_database_url, "test", 1) as pool:
        openings = SessionOpenings(pool)
        first = await openings.take(user, b"hash", session, new_id(), opening={"title": "first"})
        await pool.execute("UPDATE gateway.session_openings SET accepted_at = accepted_at - interval '1 hour'")
        await ask(gateways.here, session, user)
        late = await openings.take(user, b"hash", session, new_id(), opening={"title": "late"})
        assert (late.event_id, late.opening) == (first.event_id, {"title": "first"})
        assert await openings.find([(user, session)]) == [late]


async def test_parallel_first_messages_to_one_named_session_make_one(gateways: Two, session: str) -> None:
    user = somebody()

    async def say(stage: Stage, number: int) -> int:
        path = f"{PATH}/{session}/messages"
        body = {"role": "user", "content": f"message {number}"}
        return (await stage.post(path, body, user)).status_code

    async def begin(stage: Stage) -> int:
        return (await create(stage, user, id=session, title="mine"))[0]

    stages = (gateways.here, gateways.there)
    begun = [begin(stage) for stage in stages]
    said = await asyncio.gather(*(say(stages[n % 2], n) for n in range(4)), *begun)
    assert set(said) <= {200, 201, 202, 409}
    async with looking(gateways.here.settings.database_url) as owner:
        kept = said[:4].count(201) + said[:4].count(202)

        async def all_stored() -> bool:
            return bool(
                await owner.fetchval("SELECT message_count = $2 FROM chat.sessions WHERE user_id = $1", user, kept)
            )

        await until(all_stored, "the messages")
        assert await count(owner, user) == 1
    assert ids(await gateways.here.get(PATH, user), "sessions") == [session]


async def test_a_stranger_s_session_is_neither_found_nor_touched(gateways: Two, session: str) -> None:
    ann, eve = somebody(), somebody()
    await create(gateways.here, ann, id=session, title="hers")
    status, another = await create(gateways.there, eve, id=session, title="mine")
    assert (status, another["title"]) == (201, "mine")
    assert (await gateways.there.get(f"{PATH}/{session}", ann)).json()["session"]["title"] == "hers"
    assert (await gateways.there.get(f"{PATH}/{session}", somebody())).status_code == 404


async def test_while_the_logger_is_away_a_session_is_accepted_read_and_spoken_in(gateways: Two, session: str) -> None:
    user = somebody()
    await gateways.logger.stop()
    try:
        headers = gateways.here.as_user(user) | {"Prefer": "respond-async"}
        answer = await gateways.here.http.post(PATH, json={"id": session, "title": "mine"}, headers=headers)
        shown = (await gateways.there.get(f"{PATH}/{session}", user)).json()["session"]
        assert (answer.status_code, answer.json()["session"]) == (202, {**shown, "status": "active"})
        assert (shown["title"], shown["stored"]) == ("mine", False)
        await ask(gateways.there, session, user)
        spoken = (await gateways.here.get(f"{PATH}/{session}", user)).json()["session"]
        assert (spoken["title"], spoken["last_message"], spoken["stored"]) == ("mine", "hello", False)
    finally:
        await gateways.logger.start()

    async def stored() -> bool:
        async with looking(gateways.here.settings.database_url) as owner:
            return await count(owner, user) == 1

    await until(stored, "the session")


async def test_old_openings_go_with_new_ones(gateways: Two) -> None:
    user = somebody()
    for number in range(3):
        await create(gateways.here, user, title=f"title {number}")
    async with looking(gateways.here.settings.database_url) as owner:
        await owner.execute("UPDATE gateway.session_openings SET accepted_at = now() - interval '25 hours'")
        await create(gateways.there, user, title="title 0")  # whose row would be among those that go
        await create(gateways.there, user, title="title 3")
        found = await owner.fetch("SELECT accepted_at > now() - interval '1 hour' FROM gateway.session_openings")
        assert [row[0] for row in found] == [True, True]


async def test_a_session_that_is_not_stored_yet_is_listed_in_its_place(gateways: Two) -> None:
    user, here, there = somebody(), gateways.here, gateways.there
    _, stored = await create(here, user, title="stored", helper="h")
    await gateways.logger.stop()
    try:
        made = [await create(here, user, title=f"t{number}", helper="h", wait=False) for number in range(3)]
        _, spoken_in = await create(here, user, title="other", project_id="p", wait=False)
        assert {status for status, _ in made} == {202}
        await ask(here, made[0][1]["id"], user)
        unstored = [session["id"] for _, session in made]
        order = [unstored[0], spoken_in["id"], unstored[2], unstored[1], stored["id"]]
        for stage in (here, there):
            assert ids(await stage.get(PATH, user), "sessions") == order
            assert await paged(stage, user, limit=1) == await paged(stage, user, limit=2) == order
        by_id = {each["id"]: each for each in (await there.get(PATH, user)).json()["sessions"]}
        assert [(by_id[each]["title"], by_id[each]["stored"]) for each in unstored] == [
            ("t0", False), ("t1", False), ("t2", False),
        ]  # fmt: skip
        assert by_id[unstored[1]] == (await there.get(f"{PATH}/{unstored[1]}", user)).json()["session"]
        helped = [unstored[0], unstored[2], unstored[1], stored["id"]]
        for query, found in (
            ({"helper": "h"}, helped),
            ({"project_id": "p"}, [spoken_in["id"]]),
            ({"pinned": True}, []),
        ):
            assert ids(await there.get(PATH, user, **query), "sessions") == found, query
        limited = {"Authorization": f"Bearer {token_for(there.settings, user, projects=['p'])}"}
        assert ids(await there.http.get(PATH, headers=limited), "sessions") == [spoken_in["id"]]
        assert ids(await there.get(PATH, somebody()), "sessions") == []
        await there.http.delete(f"{PATH}/{unstored[1]}", headers=there.as_user(user) | {"Prefer": "respond-async"})
        assert unstored[1] not in ids(await here.get(PATH, user), "sessions")
        await there.http.delete("/api/me/data", headers=there.as_user(user))
        assert ids(await here.get(PATH, user), "sessions") == []
    finally:
        await gateways.logger.start()


async def test_what_is_stored_meanwhile_stays_in_its_place(gateways: Two) -> None:
    user, here = somebody(), gateways.here
    await gateways.logger.stop()
    try:
        made = [(await create(here, user, title=f"t{number}", wait=False))[1]["id"] for number in range(4)]
        first = (await here.get(PATH, user, limit=2)).json()
        assert [each["id"] for each in first["sessions"]] == made[:1:-1]
    finally:
        await gateways.logger.start()

    async def are_stored() -> bool:
        listed = (await here.get(PATH, user)).json()["sessions"]
        return [each["stored"] for each in listed] == [True] * 4

    await until(are_stored, "the logger")
    rest = await here.get(PATH, user, limit=2, cursor=first["next_cursor"])
    assert ids(rest, "sessions") == made[1::-1]
    assert ids(await here.get(PATH, user), "sessions") == made[::-1]


async def paged(stage: Stage, user: str, limit: int) -> list[str]:
    """Read a list page by page."""
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await stage.get(PATH, user, limit=str(limit), **cursor)).json()
        found += [each["id"] for each in page["sessions"]]
        if not page["has_more"]:
            return found
        cursor = {"cursor": page["next_cursor"]}
