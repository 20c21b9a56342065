"""Models and experiments side by side, of rows as the logger and the tagger write them."""

import csv
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.gateway.analytics.comparing.queries import ComparisonQueries
from services.gateway.analytics.comparing.statements import Which
from shared.database import open_pool
from shared.errors import RangeTooWide
from shared.ids import new_id, user_hash
from tests.connected.gateway.stage import Rows, Stage
from tests.pure.gateway.samples import minutes
from tests.tokens import token_for

PATH = "/api/analytics/models"
DAY = {"from": minutes(0).isoformat(), "to": (minutes(0) + timedelta(1)).isoformat()}


class Calls:
    """Writes answers with their traces."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.minute = 0.0

    async def answer(self, session: str, model: str = "small", user: str = "ann", **columns: Any) -> str:
        """Write one answer, a minute after the one before; return its id."""
        self.minute += 1
        name = f"m{new_id().hex}"
        message = {"parent_id": columns.pop("parent_id", f"q{name}"), "role": "assistant"}
        await self._rows.message(session, name, self.minute, user, **message)
        await self.trace(name, user, session_id=session, message_id=name, model=model, **columns)
        return name

    async def trace(self, name: str, user: str = "ann", **columns: Any) -> None:
        usual = {"provider": "openai", "status": "ok", "started_at": minutes(self.minute), "event_id": new_id()}
        await self._rows.insert("chat.traces", user_id=user, trace_id=name, **{**usual, **columns})

    async def thumb(self, session: str, message: str, value: str) -> None:
        about = {"user_id": "ann", "session_id": session, "message_id": message}
        await self._rows.insert("chat.feedback", **about, value=value, occurred_at=minutes(1), event_id=new_id())


@pytest.fixture
def calls(rows: Rows) -> Calls:
    return Calls(rows)


async def arms(gateway: Stage, kind: str = "models", **query: Any) -> dict[str, dict[str, Any]]:
    answer = await gateway.get(PATH, **{**DAY, **query})
    assert answer.status_code == 200, answer.text
    return {arm["name"]: arm for arm in answer.json()[kind]}


async def test_each_model_is_summed_up(gateway: Stage, rows: Rows, calls: Calls) -> None:
    for session in ("s1", "s2", "s3"):
        await rows.session(session)
    first = await calls.answer("s1", ttft_ms=100, duration_ms=1000, input_tokens=5, output_tokens=7, parent_id="q1")
    second = await calls.answer("s1", ttft_ms=300, duration_ms=3000, input_tokens=5, output_tokens=8, parent_id="q1")
    await calls.answer("s2", status="error", usage_source="estimated", input_tokens=1)
    await calls.answer("s2", status="stopped", cost=Decimal("0.125"), currency="USD")
    await calls.answer("s3", "large", status="interrupted", cost=Decimal("0.5"), currency="EUR")
    await calls.thumb("s1", first, "down")
    await calls.thumb("s1", second, "up")

    found = await arms(gateway)

    small, large = found["small"], found["large"]
    assert (small["sessions"], small["turns"], small["calls"], small["users"]) == (2, 4, 4, 1)
    assert (small["errors"], small["interrupted"], small["stopped"]) == (1, 0, 1)
    assert (small["error_rate"]["value"], small["failed_sessions"]["value"]) == (0.25, 0.5)
    assert small["regenerate_rate"]["value"] == 0.25
    assert (small["thumbs"]["up"], small["thumbs"]["down"], small["thumbs"]["up_rate"]["value"]) == (1, 1, 0.5)
    assert small["disliked_sessions"]["value"] == 0.5
    assert small["ttft_ms"] == {"p50": 200, "p95": 290, "n": 2}
    assert small["duration_ms"] == {"p50": 2000, "p95": 2900, "n": 2}
    assert small["tokens"] == {"input": 11, "output": 15, "total": 26, "estimated_calls": 3}
    assert (small["cost"], large["cost"]) == ({"USD": "0.125"}, {"EUR": "0.5"})
    assert (large["interrupted"], large["error_rate"]["value"], large["provider"]) == (1, 1.0, "openai")


async def test_sessions_of_several_models_stand_apart(gateway: Stage, rows: Rows, calls: Calls) -> None:
    for session in ("s1", "s2"):
        await rows.session(session)
    await calls.answer("s1")
    await calls.answer("s2")
    await calls.answer("s2", "large")

    assert {name: arm["turns"] for name, arm in (await arms(gateway)).items()} == {"small": 1}
    assert {name: arm["turns"] for name, arm in (await arms(gateway, "mixed")).items()} == {"small": 1, "large": 1}


async def test_experiments_are_the_session_s_the_batch_s_the_trace_s_or_the_model(
    gateway: Stage, rows: Rows, calls: Calls
) -> None:
    model = await rows.model("small")
    await rows.session("s1", experiment_name="of the session")
    for number, session in enumerate(("s1", "s2"), start=1):
        await rows.tag(session, model, number)
    await rows.run("UPDATE tagging.session_tags SET experiment_name = 'of the batch'")
    await rows.session("s2")
    await rows.session("s3")
    for session in ("s1", "s2", "s3"):
        await calls.answer(session)
    await calls.trace("t1", model="small", experiment_name="of the trace")

    assert set(await arms(gateway, by="experiment")) == {"of the session", "of the batch", "of the trace", "small"}


async def test_calls_outside_of_sessions_count_one_by_one(gateway: Stage, calls: Calls) -> None:
    await calls.trace("t1", model="small", status="error")
    await calls.trace("t2", model="small")
    await calls.trace("t3", model="small", status="running")

    small = (await arms(gateway))["small"]

    assert (small["sessions"], small["turns"], small["error_rate"]["value"]) == (2, 2, 0.5)


async def test_of_the_calls_of_one_answer_the_last_one_says_how_it_ended(
    gateway: Stage, rows: Rows, calls: Calls
) -> None:
    await rows.session("s1")
    answer = await calls.answer("s1", status="error", output_tokens=1)
    calls.minute += 1
    await calls.trace("again", session_id="s1", message_id=answer, model="small", output_tokens=2)
    await calls.thumb("s1", answer, "up")

    small = (await arms(gateway))["small"]

    assert (small["calls"], small["turns"], small["errors"], small["thumbs"]["up"]) == (2, 1, 0, 1)
    assert small["tokens"]["output"] == 3


async def test_a_turn_that_its_application_tells_of_as_well_counts_once(
    gateway: Stage, rows: Rows, calls: Calls
) -> None:
    for user in ("ann", "bob"):
        await rows.session("s1", user=user)
    answer = await calls.answer("s1", output_tokens=7)
    other = await calls.answer("s1", user="bob")
    told: dict[str, Any] = {"model": "small", "source": "otlp", "session_id": "s1", "output_tokens": 7}
    await calls.trace("of ours", **told, attributes={"gen_ai.response.id": answer})
    await calls.trace("of itself", **told, attributes={"gen_ai.response.id": "of itself"})
    await calls.trace("of another user's", **told, attributes={"gen_ai.response.id": other})
    await calls.trace("without", **told)

    queries: list[dict[str, Any]] = [{}, {"role": "admin", "user_id": "ann"}]
    for query in queries:
        small = (await arms(gateway, **query))["small"]
        assert (small["calls"], small["tokens"]["output"]) == (4, 28)


async def test_only_calls_of_the_time_and_the_names_count(gateway: Stage, rows: Rows, calls: Calls) -> None:
    await rows.session("s1")
    await rows.session("s2")
    await calls.answer("s1", started_at=minutes(0))
    await calls.answer("s1", started_at=minutes(0) + timedelta(1))
    await calls.answer("s1", started_at=minutes(0) - timedelta(seconds=1))
    await calls.answer("s2", "large")

    assert {name: arm["turns"] for name, arm in (await arms(gateway)).items()} == {"small": 1, "large": 1}
    assert set(await arms(gateway, models="large,none")) == {"large"}


async def test_a_user_sees_their_own_and_an_administrator_everybody_s(gateway: Stage, rows: Rows, calls: Calls) -> None:
    for user in ("ann", "bob"):
        await rows.session("s1", user=user)
        await calls.answer("s1", user=user)

    assert (await arms(gateway))["small"]["turns"] == 1
    assert (await arms(gateway, role="admin"))["small"]["users"] == 2
    assert (await arms(gateway, role="admin", user_id="bob"))["small"]["turns"] == 1
    assert (await arms(gateway, role="admin", user_id="eve")) == {}
    assert (await arms(gateway, user_id="ann"))["small"]["turns"] == 1
    assert (await gateway.get(PATH, **DAY, user_id="bob")).status_code == 403


async def test_a_token_of_one_project_compares_its_sessions(gateway: Stage, rows: Rows, calls: Calls) -> None:
    await rows.session("s1", project_id="p1")
    await rows.session("s2")
    for session in ("s1", "s2"):
        await calls.answer(session)
    await calls.trace("t1", model="small")
    limited = {"Authorization": f"Bearer {token_for(gateway.settings, 'ann', projects=['p1'])}"}

    answer = await gateway.http.get(PATH, params=DAY, headers=limited)

    assert [arm["turns"] for arm in answer.json()["models"]] == [1]


async def test_an_administrator_of_one_project_compares_no_more_than_its_own_sessions(
    gateway: Stage, rows: Rows, calls: Calls
) -> None:
    for user in ("ann", "bob"):
        await rows.session("s1", user=user, project_id="p1")
        await calls.answer("s1", user=user)
    token = token_for(gateway.settings, "ann", role="admin", projects=["p1"])
    limited = {"Authorization": f"Bearer {token}"}

    answer = await gateway.http.get(PATH, params=DAY, headers=limited)

    assert [(arm["users"], arm["turns"]) for arm in answer.json()["models"]] == [(1, 1)]
    for query in ({"user_id": "bob"}, {"models": "a,b", "paired": "true"}):
        assert (await gateway.http.get(PATH, params=DAY | query, headers=limited)).status_code == 403


async def test_what_is_to_go_is_not_compared_by_administrators_either(gateway: Stage, rows: Rows, calls: Calls) -> None:
    for user, session in (("ann", "s1"), ("ann", "s2"), ("bob", "s1")):
        await rows.session(session, user=user)
        await calls.answer(session, user=user)
    event = {"event_id": new_id(), "correlation_id": new_id()}

    await rows.insert("gateway.deletions", user_id="ann", session_id="s1", **event)
    small = (await arms(gateway, role="admin"))["small"]
    assert (small["users"], small["sessions"], small["turns"]) == (2, 2, 2)
    assert (await arms(gateway, role="admin", user_id="ann"))["small"]["turns"] == 1

    await rows.insert("gateway.erasures", user_id="ann", user_hash=user_hash("ann"), **event)
    small = (await arms(gateway, role="admin"))["small"]
    assert (small["users"], small["turns"]) == (1, 1)


async def test_users_are_their_own_control(gateway: Stage, rows: Rows, calls: Calls) -> None:
    for user in (f"user {number}" for number in range(11)):
        for number in range(10):
            session, is_second = f"s{number}", number >= 5
            await rows.session(session, user=user)
            if user != "user 10" or number:  # who has four sessions of the first, and is in no pair
                ttft = 100.0 + int(user[5:]) + 50 * is_second
                await calls.answer(session, "large" if is_second else "small", user, ttft_ms=ttft)

    answer = await gateway.get(PATH, role="admin", **DAY, models="small,large", paired=True)

    found = answer.json()
    assert (found["models"], found["users"]) == (["small", "large"], 10)
    assert found["differences"]["ttft_ms"] == {"mean": 50, "low": 50, "high": 50, "n": 10, "left_out": None}
    assert found["differences"]["thumbs_up_rate"]["left_out"] == "fewer than 10 users"
    sheet = await gateway.get(PATH, role="admin", **DAY, models="large,small", paired=True, format="csv")
    assert {row["measure"]: row["mean"] for row in csv.DictReader(sheet.text.splitlines())}["ttft_ms"] == "-50.0"


@pytest.mark.parametrize("models", [None, "small", "small,small", "a,b,c"])
async def test_a_pair_is_two_names(gateway: Stage, models: str | None) -> None:
    query = DAY | ({"models": models} if models else {})

    assert (await gateway.get(PATH, role="admin", **query, paired=True)).status_code == 422
    assert (await gateway.get(PATH, **DAY, models="a,b", paired=True)).status_code == 403


async def test_a_time_that_ends_before_it_begins_is_refused(gateway: Stage) -> None:
    assert (await gateway.get(PATH, **{"from": DAY["to"], "to": DAY["from"]})).status_code == 422
    assert (await gateway.get(PATH, **{"from": "2026-01-01T00:00:00"})).status_code == 422


async def test_a_sheet_is_an_attachment(gateway: Stage, rows: Rows, calls: Calls) -> None:
    await rows.session("s1")
    await calls.answer("s1")

    sheet = await gateway.get(PATH, **DAY, format="csv")

    assert sheet.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in sheet.headers["content-disposition"]
    assert [(row["name"], row["turns"]) for row in csv.DictReader(sheet.text.splitlines())] == [("small", "1")]


@pytest.fixture
async def two_at_most(gateway: Stage) -> AsyncIterator[ComparisonQueries]:
    async with open_pool(gateway.settings.reader_database_url, "test", 1) as reader:
        yield ComparisonQueries(reader, reader, most_calls=2)


async def test_too_many_calls_are_refused_before_they_are_read(
    two_at_most: ComparisonQueries, rows: Rows, calls: Calls
) -> None:
    which = Which(minutes(0), minutes(60), "model", user_ids=("ann",))
    await rows.session("s1")
    for _ in range(2):
        await calls.answer("s1")
    assert len(await two_at_most.arms(which, as_admin=False)) == 1
    await calls.answer("s1")

    with pytest.raises(RangeTooWide):
        await two_at_most.arms(which, as_admin=False)
