"""Who goes by what they know of a session gets it only where there is no more of it: the claim finds out."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import asyncpg
import pytest

from services.gateway.turns.here.recent import Recent
from services.gateway.turns.starting import StaleHistory
from services.gateway.turns.stored.claims import Claim, Lost, claim_turns
from services.gateway.turns.turn import Turn
from shared.database import open_pool
from shared.events import MessagePosted, SessionDeleted, decode
from shared.ids import new_id
from shared.topology import TAGGER_SESSIONS
from tests.connected.brokers import take
from tests.connected.gateway.stage import Rows
from tests.connected.gateway.turns.turn_stage import Gateway, finished

Between = Callable[[Gateway, asyncpg.Connection, Turn], Awaitable[None]]


async def talked(gateway: Gateway) -> tuple[Turn, Recent]:
    """Run the first turn of a session, and return what is known of it then."""
    turn = await gateway.say("hello")
    recent = gateway.runner.recent.take("ann", "s1")
    assert recent is not None
    return turn, recent


def goes_on(gateway: Gateway, recent: Recent, key: str | None = None) -> Claim:
    return replace(
        gateway.claim("and then?", key=key),
        known_until=recent.known_until,
        remembers_from=recent.history[0].created_at,
        is_recalled=True,
    )


async def a_note_is_stored(_gateway: Gateway, owner: asyncpg.Connection, _turn: Turn) -> None:
    await Rows(owner).session("s1")
    await Rows(owner).message("s1", "note", at=0, role="system")


async def a_fork_is_stored(gateway: Gateway, owner: asyncpg.Connection, _turn: Turn) -> None:
    other = await gateway.say("elsewhere", session="s2")
    await Rows(owner).session("s1")
    await Rows(owner).message("s1", "copy", at=0, turn_id=other.turn_id)


async def it_was_opened_in_a_project(_gateway: Gateway, owner: asyncpg.Connection, _turn: Turn) -> None:
    await opened(owner, project_id="p1")


async def somebody_asked_elsewhere(gateway: Gateway, _owner: asyncpg.Connection, turn: Turn) -> None:
    await finished(gateway, replace(gateway.claim("me too"), known_until=turn.place))


async def a_client_stored_a_message(gateway: Gateway, _owner: asyncpg.Connection, turn: Turn) -> None:
    posted = replace(gateway.claim("me too"), known_until=turn.place, state="posted")
    assert isinstance(await gateway.store.claim(posted), Turn)


async def its_turns_are_gone(_gateway: Gateway, owner: asyncpg.Connection, turn: Turn) -> None:
    await owner.execute("DELETE FROM gateway.turns WHERE turn_id = $1", turn.turn_id)


async def the_user_was_erased(_gateway: Gateway, owner: asyncpg.Connection, _turn: Turn) -> None:
    """All that was there before is gone already, but for the turns: the proof must not hang on those."""
    await owner.execute(
        "INSERT INTO gateway.erasures (user_hash, event_id, correlation_id, done_at)"
        " VALUES (tripthread.user_hash('ann'), $1, $1, clock_timestamp())",
        new_id(),
    )


async def opened(owner: asyncpg.Connection, **opening: str) -> None:
    now = await owner.fetchval("SELECT clock_timestamp()")
    await Rows(owner).insert(
        "gateway.session_openings",
        user_id="ann",
        body_hash=b"1",
        session_id="s1",
        event_id=new_id(),
        accepted_at=now,
        opening=opening,
    )


async def test_where_nothing_came_in_between_nothing_is_read(gateway: Gateway, owner: asyncpg.Connection) -> None:
    turn, recent = await talked(gateway)
    rows = Rows(owner)
    await rows.session("s1")
    for said in recent.history:  # its own messages are stored meanwhile
        await rows.message("s1", said.message_id, at=0, role=said.role, turn_id=turn.turn_id)
    await opened(owner, title="Paris")
    claimed = await gateway.store.claim(goes_on(gateway, recent))
    assert isinstance(claimed, Turn)


@pytest.mark.parametrize(
    "between",
    [
        a_note_is_stored,
        a_fork_is_stored,
        it_was_opened_in_a_project,
        somebody_asked_elsewhere,
        a_client_stored_a_message,
        its_turns_are_gone,
        the_user_was_erased,
    ],
)
async def test_what_came_in_between_is_read(gateway: Gateway, owner: asyncpg.Connection, between: Between) -> None:
    turn, recent = await talked(gateway)
    await between(gateway, owner, turn)
    assert await gateway.store.claim(goes_on(gateway, recent)) is Lost.STALE
    assert await gateway.store.running(["ann"], "s1") is None


async def test_one_of_a_group_is_stale_and_the_other_is_not(gateway: Gateway, owner: asyncpg.Connection) -> None:
    turn, recent = await talked(gateway)
    await gateway.say("hello", session="s2")
    other = gateway.runner.recent.take("ann", "s2")
    assert other is not None
    await a_note_is_stored(gateway, owner, turn)
    claims = [goes_on(gateway, recent), replace(goes_on(gateway, other), session_id="s2")]
    pooled = open_pool(gateway.settings.gateway_database_url, "test")
    async with pooled as pool, claim_turns(pool, claims) as (stale, claimed):
        assert stale is Lost.STALE
        assert isinstance(claimed, Turn)


async def test_nothing_is_decided_by_what_was_not_proved(gateway: Gateway, owner: asyncpg.Connection) -> None:
    _, recent = await talked(gateway)
    await gateway.say("elsewhere", session="s2", key="k")
    with pytest.raises(StaleHistory):  # a repeat is answered by what was read
        await gateway.turns.start(goes_on(gateway, recent, key="k"), recent.history)
    await owner.execute(
        "INSERT INTO gateway.deletions (user_id, session_id, event_id, correlation_id) VALUES ('ann', 's1', $1, $1)",
        new_id(),
    )
    with pytest.raises(StaleHistory):  # so is that it was deleted
        await gateway.turns.start(goes_on(gateway, recent), recent.history)


@pytest.mark.parametrize(("is_recalled", "heard"), [(True, ["hello"]), (False, ["hello", "and then?"])])
async def test_the_tagger_hears_no_question_in_a_session_that_is_proved_to_have_its_tag(
    gateway: Gateway, is_recalled: bool, heard: list[str]
) -> None:
    _, recent = await talked(gateway)
    claim = replace(goes_on(gateway, recent), is_recalled=is_recalled, tag="chat_model_0_001")
    running = await gateway.turns.start(claim, recent.history)
    await running.result()
    stored = await gateway.events(4)
    assert [event.content for event in stored if isinstance(event, MessagePosted)] == ["hello", "and then?"]
    await gateway.publisher.publish(SessionDeleted(user_id="ann", session_id="last"))
    messages = await take(gateway.settings, TAGGER_SESSIONS, len(heard) + 1)
    events = [decode(message.type, message.body) for message in messages]
    assert [event.content for event in events if isinstance(event, MessagePosted)] == heard
    assert isinstance(events[-1], SessionDeleted)
