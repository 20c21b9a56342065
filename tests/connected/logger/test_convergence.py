"""Whatever order the broker delivers in, however often and in whatever groups: the tables end the same."""

from collections.abc import AsyncIterator, Sequence
from itertools import count
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.logger.handlers import ChatHandler
from services.logger.store import Store
from shared.database import open_pool
from shared.events import MessageEvent, SessionEvent
from shared.settings import Settings
from tests.pure.logger.samples import answered, at, changed, opened, posted, titled, trace

users = (f"user{number}" for number in count())


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    async with open_pool(settings.logger_database_url, "test", size=2) as pool:
        yield Store(pool)


models = st.sampled_from([None, "small", "large"])
statuses = st.sampled_from(["complete", "stopped", "failed"])
titles = st.sampled_from([None, "my trip", "ours"])
labels = st.sampled_from([(), ("a",), ("b", "a", "b")])
metadata = st.sampled_from([{}, {"client": "Smith", "n": 1}])


@st.composite
def turns(draw: st.DrawFn, number: int) -> list[MessageEvent]:
    """A question, sometimes a note, and the answer in up to three versions, each later than the one before."""
    session_id = draw(st.sampled_from(["s1", "s2"]))
    about: dict[str, Any] = {"session_id": session_id, "project_id": "p", "model": draw(models)}
    second = 10 * number
    content = draw(st.sampled_from(["", "Teterboro to Aspen", "and back"]))
    events: list[MessageEvent] = [posted(f"q{number}", second, content=content, **about)]
    if draw(st.booleans()):
        events.append(posted(f"n{number}", second + 1, role="system", session_id=session_id))
    for revision, status in draw(st.sampled_from([(), ((0, "interrupted"),), ((0, "interrupted"), (0, "final"))])):
        final = draw(statuses) if status == "final" else status
        told = trace(f"t{number}", status="ok" if status == "final" else "interrupted")
        version = second + 2 + revision + (status == "final")
        events.append(answered(f"a{number}", version, status=final, revision=revision, trace=told, **about))
    if draw(st.booleans()):
        events.append(answered(f"a{number}", second + 5, revision=1, trace=trace(f"t{number}-1"), **about))
    return events


@st.composite
def edits(draw: st.DrawFn) -> list[SessionEvent]:
    """An opening, sometimes, and changes at moments between those of the turns."""
    session_id = draw(st.sampled_from(["s1", "s2"]))
    events: list[SessionEvent] = []
    if draw(st.booleans()):
        events.append(opened(-1, session_id=session_id, title=draw(titles), project_id="p", model=draw(models)))
    for number in range(draw(st.integers(0, 3))):
        second = 10 * number + 7
        patch = draw(
            st.fixed_dictionaries(
                {}, optional={"title": titles, "archived": st.booleans(), "labels": labels, "metadata": metadata}
            )
        )
        events.append(changed(second, draw(st.sampled_from([None, at(second)])), session_id, **patch))
    by_models = draw(st.lists(st.sampled_from(["by a model", "by another"]), max_size=2))
    return [*events, *(titled(title, 10 * draw(st.integers(0, 3)), session_id) for title in by_models)]


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[SessionEvent], list[list[SessionEvent]]]:
    """Some turns as they happened, with edits, and the same in any order, with repeats, cut into groups."""
    events: list[SessionEvent] = [event for number in range(draw(st.integers(1, 4))) for event in draw(turns(number))]
    events += draw(edits())
    repeats = draw(st.lists(st.sampled_from(events), max_size=5))
    shuffled = draw(st.permutations(events + repeats))
    cuts = sorted(draw(st.lists(st.integers(0, len(shuffled)), max_size=6)))
    edges = zip([0, *cuts], [*cuts, len(shuffled)], strict=True)
    return events, [shuffled[start:end] for start, end in edges if end > start]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(delivered=deliveries())
async def test_tables_do_not_depend_on_how_events_are_delivered(
    store: Store, owner: asyncpg.Connection, delivered: tuple[list[SessionEvent], list[list[SessionEvent]]]
) -> None:
    events, groups = delivered
    expected = await stored(store, owner, [events])
    assert await stored(store, owner, groups) == expected


async def stored(
    store: Store, owner: asyncpg.Connection, groups: Sequence[Sequence[SessionEvent]]
) -> list[list[dict[str, Any]]]:
    """Store events as those of a user of their own, and return what that user has then."""
    user_id = next(users)
    for group in groups:
        await ChatHandler(store).commit([event.model_copy(update={"user_id": user_id}) for event in group])
    return [await rows(owner, table, user_id) for table in ("sessions", "session_marks", "messages", "traces")]


async def rows(owner: asyncpg.Connection, table: str, user_id: str) -> list[dict[str, Any]]:
    found = await owner.fetch(
        f"SELECT * FROM chat.{table} AS r WHERE user_id = $1 ORDER BY r",  # noqa: S608 - a name from this file
        user_id,
    )
    # The stamps of people's edits are compared by what stands: a field that messages name too has one, or none.
    changing = {"user_id", "stored_at", "updated_at", "field_stamps"}
    return [{name: value for name, value in row.items() if name not in changing} for row in found]
