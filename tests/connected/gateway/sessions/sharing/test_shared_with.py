"""Sessions that are shared with users and projects at one gateway and read at another, on a real database."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from shared.database import open_pool, reading
from shared.ids import new_id
from tests.connected.gateway.sessions.conftest import Two
from tests.connected.gateway.sessions.sharing.test_sharing import PATH, share, talk
from tests.connected.gateway.stage import Stage
from tests.servers import looking
from tests.tokens import token_for


@pytest.fixture
def user() -> str:
    return f"u{new_id().hex}"


class Reader:
    """Somebody with a token, at one gateway."""

    def __init__(self, stage: Stage, user: str, projects: Sequence[str] | None = None) -> None:
        self._stage = stage
        token = token_for(stage.settings, user, projects=projects)
        self._headers = {"Authorization": f"Bearer {token}"}

    async def page(self, **query: Any) -> Any:
        self._stage.http.cookies.clear()
        params = {"shared": True, **query}
        answer = await self._stage.http.get(PATH, params=params, headers=self._headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def ids(self) -> list[str]:
        return [each["id"] for each in (await self.page())["sessions"]]

    async def call(self, method: str, share: Any, **query: Any) -> tuple[int, Any]:
        path = f"/api/chat/shared/{share['id']}"
        self._stage.http.cookies.clear()
        answer = await self._stage.http.request(method, path, params=query, headers=self._headers)
        return answer.status_code, answer.json() if answer.content else None

    async def read(self, share: Any) -> int:
        return (await self.call("GET", share))[0]


async def test_a_named_user_reads_the_moment_of_sharing_at_every_gateway(
    gateways: Two, user: str, session: str
) -> None:
    bob, eve = (Reader(gateways.there, f"{user}-{name}") for name in ("bob", "eve"))
    await talk(gateways.here, user, session, "one", "two", metadata={"k": "secret"})
    await talk(gateways.here, f"{user}-bob", session, "his own of this id")
    made = await share(gateways.here, user, session, users=[f"{user}-bob", f"{user}-carl"])
    await talk(gateways.here, user, session, "three")
    assert (await bob.ids(), await eve.ids()) == ([made["id"]], [])
    status, told = await bob.call("GET", made, limit=1)
    assert (status, told["title"], told["messages"][0]["content"], told["has_more"]) == (200, "before", "one", True)
    status, told = await bob.call("GET", made, cursor=told["next_cursor"])
    assert ([message["content"] for message in told["messages"]], told["has_more"]) == (["two"], False)
    assert (await eve.read(made), (await eve.call("DELETE", made))[0]) == (404, 404)
    assert user not in str(told) + str(await bob.page())
    assert (await bob.call("DELETE", made))[0] == 204
    assert (await bob.read(made), await bob.ids()) == (404, [])
    listed = (await gateways.there.get(f"{PATH}/{session}/shares", user)).json()["shares"]
    assert [(each["id"], each["users"]) for each in listed] == [(made["id"], [f"{user}-carl"])]


async def test_a_project_share_is_for_whoever_s_token_names_it(gateways: Two, user: str, session: str) -> None:
    project, other = f"p-{session}", f"q-{session}"
    await talk(gateways.here, user, session, "one", project_id=other)
    made = await share(gateways.here, user, session, project_id=project)
    named = await share(gateways.here, user, session, users=[f"{user}-bob"])
    assert (made["users"], made["project_id"], made["url"]) == (None, project, None)
    seen = {
        (project,): [made["id"]],
        (other, project): [named["id"], made["id"]],
        (other,): [named["id"]],
        (): [],
        None: [named["id"]],
    }
    for projects, ids in seen.items():
        bob = Reader(gateways.there, f"{user}-bob", projects)
        assert await bob.ids() == ids, projects
        statuses = [await bob.read(each) for each in (named, made)]
        assert statuses == [200 if each["id"] in ids else 404 for each in (named, made)], projects
    assert (await Reader(gateways.there, f"{user}-bob", [project]).call("DELETE", made))[0] == 403
    owner = Reader(gateways.there, user, [project, other])
    assert await owner.ids() == [], "it is the caller's own"


async def test_a_share_ends_for_its_readers(gateways: Two, user: str, session: str) -> None:
    await talk(gateways.here, user, session, "one")
    bob, eve = (Reader(gateways.there, f"{user}-{name}", ["p"]) for name in ("bob", "eve"))
    free = Reader(gateways.there, f"{user}-bob")
    to = {"users": [f"{user}-bob"]}
    revoked, expired, other = [await share(gateways.here, user, session, **to) for _ in range(3)]
    assert await free.ids() == [each["id"] for each in (other, expired, revoked)]
    path = f"{PATH}/{session}/shares/{revoked['id']}"
    assert (await gateways.there.http.delete(path, headers=gateways.there.as_user(f"{user}-bob"))).status_code == 404
    assert (await gateways.there.http.delete(path, headers=gateways.there.as_user(user))).status_code == 200
    async with looking(gateways.here.settings.database_url) as owner:
        await owner.execute("UPDATE gateway.shares SET expires_at = now() WHERE share_id = $1", expired["id"])
    assert [await free.read(each) for each in (revoked, expired, other)] == [410, 410, 200]
    assert [await reader.read(revoked) for reader in (bob, eve)] == [404, 404], "of no project of theirs"
    assert await free.ids() == [other["id"]]
    first = await free.page(limit=1)
    assert (first["has_more"], first["next_cursor"]) == (False, None)


async def test_what_is_deleted_or_erased_is_shared_with_nobody(gateways: Two, user: str, session: str) -> None:
    project = f"p-{session}"
    bob = Reader(gateways.here, f"{user}-bob", None)
    carl = Reader(gateways.here, f"{user}-carl", [project])
    made = []
    for each in (session, f"{session}-2"):
        await talk(gateways.here, user, each, "one")
        made.append(await share(gateways.here, user, each, users=[f"{user}-bob"]))
        made.append(await share(gateways.here, user, each, project_id=project))
    assert (await bob.ids(), await carl.ids()) == ([made[2]["id"], made[0]["id"]], [made[3]["id"], made[1]["id"]])
    await gateways.there.http.delete(f"{PATH}/{session}", headers=gateways.there.as_user(user))
    assert (await bob.ids(), await carl.ids()) == ([made[2]["id"]], [made[3]["id"]])
    assert [await bob.read(each) for each in made] == [404, 404, 200, 404]
    assert [await carl.read(each) for each in made] == [404, 404, 404, 200]
    await gateways.there.http.delete("/api/me/data", headers=gateways.there.as_user(user))
    assert (await bob.ids(), await carl.ids()) == ([], [])
    assert [await bob.read(each) for each in made] + [await carl.read(each) for each in made] == [404] * 8


async def test_of_an_erased_reader_no_name_is_shown(gateways: Two, user: str, session: str) -> None:
    await talk(gateways.here, user, session, "one")
    to = {"users": [f"{user}-bob", f"{user}-carl"]}
    made = await share(gateways.here, user, session, **to)
    await gateways.there.http.delete("/api/me/data", headers=gateways.there.as_user(f"{user}-bob"))
    bob, carl = (Reader(gateways.here, f"{user}-{name}") for name in ("bob", "carl"))
    assert (await bob.ids(), await bob.read(made), await carl.ids()) == ([], 404, [made["id"]])
    again = await share(gateways.here, user, session, **to)
    listed = (await gateways.here.get(f"{PATH}/{session}/shares", user)).json()["shares"]
    assert [each["users"] for each in listed] == [sorted(to["users"]), [f"{user}-carl"]]
    assert await bob.ids() == [again["id"]], "it is newer than the erasure"


async def test_the_database_shows_nobody_what_is_shared_with_others(gateways: Two, user: str, session: str) -> None:
    settings = gateways.here.settings
    await talk(gateways.here, user, session, "one", project_id="p")
    made = await share(gateways.here, user, session, users=[f"{user}-bob"])
    ids = (made["id"], await share(gateways.here, user, session, project_id=f"q-{session}"))
    one, page = "SELECT * FROM gateway.shared_one($1, $2)", "SELECT * FROM gateway.shared_page($1, 'infinity', $2, 9)"
    last = "ffffffff-ffff-ffff-ffff-ffffffffffff"
    async with open_pool(settings.reader_database_url, "test") as pool:

        async def found(reader: Sequence[str], projects: Sequence[str] | None) -> int:
            async with reading(pool, *reader) as db:
                for table in ("gateway.shares", "gateway.shared_with", "chat.messages"):
                    seen = await db.fetch(f"SELECT user_id FROM {table}")  # noqa: S608 - names of this test
                    assert {row["user_id"] for row in seen} <= set(reader)
                named = await db.fetch(one, made["id"], projects)
                by_project = await db.fetch(one, ids[1]["id"], projects)
                listed = await db.fetch(page, projects, last)
            assert len(named) + len(by_project) == len(listed)
            return len(listed)

        bob, eve = [f"{user}-bob"], [f"{user}-eve"]
        assert [await found(bob, projects) for projects in (None, ["p"], ["x"], [])] == [1, 1, 0, 0]
        assert [await found(eve, projects) for projects in (None, ["p"], [])] == [0, 0, 0]
        assert await found(eve, [f"q-{session}"]) == 1
        assert await found([], None) == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute("INSERT INTO gateway.shared_with VALUES ($1, 'eve', now())", made["id"])
    for url in (settings.gateway_database_url, settings.admin_database_url):
        async with open_pool(url, "test") as pool:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.fetch(one, made["id"], None)
