"""A trip is ordered once its user agrees, and once however often and wherever they say so."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import asyncpg
import httpx2
import pytest

from services.gateway.turns.stored.outbox import Outbox
from services.gateway.turns.stored.unfit import Unfit
from services.gateway.turns.stored.waiting import WaitingTurns
from services.gateway.turns.told.telling import Telling
from services.gateway.turns.told.unanswered import Unanswered
from services.gateway.turns.turn import Turn
from shared.database import open_pool
from shared.settings import Settings
from shared.topology import WORKFLOW_TRIPS
from tests.connected.brokers import waiting
from tests.connected.gateway.stage import Stage, open_stage
from tests.connected.gateway.tools.talking import SESSION, calls, chat, requests
from tests.connected.locks import until_blocked
from tests.dates import FLIGHT_DAY
from tests.tokens import token_for

FLIGHT = {"from": "KTEB", "to": "KPBI", "date": FLIGHT_DAY}
TRIP = f"[tool create_trip {json.dumps({'segments': [FLIGHT], 'pax': 4})}]"
ORDER = f"{TRIP} [echo So be it.]"
CALL = "tool-create_trip"
ASKING = ("state", "answer", "answered_at", "waits_until")
USED = "SELECT sum(input_tokens + output_tokens)::integer FROM gateway.usage"


@pytest.fixture
async def stage(told: Settings) -> AsyncIterator[Stage]:
    async with open_stage(told) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _nobody_waits_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the workflow, which is away."""
    monkeypatch.setattr("services.gateway.tools.trip_tools.LONGEST_WAIT_S", 0.3)


async def asked(stage: Stage, text: str = ORDER, **body: Any) -> tuple[dict[str, Any], str]:
    """Have a turn ask; return its answer, and the approval's id."""
    record = await chat(stage, text, **body)
    part = calls(record)[CALL]
    assert part["state"] == "approval-requested"
    return record, part["approval"]["id"]


async def say(
    stage: Stage, approval: str, *, approved: bool = True, session: str = SESSION, user: str = "ann", **body: Any
) -> httpx2.Response:
    """Say whether a call may be made."""
    stage.http.cookies.clear()
    path = f"/api/chat/{session}/approvals/{approval}"
    return await stage.post(path, {"approved": approved, "stream": False, **body}, user=user)


async def orders(stage: Stage) -> int:
    """Count the trips that were asked for."""
    return await waiting(stage.settings, WORKFLOW_TRIPS)


async def messages(stage: Stage) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = (await stage.get(f"/api/chat/sessions/{SESSION}/messages")).json()["messages"]
    return shown


