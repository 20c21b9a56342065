"""Who has had what they may have of a day is told so, by every route by which they could have more."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx2
import pytest

from services.logger.handlers import ChatHandler
from services.logger.store import Store
from shared.database import open_pool
from tests.connected.gateway.chat.test_limits import chat, limited
from tests.connected.gateway.stage import Stage
from tests.pure.logger.samples import answered, posted
from tests.servers import looking
from tests.waiting import until


@pytest.fixture(autouse=True)
def _no_turn_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.turns.here.runner.DRAIN_S", 0.1)


async def give(stage: Stage, user: str = "ann", **quota: Any) -> None:
    headers = stage.as_user("root", "admin")
    answer = await stage.http.patch(f"/api/admin/users/{user}", json={"quota": quota}, headers=headers)
    assert answer.status_code == 200, answer.text


async def owner_row(stage: Stage, user: str = "ann") -> asyncpg.Record:
    """Return what somebody has used today."""
    async with looking(stage.settings.database_url) as owner:
        (row,) = await owner.fetch("SELECT * FROM gateway.usage WHERE user_id = $1", user)
        return row


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
    async with limited(stage, sessions_per_day=4, stored_wait_s=0.0) as gateway:
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
            await gateway.post("/api/sessions", {"model": "sandbox-large"}),
        ]
        goes_on = [
            await chat(gateway, session_id="opened", headers=ann),
            await gateway.post("/api/chat/sessions/posted/messages", {"role": "user", "content": "hello"}),
        ]
    assert {told(each) for each in refused} == {(429, "quota_used_up", "sessions_per_day")}
    assert [each.status_code // 100 for each in goes_on] == [2, 2]


async def test_a_fork_is_a_session_of_the_day_and_its_repeat_is_none(stage: Stage) -> None:
    said = {"user_id": "ann", "session_id": "s1"}
    async with open_pool(stage.settings.logger_database_url, "test", size=1) as pool:
        await ChatHandler(Store(pool)).commit([posted("m1", 1, **said), answered("a1", 2, parent_id="m1", **said)])

    async def fork(gateway: Stage, key: str) -> httpx2.Response:
        sent = gateway.as_user("ann") | {"Idempotency-Key": key, "Prefer": "respond-async"}
        return await gateway.http.post("/api/chat/sessions/s1/fork", json={}, headers=sent)

    async with limited(stage, sessions_per_day=2) as gateway:
        answers = [await fork(gateway, key) for key in ("a", "a", "b", "c")]
    assert [each.status_code for each in answers] == [202, 202, 202, 429]
    assert told(answers[3]) == (429, "quota_used_up", "sessions_per_day")
    async with limited(stage, sessions_in_all=4) as gateway:  # s1, a and b are there
        answers = [await fork(gateway, key) for key in ("a", "c", "d")]
    assert [each.status_code for each in answers] == [202, 202, 403]
    assert told(answers[2]) == (403, "too_many_sessions", "sessions_in_all")


async def test_a_completion_counts_as_a_turn_and_its_refusal_is_one_of_openai_s(stage: Stage) -> None:
    async with limited(stage, turns_per_day=2, sessions_per_day=2) as gateway:
        ann, asked = gateway.as_user("ann"), {"model": "sandbox-small", "stream": False}
        said = [
            await gateway.http.post(
                "/v1/chat/completions", json={**asked, "messages": [{"role": "user", "content": text}]}, headers=ann
            )
            for text in ("one", "two", "three")
        ]
        other = await chat(gateway, headers=ann)
        today = (await owner_row(stage))["turns"]
    assert [each.status_code for each in said] == [200, 200, 429]
    refused = said[2].json()["error"]
    assert (refused["type"], refused["code"]) == ("insufficient_quota", "insufficient_quota")
    assert int(said[2].headers["retry-after"]) >= 1
    assert said[2].headers["ratelimit-policy"].startswith('"turns_per_day";q=2;w=86400')
    assert told(other) == (429, "quota_used_up", "turns_per_day")
    assert today == 2


async def test_a_turn_that_fails_has_been_one(stage: Stage) -> None:
    async with limited(stage, turns_per_day=1) as gateway:
        ann = gateway.as_user("ann")
        failed = await chat(gateway, "[error 418]", headers=ann | {"Idempotency-Key": "k"})
        other = await chat(gateway, headers=ann)
        again = await chat(gateway, "[error 418]", headers=ann | {"Idempotency-Key": "k"})
    assert (failed.status_code, again.status_code) == (503, 503)  # it may be tried again, as the one that it is
    assert told(other) == (429, "quota_used_up", "turns_per_day")


async def test_a_gateway_hears_what_an_administrator_says_elsewhere_by_itself(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.account.limits.counting.HEARD_EVERY_S", 0.02)
    async with limited(stage) as one, limited(stage) as another:
        hearing = asyncio.create_task(another.counting.run())
        ann = another.as_user("ann")
        assert (await chat(another, headers=ann)).status_code == 200
        for most, status in ((0, 429), (None, 200)):
            await give(one, turns_per_day=most)

            async def answers(status: int = status) -> bool:
                return (await chat(another, headers=ann)).status_code == status

            await until(answers, "what was said to be heard")
        another.counting.shut_down()
        await hearing


async def test_who_has_as_many_sessions_as_they_may_deletes_one_to_begin_another(stage: Stage) -> None:
    async with limited(stage, sessions_in_all=1, stored_wait_s=0.0) as gateway:
        ann = gateway.as_user("ann")
        both = await asyncio.gather(*(chat(gateway, session_id=each, headers=ann) for each in ("s1", "s2")))
        assert sorted(each.status_code for each in both) == [200, 403]
        (refused,) = (each for each in both if each.status_code == 403)
        assert told(refused) == (403, "too_many_sessions", "sessions_in_all")
        assert "retry-after" not in refused.headers
        (kept,) = (each.json()["session_id"] for each in both if each.status_code == 200)
        await gateway.http.delete(f"/api/chat/sessions/{kept}", headers=ann)
        assert (await chat(gateway, session_id="s3", headers=ann)).status_code == 200
