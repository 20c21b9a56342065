"""Who has read whose texts, as administrators list it, and that it is recorded over a real broker."""

from typing import Any

import httpx2

from shared.ids import new_id
from tests.connected.gateway.stage import Rows, Stage, ids
from tests.pure.gateway.samples import minutes

PATH = "/api/admin/reads"


async def read(rows: Rows, number: int, **fields: Any) -> str:
    read_id = new_id()
    about = {"operator": "root", "user_id": "ann", "kind": "messages", "items": 2, "query": {"reason": "why"}}
    await rows.insert("chat.conversation_reads", read_id=read_id, occurred_at=minutes(number), **(about | fields))
    return str(read_id)


async def listing(gateway: Stage, **query: str) -> httpx2.Response:
    return await gateway.http.get(PATH, params=query, headers=gateway.as_user("root", "admin"))


async def test_reads_are_for_administrators_by_whom_and_of_whom(gateway: Stage, rows: Rows) -> None:
    first = await read(rows, 1)
    second = await read(rows, 2, user_id=None, operator="eve", kind="delivery")
    third = await read(rows, 3, user_id="bob", operator="eve")
    assert (await gateway.get(PATH)).status_code == 403
    listed = await gateway.get(PATH, role="admin")
    assert ids(listed, "reads") == [third, second, first]
    assert listed.json()["reads"][2] == {
        "id": first,
        "operator": "root",
        "user_id": "ann",
        "kind": "messages",
        "items": 2,
        "reason": "why",
        "query": {},
        "occurred_at": listed.json()["reads"][2]["occurred_at"],
    }
    for query, expected in (
        ({"user": "ann"}, [first]),
        ({"operator": "eve"}, [third, second]),
        ({"operator": "eve", "user": "bob"}, [third]),
        ({"from": minutes(2).isoformat()}, [third, second]),
        ({"to": minutes(2).isoformat(), "user": "ann"}, [first]),
    ):
        assert ids(await listing(gateway, **query), "reads") == expected, query
    assert (await gateway.get(PATH, role="admin", kind="messages")).status_code == 422


async def test_a_page_goes_on_where_the_one_before_ended_whatever_comes_meanwhile(gateway: Stage, rows: Rows) -> None:
    made = [await read(rows, number // 2) for number in range(5)]
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        page = await gateway.get(PATH, role="admin", limit=2, **({"cursor": cursor} if cursor else {}))
        seen += ids(page, "reads")
        cursor = page.json()["next_cursor"]
        await read(rows, 100)
    assert cursor is None
    assert sorted(seen) == sorted(made)
