"""Which sessions are to get a tag, which number each gets, and how a tag is spelled."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import permutations
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tagger.counter import (
    Candidate,
    Heard,
    Tag,
    named_models,
    not_erased,
    number,
    read_in_order,
    registered_models,
)
from services.tagger.registry import Model, short_id
from shared.ids import model_id, new_id
from tests.tagging import BEGAN, MODEL, changed, registered, spoke

SMALL = model_id("acme", MODEL)
LARGE = model_id("acme", "large")


def candidates(*events: Heard, known: Mapping[UUID, Model] | None = None) -> list[tuple[str, UUID]]:
    """Return which sessions are to get a tag, and of which model."""
    found, _ = read_in_order(events, known or {}, ())
    return [(each.session_id, each.model_id) for each in found]


def candidate(session: str = "s1", *, user: str = "ada", model: UUID = SMALL, at: int = 0) -> Candidate:
    spoken_at = BEGAN + timedelta(seconds=at)
    return Candidate(user, session, model, model.hex[:6], new_id(), spoken_at, spoken_at)


@pytest.mark.parametrize(("given_number", "counter"), [(1, "001"), (15, "015"), (999, "999"), (1000, "1000")])
def test_counter_has_three_digits_and_grows_past_them(given_number: int, counter: str) -> None:
    model = UUID("a1b2c3d4-0000-5000-8000-000000000000")

    assert str(Tag(candidate(model=model), given_number)) == f"chat_model_a1b2c3_{counter}"


@pytest.mark.parametrize(
    ("taken", "short"),
    [(set(), "a1b2c3"), ({"a1b2c3"}, "a1b2c3d"), ({"a1b2c3", "a1b2c3d", "a1b2c3d5"}, "a1b2c3d4")],
)
def test_short_id_is_longer_where_another_model_has_it(taken: set[str], short: str) -> None:
    assert short_id(UUID("a1b2c3d4-0000-5000-8000-000000000000"), taken) == short


def test_first_user_message_brings_a_tag_and_later_ones_do_not() -> None:
    assert candidates(registered(), spoke(at=1), spoke(at=2)) == [("s1", SMALL)]


def test_message_of_before_its_users_erasure_does_not_stand_before_a_newer_one() -> None:
    before, at_once, after, other = spoke(at=1), spoke(at=2), spoke(at=3), spoke(user="bob", at=1)

    left = not_erased([registered(), before, at_once, after, other], {"ada": BEGAN + timedelta(seconds=2)})

    assert left[1:] == [after, other]


def test_message_is_as_old_as_its_acceptance_wherever_it_stands_in_its_session() -> None:
    accepted = BEGAN + timedelta(seconds=3)
    posted = spoke(at=1, accepted_at=accepted)

    assert not_erased([posted], {"ada": BEGAN + timedelta(seconds=2)}) == [posted]
    [found], _ = read_in_order([registered(), posted], {}, ())
    assert found.accepted == accepted


@pytest.mark.parametrize("role", ["assistant", "system", "tool"])
def test_only_a_user_brings_a_tag(role: str) -> None:
    assert candidates(registered(), spoke(role=role)) == []


def test_message_to_no_model_brings_no_tag() -> None:
    assert candidates(registered(), spoke(model=None)) == []


def test_same_name_at_another_provider_is_another_model() -> None:
    assert candidates(registered(), spoke(provider="other")) == []


def test_message_before_its_models_registration_brings_no_tag() -> None:
    assert candidates(spoke(), registered()) == []
    assert candidates(spoke("s1"), registered(), spoke("s2")) == [("s2", SMALL)]


def test_session_gets_a_tag_of_the_first_tracked_model_it_speaks_to() -> None:
    events: list[Heard] = [registered("large"), spoke(at=1), spoke(at=2, model="large"), registered(), spoke(at=3)]

    assert candidates(*events) == [("s1", LARGE)]


def test_untracked_model_brings_no_tag_until_it_is_tracked_again() -> None:
    assert candidates(registered(), registered(tracked=False, at=1), spoke()) == []
    assert candidates(registered(tracked=False), spoke("s1"), registered(at=1), spoke("s2")) == [("s2", SMALL)]


def test_last_word_on_a_model_is_the_latest_and_not_the_last_to_arrive() -> None:
    assert candidates(registered(at=2), registered(tracked=False, at=1), spoke()) == [("s1", SMALL)]


def test_short_id_stays_as_it_was_first() -> None:
    _, [first] = read_in_order([registered()], {}, {SMALL.hex[:6]})

    _, [second] = read_in_order([registered(tracked=False, at=1)], {SMALL: first}, {first.short_id})

    assert first.short_id == second.short_id == SMALL.hex[:7]
    assert (first.tracked, second.tracked) == (True, False)


def test_repeated_registration_changes_nothing() -> None:
    event = registered()
    _, [model] = read_in_order([event], {}, ())

    assert read_in_order([event], {SMALL: model}, ()) == ([], [])


def test_registration_only_if_new_makes_a_model_that_is_tracked() -> None:
    assert candidates(registered(only_if_new=True), spoke()) == [("s1", SMALL)]


def test_registration_only_if_new_leaves_a_known_model_as_it_is() -> None:
    _, [untracked] = read_in_order([registered(tracked=False)], {}, ())

    assert read_in_order([registered(at=9, only_if_new=True)], {SMALL: untracked}, ()) == ([], [])


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_administrators_word_outweighs_registrations_only_if_new_in_any_order(order: Sequence[int]) -> None:
    events = [registered(at=3, only_if_new=True), registered(tracked=False, at=2), registered(at=1, only_if_new=True)]

    _, [model] = read_in_order([events[place] for place in order], {}, ())

    assert not model.tracked


WORDS: list[Heard] = [
    registered(at=3, only_if_new=True),
    changed(at=2, tracked=False),
    changed(at=4, display_name="Best"),
    changed(at=1, tracked=True, display_name="Good"),
]


@pytest.mark.parametrize("order", list(permutations(range(len(WORDS)))), ids=str)
def test_last_word_on_each_field_stands_in_any_order(order: Sequence[int]) -> None:
    _, [model] = read_in_order([WORDS[place] for place in order], {}, ())

    assert (model.name, model.display_name, model.tracked, model.short_id) == (MODEL, "Best", False, SMALL.hex[:6])


def test_model_may_be_called_by_its_name_again() -> None:
    words: list[Heard] = [registered(), changed(at=1, display_name="Best"), changed(at=2, display_name=None)]

    _, [model] = read_in_order(words, {}, ())

    assert model.display_name is None


def test_model_that_is_first_seen_in_a_question_is_registered_before_it() -> None:
    events: list[Heard] = [spoke("s0", role="assistant"), spoke("s1"), spoke("s2"), spoke("s3", model=None)]

    found, [model] = read_in_order(events, {}, (), tracks_new=True)

    assert [each.session_id for each in found] == ["s1", "s2"]
    assert (model.model_id, model.tracked) == (SMALL, True)
    assert read_in_order(events, {}, ()) == ([], [])


def test_model_that_was_untracked_is_not_registered_by_a_question() -> None:
    _, [untracked] = read_in_order([registered(tracked=False)], {}, ())

    assert read_in_order([spoke()], {SMALL: untracked}, (), tracks_new=True) == ([], [])


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_word_of_an_administrator_outweighs_a_question_in_any_order(order: Sequence[int]) -> None:
    events: list[Heard] = [spoke(at=9), changed(at=1, tracked=False), registered(at=7, only_if_new=True)]

    _, [model] = read_in_order([events[place] for place in order], {}, (), tracks_new=True)

    assert not model.tracked


def test_model_is_as_old_as_the_registration_that_made_it() -> None:
    made = registered(at=4, only_if_new=True)

    _, [model] = read_in_order([made, registered(tracked=False, at=7)], {}, ())

    assert model.registered_at == made.occurred_at


def test_numbers_follow_the_time_at_which_users_spoke() -> None:
    tags = number([candidate("b", at=3), candidate("c", at=1), candidate("a", at=2)], {("ada", SMALL): 10})

    assert [(tag.candidate.session_id, tag.number) for tag in tags] == [("c", 8), ("a", 9), ("b", 10)]


def test_same_time_is_decided_by_the_key() -> None:
    tags = number([candidate("b"), candidate("a")], {("ada", SMALL): 2})

    assert [(tag.candidate.session_id, tag.number) for tag in tags] == [("a", 1), ("b", 2)]


def test_each_user_and_model_counts_alone() -> None:
    sessions = [candidate("s1"), candidate("s2", user="bob"), candidate("s3", model=LARGE)]

    tags = number(sessions, {("ada", SMALL): 7, ("bob", SMALL): 1, ("ada", LARGE): 3})

    assert {tag.candidate.session_id: tag.number for tag in tags} == {"s1": 7, "s2": 1, "s3": 3}


def test_all_models_that_can_matter_are_named() -> None:
    events: list[Heard] = [registered("large"), spoke(), spoke(model=None)]

    assert named_models(events) == {SMALL, LARGE}
    assert registered_models(events) == {LARGE}


HEARD = st.one_of(
    st.builds(
        spoke,
        st.sampled_from(["s1", "s2", "s3"]),
        model=st.sampled_from([MODEL, "large", None]),
        role=st.sampled_from(["user", "user", "assistant"]),
    ),
    st.builds(
        registered,
        st.sampled_from([MODEL, "large"]),
        tracked=st.booleans(),
        at=st.integers(0, 5),
        only_if_new=st.booleans(),
    ),
    st.builds(
        changed,
        st.sampled_from([MODEL, "large"]),
        tracked=st.booleans(),
        display_name=st.sampled_from([None, "Best"]),
        at=st.integers(0, 5),
    ),
)


@given(st.lists(HEARD, max_size=12), st.data())
def test_two_groups_read_like_one(events: Sequence[Heard], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(events)))

    whole, models = read_in_order(events, {}, ())
    first, changed = read_in_order(events[:cut], {}, ())
    known = {model.model_id: model for model in changed}
    second, changed_later = read_in_order(events[cut:], known, ())

    new = [each for each in second if each.session not in {earlier.session for earlier in first}]
    assert first + new == whole
    assert known | {model.model_id: model for model in changed_later} == {model.model_id: model for model in models}
