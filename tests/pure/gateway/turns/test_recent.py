"""What is known of a session that began here: as long as nothing but whole turns of ours came of it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.gateway.turns.here.recent import LASTS_S, MOST_BYTES_OF_ONE, MOST_MESSAGES, Recent, RecentSessions
from services.gateway.turns.past.kept import Kept
from services.gateway.turns.past.said import Said
from services.gateway.turns.stored.claims import Claim
from services.gateway.turns.turn import Answer, Question, Turn
from shared.events import SessionTagged, Stored
from shared.ids import new_id
from tests.pure.gateway.samples import claim, turn


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def begun(recent: RecentSessions, session: str = "s1", at: float = 0, **changes: Any) -> Turn:
    """Begin the next turn of a session as a gateway does, by what is known of it."""
    known = recent.take("u1", session)
    wanted = claim(user_id="u1", session_id=session, known_until=known and known.known_until, is_recalled=bool(known))
    asked = turn(session, at, **changes)
    recent.began(asked, wanted, known.history if known else ())
    return asked


def end(recent: RecentSessions, asked: Turn, text: str = "hi", **changes: Any) -> Turn:
    values = {"state": "complete", "answer": Answer(text, [], "complete"), **changes}
    ended = replace(asked, answered_at=asked.asked_at + timedelta(seconds=1), **values)
    recent.ended(ended)
    return ended


def test_the_next_turn_knows_what_was_said_in_all_of_them() -> None:
    recent = RecentSessions()
    first = end(recent, begun(recent), "one")
    second = end(recent, begun(recent, at=1, project_id="p1", helper="h1", model="newest"), "two")
    known = recent.take("u1", "s1")
    assert known is not None
    assert (known.kept, known.known_until) == (Kept("p1", "h1", "newest"), second.answered_at)
    question = first.question
    assert known.history[:2] == (
        Said(question.message_id, "user", None, first.asked_at, None, question.content),
        Said(first.answer_id, "assistant", question.message_id, first.place, content="one"),
    )
    assert [said.content for said in known.history] == [question.content, "one", second.question.content, "two"]


def test_what_is_known_serves_one_claim() -> None:
    recent = RecentSessions()
    end(recent, begun(recent))
    assert recent.take("u2", "s1") is None
    assert recent.take("u1", "s1") is not None
    assert recent.take("u1", "s1") is None


def test_nothing_is_known_while_a_turn_runs() -> None:
    recent = RecentSessions()
    begun(recent)
    assert recent.take("u1", "s1") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "failed"},
        {"state": "stopped"},
        {"state": "interrupted"},
        {"attempt": 2},
        {"answer": Answer("x" * (MOST_BYTES_OF_ONE + 1), [], "complete")},
    ],
)
def test_a_turn_that_may_change_or_is_too_long_leaves_nothing_known(changes: dict[str, Any]) -> None:
    recent = RecentSessions()
    end(recent, begun(recent), **changes)
    assert recent.take("u1", "s1") is None


@pytest.mark.parametrize(
    ("wanted", "question", "history"),
    [
        (claim(known_until=turn().asked_at), Question("m1", "hello"), ()),  # somebody else has spoken in it
        (claim(), Question("m1", "hello"), (Said("m0", "system", None, turn().asked_at),)),
        (claim(), Question("m1", "hello", is_known=True), ()),
        (claim(), Question("m1", "hello", earlier=(Question("m0", "before"),)), ()),
    ],
)
def test_only_a_session_that_begins_with_one_new_question_is_known(
    wanted: Claim, question: Question, history: tuple[Said, ...]
) -> None:
    recent = RecentSessions()
    asked = turn(question=question)
    recent.began(asked, wanted, history)
    end(recent, asked)
    assert recent.take("u1", "s1") is None


def test_a_turn_that_ends_after_another_has_begun_says_nothing() -> None:
    recent = RecentSessions()
    late, _ = begun(recent), begun(recent)
    end(recent, late)
    assert recent.take("u1", "s1") is None


def test_what_is_known_lasts_a_while_and_no_longer_than_there_is_room() -> None:
    clock = Clock()
    recent = RecentSessions(most_bytes=8000, now=clock)
    for session in ("s1", "s2", "s3"):
        end(recent, begun(recent, session))
    assert recent.take("u1", "s1") is None  # no room
    assert recent.take("u1", "s3") is not None
    clock.now = LASTS_S
    assert recent.take("u1", "s2") is None
    end(recent, begun(recent, "s4"))
    assert isinstance(recent.take("u1", "s4"), Recent)


def test_a_session_of_very_many_messages_is_read() -> None:
    recent = RecentSessions()
    for number in range(MOST_MESSAGES // 2):
        end(recent, begun(recent, at=number))
    end(recent, begun(recent, at=MOST_MESSAGES))
    assert recent.take("u1", "s1") is None


def tagged(recent: RecentSessions, session: str = "s1", user: str = "u1") -> None:
    recent.hint(SessionTagged(user_id=user, session_id=session, session_tag="chat_model_0_001", causes=(new_id(),)))


def test_a_tag_is_waited_for_until_it_is_heard_of_and_is_known_from_turn_to_turn() -> None:
    recent = RecentSessions()
    assert not recent.are_awaited
    first = begun(recent)
    assert recent.are_awaited
    tagged(recent)
    assert not recent.are_awaited
    end(recent, first)
    known = recent.take("u1", "s1")
    assert known is not None
    assert known.tag == "chat_model_0_001"
    recent.began(turn("s1", 1), claim(known_until=known.known_until, is_recalled=True, tag=known.tag), known.history)
    assert not recent.are_awaited


def test_a_tag_that_comes_after_the_first_turn_is_known_in_the_next() -> None:
    recent = RecentSessions()
    end(recent, begun(recent))
    tagged(recent)
    tagged(recent)
    known = recent.take("u1", "s1")
    assert known is not None
    assert (known.tag, recent.are_awaited) == ("chat_model_0_001", False)


def test_the_tag_of_another_session_or_of_another_user_is_no_news() -> None:
    recent = RecentSessions()
    end(recent, begun(recent))
    tagged(recent, "s2")
    tagged(recent, user="u2")
    recent.hint(Stored(user_id="u1", session_id="s1", causes=(new_id(),)))
    assert recent.are_awaited
    known = recent.take("u1", "s1")
    assert known is not None
    assert known.tag is None


def test_a_session_that_begins_anew_has_no_tag_yet() -> None:
    recent = RecentSessions()
    end(recent, begun(recent))
    tagged(recent)
    recent.began(turn("s1", 1), claim(), ())  # its user was erased, say
    assert recent.are_awaited


def test_nothing_is_waited_for_of_sessions_that_are_forgotten() -> None:
    clock = Clock()
    recent = RecentSessions(now=clock)
    end(recent, begun(recent, "s1"))
    end(recent, begun(recent, "s2"))
    clock.now = LASTS_S
    tagged_soon = begun(recent, "s3")
    tagged(recent, "s3")
    assert not recent.are_awaited
    end(recent, tagged_soon)


def test_what_may_have_been_tagged_unheard_is_not_known() -> None:
    recent = RecentSessions()
    end(recent, begun(recent, "s1"))
    end(recent, begun(recent, "s2"))
    running = begun(recent, "s3")
    tagged(recent, "s2")
    recent.missed()
    end(recent, running)
    assert not recent.are_awaited
    assert recent.take("u1", "s1") is None
    assert recent.take("u1", "s3") is None
    assert recent.take("u1", "s2") is not None


def test_the_tag_of_a_turn_that_runs_is_known_as_soon_as_it_is_heard_of() -> None:
    recent = RecentSessions()
    begun(recent)
    assert recent.tag_of("u1", "s1") is None
    tagged(recent)
    assert (recent.tag_of("u1", "s1"), recent.tag_of("u2", "s1")) == ("chat_model_0_001", None)


def ended_with(recent: RecentSessions, conversation: str, session: str = "s1", at: float = 0) -> Turn:
    return end(recent, begun(recent, session, at), answer=Answer("hi", [], "complete", history=conversation))


def found(recent: RecentSessions, conversation: str, user: str = "u1") -> str | None:
    known = recent.ending_with(user, conversation)
    return known[0] if known else None


def test_a_session_is_found_by_what_it_ends_with_and_only_by_that() -> None:
    recent = RecentSessions()
    first = ended_with(recent, "aa")
    assert recent.ending_with("u1", "aa") == ("s1", recent.take("u1", "s1"))
    ended_with(recent, "aa")
    assert (found(recent, "aa", "u2"), found(recent, "bb")) == (None, None)
    asked = begun(recent, at=5)
    assert asked.asked_at > first.asked_at
    assert found(recent, "aa") is None, "it is spoken in"
    end(recent, asked, answer=Answer("ho", [], "complete", history="bb"))
    assert (found(recent, "aa"), found(recent, "bb")) == (None, "s1")


def test_of_sessions_that_end_alike_the_newest_is_found_and_none_that_is_forgotten() -> None:
    clock = Clock()
    recent = RecentSessions(now=clock)
    ended_with(recent, "aa", "s1")
    ended_with(recent, "aa", "s2")
    assert found(recent, "aa") == "s2"
    begun(recent, "s1", 1)
    assert found(recent, "aa") == "s2"
    clock.now = LASTS_S
    assert found(recent, "aa") is None


@pytest.mark.parametrize("missed", [False, True])
def test_a_tag_that_comes_while_a_claim_is_made_is_known(missed: bool) -> None:
    recent = RecentSessions()
    end(recent, begun(recent))
    known = recent.take("u1", "s1")
    assert known is not None
    assert recent.take("u1", "s1") is None
    tagged(recent)
    if missed:
        recent.missed()
    second = turn("s1", 1)
    recent.began(second, claim(known_until=known.known_until, is_recalled=True), known.history)
    assert (recent.tag_of("u1", "s1"), recent.are_awaited) == ("chat_model_0_001", False)


def test_what_may_have_been_tagged_unheard_while_a_claim_is_made_is_not_known() -> None:
    recent = RecentSessions()
    end(recent, begun(recent))
    known = recent.take("u1", "s1")
    assert known is not None
    recent.missed()
    second = turn("s1", 1)
    recent.began(second, claim(known_until=known.known_until, is_recalled=True), known.history)
    end(recent, second)
    assert recent.take("u1", "s1") is None
