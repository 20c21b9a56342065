"""What stands of a session's fields, whoever set them and however the events of that come."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.logger.reducing.settling import CHANGEABLE, Edit, SessionState, set_since, settle
from shared.events import SessionChanged
from tests.pure.logger.samples import NOON, at, changed, opened, titled

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "title": st.sampled_from([None, "Aspen", "Teterboro"]),
    "pinned": st.booleans(),
    "archived": st.booleans(),
    "folder": st.sampled_from([None, "clients"]),
    "labels": st.sampled_from([(), ("a",), ("b", "a")]),
    "analytics": st.booleans(),
    "experiment_name": st.sampled_from([None, "blue"]),
    "metadata": st.sampled_from([{}, {"k": "v"}]),
}
NAMED = {"helper": st.sampled_from([None, "h1", "h2"]), "project_id": st.sampled_from([None, "p1", "p2"])}

# Few moments, so that many edits share one.
seconds = st.integers(0, 3)
openings = st.builds(
    lambda second, fields: opened(second, **fields),
    seconds,
    st.fixed_dictionaries(
        {"title": VALUES["title"], "analytics": st.booleans(), "model": st.sampled_from([None, "m1", "m2"]), **NAMED}
    ),
)
changes = st.builds(
    lambda second, patch, end: changed(second, end, **patch),
    seconds,
    st.fixed_dictionaries({}, optional=VALUES),
    st.sampled_from([None, at(1), at(3)]),
)
by_models = st.builds(titled, st.sampled_from(["Flight to Aspen", "Aspen, by a model"]), seconds)
edits: st.SearchStrategy[Edit] = openings | changes | by_models


def state(**fields: Any) -> SessionState:
    return SessionState("ada", "s1", created_at=NOON, last_activity_at=NOON, **fields)


def settled(events: Iterable[Edit], known: SessionState | None = None) -> SessionState:
    result = known or state()
    for event in events:
        result = settle(result, event)
    return result


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Edit], list[Edit]]:
    """Some edits, and the same in any order with repeats."""
    events = draw(st.lists(edits, min_size=1, max_size=6))
    return events, draw(st.permutations(events + draw(st.lists(st.sampled_from(events), max_size=4))))


@given(deliveries(), st.booleans())
def test_what_stands_depends_neither_on_order_nor_on_repeats(
    delivered: tuple[Sequence[Edit], Sequence[Edit]], is_spoken_in: bool
) -> None:
    known = state(helper="h", model="m", model_at=at(1), titled_at=at(1)) if is_spoken_in else state()
    events, shuffled = delivered
    assert settled(shuffled, known) == settled(events, known)


@given(st.lists(changes, min_size=1, max_size=6))
def test_each_field_is_that_of_the_newest_change_that_sets_it(events: Sequence[SessionChanged]) -> None:
    result = settled(events)
    for name in CHANGEABLE:
        setting = [event for event in events if name in event.changed]
        last = max(setting, key=lambda event: (event.accepted_at, str(event.event_id)), default=None)
        expected = getattr(last or changed(), name)
        assert getattr(result, name) == (list(expected) if name == "labels" else expected)


def test_of_two_changes_at_one_moment_the_greater_event_id_stands() -> None:
    lesser, greater = (
        changed(1, title=title).model_copy(update={"event_id": UUID(int=number)})
        for number, title in ((1, "lesser"), (2, "greater"))
    )
    assert settled([lesser, greater]).title == settled([greater, lesser]).title == "greater"


def test_a_late_opening_undoes_neither_a_change_nor_what_messages_named() -> None:
    known = state(helper="said", model="said", model_at=at(5))
    late = opened(9, title="late", helper="late", project_id="late", model="late", analytics=False)
    result = settled([changed(1, title="mine", analytics=True), late], known)
    assert (result.title, result.helper, result.model, result.analytics) == ("mine", "said", "said", True)
    assert result.project_id == "late"


def test_a_late_opening_does_not_move_activity_back() -> None:
    result = settled([opened(-9)])
    assert (result.created_at, result.last_activity_at) == (at(-9), NOON)


def test_of_two_openings_the_first_that_names_a_field_counts() -> None:
    result = settled([opened(2, title="second", helper="h"), opened(1, title="first")])
    assert (result.title, result.helper) == ("first", "h")


def test_a_title_that_is_taken_back_leaves_the_automatic_one_to_be_found() -> None:
    result = settled([changed(1, title="mine"), changed(2, title=None)], state(titled_at=at(1)))
    assert (result.title, result.title_source, result.lacks_title) == (None, "none", True)
    assert not settled([changed(2, title="mine")], state(titled_at=at(1))).lacks_title


USERS = [changed(3, title="mine"), opened(3, title="mine"), changed(3, title=None)]


@pytest.mark.parametrize("own", USERS, ids=["changed", "opened", "taken back"])
def test_whatever_its_user_says_of_the_title_counts_more_than_a_models(own: Edit) -> None:
    for order in permutations([own, titled("by a model", 1), titled("by a model", 9)]):
        result = settled(order, state(title="of a message", title_source="message", titled_at=at(1)))
        assert result.title == getattr(own, "title", None)
        assert result.title_source == ("none" if result.title is None else "user")


def test_title_that_was_given_with_a_fork_stands_against_a_models() -> None:
    fork = state(title="mine", title_source="user")
    assert settled([titled("by a model")], fork) == fork


def test_models_title_replaces_the_automatic_one_and_is_no_activity() -> None:
    known = state(title="of a message", title_source="message", titled_at=at(-9))
    result = settled([titled("by a model", -9)], known)
    assert (result.title, result.title_source) == ("by a model", "model")
    assert (result.last_activity_at, result.field_stamps) == (NOON, {})


def test_of_two_titles_of_models_the_one_that_sorts_last_stands() -> None:
    for order in permutations([titled("Aspen", 1), titled("Teterboro", 0)]):
        assert settled(order).title == "Teterboro"


def test_nothing_tells_whether_a_models_title_is_older_than_an_erasure_so_it_goes() -> None:
    known = settled([titled("by a model", 5), changed(6, pinned=True)])
    since = set_since(known, at(4))
    assert since is not None
    assert (since.title, since.title_source, since.pinned) == (None, "none", True)


def test_words_of_before_an_erasure_are_nobody_s_title_where_its_user_took_their_own_back_since() -> None:
    """The first question may still be there when they take it back, and gives the title again until it is swept."""
    known = replace(settled([changed(5, title=None)]), title="Of before", title_source="message")
    since = set_since(known, at(4))
    assert since is not None
    assert (since.title, since.title_source, "title" in since.field_stamps) == (None, "none", True)


def test_an_end_stands_until_something_newer_is_said() -> None:
    assert settled([changed(5, at(5)), changed(4, at(4))]).ended_at == at(5)
    assert settled([changed(5, at(5))], SessionState("ada", "s1", NOON, last_activity_at=at(6))).ended_at is None


def test_a_field_that_is_not_known_is_ignored() -> None:
    newer = changed(1, title="mine").model_copy(update={"changed": ("title", "colour")})
    assert settled([newer]) == settled([newer.model_copy(update={"changed": ("title",)})])
