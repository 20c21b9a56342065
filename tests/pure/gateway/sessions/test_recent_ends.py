"""What is known of the ends of sessions: the newest message that was told of, for a while."""

from dataclasses import replace

import pytest

from services.gateway.sessions.messages.recent_ends import LASTS_S, RecentEnds
from services.gateway.turns.past.kept import Kept
from services.gateway.turns.turn import Question, Turn
from tests.pure.gateway.samples import turn


def posted(message_id: str, at: float = 0, session: str = "s1", **question: str) -> Turn:
    said = Question(message_id, "hello", **question)  # type: ignore[arg-type]
    return replace(turn(session, at, project_id="p1", helper="h1"), state="posted", question=said)


def test_an_end_serves_one_claim_of_its_owner() -> None:
    ends = RecentEnds()
    ends.keep(posted("m1"))
    assert ends.take("u2", "s1") is None
    end = ends.take("u1", "s1")
    assert end is not None
    assert (end.message_id, end.place, end.kept) == ("m1", posted("m1").asked_at, Kept("p1", "h1"))
    assert ends.take("u1", "s1") is None


def test_the_newest_message_is_the_end_whichever_was_told_of_last() -> None:
    ends = RecentEnds()
    ends.keep(posted("m2", 2))
    ends.keep(posted("m1", 1))
    end = ends.take("u1", "s1")
    assert end is not None
    assert end.message_id == "m2"


@pytest.mark.parametrize("role", ["system", "tool"])
def test_nobody_replies_to_a_note(role: str) -> None:
    ends = RecentEnds()
    ends.keep(posted("m1", role=role))
    assert ends.take("u1", "s1") is None
    ends.keep(posted("m2", role=role, parent_id="m1"))
    assert ends.take("u1", "s1") is not None


def test_an_end_is_known_for_a_while_and_no_more_than_so_many() -> None:
    now = [0.0]
    ends = RecentEnds(most=2, now=lambda: now[0])
    for session in ("s1", "s2", "s3"):
        ends.keep(posted("m1", session=session))
    assert ends.take("u1", "s1") is None
    assert ends.take("u1", "s2") is not None
    now[0] = LASTS_S
    assert ends.take("u1", "s3") is None
