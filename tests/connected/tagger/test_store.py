"""Tags on a real database: one a session and no number lost, whatever is repeated, rolled back or running at once."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress
from itertools import count
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from services.tagger.counter import Heard
from services.tagger.handlers import SessionHandler
from services.tagger.store import Store
from shared.database import open_pool
from shared.events import MessagePosted, SessionTagged
from shared.ids import model_id, new_id
from shared.settings import Settings
from tests.connected.locks import until_blocked
from tests.tagging import (
    MODEL,
    assert_gapless,
    changed,
    deleted,
    holding_counters,
    holding_session,
    in_groups,
    read_counters,
    read_numbers,
    read_tags,
    registered,
    spoke,
)

pytestmark = pytest.mark.no_broker

SMALL = model_id("acme", MODEL)
TAG = f"chat_model_{SMALL.hex[:6]}_"
TAGGERS = 3


@pytest.fixture
async def stores(settings: Settings) -> AsyncIterator[list[Store]]:
    """What three taggers store by, each with a pool of its own."""
    async with AsyncExitStack() as stack:
        pools = [
            await stack.enter_async_context(open_pool(settings.tagger_database_url, f"tagger_{place}"))
            for place in range(TAGGERS)
        ]
        yield [Store(pool) for pool in pools]


@pytest.fixture
def taggers(stores: list[Store]) -> list[SessionHandler]:
    """Three taggers that nothing keeps apart."""
    return [SessionHandler(store) for store in stores]


@pytest.fixture
def tagger(taggers: list[SessionHandler]) -> SessionHandler:
    return taggers[0]


async def test_first_message_brings_a_tag(tagger: SessionHandler, owner: asyncpg.Connection) -> None:
    message = spoke()

    outcomes = await tagger.commit([registered(), message])

    tag = SessionTagged(user_id="ada", session_id="s1", session_tag=TAG + "001", causes=(message.event_id,))
    assert outcomes == [tag]
    row = await owner.fetchrow("SELECT * FROM tagging.session_tags")
    assert row is not None
    assert (row["model_id"], row["number"], row["session_tag"]) == (SMALL, 1, TAG + "001")
    assert row["event_id"] == message.event_id
    assert (row["experiment_name"], row["deleted_at"]) == (None, None)


async def test_repeated_message_is_tagged_once_and_answered_each_time(
    tagger: SessionHandler, owner: asyncpg.Connection
) -> None:
    group = [registered(), spoke("s1"), spoke("s2", at=1)]

    first, second = await tagger.commit(group), await tagger.commit(group)

    assert first == second
    assert await read_tags(owner) == {("ada", "s1"): TAG + "001", ("ada", "s2"): TAG + "002"}
    assert await read_counters(owner) == {("ada", SMALL): 2}


async def test_later_message_of_a_tagged_session_is_answered_by_who_does_not_know_it(
    taggers: list[SessionHandler],
) -> None:
    await taggers[0].commit([registered(), spoke()])
    later = [spoke(at=1), spoke(at=2, model="untracked"), spoke(at=3, role="system")]

    assert await taggers[0].commit(later) == []
    [outcome] = await taggers[1].commit(later)
    assert await taggers[1].commit(later) == [outcome]
    assert await taggers[1].commit([spoke(at=4)]) == []

    assert outcome.session_tag == TAG + "001"
    assert outcome.causes == (later[0].event_id, later[1].event_id)


async def test_what_is_said_in_a_session_that_is_known_to_have_its_tag_costs_no_transaction(
    settings: Settings, owner: asyncpg.Connection
) -> None:
    async with open_pool(settings.tagger_database_url, "tagger") as pool:
        tagger = SessionHandler(Store(pool))
        await tagger.commit([registered(), spoke()])
    # Closed: whoever wanted a connection of it would fail.
    assert await tagger.commit([spoke(at=1), spoke(at=2), spoke(role="assistant")]) == []
    with pytest.raises(asyncpg.InterfaceError):
        await tagger.commit([spoke(at=3), spoke("s2", at=3)])


async def test_a_session_without_a_tag_is_not_remembered(tagger: SessionHandler) -> None:
    assert await tagger.commit([registered(tracked=False, at=1), spoke()]) == []

    await tagger.commit([registered(at=2)])
    [outcome] = await tagger.commit([spoke(at=3)])

    assert outcome.session_tag == TAG + "001"


async def test_session_without_a_tag_is_not_answered(tagger: SessionHandler, owner: asyncpg.Connection) -> None:
    assert await tagger.commit([spoke(), spoke(model=None), spoke(role="assistant")]) == []
    assert await tagger.commit([spoke(role="tool")]) == []
    assert await read_tags(owner) == {}


async def test_message_before_the_registration_brings_no_tag_but_the_next_one_does(tagger: SessionHandler) -> None:
    assert await tagger.commit([spoke(), registered()]) == []

    [outcome] = await tagger.commit([spoke(at=1)])

    assert outcome.session_tag == TAG + "001"


async def test_untracked_model_brings_no_tag(tagger: SessionHandler, owner: asyncpg.Connection) -> None:
    await tagger.commit([registered(), spoke("s1")])
    await tagger.commit([registered(tracked=False, at=2)])
    await tagger.commit([registered(tracked=True, at=1), spoke("s2")])

    assert await read_tags(owner) == {("ada", "s1"): TAG + "001"}
    assert await owner.fetchval("SELECT tracked FROM tagging.models") is False


async def test_model_that_an_administrator_untracked_stays_so_when_gateways_register_it(
    taggers: list[SessionHandler], owner: asyncpg.Connection
) -> None:
    at_start = registered(at=1, only_if_new=True)
    await taggers[0].commit([at_start])
    await taggers[0].commit([registered(tracked=False, at=0)])  # by a clock that is behind the gateway's
    word = await owner.fetchrow("SELECT * FROM tagging.models")

    again = [at_start, registered(at=9, only_if_new=True)]
    await asyncio.gather(*(tagger.commit(again) for tagger in taggers), taggers[0].commit([spoke()]))

    assert word is not None
    assert (word["tracked"], word["registered_at"]) == (False, at_start.occurred_at)
    assert await owner.fetchrow("SELECT * FROM tagging.models") == word
    assert await read_tags(owner) == {}


async def test_model_that_is_tracked_again_tags_the_next_first_message(tagger: SessionHandler) -> None:
    await tagger.commit([registered(tracked=False), spoke("s1")])

    [outcome] = await tagger.commit([changed(at=1, tracked=True), spoke("s1", at=1)])

    assert outcome.session_tag == TAG + "001"


async def test_model_that_is_renamed_keeps_what_its_tags_are_made_of(
    tagger: SessionHandler, owner: asyncpg.Connection
) -> None:
    await tagger.commit([registered(), changed(at=1, display_name="Best"), spoke("s1")])
    await tagger.commit([registered(at=2, only_if_new=True), registered(at=3), spoke("s2")])

    row = await owner.fetchrow("SELECT model_id, name, short_id, display_name FROM tagging.models")
    assert row is not None
    assert tuple(row) == (SMALL, MODEL, SMALL.hex[:6], "Best")
    assert sorted((await read_tags(owner)).values()) == [TAG + "001", TAG + "002"]


async def test_model_that_is_first_seen_in_a_question_tags_it_where_that_is_wanted(
    settings: Settings, owner: asyncpg.Connection
) -> None:
    async with open_pool(settings.tagger_database_url, "tracking") as pool:
        tagger = SessionHandler(Store(pool, tracks_new=True))
        [outcome] = await tagger.commit([spoke()])
        await tagger.commit([changed(at=1, tracked=False), spoke("s2", at=2)])

    assert outcome.session_tag == TAG + "001"
    assert await read_tags(owner) == {("ada", "s1"): TAG + "001"}


async def test_taggers_that_first_see_a_model_at_once_register_it_once(
    settings: Settings, owner: asyncpg.Connection
) -> None:
    async with open_pool(settings.tagger_database_url, "tracking") as pool:
        taggers = [SessionHandler(Store(pool, tracks_new=True)) for _ in range(TAGGERS)]
        await asyncio.gather(*(each.commit([spoke(f"s{n}", at=n)]) for n, each in enumerate(taggers)))

    assert await owner.fetchval("SELECT count(*) FROM tagging.models") == 1
    await assert_gapless(owner)


async def test_same_session_id_of_two_users_is_two_sessions(tagger: SessionHandler, owner: asyncpg.Connection) -> None:
    await tagger.commit([registered(), spoke("s1", user="ada"), spoke("s1", user="bob")])

    assert await read_tags(owner) == {("ada", "s1"): TAG + "001", ("bob", "s1"): TAG + "001"}


async def test_deleted_session_gets_no_tag_and_no_answer(tagger: SessionHandler, owner: asyncpg.Connection) -> None:
    await owner.execute(
        "INSERT INTO tagging.session_tags (user_id, session_id, event_id, deleted_at) VALUES ('ada', 's1', $1, now())",
        new_id(),
    )

    assert await tagger.commit([registered(), spoke()]) == []
    assert await read_counters(owner) == {}


async def test_number_of_a_deleted_session_stays_taken(tagger: SessionHandler, owner: asyncpg.Connection) -> None:
    await tagger.commit([registered(), spoke("s1")])
    await owner.execute("UPDATE tagging.session_tags SET deleted_at = now()")

    [outcome] = await tagger.commit([spoke("s1"), spoke("s2")])

    assert (outcome.session_id, outcome.session_tag) == ("s2", TAG + "002")


async def test_thousandth_session_has_four_digits(tagger: SessionHandler, owner: asyncpg.Connection) -> None:
    await tagger.commit([registered(), *(spoke(f"s{place}", at=place) for place in range(1000))])

    tags = await read_tags(owner)
    assert (tags["ada", "s998"], tags["ada", "s999"]) == (TAG + "999", TAG + "1000")


async def test_models_that_begin_alike_have_different_short_ids(
    taggers: list[SessionHandler], owner: asyncpg.Connection
) -> None:
    one, other = names_that_begin_alike()

    await asyncio.gather(
        *(tagger.commit([registered(name)]) for tagger, name in zip(taggers, (one, other), strict=False))
    )

    digits = model_id("acme", one).hex[:6]
    lengths = [len(row["short_id"]) for row in await owner.fetch("SELECT short_id FROM tagging.models")]
    assert sorted(lengths) == [6, 7]
    assert await owner.fetchval("SELECT count(*) FROM tagging.models WHERE left(short_id, 6) = $1", digits) == 2


async def test_number_of_a_transaction_that_rolls_back_is_given_to_the_next(
    taggers: list[SessionHandler], settings: Settings, owner: asyncpg.Connection
) -> None:
    await taggers[0].commit([registered(), registered("large"), spoke("s1")])
    async with holding_counters(settings, "bob"):
        # It takes ada's number 2, waits for bob's counter, and ends there.
        broken = asyncio.create_task(taggers[0].commit([spoke("s2"), spoke("s2", user="bob")]))
        await until_blocked(owner)
        broken.cancel()
        with suppress(asyncio.CancelledError):
            await broken

    await taggers[1].commit([spoke("s3"), spoke("s3", user="bob")])

    assert await read_tags(owner) == {
        ("ada", "s1"): TAG + "001",
        ("ada", "s3"): TAG + "002",
        ("bob", "s3"): TAG + "001",
    }


async def test_tagger_that_waits_for_anothers_session_does_not_take_a_number(
    taggers: list[SessionHandler], settings: Settings, owner: asyncpg.Connection
) -> None:
    await taggers[0].commit([registered()])
    message = spoke()
    async with holding_counters(settings, "ada"):
        both = [asyncio.create_task(tagger.commit([message])) for tagger in taggers[:2]]
        await until_blocked(owner, count=2)
    first, second = await asyncio.gather(*both)

    assert first == second
    assert await read_counters(owner) == {("ada", SMALL): 1}


async def test_session_that_another_model_tags_meanwhile_keeps_that_tag_and_costs_no_number(
    taggers: list[SessionHandler], settings: Settings, owner: asyncpg.Connection
) -> None:
    await taggers[0].commit([registered(), registered("large")])
    async with holding_counters(settings, "ada"):
        # It has found none of them tagged, and waits for the counter of this model.
        late = asyncio.create_task(taggers[0].commit([spoke("s1"), spoke("s2", at=1), spoke("s3", at=2)]))
        await until_blocked(owner)
        [quick] = await taggers[1].commit([spoke("s2", model="large")])
    outcomes = await late

    tags = {outcome.session_id: outcome.session_tag for outcome in outcomes}
    assert tags == {"s1": TAG + "001", "s2": quick.session_tag, "s3": TAG + "002"}
    assert await read_counters(owner) == {("ada", SMALL): 2, ("ada", model_id("acme", "large")): 1}
    await assert_gapless(owner)


async def test_session_that_is_deleted_while_its_tagger_waits_costs_no_number(
    taggers: list[SessionHandler], settings: Settings, owner: asyncpg.Connection
) -> None:
    await taggers[0].commit([registered()])
    async with holding_counters(settings, "ada"):
        late = asyncio.create_task(taggers[0].commit([spoke("s1"), spoke("s2", at=1)]))
        await until_blocked(owner)
        await taggers[1].commit([deleted("s1", at=2)])

    [outcome] = await late

    assert (outcome.session_id, outcome.session_tag) == ("s2", TAG + "001")
    assert await read_counters(owner) == {("ada", SMALL): 1}


async def test_taggers_that_want_each_others_sessions_by_different_models_do_not_deadlock(
    taggers: list[SessionHandler], settings: Settings, owner: asyncpg.Connection
) -> None:
    """Each numbers them in an order of its own, and no counter keeps them apart."""
    await taggers[0].commit([registered(), registered("large")])
    async with holding_session(settings, "ada", "s5"):
        one = asyncio.create_task(taggers[0].commit([spoke("s9", at=1), spoke("s5", at=2), spoke("s1", at=3)]))
        await until_blocked(owner)
        group = [spoke("s1", model="large", at=1), spoke("s9", model="large", at=2)]
        other = asyncio.create_task(taggers[1].commit(group))
        await until_blocked(owner, count=2)
    first, second = await asyncio.gather(one, other)

    numbers = {outcome.session_id: outcome.session_tag for outcome in first}
    assert numbers == {"s9": TAG + "001", "s5": TAG + "002", "s1": TAG + "003"}
    assert {outcome.session_id: outcome.session_tag for outcome in second} == {
        key: numbers[key] for key in ("s1", "s9")
    }
    assert await read_counters(owner) == {("ada", SMALL): 3}


async def test_three_taggers_at_once_give_each_session_one_tag_without_a_gap(
    taggers: list[SessionHandler], owner: asyncpg.Connection
) -> None:
    models = [MODEL, "large", "medium"]
    await taggers[0].commit([registered(name) for name in models])
    messages = [spoke(f"s{place}", user=f"user{place % 7}", model=models[place % 3], at=place) for place in range(3000)]
    dice = random.Random(7)

    for _ in range(2):
        await asyncio.gather(*(deliver(tagger, shuffled(messages, dice), dice) for tagger in taggers))

    assert len(await read_tags(owner)) == len(messages)
    assert len(await read_numbers(owner)) == 7 * 3
    await assert_gapless(owner)


async def test_three_taggers_at_once_that_begin_with_the_same_sessions_do_not_deadlock(
    taggers: list[SessionHandler], owner: asyncpg.Connection
) -> None:
    await taggers[0].commit([registered()])
    dice = random.Random(8)

    for turn in range(40):
        messages = [spoke(f"s{turn}-{place}", user=f"user{place % 50}", at=place) for place in range(200)]
        await asyncio.gather(*(tagger.commit(shuffled(messages, dice)) for tagger in taggers))

    assert len(await read_tags(owner)) == 40 * 200
    await assert_gapless(owner)


@st.composite
def deliveries(draw: st.DrawFn) -> list[list[Heard]]:
    """Make groups for several taggers out of messages, some of which come twice, in any order."""
    message = st.builds(
        spoke,
        st.sampled_from(["s1", "s2", "s3", "s4", "s5"]),
        user=st.sampled_from(["ada", "bob"]),
        model=st.sampled_from([MODEL, "large", "untracked"]),
        at=st.integers(0, 9),
    )
    messages = draw(st.lists(message, min_size=1, max_size=16))
    repeats = draw(st.lists(st.sampled_from(messages), max_size=8))
    return in_groups(draw, messages + repeats)


@given(groups=deliveries())
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
async def test_any_split_order_and_repetition_gives_each_session_one_tag(
    groups: list[list[MessagePosted]], stores: list[Store], owner: asyncpg.Connection
) -> None:
    taggers = [SessionHandler(store) for store in stores]  # who remembers nothing of what goes now
    await owner.execute("TRUNCATE tagging.session_tags, tagging.counters, tagging.models")
    await taggers[0].commit([registered(), registered("large")])

    await asyncio.gather(*(work(tagger, groups[place::TAGGERS]) for place, tagger in enumerate(taggers)))

    spoken = [message for group in groups for message in group if message.model != "untracked"]
    assert (await read_tags(owner)).keys() == {(message.user_id, message.session_id) for message in spoken}
    await assert_gapless(owner)


async def work(tagger: SessionHandler, groups: Sequence[Sequence[Heard]]) -> None:
    for group in groups:
        await tagger.commit(group)


async def deliver(tagger: SessionHandler, messages: Sequence[Heard], dice: random.Random) -> None:
    """Let a tagger commit these in groups of random sizes."""
    start = 0
    while start < len(messages):
        size = dice.randint(1, 200)
        await tagger.commit(messages[start : start + size])
        start += size


def shuffled(messages: Sequence[Heard], dice: random.Random) -> list[Heard]:
    return dice.sample(messages, len(messages))


def names_that_begin_alike() -> tuple[str, str]:
    """Find two models whose ids have the same first six digits."""
    seen: dict[str, str] = {}
    for place in count():
        model: UUID = model_id("acme", f"model-{place}")
        if other := seen.get(model.hex[:6]):
            return other, f"model-{place}"
        seen[model.hex[:6]] = f"model-{place}"
    raise AssertionError("unreachable")
