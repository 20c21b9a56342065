"""Who has had what they may have of a day is told so, by every route by which they could have more."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from tests.connected.gateway.chat.test_limits import chat, limited
from tests.connected.gateway.stage import Stage


@pytest.fixture(autouse=True)
def _no_turn_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.turns.runner.DRAIN_S", 0.1)


async def give(stage: Stage, user: str = "ann", **quota: Any) -> None:
    headers = stage.as_user("root", "admin")
    answer = await stage.http.patch(f"/api/admin/users/{user}", json={"quota": quota}, headers=headers)
    assert answer.status_code == 200, answer.text


def told(answer: httpx2.Response) -> tuple[int, str, str | None]:
    return answer.status_code, answer.json()["code"], answer.json().get("limit")


async def test_who_has_had_their_turns_reads_until_when(stage: Stage) -> None:
    async with limited(stage, turns_per_day=2) as gateway:
        ann = gateway.as_user("ann")
        said = [await chat(gateway, headers=ann | {"Idempotency-Key": f"k{each}"}) for each in range(3)]
        again = await chat(gateway, headers=ann | {"Idempotency-Key": "k1"})
        other = await chat(gateway, headers=gateway.as_user("bob"))
        streamed = await gateway.http.post("/api/chat", json={"message": "hi"}, headers=ann)
    assert [each.status_code for each in said] == [200, 200, 429]
    refused = said[2].json()
    midnight = datetime.fromisoformat(refused["resets_at"])
    assert (refused["code"], refused["limit"], refused["quota"]) == ("quota_used_up", "turns_per_day", 2)
    assert (midnight.hour, midnight.minute, midnight.utcoffset()) == (0, 0, timedelta(0))
    assert refused["resets_at"] in refused["detail"]
    wait = timedelta(seconds=int(said[2].headers["retry-after"]))
    assert abs(datetime.now(UTC) + wait - midnight) < timedelta(minutes=1)
    assert (again.status_code, again.json()["message"]["id"]) == (200, said[1].json()["message"]["id"])
    assert other.status_code == 200
    assert told(streamed) == (429, "quota_used_up", "turns_per_day")


async def test_an_administrator_gives_one_user_more_or_less_and_takes_it_back(stage: Stage) -> None:
    async with limited(stage, turns_per_day=1) as gateway:
        ann, bob = gateway.as_user("ann"), gateway.as_user("bob")
        await give(gateway, "ann", turns_per_day=3)
        await give(gateway, "bob", turns_per_day=0)
        assert [(await chat(gateway, headers=ann)).status_code for _ in range(4)] == [200, 200, 200, 429]
        assert (await chat(gateway, headers=bob)).status_code == 429
        await give(gateway, "bob", turns_per_day=None)
        assert [(await chat(gateway, headers=bob)).status_code for _ in range(2)] == [200, 429]


async def test_what_an_administrator_says_is_heard_at_another_gateway(stage: Stage) -> None:
    async with limited(stage) as one, limited(stage) as another:
        bob = another.as_user("bob")
        assert (await chat(another, headers=bob)).status_code == 200
        await give(one, "bob", turns_per_day=0)
        await another.counting.hear()  # as its worker does every two seconds
        assert told(await chat(another, headers=bob)) == (429, "quota_used_up", "turns_per_day")


async def test_a_visitor_who_signs_in_begins_no_new_day(stage: Stage) -> None:
    async with limited(stage, turns_per_day=2, visitor_turns_per_day=99) as gateway:
        made = await gateway.http.post("/api/auth/visitor")
        cookie = {"Cookie": f"visitor={made.cookies['visitor']}"}
        assert (await chat(gateway, headers=cookie)).status_code == 200
        both = gateway.as_user("ann") | cookie
        assert [(await chat(gateway, headers=both)).status_code for _ in range(2)] == [200, 429]
        assert (await chat(gateway, headers=gateway.as_user("ann"))).status_code == 429


async def test_being_many_visitors_of_one_address_helps_nobody(stage: Stage) -> None:
    async with limited(stage, turns_per_day=2) as gateway:
        answers = [await chat(gateway, address=f"2001:db8::{each:x}") for each in range(1, 4)]
        elsewhere = await chat(gateway, address="2001:db8:1::1")
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert told(answers[2]) == (429, "quota_used_up", "visitor_turns_per_day")
    assert elsewhere.status_code == 200


async def test_sessions_are_counted_whichever_way_they_begin(stage: Stage) -> None:
    async with limited(stage, sessions_per_day=4) as gateway:
        ann = gateway.as_user("ann")
        opened = await gateway.post("/api/chat/sessions", {"id": "opened"})
        again = await gateway.post("/api/chat/sessions", {"id": "opened"})
        inside = await chat(gateway, session_id="opened", headers=ann)
        posted = await gateway.post("/api/chat/sessions/posted/messages", {"role": "user", "content": "hi"})
        asked = await chat(gateway, headers=ann)
        older = await gateway.post("/api/sessions", {"model": "sandbox-small"})
        assert [each.status_code // 100 for each in (opened, again, inside, posted, asked, older)] == [2] * 6
        refused = [
            await gateway.post("/api/chat/sessions", {}),
            await gateway.post("/api/chat/sessions/other/messages", {"role": "user", "content": "hi"}),
            await chat(gateway, headers=ann),
            await chat(gateway, session_id="new", headers=ann),
            await gateway.post("/api/sessions", {"model": "sandbox-small"}),
        ]
        goes_on = [
            await chat(gateway, session_id="opened", headers=ann),
            await gateway.post("/api/chat/sessions/posted/messages", {"role": "user", "content": "hello"}),
        ]
    assert {told(each) for each in refused} == {(429, "quota_used_up", "sessions_per_day")}
    assert [each.status_code // 100 for each in goes_on] == [2, 2]


async def test_who_has_as_many_sessions_as_they_may_deletes_one_to_begin_another(stage: Stage) -> None:
    async with limited(stage, sessions_in_all=1) as gateway:
        ann = gateway.as_user("ann")
        both = await asyncio.gather(*(chat(gateway, session_id=each, headers=ann) for each in ("s1", "s2")))
        assert sorted(each.status_code for each in both) == [200, 403]
        (refused,) = (each for each in both if each.status_code == 403)
        assert told(refused) == (403, "too_many_sessions", "sessions_in_all")
        assert "retry-after" not in refused.headers
        (kept,) = (each.json()["session_id"] for each in both if each.status_code == 200)
        await gateway.http.delete(f"/api/chat/sessions/{kept}", headers=ann)
        assert (await chat(gateway, session_id="s3", headers=ann)).status_code == 200