def parts_of(answer: httpx2.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


async def test_nothing_is_ordered_until_its_user_agrees_and_then_the_answer_goes_on(stage: Stage) -> None:
    record, approval = await asked(stage)
    assert (record["message"]["status"], record["finish_reason"]) == ("complete", "tool_calls")
    assert await orders(stage) == 0
    answer = await say(stage, approval)
    assert answer.status_code == 200, answer.text
    went_on = answer.json()
    assert went_on["message"]["id"] == record["message"]["id"], "the same answer"
    part = calls(went_on)[CALL]
    assert (part["state"], part["approval"]) == ("output-available", {"id": approval, "approved": True})
    assert part["output"]["pax"] == 4
    assert (went_on["message"]["content"], went_on["finish_reason"]) == ("So be it.", "stop")
    assert await orders(stage) == 1
    assert [message["role"] for message in await messages(stage)] == ["user", "assistant"]
    *_, last = await requests(stage)
    assert [message["role"] for message in last["messages"][1:]] == ["user", "assistant", "tool"]


async def test_of_two_tabs_at_once_and_of_a_repeat_only_one_orders(stage: Stage) -> None:
    _, approval = await asked(stage)
    both = await asyncio.gather(say(stage, approval), say(stage, approval))
    again = await say(stage, approval)
    assert {answer.status_code for answer in (*both, again)} == {200}
    assert both[0].json() == both[1].json() == again.json()
    assert await orders(stage) == 1
    assert len(await requests(stage)) == 2


@pytest.mark.parametrize("first", [True, False])
async def test_who_says_the_opposite_later_hears_what_was_said(stage: Stage, *, first: bool) -> None:
    _, approval = await asked(stage)
    assert (await say(stage, approval, approved=first)).status_code == 200
    late = await say(stage, approval, approved=not first)
    problem = late.json()
    assert (late.status_code, problem["code"], problem["approved"]) == (409, "approval_settled", first)
    assert await orders(stage) == (1 if first else 0)


async def test_who_denies_is_answered_without_a_trip(stage: Stage) -> None:
    _, approval = await asked(stage)
    denied = (await say(stage, approval, approved=False, reason="Too early.")).json()
    assert calls(denied)[CALL]["state"] == "output-denied"
    assert denied["message"]["content"] == "So be it."
    told = (await requests(stage))[-1]["messages"][-1]["content"]
    assert "did not agree" in told
    assert '"Too early."' in told
    assert await orders(stage) == 0


async def test_an_approval_streams_what_is_new(stage: Stage) -> None:
    record, approval = await asked(stage)
    parts = parts_of(await say(stage, approval, stream=True))
    assert parts[0]["messageId"] == record["message"]["id"]
    assert [part["type"] for part in parts] == [
        "start",
        "tool-output-available",
        "finish-step",
        "start-step",
        "text-start",
        "text-delta",
        "text-end",
        "finish-step",
        "finish",
    ]
    assert parts[-1]["finishReason"] == "stop"


async def test_the_last_part_of_use_chat_is_an_approval(stage: Stage) -> None:
    record, _ = await asked(stage)
    shown = [
        {"id": "m1", "role": "user", "parts": [{"type": "text", "text": ORDER}]},
        {**record["message"], "parts": [_responded(part) for part in record["message"]["parts"]]},
    ]
    body = {"id": SESSION, "messages": shown, "trigger": "submit-message", "messageId": record["message"]["id"]}
    once, again = [parts_of(await stage.post("/api/chat", body)) for _ in range(2)]
    assert once == again
    assert [part["type"] for part in once][:2] == ["start", "tool-output-available"]
    assert await orders(stage) == 1


def _responded(part: dict[str, Any]) -> dict[str, Any]:
    if "approval" not in part:
        return part
    return {**part, "state": "approval-responded", "approval": {**part["approval"], "approved": True}}


async def test_who_agrees_before_the_row_says_that_it_asks_is_heard(stage: Stage, owner: asyncpg.Connection) -> None:
    _, approval = await asked(stage)
    row = await owner.fetchrow(f"SELECT {', '.join(ASKING)} FROM gateway.turns")  # noqa: S608
    await owner.execute(
        "UPDATE gateway.turns SET state = 'running', answer = NULL, answered_at = NULL, waits_until = NULL"
    )
    agreeing = asyncio.create_task(say(stage, approval))
    done, _ = await asyncio.wait({agreeing}, timeout=0.2)
    assert not done
    columns = ", ".join(f"{name} = ${number}" for number, name in enumerate(ASKING, 1))
    assert row is not None
    await owner.execute(f"UPDATE gateway.turns SET {columns}", *row.values())  # noqa: S608
    assert (await agreeing).status_code == 200
    assert await orders(stage) == 1


async def test_two_calls_are_answered_one_by_one(stage: Stage) -> None:
    record = await chat(stage, f"{TRIP} {TRIP} [echo Both.]")
    first, second = (part["approval"]["id"] for part in record["message"]["parts"] if "approval" in part)
    half = (await say(stage, first, approved=False)).json()
    assert [part["state"] for part in half["message"]["parts"]] == ["output-denied", "approval-requested"]
    whole = (await say(stage, second)).json()
    states = [part["state"] for part in whole["message"]["parts"] if "state" in part and "approval" in part]
    assert states == ["output-denied", "output-available"]
    assert (whole["message"]["content"], await orders(stage)) == ("Both.", 1)


async def test_a_waiting_call_keeps_no_session_busy_and_another_message_denies_it(stage: Stage) -> None:
    _, approval = await asked(stage)
    assert (await stage.get(f"/api/chat/{SESSION}/stream")).status_code == 204
    assert (await chat(stage, "[echo Something else.]"))["message"]["content"] == "Something else."
    late = await say(stage, approval)
    assert (late.status_code, late.json()["approved"]) == (409, False)
    denied = await say(stage, approval, approved=False, stream=True)
    assert [part["type"] for part in parts_of(denied)] == ["start", "tool-output-denied", "finish-step", "finish"]
    assert await orders(stage) == 0


async def test_of_an_answer_that_broke_off_nothing_goes_on_once_something_else_is_said(
    stage: Stage, owner: asyncpg.Connection
) -> None:
    """Its gateway was killed when it had asked; its user agrees, and says something else a moment later."""
    _, approval = await asked(stage)
    await owner.execute("""UPDATE gateway.turns SET state = 'interrupted', waits_until = NULL,
        answer = jsonb_set(answer, '{status}', '"interrupted"')""")
    async with owner.transaction():
        await owner.fetch("SELECT FROM gateway.turns FOR UPDATE")
        agreeing = asyncio.create_task(say(stage, approval))
        await until_blocked(owner)
        said = {"role": "user", "content": "Never mind."}
        other = await stage.call("POST", f"/api/chat/sessions/{SESSION}/messages", said, Prefer="respond-async")
        assert other.status_code == 202
    late = await agreeing
    assert (late.status_code, late.json().get("approved")) == (409, False)
    assert await orders(stage) == 0


@dataclass
class Told:
    """Takes down what is to be told."""

    turns: list[Turn] = field(default_factory=list)

    def tell(self, turn: Turn) -> None:
        self.turns.append(turn)


async def close_unanswered(settings: Settings) -> list[Turn]:
    told = Told()
    async with open_pool(settings.gateway_database_url, "test", size=1) as pool:
        await Unanswered(WaitingTurns(pool), cast(Telling, told), Unfit()).close()
    return told.turns


async def test_what_the_conversation_went_past_is_shown_as_denied(stage: Stage) -> None:
    await asked(stage)
    assert await close_unanswered(stage.settings) == [], "it still waits"
    await chat(stage, "[echo Something else.]")
    (turn,) = await close_unanswered(stage.settings)
    assert (turn.answered().revision, turn.answered().status) == (1, "complete")
    shown = (await messages(stage))[1]
    assert [part["state"] for part in shown["parts"]] == ["output-denied"]
    assert await close_unanswered(stage.settings) == []


async def trimmed(settings: Settings) -> int:
    async with (
        open_pool(settings.gateway_database_url, "test", size=1) as pool,
        open_pool(settings.admin_database_url, "test", size=1) as admin,
    ):
        return await Outbox(pool, admin).trim()


AGE = """UPDATE gateway.turns SET stored_at = clock_timestamp(), asked_at = asked_at - $1::interval,
    answered_at = answered_at - $1::interval, waits_until = waits_until - $1::interval"""


async def test_after_a_day_a_call_still_waits(stage: Stage, owner: asyncpg.Connection) -> None:
    _, approval = await asked(stage)
    await owner.execute(AGE, timedelta(days=6))
    assert await trimmed(stage.settings) == 0
    assert (await say(stage, approval)).status_code == 200
    assert await orders(stage) == 1


async def test_after_seven_days_it_is_too_late(stage: Stage, owner: asyncpg.Connection) -> None:
    _, approval = await asked(stage)
    await owner.execute(AGE, timedelta(days=7))
    late = await say(stage, approval)
    assert (late.status_code, late.json()["code"]) == (410, "gone")
    assert len(await close_unanswered(stage.settings)) == 1
    await owner.execute("UPDATE gateway.turns SET stored_at = clock_timestamp()")
    assert await trimmed(stage.settings) == 1
    await chat(stage, "[echo We are still here.]")
    began = int((datetime.now(UTC) - timedelta(days=7, minutes=1)).timestamp() * 1000)
    long_ago = UUID(int=began << 80 | 7 << 76 | 2 << 62)
    assert (await say(stage, f"{long_ago}-0")).status_code == 410
    assert (await say(stage, approval)).status_code == 404, "in fact its turn is of today"
    assert await orders(stage) == 0


@pytest.mark.parametrize("word", ["yes", "true", 1, None])
async def test_what_only_looks_like_a_yes_orders_no_trip(stage: Stage, word: Any) -> None:
    _, approval = await asked(stage)
    answer = await stage.post(f"/api/chat/{SESSION}/approvals/{approval}", {"approved": word})
    assert (answer.status_code, await orders(stage)) == (422, 0)


async def test_what_somebody_else_is_asked_is_not_there(stage: Stage) -> None:
    _, approval = await asked(stage)
    await asked(stage, user="bob")
    await chat(stage, "[echo Mine]", session="s2")
    for answer in (
        await say(stage, approval, user="bob"),
        await say(stage, approval, user="eve"),
        await say(stage, approval, session="s2"),
        await say(stage, approval.replace("-0", "-1")),
        await say(stage, "nothing"),
    ):
        assert answer.status_code == 404
    assert await orders(stage) == 0


async def test_a_token_for_other_projects_says_nothing_to_it(stage: Stage) -> None:
    _, approval = await asked(stage, project_id="p1")
    path = f"/api/chat/{SESSION}/approvals/{approval}"
    for projects, status in ((["p2"], 404), ([], 404), (["p2", "p1"], 200)):
        headers = {"Authorization": f"Bearer {token_for(stage.settings, 'ann', projects=projects)}"}
        answer = await stage.http.post(path, json={"approved": True, "stream": False}, headers=headers)
        assert answer.status_code == status, answer.text
    assert await orders(stage) == 1


async def test_of_a_deleted_session_nothing_goes_on(stage: Stage) -> None:
    _, approval = await asked(stage)
    assert (await stage.call("DELETE", f"/api/chat/sessions/{SESSION}")).status_code in (200, 202)
    assert (await say(stage, approval)).status_code == 404
    assert await orders(stage) == 1, "the deletion, and no order"


async def test_tokens_count_once_though_the_answer_went_on(told: Settings, owner: asyncpg.Connection) -> None:
    async with open_stage(told.model_copy(update={"tokens_per_day": 1_000_000})) as stage:
        _, approval = await asked(stage)
        before = await owner.fetchval(USED)
        whole = (await say(stage, approval)).json()
    assert (
        0 < before < await owner.fetchval(USED) == sum(whole["usage"][f"{kind}_tokens"] for kind in ("input", "output"))
    )


async def test_who_reads_plain_text_is_asked_nothing(stage: Stage) -> None:
    body = {"session_id": SESSION, "userMessages": [ORDER], "helper": "charter"}
    answer = await stage.post("/api/chat", body)
    assert (answer.headers["content-type"].split(";")[0], answer.text) == ("text/plain", "So be it.")
    first, _ = await requests(stage)
    assert "create_trip" not in [tool["function"]["name"] for tool in first["tools"]]
    assert await orders(stage) == 0


async def test_a_visitor_is_told_to_sign_in_first(stage: Stage) -> None:
    body = {"message": ORDER, "helper": "charter", "stream": False}
    stage.http.cookies.clear()
    record = (await stage.http.post("/api/chat", json=body)).json()
    part = calls(record)[CALL]
    assert part["state"] == "output-error"
    assert "sign in" in part["errorText"]
    assert record["message"]["content"] == "So be it."
    assert await orders(stage) == 0
