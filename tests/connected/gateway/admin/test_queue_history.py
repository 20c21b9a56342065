"""What gateways have seen of the queues: kept once for all, for an hour."""

from collections.abc import AsyncIterator
from math import nan

import pytest

from services.gateway.admin.queues.history import QueueHistory
from shared.database import open_pool
from shared.settings import Settings
from shared.topology import QUEUES
from tests.connected.gateway.stage import Rows, Stage

CHAT = "logger.chat"


@pytest.fixture
async def history(read_settings: Settings, rows: Rows) -> AsyncIterator[QueueHistory]:
    del rows  # which empties the tables
    async with (
        open_pool(read_settings.gateway_database_url, "test", size=1) as own,
        open_pool(read_settings.admin_database_url, "test", size=1) as admin,
    ):
        yield QueueHistory(own, admin)


async def _age(rows: Rows, **by: int) -> None:
    await rows.run(
        """
        UPDATE gateway.queue_minutes
        SET minute = minute - make_interval(mins => $1), emptied_at = emptied_at - make_interval(mins => $1)
        """,
        by["minutes"],
    )


async def test_of_a_minute_the_worst_is_kept(history: QueueHistory) -> None:
    for messages, consumers in ((3, 2), (7, 1), (0, 3)):
        await history.note([(CHAT, messages, consumers)])
    at, seen = await history.read()
    assert (max(each.messages for each in seen), min(each.consumers for each in seen)) == (7, 1)
    assert len(seen) <= 2, "one, or two where a minute has just ended"
    last = seen[-1].emptied_at
    assert last is not None
    assert last <= at


async def test_when_it_was_empty_is_known_for_as_long_as_it_is_not(history: QueueHistory, rows: Rows) -> None:
    await history.note([(CHAT, 0, 1)])
    await _age(rows, minutes=58)
    await history.note([(CHAT, 5, 1)])
    await _age(rows, minutes=58)
    await history.note([(CHAT, 6, 1)])
    at, seen = await history.read()
    assert [each.messages for each in seen] == [5, 6], "nothing older than an hour"
    emptied = seen[-1].emptied_at
    assert emptied is not None
    assert 116 <= (at - emptied).total_seconds() // 60 <= 117


async def test_of_what_the_broker_does_not_tell_nothing_is_known(history: QueueHistory) -> None:
    await history.note([(CHAT, nan, nan), ("dead", 4, 1)])
    _, seen = await history.read()
    assert [(each.queue, each.messages, each.emptied_at) for each in seen] == [("dead", 4, None)]


async def test_the_route_shows_every_queue_with_its_past(gateway: Stage, history: QueueHistory, rows: Rows) -> None:
    await history.note([(CHAT, 0, 1)])
    await _age(rows, minutes=10)
    await rows.session("s1", title="a title", title_source="user")
    assert (await gateway.get("/api/admin/sessions", "root", "admin")).status_code == 200  # its record waits there
    answer = await gateway.get("/api/admin/queues", "root", "admin")
    assert answer.status_code == 200, answer.text
    queues = {each["name"]: each for each in answer.json()["queues"]}
    assert set(queues) == {queue.name for queue in QUEUES}
    assert [(each["messages"], each["consumers"]) for each in queues[CHAT]["history"]] == [(0, 1)]
    assert queues[CHAT]["messages"] >= 1, "asked just now"
    assert 600 <= queues[CHAT]["oldest_age_s"] < 660, "since it was seen empty"
    assert queues["dead"]["history"] == []
