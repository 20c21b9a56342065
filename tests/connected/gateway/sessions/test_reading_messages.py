"""What the API shows of messages, stored or not."""

from tests.connected.gateway.stage import Rows, Stage, ask, ids

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
