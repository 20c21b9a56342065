"""A request whose answer is lost is shown as unconfirmed, is never sent again, and may still turn up."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest
from aiohttp import web

from services.workflow.avinode.client import open_avinode
from services.workflow.orders.creating import Creator
from services.workflow.rereading import Rereading
from services.workflow.store.intents.requests import Intent, RequestStore
from shared.database import open_pool
from shared.ids import new_id
from tests.connected.workflow.stage import QUICK, Stage, lose_an_answer, running_workflow, serving

STATE = "SELECT state FROM workflow.requests WHERE request_id = $1"


async def test_a_request_that_nobody_sends_any_more_becomes_unconfirmed_without_a_restart(quiet: Stage) -> None:
    async with running_workflow(quiet.settings):
        await quiet.created()  # the leader was elected
        stale, fresh = await sending(quiet, since_s=61), await sending(quiet, since_s=30)
        await quiet.becomes("unconfirmed", STATE, stale)
        await quiet.created("s2")
        assert await quiet.owner.fetchval(STATE, fresh) == "sending"
    assert len(await quiet.calls("POST", "/api/trips")) == 2
    error = "SELECT t.error FROM workflow.trips t JOIN workflow.requests USING (trip_id) WHERE request_id = $1"
    assert await quiet.owner.fetchval(error, stale) == "the sender ended before the answer"


class ResetOnce(RequestStore):
    """Loses the session just after a request was taken and that was committed."""

    is_reset = False

    async def begin_sending(self) -> Intent | None:
        intent = await super().begin_sending()
        if intent is not None and not self.is_reset:
            self.is_reset = True
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return intent


async def test_a_session_lost_while_taking_a_request_sends_it_at_most_once(quiet: Stage) -> None:
    async with running_workflow(quiet.settings):
        await quiet.created()
    async with (
        open_pool(quiet.settings.workflow_database_url, "workflow", 2) as pool,
        open_avinode(quiet.settings, QUICK) as avinode,
    ):
        store = ResetOnce(pool, shared=False, rereading=Rereading())
        creator = Creator(store, avinode, quiet.publisher, replace(QUICK, sending_s=0))
        request_id = await sending(quiet, since_s=0, state="intended")
        with pytest.raises(asyncpg.ConnectionDoesNotExistError):
            await creator.work_request()
        assert await quiet.owner.fetchval(STATE, request_id) == "sending"
        assert not await creator.work_request()
        assert await quiet.owner.fetchval(STATE, request_id) == "unconfirmed"
    assert len(await quiet.calls("POST", "/api/trips")) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 418, 503])
async def test_an_answer_that_is_no_clear_refusal_leaves_a_request_unconfirmed(quiet: Stage, status: int) -> None:
    calls: list[str] = []
    async with serving(answering(calls, status)) as url:
        changed = quiet.settings.model_copy(update={"avinode_base_url": f"{url}/api"})
        async with running_workflow(changed):
            event = await quiet.request()
            await quiet.becomes("unconfirmed", STATE, event.request_id)
    assert calls == ["POST /api/trips"]


async def test_a_busy_avinode_that_says_when_to_come_again_is_asked_again(quiet: Stage) -> None:
    calls: list[str] = []
    async with serving(answering(calls, 503, {"Retry-After": "0"})) as url:
        changed = quiet.settings.model_copy(update={"avinode_base_url": f"{url}/api"})
        async with running_workflow(changed):
            await quiet.request()
            await quiet.becomes(True, "SELECT attempts > 1 FROM workflow.requests")
    assert len(calls) > 1


async def test_a_trip_that_turns_up_before_its_answer_is_lost_is_found(quiet: Stage) -> None:
    first = await lose_an_answer(quiet)
    await quiet.avinode.switch_on(rest_hang_ms=60_000)
    async with running_workflow(quiet.settings, replace(QUICK, answer_s=5)):
        second = await quiet.request("s2")
        await quiet.called("POST", "/api/trips", 2)
        await quiet.avinode.switch_on()  # for the calls to come: the second request's answer still hangs
        trips = (await quiet.avinode.call("GET", "/sim/trips")).body["trips"]
        (found,) = [trip["id"] for trip in trips if trip["externalTripId"] == str(second.request_id)]
        await quiet.avinode.act(f"trips/{found}/rfqs", {"operators": 2})
        await quiet.stands(second.trip_id, "requesting_quotes", 2, 2, 0)
        await quiet.answered(second.event_id)
    # The workflow has seen its call time out meanwhile, which was no news any more.
    heard = [one for one in quiet.advanced if str(second.event_id) in one["causes"]]
    assert len(heard) == 1
    assert await quiet.owner.fetchval(STATE, second.request_id) == "created"
    assert await quiet.owner.fetchval(STATE, first.request_id) == "unconfirmed"
    assert len(await quiet.calls("POST", "/api/trips")) == 2


async def test_a_strangers_trip_is_not_remembered_as_such_while_a_request_is_being_sent(quiet: Stage) -> None:
    await lose_an_answer(quiet)
    async with running_workflow(quiet.settings):
        await quiet.created("s2")  # the leader was elected
        request_id = await sending(quiet, since_s=0)
        code, _ = await quiet.avinode.trip_with_rfqs(1)
        await quiet.called("GET", f"/api/trips/{code}", 2)
        assert await quiet.owner.fetchval(STATE, request_id) == "sending"


async def sending(stage: Stage, *, since_s: float, state: str = "sending") -> UUID:
    """Leave a request behind as a process does that took it then and is gone."""
    request_id = new_id()
    await stage.owner.execute(
        """
        WITH trip AS (INSERT INTO workflow.trips (trip_id) VALUES ($1))
        INSERT INTO workflow.requests (request_id, trip_id, user_id, session_id, segments, pax, event_id, state,
            updated_at)
        VALUES ($1, $1, 'eve', 's9', '[]', 1, $1, $2, clock_timestamp() - $3 * interval '1 second')
        """,
        request_id,
        state,
        since_s,
    )
    return request_id


def answering(
    calls: list[str], status: int, headers: dict[str, str] | None = None
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Make an Avinode that answers everything alike."""

    async def answer(request: web.Request) -> web.StreamResponse:
        calls.append(f"{request.method} {request.path}")
        return web.json_response({}, status=status, headers={"Location": "/elsewhere", **(headers or {})})

    return answer
