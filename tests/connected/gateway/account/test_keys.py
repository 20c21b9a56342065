"""API keys at two gateways on real servers."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from services.gateway.account.keys.store import MOST_KEYS
from services.gateway.account.one_by_one import one_by_one
from shared.database import open_pool
from tests.connected.gateway.stage import Rows, Stage, open_stage
from tests.tokens import token_for
from tests.waiting import until


@pytest.fixture(scope="module")
async def other(read_stage: Stage) -> AsyncIterator[Stage]:
    async with open_stage(read_stage.settings) as stage:
        yield stage


async def made(stage: Stage, user: str = "ann", **body: Any) -> tuple[dict[str, str], str]:
    """Make a key, and return what it is sent as, and its id."""
    answer = await stage.post("/api/keys", {"name": "k", **body}, user=user, role="service")
    assert answer.status_code == 201, answer.text
    key = answer.json()["key"]
    return {"Authorization": f"Bearer {key['token']}"}, key["id"]


async def me(stage: Stage, key: dict[str, str]) -> int:
    return (await stage.http.get("/api/me", headers=key)).status_code


async def refused(stage: Stage, key: dict[str, str]) -> bool:
    return await me(stage, key) == 401


async def waits_or_is_done(rows: Rows, task: "asyncio.Task[Any]") -> bool:
    (row,) = await rows.fetch("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    return task.done() or row["count"] > 0


async def test_a_key_is_kept_as_a_hash_with_what_it_may_do(gateway: Stage, rows: Rows) -> None:
    key, key_id = await made(gateway, role="service", projects=["p1", "p2"])
    shown = (await gateway.http.get("/api/me", headers=key)).json()
    assert (shown["user_id"], shown["role"], shown["projects"]) == ("ann", "service", ["p1", "p2"])
    (row,) = await rows.fetch("SELECT * FROM gateway.api_keys")
    token = key["Authorization"].removeprefix("Bearer ")
    assert str(row["key_id"]) == key_id
    assert len(row["key_hash"]) == 32
    assert token.encode() not in row["key_hash"]
    assert not [value for value in row.values() if isinstance(value, str) and token[3:] in value]


async def test_a_key_that_is_taken_back_at_one_gateway_ends_at_every_other(gateway: Stage, other: Stage) -> None:
    (key, key_id), (kept, _) = await made(gateway), await made(gateway)
    assert {await me(stage, each) for stage in (gateway, other) for each in (key, kept)} == {200}
    assert (await gateway.call("DELETE", f"/api/keys/{key_id}")).status_code == 200
    for stage in (gateway, other):
        await until(lambda stage=stage: refused(stage, key), "the key to end")  # type: ignore[misc]
        assert await me(stage, kept) == 200


async def test_a_key_of_an_erased_user_ends_at_once_and_one_that_is_made_since_does_not(
    gateway: Stage, other: Stage
) -> None:
    key, _ = await made(gateway)
    eves, _ = await made(gateway, "eve")
    assert {await me(other, each) for each in (key, eves)} == {200}
    assert (await gateway.call("DELETE", "/api/me/data")).status_code == 202
    async with open_stage(other.settings) as fresh:  # which has never seen it
        assert await refused(fresh, key)
    await until(lambda: refused(other, key), "the key to end")
    new, _ = await made(gateway)
    assert (await me(other, new), await me(other, eves)) == (200, 200)


async def test_a_key_ends_by_the_databases_clock(gateway: Stage, rows: Rows) -> None:
    key, _ = await made(gateway)
    assert await me(gateway, key) == 200
    await rows.run("UPDATE gateway.api_keys SET expires_at = clock_timestamp()")
    await until(lambda: refused(gateway, key), "the key to end")


async def test_of_keys_that_are_made_at_once_no_more_stand_than_a_user_may_have(gateway: Stage, rows: Rows) -> None:
    make = (
        "INSERT INTO gateway.api_keys (key_id, key_hash, user_id, name, role, expires_at)"
        " SELECT gen_random_uuid(), sha256(n::text::bytea), 'ann', 'k', 'user', 'infinity'"
    )
    await rows.run(f"{make} FROM generate_series(2, $1::integer) AS n", MOST_KEYS)
    async with open_pool(gateway.settings.gateway_database_url, "test", 2) as pool:
        async with one_by_one(pool, "keys", "ann") as db:  # as another gateway does, and is not done
            await db.execute(f"{make} FROM generate_series(1, 1) AS n")
            asked = asyncio.create_task(gateway.post("/api/keys", {"name": "k"}, user="ann"))
            await until(lambda: waits_or_is_done(rows, asked), "the other to wait")
        assert (await asked).status_code == 409


async def test_use_is_noted_to_the_hour(gateway: Stage, other: Stage, rows: Rows) -> None:
    key, _ = await made(gateway)
    await asyncio.gather(*(me(stage, key) for stage in (gateway, other) for _ in range(5)))

    async def used() -> datetime | None:
        (row,) = await rows.fetch("SELECT last_used_at FROM gateway.api_keys")
        return row["last_used_at"]  # type: ignore[no-any-return]

    first = await until(used, "the use to be noted")
    await rows.run("UPDATE gateway.api_keys SET last_used_at = last_used_at - interval '59 minutes'")
    assert await me(other, key) == 200
    noted = await used()
    assert noted is not None
    assert noted < first


async def test_nobody_sees_or_ends_anothers_keys(gateway: Stage) -> None:
    key, key_id = await made(gateway)
    assert (await gateway.get("/api/keys", user="eve")).json()["keys"] == []
    assert (await gateway.call("DELETE", f"/api/keys/{key_id}", user="eve")).status_code == 404
    assert (await gateway.get("/api/keys", user="eve", role="admin")).json()["keys"] == []
    assert await me(gateway, key) == 200


async def test_keys_are_listed_newest_first_and_as_a_limited_token_may_see_them(gateway: Stage) -> None:
    made_ids = [(await made(gateway, projects=projects))[1] for projects in (["p1"], ["p1", "p2"], ["p2"])]
    whole = (await made(gateway))[1]
    pages = []
    cursor: dict[str, str] = {}
    while True:
        page = (await gateway.get("/api/keys", limit=3, **cursor)).json()
        pages += [key["id"] for key in page["keys"]]
        if not page["has_more"]:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert pages == [whole, *reversed(made_ids)]
    limited = {"Authorization": f"Bearer {token_for(gateway.settings, 'ann', projects=['p1'])}"}
    listed = (await gateway.http.get("/api/keys", headers=limited)).json()
    assert [key["id"] for key in listed["keys"]] == made_ids[:1]
    for key_id, status in ((whole, 404), (made_ids[1], 404), (made_ids[0], 200)):
        assert (await gateway.http.delete(f"/api/keys/{key_id}", headers=limited)).status_code == status


async def test_a_user_has_a_hundred_keys_that_stand_at_most(gateway: Stage, rows: Rows) -> None:
    await rows.run(
        "INSERT INTO gateway.api_keys (key_id, key_hash, user_id, name, role, revoked_at)"
        " SELECT gen_random_uuid(), sha256(n::text::bytea), 'ann', 'k', 'user', CASE WHEN n > 99 THEN now() END"
        " FROM generate_series(1, 150) AS n"
    )
    assert (await gateway.post("/api/keys", {"name": "k"})).status_code == 201
    refused = await gateway.post("/api/keys", {"name": "k"})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert (await gateway.post("/api/keys", {"name": "k"}, user="eve")).status_code == 201


async def test_a_chat_by_a_key_is_its_users(gateway: Stage) -> None:
    key, _ = await made(gateway)
    said = {"session_id": "by-key", "message": "hello", "stream": False}
    await gateway.http.post("/api/chat", json=said, headers=key)
    assert (await gateway.get("/api/chat/sessions/by-key")).status_code == 200
    assert (await gateway.get("/api/chat/sessions/by-key", user="eve")).status_code == 404
