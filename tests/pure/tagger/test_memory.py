"""Which sessions a tagger remembers, and for how long."""

from services.tagger.memory import LASTS_S, TaggedSessions
from shared.ids import new_id

FIRST, LATER = new_id(), new_id()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_what_is_said_later_in_a_tagged_session_needs_nothing_and_a_repeat_is_answered() -> None:
    tagged = TaggedSessions()
    tagged.remember(("ada", "s1"), [FIRST])

    assert tagged.needs_nothing(("ada", "s1"), LATER)
    assert not tagged.needs_nothing(("ada", "s1"), FIRST)
    assert not tagged.needs_nothing(("ada", "s2"), LATER)
    assert not tagged.needs_nothing(("bob", "s1"), LATER)


def test_a_session_is_remembered_for_a_minute() -> None:
    clock = Clock()
    tagged = TaggedSessions(now=clock)
    tagged.remember(("ada", "s1"), [FIRST])

    clock.now += LASTS_S - 1
    assert tagged.needs_nothing(("ada", "s1"), LATER)
    clock.now += 1
    assert not tagged.needs_nothing(("ada", "s1"), LATER)
    tagged.remember(("ada", "s2"), [LATER])
    assert len(tagged) == 1


def test_sessions_are_remembered_up_to_a_number_the_longest_known_being_forgotten_first() -> None:
    tagged = TaggedSessions(most=2)
    for session in ("s1", "s2", "s1", "s3"):
        tagged.remember(("ada", session), [FIRST])

    assert len(tagged) == 2
    assert [tagged.needs_nothing(("ada", session), LATER) for session in ("s1", "s2", "s3")] == [True, False, True]


def test_what_is_gone_is_forgotten() -> None:
    tagged = TaggedSessions()
    sessions = [("ada", "s1"), ("ada", "s2"), ("bob", "s1"), ("cleo", "s1")]

    def known() -> list[tuple[str, str]]:
        return [session for session in sessions if tagged.needs_nothing(session, LATER)]

    for session in sessions:
        tagged.remember(session, [FIRST])
    tagged.forget(("ada", "s2"))
    tagged.forget(("ada", "s2"))
    assert known() == [("ada", "s1"), ("bob", "s1"), ("cleo", "s1")]
    tagged.forget_users({"ada", "bob"})
    assert known() == [("cleo", "s1")]
    tagged.forget_all()
    assert known() == []
