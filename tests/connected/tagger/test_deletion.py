"""Deleted sessions and erased users: from the note on no tag of theirs is given or read; the rows go in portions."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from services.tagger.handlers import SessionHandler
from services.tagger.store import Store
from services.tagger.sweeping import Sweeper
from shared.database import Pool, open_pool
from shared.events import Event, MessagePosted, SessionDeleted, UserErased
from shared.ids import model_id, user_hash
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.connected.locks import until_blocked
from tests.tagging import (
    BEGAN,
    MODEL,
    deleted,
    erased,
    holding_counters,
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
UNDONE = "SELECT count(*) FROM tagging.erased_users WHERE done_at IS NULL"
ROWS = "SELECT count(*) FROM tagging.session_tags"


@pytest.fixture
async def pools(settings: Settings) -> AsyncIterator[list[Pool]]:
    async with AsyncExitStack() as stack:
        names = (f"tagger_{place}" for place in range(TAGGERS))
        yield [await stack.enter_async_context(open_pool(settings.tagger_database_url, name)) for name in names]


@pytest.fixture
def taggers(pools: list[Pool]) -> list[SessionHandler]:
    """Three taggers that nothing keeps apart."""
    return [SessionHandler(Store(pool)) for pool in pools]


@pytest.fixture
def tagger(taggers: list[SessionHandler]) -> SessionHandler:
    return taggers[0]


@pytest.fixture
async def publisher(settings: Settings) -> AsyncIterator[Publisher]:
    async with Publisher(settings, "tagger") as publisher:
        yield publisher


@pytest.fixture
def sweeper(pools: list[Pool], publisher: Publisher) -> Sweeper:
    return Sweeper(pools[0], publisher, portion=2)


async def sweep(sweeper: Sweeper, owner: asyncpg.Connection) -> None:
    """Sweep until everything is done."""
    async with asyncio.timeout(PATIENCE_S):
        while await owner.fetchval(UNDONE):
            await sweeper.sweep()


async def living_tags(owner: asyncpg.Connection) -> dict[tuple[str, str], str]:
    """Return the tags of sessions that were not deleted."""
    rows = await owner.fetch(
        "SELECT user_id, session_id, session_tag FROM tagging.session_tags WHERE deleted_at IS NULL"
    )
    return {(row["user_id"], row["session_id"]): row["session_tag"] for row in rows}


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_session_that_is_deleted_in_its_first_messages_group_gets_no_tag(
    tagger: SessionHandler, owner: asyncpg.Connection, place: int
) -> None:
    group: list[Event] = [registered(), spoke()]
    group.insert(place, deleted(at=1))

    assert await tagger.commit(group) == []

    row = await owner.fetchrow("SELECT * FROM tagging.session_tags")
    assert row is not None
    assert (row["model_id"], row["number"], row["session_tag"]) == (None, None, None)
    assert row["deleted_at"] == BEGAN + timedelta(seconds=1)
    assert await read_counters(owner) == {}


async def test_deleted_session_keeps_its_number_and_is_answered_no_more(
    taggers: list[SessionHandler], owner: asyncpg.Connection
) -> None:
    first = spoke("s1")
    await taggers[0].commit([registered(), first])
    await owner.execute("UPDATE tagging.session_tags SET experiment_name = 'which greeting'")

    for _ in range(2):
        assert await taggers[0].commit([deleted("s1", at=1)]) == []
    for tagger in taggers[:2]:  # who had it in memory, and who had not
        assert await tagger.commit([first, spoke("s1", at=2)]) == []
    [outcome] = await taggers[0].commit([spoke("s2", at=3)])

    assert outcome.session_tag == TAG + "002"
    row = await owner.fetchrow("SELECT * FROM tagging.session_tags WHERE session_id = 's1'")
    assert row is not None
    assert row["deleted_at"] == BEGAN + timedelta(seconds=1)
    assert (row["number"], row["session_tag"], row["experiment_name"]) == (1, None, None)


@pytest.mark.parametrize("gone", [None, "UPDATE tagging.session_tags SET tagged_at = '2000-01-01'"])
async def test_tag_is_as_old_as_its_message_where_users_are_erased_and_as_new_as_it_is_elsewhere(
    tagger: SessionHandler, sweeper: Sweeper, owner: asyncpg.Connection, gone: str | None
) -> None:
    """By the clock, so that whoever looks for new tags finds one that was given late; by its message, to be erased."""
    began = await owner.fetchval("SELECT clock_timestamp()")
    await tagger.commit([registered(), spoke("s1", accepted_at=BEGAN), spoke("s2", at=1)])
    rows = await owner.fetch("SELECT accepted_at, tagged_at FROM tagging.session_tags ORDER BY session_id")
    assert [row["accepted_at"] for row in rows] == [BEGAN, BEGAN + timedelta(seconds=1)]
    assert all(began < row["tagged_at"] < BEGAN for row in rows)
    if gone:
        await owner.execute(gone)

    await tagger.commit([erased(at=0)])
    await sweep(sweeper, owner)

    assert await living_tags(owner) == {("ada", "s2"): TAG + "001"}


async def test_deletion_of_one_session_touches_no_other(tagger: SessionHandler, owner: asyncpg.Connection) -> None:
    await tagger.commit([registered(), spoke("s1"), spoke("s1", user="bob"), spoke("s2")])

    await tagger.commit([deleted("s1", at=1), deleted("s1", at=2), deleted("s9", user="bob")])

    assert set(await living_tags(owner)) == {("ada", "s2"), ("bob", "s1")}


@pytest.mark.parametrize("place", [0, 1, 3])
async def test_message_of_before_the_erasure_gets_no_tag_and_one_of_after_gets_the_first_number(
    tagger: SessionHandler, owner: asyncpg.Connection, place: int
) -> None:
    await tagger.commit([registered(), spoke("s0"), spoke("s1", user="bob")])
    group: list[Event] = [spoke("s1", at=1), spoke("s2", at=3), spoke("s2", user="bob", at=1)]
    group.insert(place, erased("ada", at=2))

    outcomes = await tagger.commit(group)

    assert {(each.user_id, each.session_id): each.session_tag for each in outcomes} == {
        ("ada", "s2"): TAG + "001",
        ("bob", "s2"): TAG + "002",
    }
    assert ("ada", "s1") not in await read_tags(owner)


async def test_session_that_goes_on_after_the_erasure_gets_a_new_tag(
    taggers: list[SessionHandler], owner: asyncpg.Connection
) -> None:
    await taggers[0].commit([registered(), spoke("s0"), spoke("s1", at=1)])
    await taggers[0].commit([spoke("s1", at=1)])

    assert await taggers[0].commit([erased(at=2)]) == []
    assert await taggers[1].commit([spoke("s1", at=1), spoke("s0", at=0)]) == []
    [outcome] = await taggers[0].commit([spoke("s1", at=3)])  # which it had in memory

    assert (outcome.session_id, outcome.session_tag) == ("s1", TAG + "001")
    assert await read_counters(owner) == {("ada", SMALL): 1}


async def test_older_and_repeated_erasures_change_nothing(tagger: SessionHandler, owner: asyncpg.Connection) -> None:
    latest = erased(at=5)
    await tagger.commit([erased(at=3), latest, erased(at=4)])
    line = await owner.fetchrow("SELECT * FROM tagging.erased_users")
    await tagger.commit([latest, erased(at=1)])

    assert await owner.fetch("SELECT * FROM tagging.erased_users") == [line]
    assert line is not None
    assert (line["user_hash"], line["user_id"]) == (user_hash("ada"), "ada")
    assert (line["erased_at"], line["event_id"], line["done_at"]) == (latest.erased_at, latest.event_id, None)


async def test_session_that_was_deleted_after_the_erasure_stays_so_and_one_before_it_does_not(
    taggers: list[SessionHandler], sweeper: Sweeper, owner: asyncpg.Connection
) -> None:
    await taggers[0].commit([registered(), spoke("s1"), spoke("s2"), spoke("s3")])
    await taggers[0].commit([deleted("s1", at=9), deleted("s2", at=4), erased(at=5), deleted("s3", at=3)])

    late = [spoke("s1", at=7), spoke("s2", at=8), spoke("s3", at=9)]
    outcomes = await taggers[0].commit(late)
    again = await taggers[0].commit([deleted("s2", at=4), deleted("s3", at=3)])
    await sweep(sweeper, owner)

    assert ([one.session_id for one in outcomes], again) == (["s2", "s3"], [])
    assert await living_tags(owner) == {("ada", "s2"): TAG + "001", ("ada", "s3"): TAG + "002"}
    assert await taggers[1].commit(late[:1]) == []


async def test_tombstone_by_who_has_not_seen_the_erasure_takes_no_newer_session(
    tagger: SessionHandler, pools: list[Pool], owner: asyncpg.Connection
) -> None:
    await tagger.commit([registered(), erased(at=5)])
    await tagger.commit([spoke("s1", at=6)])
    ledger = await owner.fetch("DELETE FROM tagging.erased_users RETURNING user_hash")  # as a look of before it
    assert ledger

    await SessionHandler(Store(pools[1])).commit([deleted("s1", at=4)])

    assert await living_tags(owner) == {("ada", "s1"): TAG + "001"}


async def test_sweep_takes_in_portions_what_is_older_and_forgets_who_it_was(
    tagger: SessionHandler, sweeper: Sweeper, owner: asyncpg.Connection
) -> None:
    old = [spoke(f"s{place}", at=place) for place in range(5)]
    await tagger.commit([registered(), *old, spoke("s1", user="bob"), deleted("s0", at=1), deleted("s7", at=2)])
    await tagger.commit([erased(at=9), spoke("new", at=10), deleted("s3", at=11)])

    left = [await owner.fetchval(ROWS)]
    async with asyncio.timeout(PATIENCE_S):
        while await owner.fetchval(UNDONE):
            await sweeper.sweep()
            left.append(await owner.fetchval(ROWS))

    assert left[0] == 8  # 5 and s7, bob's, and the new one
    assert min(after - before for before, after in pairwise(left)) >= -2
    assert await living_tags(owner) == {("ada", "new"): TAG + "001", ("bob", "s1"): TAG + "001"}
    rest = await owner.fetch("SELECT * FROM tagging.session_tags WHERE user_id = 'ada' AND session_id <> 'new'")
    assert [(row["session_id"], row["session_tag"], row["number"]) for row in rest] == [("s3", None, None)]
    assert await read_counters(owner) == {("ada", SMALL): 1, ("bob", SMALL): 1}
    [line] = await owner.fetch("SELECT user_id, erased_at FROM tagging.erased_users")
    assert tuple(line) == (None, BEGAN + timedelta(seconds=9))
    assert await tagger.commit([*old, spoke("s3", at=12)]) == []


async def test_erasure_after_one_that_is_done_is_done_too(
    tagger: SessionHandler, sweeper: Sweeper, owner: asyncpg.Connection
) -> None:
    await tagger.commit([registered(), erased(at=1), spoke("s1", at=2)])
    await sweep(sweeper, owner)
    await tagger.commit([erased(at=3), spoke("s2", at=4)])

    assert await owner.fetchval("SELECT user_id FROM tagging.erased_users") == "ada"
    await sweep(sweeper, owner)

    assert await read_tags(owner) == {("ada", "s2"): TAG + "001"}


async def test_what_was_tagged_before_the_tagger_heard_of_the_erasure_is_counted_anew(
    tagger: SessionHandler, sweeper: Sweeper, owner: asyncpg.Connection
) -> None:
    """The messages of after the erasure have overtaken it."""
    await tagger.commit([registered(), *(spoke(f"s{place}", at=place) for place in range(4))])
    await tagger.commit([spoke(f"new{place}", at=20 + place) for place in range(3)])
    assert (await living_tags(owner))["ada", "new0"] == TAG + "005"

    await tagger.commit([erased(at=10)])
    await sweep(sweeper, owner)
    [outcome] = await tagger.commit([spoke("new3", at=30)])

    assert outcome.session_tag == TAG + "004"
    assert await living_tags(owner) == {("ada", f"new{place}"): f"{TAG}{place + 1:03}" for place in range(4)}


async def test_sweep_waits_for_whoever_may_not_have_seen_the_erasure(
    taggers: list[SessionHandler], sweeper: Sweeper, settings: Settings, owner: asyncpg.Connection
) -> None:
    await taggers[0].commit([registered(), spoke("s0")])
    async with holding_counters(settings, "ada"):
        late = asyncio.create_task(taggers[1].commit([spoke("s1", at=1)]))
        await until_blocked(owner)  # it has looked into the ledger already
        await taggers[0].commit([erased(at=2)])
        for _ in range(3):
            assert not await sweeper.sweep()
    await late
    assert await owner.fetchval(UNDONE) == 1
    await sweep(sweeper, owner)

    assert await owner.fetchval(ROWS) == 0
    assert await read_counters(owner) == {}


async def test_sweep_waits_for_another_login_that_has_written(
    tagger: SessionHandler, sweeper: Sweeper, settings: Settings, owner: asyncpg.Connection
) -> None:
    """Whose transactions this one may not look at."""
    await tagger.commit([registered(), spoke("s0")])
    async with holding_counters(settings, "bob"):
        await tagger.commit([erased(at=2)])
        for _ in range(3):
            assert not await sweeper.sweep()
    await sweep(sweeper, owner)

    assert await owner.fetchval(ROWS) == 0


async def test_sweep_waits_for_who_began_between_the_notes_clock_and_its_commit(
    pools: list[Pool], sweeper: Sweeper, owner: asyncpg.Connection
) -> None:
    async with pools[1].acquire() as noting, pools[2].acquire() as late:
        note = noting.transaction()
        await note.start()
        await noting.execute(
            "INSERT INTO tagging.erased_users (user_hash, user_id, erased_at) VALUES ($1, 'ada', now())",
            user_hash("ada"),
        )
        writing = late.transaction()
        await writing.start()
        await late.execute(
            "INSERT INTO tagging.session_tags (user_id, session_id, event_id) VALUES ('ada', 's1', gen_random_uuid())"
        )
        await note.commit()
        for _ in range(3):
            assert not await sweeper.sweep()
        await writing.commit()
    await owner.execute("UPDATE tagging.session_tags SET tagged_at = '2000-01-01'")
    await sweep(sweeper, owner)

    assert await owner.fetchval(ROWS) == 0


async def test_tagger_that_has_not_seen_the_erasure_gives_no_number_of_after_it(
    taggers: list[SessionHandler], settings: Settings, owner: asyncpg.Connection
) -> None:
    await taggers[0].commit([registered(), spoke("s0"), spoke("s1", at=1)])
    async with holding_counters(settings, "ada"):
        unaware = asyncio.create_task(taggers[1].commit([spoke("s2", at=2)]))
        await until_blocked(owner)
        await taggers[0].commit([erased(at=3)])
        aware = asyncio.create_task(taggers[2].commit([spoke("s3", at=4)]))
        await until_blocked(owner, count=2)
    results = await asyncio.gather(unaware, aware, return_exceptions=True)

    assert [each.session_tag for each in results[1]] == [TAG + "001"]  # type: ignore[union-attr]
    # Whoever was first: it has been counted as of before, or is to begin again.
    if isinstance(results[0], BaseException):
        assert isinstance(results[0], asyncpg.SerializationError)
    assert await taggers[1].commit([spoke("s2", at=2)]) == []
    assert await read_counters(owner) == {("ada", SMALL): 1}


async def test_counter_of_after_an_erasure_is_not_stepped_by_who_has_not_seen_it(
    taggers: list[SessionHandler], settings: Settings, owner: asyncpg.Connection
) -> None:
    await taggers[0].commit([registered(), spoke("s0")])
    connection = await asyncpg.connect(settings.database_url)
    try:
        async with connection.transaction():
            await connection.execute("UPDATE tagging.counters SET since = $1, last_number = 4", BEGAN)
            unaware = asyncio.create_task(taggers[1].commit([spoke("s2", at=2)]))
            await until_blocked(owner)
    finally:
        await connection.close()

    with pytest.raises(asyncpg.SerializationError):
        await unaware
    assert await read_tags(owner) == {("ada", "s0"): TAG + "001"}
    assert await read_counters(owner) == {("ada", SMALL): 4}


async def test_message_of_a_known_session_costs_no_statement_and_forgetting_makes_it_cost_one(
    tagger: SessionHandler, owner: asyncpg.Connection
) -> None:
    await tagger.commit([registered(), spoke()])
    await owner.execute("TRUNCATE tagging.session_tags, tagging.counters")

    assert await tagger.commit([spoke(at=1)]) == []
    assert await owner.fetchval(ROWS) == 0
    tagger.forget()
    assert len(await tagger.commit([spoke(at=1)])) == 1


@st.composite
def histories(draw: st.DrawFn) -> list[list[Event]]:
    """Make groups for several taggers out of messages, deletions and erasures, some of them twice, in any order."""
    users, sessions, moments = st.sampled_from(["ada", "bob"]), st.sampled_from(["s1", "s2", "s3"]), st.integers(0, 9)
    message = st.builds(spoke, sessions, user=users, model=st.sampled_from([MODEL, "large"]), at=moments)
    gone = st.builds(deleted, sessions, user=users, at=moments)
    events: list[Event] = draw(st.lists(message, min_size=1, max_size=12))
    events += draw(st.lists(gone, max_size=2)) + draw(st.lists(st.builds(erased, users, at=moments), max_size=3))
    events += draw(st.lists(st.sampled_from(events), max_size=6))
    return in_groups(draw, events)


@given(groups=histories())
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
async def test_any_order_and_repetition_leaves_tags_of_what_is_newer_only(
    groups: list[list[Event]], pools: list[Pool], sweeper: Sweeper, owner: asyncpg.Connection
) -> None:
    taggers = [SessionHandler(Store(pool)) for pool in pools]
    await owner.execute("TRUNCATE tagging.session_tags, tagging.counters, tagging.models, tagging.erased_users")
    await taggers[0].commit([registered(), registered("large")])

    await asyncio.gather(*(work(tagger, groups[place::TAGGERS]) for place, tagger in enumerate(taggers)))
    await sweep(sweeper, owner)
    events = [event for group in groups for event in group]
    expected = living_sessions(events)
    tagged = await living_tags(owner)
    assert set(tagged) <= expected
    assert {session for session in expected if is_new(session, events)} <= set(tagged)  # the others speak again
    await taggers[0].commit(events)

    assert set(await living_tags(owner)) == expected
    await assert_gapless(owner)
    rows = await owner.fetch("SELECT user_id, session_tag FROM tagging.session_tags WHERE session_tag IS NOT NULL")
    assert len(rows) == len({(row["user_id"], row["session_tag"]) for row in rows})


async def work(tagger: SessionHandler, groups: Sequence[Sequence[Event]]) -> None:
    for group in groups:
        while True:
            try:
                await tagger.commit(group)
            except asyncpg.SerializationError:
                continue  # as its consumer does
            break


def erasures_of(events: Sequence[Event]) -> dict[str, datetime]:
    erasures: dict[str, datetime] = {}
    for event in events:
        if isinstance(event, UserErased):
            erasures[event.user_id] = max(event.erased_at, erasures.get(event.user_id, event.erased_at))
    return erasures


def living_sessions(events: Sequence[Event]) -> set[tuple[str, str]]:
    """Return the sessions in which somebody has spoken since their erasure, and which they have not deleted since."""
    since = erasures_of(events)
    newer = [
        event
        for event in events
        if isinstance(event, MessagePosted | SessionDeleted)
        and (event.user_id not in since or event.accepted > since[event.user_id])
    ]
    gone = {(event.user_id, event.session_id) for event in newer if isinstance(event, SessionDeleted)}
    return {(event.user_id, event.session_id) for event in newer} - gone


def is_new(session: tuple[str, str], events: Sequence[Event]) -> bool:
    """Tell whether nothing was said in a session before its user's erasure."""
    since = erasures_of(events)
    return all(
        event.accepted > since.get(event.user_id, BEGAN - timedelta(days=1))
        for event in events
        if isinstance(event, MessagePosted | SessionDeleted) and (event.user_id, event.session_id) == session
    )


async def assert_gapless(owner: asyncpg.Connection) -> None:
    """Check that each counter has given 1, 2, 3 and so on, each once, deleted sessions' included."""
    rows = await owner.fetch(
        """
        SELECT user_id, model_id, array_agg(number ORDER BY number) AS numbers FROM tagging.session_tags
        WHERE number IS NOT NULL GROUP BY user_id, model_id
        """
    )
    numbers: dict[tuple[str, UUID], list[int]] = {(row["user_id"], row["model_id"]): row["numbers"] for row in rows}
    counters = await read_counters(owner)
    assert numbers == {key: list(range(1, last + 1)) for key, last in counters.items()}
