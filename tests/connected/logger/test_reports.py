"""What the logger keeps of traces from outside: one row each, whatever the order and however often they come."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import permutations
from typing import Any

import asyncpg
import pytest

from services.logger.handlers import ChatHandler
from services.logger.store import Store
from shared.database import open_pool
from shared.events import Event, TracesReported
from shared.ids import new_id
from shared.settings import Settings
from tests.pure.logger.samples import NOON, answered, at, changed, posted, trace

pytestmark = pytest.mark.no_broker


def told(second: float = 0, *, user_id: str = "ada", **fields: Any) -> TracesReported:
    """Tell of the trace t1, which is over unless the fields say otherwise."""
    return report(second, [fields], user_id=user_id)


def report(second: float, traces: Sequence[dict[str, Any]], *, user_id: str = "ada") -> TracesReported:
    usual = {"trace_id": "t1", "model": "gpt", "status": "ok", "started_at": NOON}
    return TracesReported.model_validate(
        {"user_id": user_id, "accepted_at": at(second), "traces": [{**usual, **each} for each in traces]}
    )


START: dict[str, Any] = {
    "status": "running",
    "session_id": "s1",
    "session_tag": "tag",
    "helper": "broker",
    "attributes": {"a": 1},
}
END: dict[str, Any] = {"duration_ms": 900.0, "output_tokens": 7, "streaming": True, "attributes": {"b": 2}}


@pytest.fixture
async def logger(settings: Settings) -> AsyncIterator[ChatHandler]:
    async with open_pool(settings.logger_database_url, "test", size=4) as pool:
        yield ChatHandler(Store(pool))


async def rows(owner: asyncpg.Connection) -> list[dict[str, Any]]:
    found = await owner.fetch("SELECT *, attributes::text AS attributes FROM chat.traces t ORDER BY user_id, trace_id")
    return [{name: value for name, value in row.items() if name != "stored_at"} for row in found]


async def test_a_trace_is_kept_as_it_is_told(logger: ChatHandler, owner: asyncpg.Connection) -> None:
    event = told(
        3,
        source="otlp",
        w3c_trace_id="a" * 32,
        session_id="nowhere",
        session_tag="brought",
        experiment_name="autumn",
        helper="broker",
        provider="openai",
        upstream="east",
        status="error",
        started_at=at(-5),
        ttft_ms=1.5,
        duration_ms=2.5,
        input_tokens=3,
        output_tokens=4,
        usage_source="reported",
        finish_reason="error",
        error="no",
        error_class="429",
        streaming=True,
        cost="0.000000123456789012",
        currency="EUR",
    )
    await logger.commit([event])
    (row,) = await rows(owner)
    wanted = event.traces[0].model_dump(exclude={"attributes"})
    assert {name: row[name] for name in wanted} == wanted
    assert (row["user_id"], row["revision"], row["rank"], row["accepted_at"]) == ("ada", -1, 1, at(3))
    assert (row["message_id"], row["turn_id"], row["event_id"]) == (None, None, event.event_id)


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_start_and_ends_are_one_row_in_any_order(
    logger: ChatHandler, owner: asyncpg.Connection, order: tuple[int, ...]
) -> None:
    # The start was accepted last: it must not undo an end all the same.
    events = [
        told(9, **START),
        told(2, **END, error="first"),
        told(3, status="error", error="second", cost="1", currency="EUR"),
    ]
    for number in order:
        await logger.commit([events[number]])
    (row,) = one_by_one = await rows(owner)
    assert (row["status"], row["error"], row["duration_ms"], row["output_tokens"]) == ("error", "second", 900.0, 7)
    assert (row["session_id"], row["session_tag"], row["helper"]) == ("s1", "tag", "broker")
    assert (row["attributes"], row["streaming"], row["currency"]) == ('{"a": 1, "b": 2}', True, "EUR")
    for number in order:
        await logger.commit([events[number]])
    assert await rows(owner) == one_by_one, "told once more, nothing changes"
    await owner.execute("DELETE FROM chat.traces")
    await logger.commit([events[number] for number in order])
    assert await rows(owner) == one_by_one, "in one group it is the same"


async def test_a_list_may_have_the_start_and_the_end_of_one(logger: ChatHandler, owner: asyncpg.Connection) -> None:
    await logger.commit([report(1, [END, START])])
    (row,) = await rows(owner)
    assert (row["status"], row["session_id"], row["duration_ms"]) == ("ok", "s1", 900.0)


async def test_nobody_touches_another_users_trace(logger: ChatHandler, owner: asyncpg.Connection) -> None:
    await logger.commit([told(1, error="mine"), told(2, user_id="eve", error="hers")])
    assert [(row["user_id"], row["error"]) for row in await rows(owner)] == [("ada", "mine"), ("eve", "hers")]


@pytest.mark.parametrize("turn_first", [True, False])
async def test_a_turns_own_trace_stands(logger: ChatHandler, owner: asyncpg.Connection, turn_first: bool) -> None:
    events: list[Event] = [answered(trace=trace("a1")), told(9, trace_id="a1", error="no", session_tag="brought")]
    for event in events if turn_first else reversed(events):
        await logger.commit([event])
    (row,) = await rows(owner)
    assert (row["source"], row["error"], row["message_id"], row["session_tag"]) == ("turn", None, "a1", None)


async def test_nothing_is_kept_of_a_session_without_analytics_or_a_deleted_one(
    logger: ChatHandler, owner: asyncpg.Connection
) -> None:
    await logger.commit([posted(), changed(2, analytics=False), posted("m2", session_id="gone")])
    await owner.execute("UPDATE chat.sessions SET deleted_at = now() WHERE session_id = 'gone'")
    names = ("s1", "gone", "unknown")
    await logger.commit([report(3, [{"trace_id": name, "session_id": name} for name in names])])
    assert [row["trace_id"] for row in await rows(owner)] == ["unknown"]


async def test_what_an_erased_user_told_comes_to_nothing(logger: ChatHandler, owner: asyncpg.Connection) -> None:
    await logger.commit([told(1, **START)])
    await owner.execute(
        "INSERT INTO chat.erased_users (user_hash, user_id, erased_at) VALUES (tripthread.user_hash('ada'), 'ada', $1)",
        at(5),
    )
    await logger.commit([told(2, **END, trace_id="late")])
    assert [row["trace_id"] for row in await rows(owner)] == ["t1"]  # which a sweep takes
    await logger.commit([told(6, **END)])
    (row,) = await rows(owner)
    assert (row["session_id"], row["helper"], row["duration_ms"]) == (None, None, 900.0), "nothing older lives on"


async def test_those_who_wait_are_told(logger: ChatHandler) -> None:
    event = told()
    assert [outcome.causes for outcome in await logger.commit([event])] == [(event.event_id,)]


async def test_loggers_at_once_do_not_deadlock(logger: ChatHandler, owner: asyncpg.Connection) -> None:
    ids = [f"t{number}" for number in range(300)]
    groups = [report(number, [{"trace_id": each} for each in ids[:: (-1) ** number]]) for number in range(6)]
    await asyncio.gather(*(logger.commit([group]) for group in groups))
    found = await rows(owner)
    assert {row["event_id"] for row in found} == {groups[-1].event_id}
    assert len(found) == 300


async def test_a_bad_report_spoils_no_other(logger: ChatHandler, owner: asyncpg.Connection) -> None:
    """One that the gateway would never accept: its numbers fit no column."""
    bad = told(1)
    broken = bad.traces[0].model_copy(update={"input_tokens": 2**40})
    with pytest.raises((asyncpg.PostgresError, ValueError)):
        await logger.commit([bad.model_copy(update={"traces": (broken,), "event_id": new_id()})])
    assert await rows(owner) == []
