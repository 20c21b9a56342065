"""Sessions that are reserved in batches have their numbers among all others, whatever else happens to them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import asyncpg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from services.tagger.handlers import SessionHandler
from services.tagger.store import Store
from services.tagger.sweeping import Sweeper
from shared.database import open_pool
from shared.events import Event, MessagePosted, TagBatchRequested
from shared.ids import model_id
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.tagging import (
    MODEL,
    assert_gapless,
    batch,
    changed,
    deleted,
    erased,
    in_groups,
    read_counters,
    read_tags,
    registered,
    spoke,
)
from tests.waiting import PATIENCE_S

SMALL = model_id("acme", MODEL)
TAG = f"chat_model_{SMALL.hex[:6]}_"
TAGGERS = 3
IDS = batch(count=1000).session_ids()
ROW = "SELECT * FROM tagging.session_tags WHERE session_id = $1"


@pytest.fixture
async def stores(settings: Settings) -> AsyncIterator[list[Store]]:
    async with AsyncExitStack() as stack:
        names = (f"tagger_{place}" for place in range(TAGGERS))
        pools = [await stack.enter_async_context(open_pool(settings.tagger_database_url, name)) for name in names]
        yield [Store(pool) for pool in pools]


@pytest.fixture
def tagger(stores: list[Store]) -> SessionHandler:
    return SessionHandler(stores[0])


async def test_batch_takes_the_numbers_between_two_first_messages_in_its_order(
    tagger: SessionHandler, owner: asyncpg.Connection
) -> None:
    event = batch(at=2, experiment_name="blue")

    outcomes = await tagger.commit([registered(), spoke("s1", at=1), event, spoke("s2", at=3)])

    tags = await read_tags(owner)
    numbered = [tags["ada", session] for session in ("s1", *IDS[:3], "s2")]
    assert numbered == [f"{TAG}00{number}" for number in range(1, 6)]
    assert [outcome.causes for outcome in outcomes if event.event_id in outcome.causes] == [(event.event_id,)]
    rows = await owner.fetch("SELECT * FROM tagging.session_tags WHERE reserved_at IS NOT NULL")
    assert {(row["reserved_at"], row["experiment_name"], row["mixed"]) for row in rows} == {
        (event.accepted_at, "blue", False)
    }


async def test_repeated_batch_reserves_nothing_more_and_is_answered(
    tagger: SessionHandler, stores: list[Store], owner: asyncpg.Connection
) -> None:
    event = batch()
    await tagger.commit([registered(), event, event])
    rows = await owner.fetch("SELECT * FROM tagging.session_tags ORDER BY session_id")

    for other in (tagger, SessionHandler(stores[1])):
        [outcome] = await other.commit([event])
        assert (outcome.session_id, outcome.causes) == (IDS[0], (event.event_id,))

    assert await owner.fetch("SELECT * FROM tagging.session_tags ORDER BY session_id") == rows
    assert await read_counters(owner) == {("ada", SMALL): 3}


async def test_first_message_in_a_reserved_session_is_answered_with_its_tag(tagger: SessionHandler) -> None:
    await tagger.commit([registered(), registered("large"), batch()])

    for session, model, tag in ((IDS[0], MODEL, "001"), (IDS[1], "large", "002"), (IDS[2], "untracked", "003")):
        [outcome] = await tagger.commit([spoke(session, model=model)])
        assert outcome.session_tag == TAG + tag


async def test_batch_of_a_model_that_is_not_tracked_reserves_nothing(
    tagger: SessionHandler, owner: asyncpg.Connection
) -> None:
    assert await tagger.commit([batch(1), registered(), changed(at=1, tracked=False), batch(2)]) == []
    assert await read_tags(owner) == {}


async def test_thousands_at_once_are_tagged_in_portions(tagger: SessionHandler, owner: asyncpg.Connection) -> None:
    events = [batch(number, count=1000, at=number) for number in range(3)]

    outcomes = await tagger.commit([registered(), spoke("s1"), *events, spoke("s2", at=9)])

    assert len(outcomes) == 5
    assert (await read_tags(owner))["ada", "s2"] == TAG + "3002"
    await assert_gapless(owner)


async def test_number_of_a_reserved_session_that_is_deleted_stays_taken(
    tagger: SessionHandler, owner: asyncpg.Connection
) -> None:
    await tagger.commit([registered(), batch()])
    await tagger.commit([deleted(IDS[2], at=1)])
    await tagger.commit([batch(), spoke("s4", at=2)])

    row = await owner.fetchrow(ROW, IDS[2])
    assert row is not None
    assert (row["session_tag"], row["number"]) == (None, 3)
    assert (await read_tags(owner))["ada", "s4"] == TAG + "004"


@pytest.mark.parametrize("model", [MODEL, "large"])
async def test_batch_that_comes_after_a_message_in_one_of_its_sessions_joins_it(
    tagger: SessionHandler, owner: asyncpg.Connection, model: str
) -> None:
    event = batch(experiment_name="blue")
    await tagger.commit([registered(), registered("large")])
    await tagger.commit([spoke(IDS[1], model=model)])
    before = await read_tags(owner)

    await tagger.commit([event])
    await tagger.commit([event])

    row = await owner.fetchrow(ROW, IDS[1])
    assert row is not None
    assert {("ada", IDS[1]): row["session_tag"]} == before
    joined = (row["reserved_at"], row["experiment_name"], row["mixed"])
    assert joined == (event.accepted_at, "blue", model != MODEL)
    await assert_gapless(owner)


async def test_batch_of_before_an_erasure_is_nothing_and_one_of_after_begins_at_001(
    tagger: SessionHandler, owner: asyncpg.Connection
) -> None:
    await tagger.commit([registered(), batch(at=1)])
    await tagger.commit([erased(at=5), batch(2, at=4), batch(at=6, count=2)])

    living = await owner.fetch("SELECT * FROM tagging.session_tags WHERE since > '-infinity' ORDER BY number")
    assert [(row["session_id"], row["session_tag"]) for row in living] == [(IDS[0], TAG + "001"), (IDS[1], TAG + "002")]


async def test_batch_that_was_reserved_before_the_tagger_heard_of_the_erasure_is_counted_anew_whole(
    tagger: SessionHandler, stores: list[Store], settings: Settings, owner: asyncpg.Connection
) -> None:
    await tagger.commit([registered(), spoke("s1", at=1), batch(at=6, experiment_name="blue")])
    await tagger.commit([erased(at=5)])
    async with (
        open_pool(settings.tagger_database_url, "sweeping") as pool,
        Publisher(settings, "tagger") as publisher,
        asyncio.timeout(PATIENCE_S),
    ):
        while await owner.fetchval("SELECT count(*) FROM tagging.erased_users WHERE done_at IS NULL"):
            await Sweeper(pool, publisher, 2).sweep()

    rows = await owner.fetch("SELECT * FROM tagging.session_tags ORDER BY number")
    assert [row["number"] for row in rows] == [1, 2, 3]
    assert {row["session_id"] for row in rows} == set(IDS[:3])
    assert {(row["reserved_at"], row["experiment_name"]) for row in rows} == {(batch(at=6).accepted_at, "blue")}


@st.composite
def deliveries(draw: st.DrawFn) -> list[list[Event]]:
    """Make groups for several taggers of batches, and messages in their sessions and others, some of them twice."""
    users = st.sampled_from(["ada", "bob"])
    models = st.sampled_from([MODEL, "large", "untracked"])
    events: list[Event] = draw(
        st.lists(
            st.builds(spoke, st.sampled_from([*IDS[:4], "s1", "s2"]), user=users, model=models, at=st.integers(0, 9)),
            max_size=12,
        )
    )
    counts, tracked = st.integers(1, 5), st.sampled_from([MODEL, "large"])
    events += draw(
        st.lists(
            st.builds(batch, st.sampled_from([1, 2]), user=users, count=counts, model=tracked), min_size=1, max_size=4
        )
    )
    events += draw(st.lists(st.sampled_from(events), max_size=6))
    return in_groups(draw, events)


@given(groups=deliveries())
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
async def test_any_split_order_and_repetition_gives_each_session_one_number(
    groups: list[list[Event]], stores: list[Store], owner: asyncpg.Connection
) -> None:
    taggers = [SessionHandler(store) for store in stores]
    await owner.execute("TRUNCATE tagging.session_tags, tagging.counters, tagging.models")
    await taggers[0].commit([registered(), registered("large")])

    await asyncio.gather(*(work(tagger, groups[place::TAGGERS]) for place, tagger in enumerate(taggers)))

    events = [event for group in groups for event in group]
    batches = [event for event in events if isinstance(event, TagBatchRequested)]
    reserved = {(event.user_id, session) for event in batches for session in event.session_ids()}
    messages = [event for event in events if isinstance(event, MessagePosted) and event.model != "untracked"]
    assert (await read_tags(owner)).keys() == reserved | {(each.user_id, each.session_id) for each in messages}
    await assert_gapless(owner)
    rows = await owner.fetch("SELECT user_id, session_id FROM tagging.session_tags WHERE reserved_at IS NOT NULL")
    assert {tuple(row) for row in rows} == reserved


async def work(tagger: SessionHandler, groups: Sequence[Sequence[Event]]) -> None:
    for group in groups:
        await tagger.commit(group)
