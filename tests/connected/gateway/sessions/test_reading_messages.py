"""What the API shows of messages, stored or not."""

from typing import Any

from services.gateway.turns.stored.finishes import Finish
from services.gateway.turns.turn import Answer, Turn
from tests.connected.gateway.stage import Rows, Stage, ask, ids
from tests.pure.gateway.samples import claim

SESSIONS = "/api/chat/sessions"


async def test_messages_are_paged_in_both_directions(gateway: Stage, rows: Rows) -> None:
    await rows.session("s1", at=9)
    for number in range(10):
        await rows.message("s1", f"m{number}", at=number // 2)
    path = f"{SESSIONS}/s1/messages"
    backwards: list[str] = []
    cursor = None
    while True:
        page = await gateway.get(path, limit=4, **({"cursor": cursor} if cursor else {}))
        backwards = [*ids(page, "messages"), *backwards]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
    assert backwards == [f"m{number}" for number in range(10)]
    forward = await gateway.get(path, limit=4, after="m3")
    rest = await gateway.get(path, limit=4, after="m3", cursor=forward.json()["next_cursor"])
    assert [*ids(forward, "messages"), *ids(rest, "messages")] == ["m4", "m5", "m6", "m7", "m8", "m9"]
    assert ids(await gateway.get(path, before="m2"), "messages") == ["m0", "m1"]
    assert ids(await gateway.get(path, limit=2, order="desc"), "messages") == ["m9", "m8"]


async def test_what_is_not_stored_yet_comes_after_what_is(gateway: Stage, rows: Rows) -> None:
    await rows.session("s1", at=-60)
    parts = '[{"type":"text","text":"hi"}]'
    await rows.message("s1", "m1", at=-60, parts=parts, metadata={"k": 1}, model="m")
    await ask(gateway, "s1", text="and now?")
    stored, fresh = (await gateway.get(f"{SESSIONS}/s1/messages")).json()["messages"]
    assert (stored["id"], stored["parts"], stored["metadata"]) == ("m1", [{"type": "text", "text": "hi"}], {"k": 1})
    assert (stored["stored"], fresh["stored"], fresh["content"]) == (True, False, "and now?")


async def read_all(gateway: Stage, **query: Any) -> list[list[str]]:
    """Return every page, the newest first, or as `after` says."""
    pages: list[list[str]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await gateway.get(f"{SESSIONS}/s1/messages", **query, **cursor)
        pages.append(list(ids(page, "messages")))
        if not page.json()["has_more"]:
            return pages
        cursor = {"cursor": page.json()["next_cursor"]}


async def test_a_page_of_long_messages_ends_before_its_limit(gateway: Stage, rows: Rows) -> None:
    await rows.session("s1", at=9)
    await rows.message("s1", "first", at=0)
    for number in range(3):
        await rows.message("s1", f"long{number}", at=number + 1, content="x" * 3_000_000)
    parts = f'[{{"type":"text","text":"{"y" * 9_000_000}"}}]'
    await rows.message("s1", "longest", at=5, parts=parts)
    await rows.message("s1", "last", at=6)
    pages = [["last"], ["longest"], ["long1", "long2"], ["first", "long0"]]
    assert await read_all(gateway) == pages
    assert await read_all(gateway, after="first") == [["long0", "long1"], ["long2"], ["longest"], ["last"]]


async def test_a_page_of_long_messages_that_are_not_stored_ends_before_its_limit(gateway: Stage) -> None:
    said: list[str] = []
    place = None
    for _ in range(3):
        claimed = await gateway.store.claim(claim(known_until=place))
        assert isinstance(claimed, Turn)
        text = "x" * 2_000_000
        answer = Answer(text, [{"type": "text", "text": text}], "complete")
        turn = await gateway.store.finish(Finish(claimed, answer))
        assert turn is not None
        place = turn.place
        said += [turn.question.message_id, turn.answer_id]
    pages = await read_all(gateway)
    assert [message for page in reversed(pages) for message in page] == said
    assert len(pages) > 1
    newest = await gateway.get(f"{SESSIONS}/s1/messages", limit=1)
    assert newest.json()["messages"][0]["content"] == "x" * 2_000_000
    assert (await gateway.get(f"{SESSIONS}/s1")).json()["session"]["last_message"] == "x" * 200
    assert (await gateway.get(SESSIONS)).json()["sessions"][0]["last_message"] == "x" * 200
