"""A session is what is stored of it, and what its turns say beyond that."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.http.requests.pages import PageQuery, Paging
from services.gateway.models.answers import Tag
from services.gateway.sessions.answers import Session, TripSummary
from services.gateway.sessions.finding.filters import SessionFilter
from services.gateway.sessions.view import SessionFacts, SessionView, etag_of, place_of, show_in_order
from services.gateway.sessions.view import show_session as view_session
from services.gateway.turns.turn import Question, Turn
from shared.ids import new_id
from tests.pure.gateway.samples import facts, glimpse, minutes, stored, turn


def show_session(known: SessionFacts, turns: Sequence[Turn]) -> Session | None:
    """Show a session, with the beginning of its newest message."""
    view = view_session(known, [glimpse(each) for each in turns])
    previews = {turn.turn_id: turn.answer.content if turn.answer else turn.question.content for turn in turns}
    return view.quoting(previews) if view else None


TAG = Tag(
    session_tag="chat_model_a1b2c3_015", counter=15, experiment_name="exp", model_id=new_id(), model_name="Model Name"
)


def test_a_session_of_which_there_is_nothing_is_not_shown() -> None:
    assert show_session(facts(), []) is None


def test_a_deleted_session_is_not_shown_though_a_turn_is_left() -> None:
    assert show_session(facts(stored=stored(), deleted=True), [turn(at=5)]) is None


def test_a_stored_session_is_shown_as_it_is_stored() -> None:
    session = show_session(facts(stored=stored(helper="h", pinned=True)), [])
    assert session is not None
    assert (session.id, session.thread_id, session.title) == ("s1", "s1", "A title")
    assert (session.helper, session.pinned, session.message_count, session.stored) == ("h", True, 2, True)
    assert session.current_step == "understanding_request"


def test_a_turn_that_is_stored_already_adds_nothing() -> None:
    alone = show_session(facts(stored=stored(5)), [])
    assert show_session(facts(stored=stored(5)), [turn(at=4, answered=5)]) == alone


def test_a_session_that_is_only_a_turn_is_shown_as_not_stored() -> None:
    session = show_session(facts(), [turn(at=1, answered=2, project_id="p", helper="h")])
    assert session is not None
    assert (session.message_count, session.last_message, session.stored) == (2, "answer 1", False)
    assert (session.project_id, session.helper, session.title) == ("p", "h", None)
    assert (session.created_at, session.last_activity_at) == (minutes(1), minutes(2))


def test_a_session_of_which_only_a_question_asked_again_is_at_hand_is_shown() -> None:
    again = turn(at=3, helper="h", question=Question("q1", "asked before", is_known=True))
    session = show_session(facts(), [again])
    assert session is not None
    assert (session.created_at, session.last_activity_at, session.stored) == (minutes(3), minutes(3), False)
    assert (session.helper, session.message_count, session.last_message) == ("h", 0, None)
    assert session.running_turn is not None


def test_what_is_newer_than_the_stored_row_is_added_to_it() -> None:
    session = show_session(facts(stored=stored(5, ended_at=minutes(6))), [turn(at=4, answered=5), turn(at=7)])
    assert session is not None
    assert (session.message_count, session.last_message) == (3, "question 7")
    assert (session.last_activity_at, session.ended_at, session.stored) == (minutes(7), None, False)


def test_a_running_turn_is_shown_until_its_lease_is_over() -> None:
    running = turn(at=7)
    session = show_session(facts(stored=stored()), [running])
    assert session is not None
    assert session.running_turn is not None
    assert session.running_turn.turn_id == running.turn_id
    dead = show_session(facts(stored=stored()), [replace(running, expired=True)])
    assert dead is not None
    assert dead.running_turn is None


def test_the_tag_has_a_label_for_people() -> None:
    session = show_session(facts(stored=stored(), tag=TAG), [])
    assert session is not None
    assert (session.session_tag, session.tag_label) == ("chat_model_a1b2c3_015", "[Model Name #015]")
    assert replace(TAG, counter=1234).label == "[Model Name #1234]"


def test_the_trips_step_is_the_sessions() -> None:
    trip = TripSummary(
        id=new_id(),
        avinode_trip_id="atrip-1",
        trip_code="A1B2C3",
        status="active",
        current_step="requesting_quotes",
        operators_contacted_count=3,
        quotes_expected_count=3,
        quotes_received_count=0,
    )
    session = show_session(facts(stored=stored(), trip=trip), [])
    assert session is not None
    assert (session.current_step, session.trip) == ("requesting_quotes", trip)


def etag(known: SessionFacts, *turns: Turn) -> tuple[str, str]:
    shown = show_session(known, turns)
    assert shown is not None
    edited, point, all_of_it = (etag_of(known, shown) or "").strip('"').partition(".")
    assert point
    return edited, all_of_it


MINE = {"title": "Mine", "title_source": "user"}


@pytest.mark.parametrize(
    "change",
    [
        MINE,
        {"pinned": True},
        {"archived": True},
        {"folder": "f"},
        {"labels": ["l"]},
        {"analytics": False},
        {"experiment_name": "e"},
        {"metadata": {"a": 1}},
    ],
)
def test_both_halves_of_an_etag_change_with_what_people_edit(change: dict[str, Any]) -> None:
    before, after = etag(facts(stored=stored(1))), etag(facts(stored=stored(1, **change)))
    assert all(was != now for was, now in zip(before, after, strict=True))


@pytest.mark.parametrize(
    "change",
    [
        {"message_count": 4, "last_message": "the answer", "last_message_at": minutes(2), "updated_at": minutes(2)},
        {"title": "Of the first message", "title_source": "message"},
        {"title": None, "title_source": "none"},
        {"model": "another"},
        {"helper": "h", "project_id": "p"},
        {"ended_at": minutes(3)},
        {"created_at": minutes(-90)},
    ],
)
def test_only_the_second_half_changes_with_what_messages_change(change: dict[str, Any]) -> None:
    before, after = etag(facts(stored=stored(1))), etag(facts(stored=stored(1, **change)))
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)


def test_only_the_second_half_changes_with_what_others_know() -> None:
    before = etag(facts(stored=stored(1)))
    for after in (etag(facts(stored=stored(1)), turn(at=2)), etag(facts(stored=stored(1), tag=TAG))):
        assert (before[0] == after[0], before[1] == after[1]) == (True, False)


def test_an_etag_is_of_one_session_of_one_user() -> None:
    same = facts(stored=stored(1))
    assert etag(same) == etag(facts(stored=stored(1)))
    others = [same, facts("s2", stored=stored(1)), replace(same, user_id="u2")]
    assert len({etag(other)[0] for other in others}) == 3


def test_a_title_that_is_edited_is_told_from_the_same_one_of_a_message() -> None:
    automatic = {"title": MINE["title"], "title_source": "message"}
    assert etag(facts(stored=stored(1, **MINE)))[0] != etag(facts(stored=stored(1, **automatic)))[0]


def test_a_session_that_is_not_stored_has_no_etag() -> None:
    shown = show_session(facts(), [turn(at=2)])
    assert shown is not None
    assert etag_of(facts(), shown) is None


@pytest.mark.parametrize(
    ("wanted", "change"),
    [
        (SessionFilter(helper="h"), {"helper": "h"}),
        (SessionFilter(project_id="p"), {"project_id": "p"}),
        (SessionFilter(model="m"), {"model": "m"}),
        (SessionFilter(pinned=True), {"pinned": True}),
        (SessionFilter(archived=True), {"archived": True}),
    ],
)
def test_a_filter_keeps_what_it_names(wanted: SessionFilter, change: dict[str, Any]) -> None:
    candidates = [facts("fits", stored=stored(1, **change)), facts("other", stored=stored(2))]
    sessions = show_in_order(candidates, {}, wanted=wanted, before=None)
    assert [view.session.id for view in sessions] == ["fits"]


def test_a_filter_keeps_unstored_sessions_that_fit() -> None:
    turns = {("u1", "a"): glimpse(turn("a", helper="h")), ("u1", "b"): glimpse(turn("b"))}
    candidates = [facts("a", tag=TAG), facts("b")]
    for wanted in (SessionFilter(helper="h"), SessionFilter(tag=TAG.session_tag)):
        sessions = show_in_order(candidates, turns, wanted=wanted, before=None)
        assert [view.session.id for view in sessions] == ["a"]


@given(
    st.dictionaries(
        st.text("abcdefgh", min_size=1, max_size=2),
        st.tuples(st.none() | st.integers(0, 5), st.none() | st.integers(0, 9)),
        max_size=12,
    ),
    st.integers(1, 4),
)
def test_pages_together_hold_every_session_once_in_order(
    sessions: dict[str, tuple[int | None, int | None]], limit: int
) -> None:
    known = [
        facts(name, stored=None if at is None else stored(at))
        for name, (at, asked) in sessions.items()
        if at is not None or asked is not None
    ]
    turns = {("u1", name): glimpse(turn(name, at=asked)) for name, (_, asked) in sessions.items() if asked is not None}
    paging, query, seen = Paging("sessions"), PageQuery(limit=limit), list[SessionView]()
    while True:
        shown = show_in_order(known, turns, wanted=SessionFilter(), before=paging.before(query))
        page, cursor = paging.cut([(place_of(session), session) for session in shown], query)
        seen += page
        if cursor is None:
            break
        assert len(page) == limit
        query = PageQuery(limit=limit, cursor=cursor)
    assert {view.session.id for view in seen} == {fact.session_id for fact in known}
    assert len(seen) == len(known)
    assert [place_of(session) for session in seen] == sorted(map(place_of, seen), reverse=True)
