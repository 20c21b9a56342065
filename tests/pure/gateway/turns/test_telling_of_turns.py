"""When the messages of a turn were accepted, by what its events say."""

from services.gateway.turns.turn import Question
from tests.pure.gateway.samples import minutes, turn


def test_what_came_with_a_question_was_accepted_with_it_though_its_place_is_before() -> None:
    copied = Question("m0", "hm", is_known=True, said_at=minutes(1))
    asked = turn(at=5, question=Question("m2", "and?", earlier=(copied, Question("m1", "one"))))
    copy, earlier, question = asked.asked()
    assert earlier.created_at < earlier.accepted == question.accepted == minutes(5)
    assert copy.accepted == minutes(1), "when it was asked first"
