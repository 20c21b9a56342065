"""What one caller, all visitors of one address, and everybody together may have of a gateway; and of which models."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
import pytest

from tests.connected.gateway.stage import Stage, open_stage
from tests.servers import looking
from tests.waiting import until

SLOW = "[first 60000]"  # never within a test
SHORT = "[echo heard]"


@pytest.fixture(autouse=True)
def _no_turn_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.turns.here.runner.DRAIN_S", 0.1)


def limited(stage: Stage, **changes: Any) -> AbstractAsyncContextManager[Stage]:
    return open_stage(stage.settings.model_copy(update={"trusted_proxies": "127.0.0.1", **changes}))


async def chat(stage: Stage, text: str = SHORT, *, address: str = "192.0.2.1", **sent: Any) -> httpx2.Response:
    """Ask once, and keep no cookie: without a user, every question is a new visitor's."""
    headers = {"X-Forwarded-For": address, **sent.pop("headers", {})}
    answer = await stage.http.post("/api/chat", json={"message": text, "stream": False, **sent}, headers=headers)
    stage.http.cookies.clear()
    return answer


@asynccontextmanager
async def running(stage: Stage, **sent: Any) -> AsyncIterator[None]:
    """Have a turn run in the block."""
    async with looking(stage.settings.database_url) as owner:
        counting = "SELECT count(*) FROM gateway.turns WHERE state = 'running'"
        before = await owner.fetchval(counting)
        asking = asyncio.create_task(chat(stage, SLOW, **sent))

        async def is_claimed() -> bool:
            return bool(await owner.fetchval(counting) > before)

        await until(is_claimed, "the turn")
    yield
    asking.cancel()
    await asyncio.wait({asking})


async def test_visitors_of_one_address_pass_no_limit_by_being_many(stage: Stage) -> None:
    async with limited(stage, visitor_turns_per_minute=10) as gateway:
        answers = [await chat(gateway, address=f"2001:db8::{number:x}") for number in range(1, 13)]
        others = await chat(gateway, address="2001:db8:0:1::1")
        made = await gateway.http.post("/api/auth/visitor", headers={"X-Forwarded-For": "2001:db8::99"})
        user = await chat(gateway, address="2001:db8::1", headers=gateway.as_user("ann"))
    assert Counter(answer.status_code for answer in answers) == {200: 5, 429: 7}  # each was made, and asked
    assert (answers[-1].json()["code"], made.status_code) == ("too_many_requests", 429)
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert "set-cookie" not in made.headers
    assert (others.status_code, user.status_code) == (200, 200)


async def test_turns_at_once_are_counted_for_who_asks_and_not_for_whose_the_session_is(stage: Stage) -> None:
    async with limited(stage, turns_at_once=1) as gateway:
        made = await gateway.http.post("/api/auth/visitor")
        cookie = f"visitor={made.cookies['visitor']}"
        await chat(gateway, session_id="theirs", headers={"Cookie": cookie})
        both = gateway.as_user("ann") | {"Cookie": cookie}
        async with running(gateway, session_id="theirs", headers=both):
            refused = await chat(gateway, session_id="anns", headers=both)
            visitor = await chat(gateway, session_id="another", headers={"Cookie": cookie})
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert visitor.status_code == 200


async def test_everybody_together_is_refused_past_what_a_gateway_may_run(stage: Stage) -> None:
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(limited(stage, all_turns_at_once=2))
        for user in ("ann", "bob"):
            await stack.enter_async_context(running(gateway, headers=gateway.as_user(user)))
        refused = await chat(gateway, headers=gateway.as_user("cid"))
    assert (refused.status_code, refused.json()["code"]) == (503, "crowded")
    assert int(refused.headers["retry-after"]) >= 1


async def test_visitors_leave_room_for_users(stage: Stage) -> None:
    async with limited(stage, all_turns_at_once=2) as gateway, running(gateway):
        another = await chat(gateway, address="192.0.2.2")
        user = await chat(gateway, headers=gateway.as_user("ann"))
    assert (another.status_code, user.status_code) == (503, 200)


@pytest.mark.parametrize("as_visitor", [True, False])
async def test_production_answers_only_with_models_that_it_is_configured_with(stage: Stage, as_visitor: bool) -> None:
    async with limited(stage, environment="production", allow_visitors=True, default_model="sandbox-large") as gateway:
        headers = {} if as_visitor else gateway.as_user("ann")
        refused = await chat(gateway, model="sandbox-small", headers=headers)
        answered = await chat(gateway, headers=headers)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "model")
    assert (answered.status_code, answered.json()["message"]["model"]) == (200, "sandbox-large")


async def test_visitors_have_models_of_their_own(stage: Stage) -> None:
    async with limited(stage, visitor_models="sandbox-large") as gateway:
        visitor, refused = await chat(gateway), await chat(gateway, model="sandbox-small")
        user = await chat(gateway, model="sandbox-small", headers=gateway.as_user("ann"))
    assert visitor.json()["message"]["model"] == "sandbox-large"
    assert (refused.status_code, user.status_code) == (422, 200)
