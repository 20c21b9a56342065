"""Who is told what."""

import asyncio
from datetime import UTC, datetime

import pytest

from services.gateway.live.changes import Change, Place, Source, changes
from services.gateway.live.found import Found
from services.gateway.live.listeners import MOST_WAITING, SLACK_S, Listener, Listeners
from shared.errors import ShuttingDown
from shared.events import Outcome, SessionTagged, SessionTouched, Stored, TripAdvanced
from shared.ids import new_id

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
Told = list[tuple[str, str, tuple[str, ...]]]


@pytest.fixture
def listeners() -> Listeners:
    return Listeners()


def stored(session_id: str | None = "s1", user: str = "ann", *changed: str) -> Stored:
    words = {"changed": changed} if changed else {}
    return Stored(user_id=user, session_id=session_id, causes=(new_id(),), **words)


def taken(listener: Listener) -> Told | None:
    came = listener.take()
    return None if came is None else [(change.session_id, change.name, change.words) for change in came]


async def test_an_outcome_is_told_to_its_user_only(listeners: Listeners) -> None:
    ann, bob = listeners.open(["ann"]), listeners.open(["bob"])
    listeners.hint(stored())
    assert taken(ann) == [("s1", "stored", ("messages",))]
    assert taken(bob) == []


async def test_who_was_a_visitor_hears_of_both_and_of_each_once(listeners: Listeners) -> None:
    listener = listeners.open(["ann", "visitor_1"])
    listeners.hint(stored("s1", "visitor_1"))
    listeners.hint(stored("s2", "ann"))
    assert taken(listener) == [("s1", "stored", ("messages",)), ("s2", "stored", ("messages",))]


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (stored("s1", "ann", "title"), [("renamed", ("title",))]),
        (
            stored("s1", "ann", "pinned", "title", "folder", "messages"),
            [("changed", ("pinned", "folder")), ("renamed", ("title",)), ("stored", ("messages",))],
        ),
        (SessionTagged(user_id="ann", session_id="s1", causes=(), session_tag="t"), [("tagged", ("tag",))]),
        (TripAdvanced(user_id="ann", session_id="s1", causes=(), trip_id=new_id()), [("trip", ("trip",))]),
        (SessionTouched(user_id="ann", session_id="s1", changed=("deleted",)), [("deleted", ("deleted",))]),
    ],
)
async def test_an_event_says_what_changed(
    listeners: Listeners, outcome: Outcome, told: list[tuple[str, tuple[str, ...]]]
) -> None:
    listener = listeners.open(["ann"])
    listeners.hint(outcome)
    assert taken(listener) == [("s1", *each) for each in told]


async def test_what_waits_is_told_once(listeners: Listeners) -> None:
    listener = listeners.open(["ann"])
    for changed in ("pinned", "folder", "pinned"):
        listeners.hint(stored("s1", "ann", changed))
    assert taken(listener) == [("s1", "changed", ("pinned", "folder"))]
    assert taken(listener) == []


async def test_who_reads_too_slowly_is_to_fetch_everything_once(listeners: Listeners) -> None:
    listener = listeners.open(["ann"])
    for number in range(MOST_WAITING):
        listeners.hint(stored(f"s{number}"))
    told = taken(listener)
    assert told is not None
    assert len(told) == MOST_WAITING
    for number in range(3 * MOST_WAITING):
        listeners.hint(stored(f"s{number}"))
    assert taken(listener) is None
    listeners.hint(stored("later"))
    assert taken(listener) == [("later", "stored", ("messages",))]


async def test_a_gap_in_the_hearing_is_told_to_everybody(listeners: Listeners) -> None:
    ann, bob = listeners.open(["ann"]), listeners.open(["bob"])
    listeners.hint(stored())
    listeners.missed()
    assert taken(ann) is None
    assert taken(bob) is None


async def test_an_outcome_of_a_whole_user_is_a_gap_for_them(listeners: Listeners) -> None:
    ann, bob = listeners.open(["ann"]), listeners.open(["bob"])
    listeners.hint(SessionTouched(user_id="ann", changed=("deleted",)))
    assert taken(ann) is None
    assert taken(bob) == []


async def test_what_an_operator_decides_is_no_session_s(listeners: Listeners) -> None:
    listener = listeners.open(["operator"])
    listeners.hint(stored(None, "operator"))
    assert taken(listener) == []


async def test_outcomes_are_wanted_while_somebody_listens(listeners: Listeners) -> None:
    assert not listeners.are_awaited
    first, second = listeners.open(["ann", "visitor_1"]), listeners.open(["ann"])
    assert (listeners.are_awaited, sorted(listeners.user_ids)) == (True, ["ann", "visitor_1"])
    first.close()
    assert (listeners.are_awaited, listeners.user_ids) == (True, ["ann"])
    second.close()
    assert not listeners.are_awaited


async def test_a_listener_waits_for_news_and_for_no_longer_than_it_wants(listeners: Listeners) -> None:
    listener = listeners.open(["ann"])
    assert not await listener.news(0)
    waiting = asyncio.create_task(listener.news(60))
    await asyncio.sleep(0)
    listeners.hint(stored())
    assert await waiting
    assert taken(listener) == [("s1", "stored", ("messages",))]
    assert not await listener.news(0)


async def test_the_end_of_all_ends_each_and_lets_nobody_in(listeners: Listeners) -> None:
    listener = listeners.open(["ann"])
    listeners.close()
    assert await listener.news(60)
    assert listener.has_ended
    with pytest.raises(ShuttingDown):
        listeners.open(["ann"])


async def test_a_look_tells_nothing_that_is_older_than_its_listener(listeners: Listeners) -> None:
    now = asyncio.get_running_loop().time()
    listener = listeners.open(["ann"])
    rows = [
        Found(Place("ann", session_id, Source.TAGGING), NOON, age_s)
        for session_id, age_s in {"before": SLACK_S + 1, "at": SLACK_S - 0.5}.items()
    ]
    listeners.found(rows, now)
    assert taken(listener) == [("at", "tagged", ("tag",))]


async def test_a_look_tells_what_no_hint_told(listeners: Listeners) -> None:
    listener = listeners.open(["ann"])
    listener.began -= 60
    listeners.hint(stored("hinted"))
    assert taken(listener) == [("hinted", "stored", ("messages",))]
    rows = [Found(Place("ann", session_id, Source.CHAT), NOON, 5.0) for session_id in ("hinted", "lost")]
    listeners.found(rows, asyncio.get_running_loop().time())
    told = taken(listener)
    assert told is not None
    assert {session_id for session_id, *_ in told} == {"lost"}


def test_changes_of_one_name_keep_the_place_of_the_first() -> None:
    [first] = changes("ann", "s1", ["pinned"], NOON)
    [second] = changes("ann", "s1", ["folder", "pinned"], NOON.replace(hour=13))
    assert first.and_then(second) == Change("ann", "s1", "changed", ("pinned", "folder"), NOON.replace(hour=13))
