"""A group of events becomes one row a key, whatever their order."""

from collections.abc import Sequence
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from services.logger.reducing.reduction import (
    Decision,
    SessionStep,
    final_decisions,
    greatest_traces,
    greatest_versions,
    steps,
)
from shared.events import DeadLetterDropped, DeadLetterReplayed, MessageEvent
from shared.ids import new_id
from tests.pure.logger.samples import answered, at, posted, trace


def test_every_message_is_kept_once() -> None:
    first, second = posted("m1"), posted("m2")
    assert list(greatest_versions([first, second, first]).values()) == [first, second]


def test_same_message_id_in_another_session_is_another_message() -> None:
    ids = [posted(), posted(session_id="s2"), posted(user_id="bob")]
    assert len(greatest_versions(ids)) == 3


def test_first_of_two_posts_with_one_message_id_is_kept() -> None:
    first, second = posted(content="one"), posted(content="two")
    assert list(greatest_versions([first, second]).values()) == [first]


def test_greatest_version_of_an_answer_is_kept_in_any_order() -> None:
    versions: list[MessageEvent] = [
        posted("a1", role="assistant"),  # a client that stores what it was streamed
        answered(status="interrupted"),
        answered(status="complete"),
        answered(status="interrupted", revision=1),
        answered(status="stopped", revision=1),
    ]
    for order in permutations(versions):
        assert list(greatest_versions(order).values()) == [versions[-1]]


def test_final_answer_beats_an_interrupted_one() -> None:
    final, interrupted = answered(status="failed"), answered(status="interrupted")
    assert list(greatest_versions([final, interrupted]).values()) == [final]


def test_traces_of_all_versions_of_an_answer_are_kept() -> None:
    earlier = answered(trace=trace("t0"))
    later = answered(revision=1, trace=trace("t1"))
    assert [found.trace_id for _, found in greatest_traces([later, earlier, posted()])] == ["t1", "t0"]


def test_trace_is_of_the_greatest_version_that_tells_it() -> None:
    interrupted = answered(status="interrupted", trace=trace(status="interrupted"))
    final = answered(trace=trace(status="ok"))
    for order in permutations([interrupted, final]):
        assert [found.status for _, found in greatest_traces(order)] == ["ok"]


def test_drop_is_kept_before_a_replay_whenever_it_was_said() -> None:
    letter, other = new_id(), new_id()
    dropped = DeadLetterDropped(dead_letter_id=letter, operator="eve", occurred_at=at(1))
    replayed = DeadLetterReplayed(dead_letter_id=letter, operator="eve", occurred_at=at(2))
    about_other = DeadLetterReplayed(dead_letter_id=other, operator="eve", occurred_at=at(0))
    decisions: list[Decision] = [dropped, replayed, about_other]
    for order in permutations(decisions):
        assert set(final_decisions(order)) == {dropped, about_other}


def test_replay_that_knew_of_more_arrivals_is_kept() -> None:
    letter = new_id()
    replays: list[Decision] = [
        DeadLetterReplayed(dead_letter_id=letter, operator="eve", arrivals=arrivals, occurred_at=at(-arrivals))
        for arrivals in (1, 2, 3)
    ]
    for order in permutations(replays):
        assert final_decisions(order) == [replays[2]]


def step_of(*said: MessageEvent) -> SessionStep:
    (step,) = steps(said)
    return step


def test_every_session_has_a_step_of_its_own() -> None:
    said = [posted("m1"), posted("m2", session_id="s2"), posted("m3", user_id="bob"), posted("m4", 4)]
    found = [(step.newest.user_id, step.newest.session_id, step.newest.message_id) for step in steps(said)]
    assert found == [("ada", "s1", "m4"), ("ada", "s2", "m2"), ("bob", "s1", "m3")]


def test_step_knows_the_newest_message() -> None:
    middle, newest, first = posted("m2", 2), answered("a9", 9), posted("m1", 1)
    step = step_of(middle, newest, first)
    assert (step.newest, step.first_at) == (newest, at(1))


def test_title_is_of_the_first_user_message_with_words() -> None:
    said = [
        posted("m4", 4, content="fourth"),
        posted("m0", 0, role="system", content="a note"),
        posted("m1", 1, content="  "),
        posted("m3", 3, content="third"),
        answered("a2", 2, content="an answer"),
    ]
    step = step_of(*said)
    assert (step.title, step.titling) == ("third", said[3])


def test_session_without_words_of_its_user_gets_no_title() -> None:
    step = step_of(answered(), posted(content=""))
    assert (step.title, step.titling) == (None, None)


def test_model_is_of_the_newest_message_that_names_one() -> None:
    said = [posted("m1", 1, model="old"), posted("m2", 2, model="new"), posted("m3", 3)]
    for order in permutations(said):
        modelling = step_of(*order).modelling
        assert modelling is not None
        assert modelling.model == "new"


def test_session_is_mixed_where_its_messages_name_two_models() -> None:
    one, none, other = posted("m1", 1, model="small"), posted("m2", 2, model=None), posted("m3", 3, model="large")
    for order in permutations([one, none, other]):
        assert [step.is_mixed for step in steps(order)] == [True]
    assert [step.is_mixed for step in steps([one, none, one])] == [False]


def test_project_and_helper_come_from_whoever_names_them() -> None:
    step = step_of(posted("m1"), posted("m2", helper="h", project_id="p"))
    assert (step.project_id, step.helper) == ("p", "h")


@given(
    st.permutations(
        [posted(f"m{n}", n, model=f"model{n}", client={"address": f"198.51.{n}.0/24"}) for n in range(4)]
        + [answered("a5", 5)]
    )
)
def test_step_does_not_depend_on_the_order(order: Sequence[MessageEvent]) -> None:
    assert step_of(*order) == step_of(*sorted(order, key=lambda event: event.created_at))


def test_step_knows_from_where_the_first_and_the_last_message_came() -> None:
    client = {"address": "198.51.100.0/24"}
    said = [posted("m2", 2, client=client), posted("m1", 1, client=client), posted("m0", 0), posted("m3", 3)]
    for order in permutations(said):
        step = step_of(*order)
        assert (step.first_known, step.last_known) == (said[1], said[0])
