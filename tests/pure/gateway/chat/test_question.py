"""Which message a request asks, what it replies to, and what the model is told before it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from services.gateway.chat.question import choose_question, never_arrived
from services.gateway.chat.request import ChatRequest
from services.gateway.turns.past.said import Said, branch, newest
from services.gateway.turns.turn import Question
from shared.errors import Invalid, NotFound
from shared.ids import new_id

START = datetime(2026, 1, 1, tzinfo=UTC)
TURN = new_id()


def said(message_id: str, role: str, content: str, parent: str | None, at: int) -> Said:
    return Said(message_id, role, parent, START + timedelta(seconds=at), content=content)


HISTORY = [
    said("q1", "user", "one", None, 1),
    said("a1", "assistant", "first", "q1", 2),
    said("q2", "user", "two", "a1", 3),
    said("a2", "assistant", "second", "q2", 4),
]


def asks(*texts: str, message_id: str = "", **changes: object) -> ChatRequest:
    questions = [Question("", text) for text in texts]
    if questions:
        questions[-1] = replace(questions[-1], message_id=message_id)
    request = ChatRequest(
        session_id="s",
        session_is_named=True,
        questions=tuple(questions),
        form="ui",
        model=None,
        helper=None,
        project_id=None,
        parent_id=None,
        regenerate=False,
        regenerate_id=None,
        key=None,
        body_hash=b"",
    )
    return replace(request, **changes)  # type: ignore[arg-type]


def asked_anew(request: ChatRequest, history: Sequence[Said] = HISTORY) -> Question:
    chosen = choose_question(request, history, TURN)
    assert isinstance(chosen, Question)
    return chosen


def asked_again(request: ChatRequest) -> str:
    chosen = choose_question(request, HISTORY, TURN)
    assert isinstance(chosen, Said)
    return chosen.message_id


def test_a_message_replies_to_the_newest_one() -> None:
    asked = asked_anew(asks("three", message_id="q3"))
    assert (asked.message_id, asked.parent_id, asked.earlier) == ("q3", "a2", ())


@pytest.mark.parametrize(
    ("request_", "is_known"),
    [
        (asks("two", message_id="q2"), True),
        (asks("two, in other words", message_id="q2"), False),
        (asks("three", message_id="q3"), False),
        (asks("two"), False),
    ],
)
def test_a_question_that_was_asked_before_is_known(request_: ChatRequest, is_known: bool) -> None:
    assert asked_anew(request_).is_known is is_known


def test_a_text_is_known_by_its_digest_where_it_was_not_read() -> None:
    digest = sha256(b"two").digest()
    unread = [replace(each, content=None, digest=digest) if each.message_id == "q2" else each for each in HISTORY]
    assert asked_anew(asks("two", message_id="q2"), unread).is_known
    assert not asked_anew(asks("else", message_id="q2"), unread).is_known
    assert asked_anew(asks("one", "two", "three"), unread).earlier == ()


def test_the_first_message_replies_to_nothing() -> None:
    assert asked_anew(asks("hi"), []).parent_id is None


def test_two_messages_of_one_text_are_two_messages() -> None:
    first, second = (choose_question(asks("ok"), HISTORY, new_id()) for _ in range(2))
    assert first.message_id != second.message_id


def test_a_repeat_of_a_turn_makes_the_same_messages() -> None:
    assert choose_question(asks("x", "y"), HISTORY, TURN) == choose_question(asks("x", "y"), HISTORY, TURN)


def test_an_id_that_an_answer_has_is_not_taken_from_it() -> None:
    question = asked_anew(asks("three", message_id="a2"))
    assert question.message_id != "a2"
    assert (question.client_message_id, question.parent_id) == ("a2", "a2")


def test_a_known_id_with_other_text_is_a_sibling_with_an_id_of_its_own() -> None:
    question = asked_anew(asks("two, but better", message_id="q2"))
    assert question.message_id not in ("", "q2")
    assert (question.client_message_id, question.parent_id) == ("q2", "a1")


def test_an_edit_of_an_edit_has_the_first_one_s_parent() -> None:
    edit = replace(said("other", "user", "two, but better", "a1", 5), client_message_id="q2")
    question = asked_anew(asks("two, best", message_id="q2"), [*HISTORY, edit])
    assert (question.client_message_id, question.parent_id) == ("q2", "a1")


def test_of_many_texts_those_after_the_common_prefix_are_new() -> None:
    asked = asked_anew(asks("one", "two", "three", "four"))
    assert [question.content for question in asked.earlier] == ["three"]
    assert asked.content == "four"
    assert asked.earlier[0].parent_id == "a2"
    assert asked.parent_id == asked.earlier[0].message_id


def test_many_texts_that_are_all_there_ask_the_newest_again() -> None:
    assert asked_again(asks("one", "two")) == "q2"


def test_many_texts_that_differ_early_are_all_new_from_there() -> None:
    asked = asked_anew(asks("one", "else", "three"))
    assert [question.content for question in (*asked.earlier, asked)] == ["else", "three"]


def asks_all(*named: tuple[str, str]) -> ChatRequest:
    return asks(questions=tuple(Question(message_id, text) for message_id, text in named))


def test_what_follows_an_edit_is_said_anew_after_it() -> None:
    question = asked_anew(asks_all(("q1", "one, but better"), ("q2", "two"), ("q3", "three")))
    chain = [*question.earlier, question]
    assert [each.client_message_id for each in chain] == ["q1", "q2", None]
    assert not {"q1", "q2"} & {each.message_id for each in chain}
    assert [each.parent_id for each in chain] == [None, chain[0].message_id, chain[1].message_id]
    assert not any(each.is_known for each in chain)


def test_known_messages_without_those_before_them_keep_their_places() -> None:
    said_more = [*HISTORY, said("q3", "user", "three", "a2", 5), said("a3", "assistant", "third", "q3", 6)]
    question = asked_anew(asks_all(("q2", "two"), ("q3", "three"), ("q4", "four")), said_more)
    chain = [*question.earlier, question]
    assert [(each.message_id, each.parent_id, each.is_known, each.said_at) for each in chain] == [
        ("q2", "a1", True, START + timedelta(seconds=3)),
        ("q3", "a2", True, START + timedelta(seconds=5)),
        ("q4", "q3", False, None),
    ]


@pytest.mark.parametrize(("parent_id", "is_known"), [("a1", True), ("a2", False)])
def test_a_known_message_is_another_one_under_another_parent(parent_id: str, is_known: bool) -> None:
    question = asked_anew(asks("two", message_id="q2", parent_id=parent_id))
    assert (question.parent_id, question.is_known, question.message_id == "q2") == (parent_id, is_known, is_known)
    assert question.client_message_id == (None if is_known else "q2")


@pytest.mark.parametrize("about", [None, "q2", "a2"])
def test_regenerating_asks_the_question_again(about: str | None) -> None:
    assert asked_again(asks(regenerate=True, regenerate_id=about)) == "q2"


def test_regenerating_what_is_not_there_is_refused() -> None:
    with pytest.raises(NotFound):
        choose_question(asks(regenerate=True, regenerate_id="nope"), HISTORY, TURN)
    with pytest.raises(Invalid):
        choose_question(asks(regenerate=True), [], TURN)


EDIT = replace(said("edit", "user", "two, but better", "a1", 5), client_message_id="q2")
EDITED = [*HISTORY, EDIT, said("a3", "assistant", "third", "edit", 6)]


@pytest.mark.parametrize(
    ("words", "message_id", "about", "asked"),
    [
        ("two", "q2", None, "q2"),
        ("two, but better", "q2", None, "edit"),
        ("two, but better", "q2", "q2", "edit"),
        ("two", "q2", "unknown", "q2"),
        ("two, but better", "q2", "a2", "q2"),
        ("one", "q1", None, "q1"),
        ("from a client without ids", "", None, "edit"),
    ],
)
def test_regenerating_asks_what_is_shown(words: str, message_id: str, about: str | None, asked: str) -> None:
    request = asks(words, message_id=message_id, regenerate=True, regenerate_id=about)
    chosen = choose_question(request, EDITED, TURN)
    assert chosen.message_id == asked
    assert not never_arrived(request, EDITED)


@pytest.mark.parametrize("about", [None, "q3"])
@pytest.mark.parametrize(("words", "message_id"), [("three", "q3"), ("two, even better", "q2")])
def test_a_question_that_is_only_shown_never_arrived(words: str, message_id: str, about: str | None) -> None:
    assert never_arrived(asks(words, message_id=message_id, regenerate=True, regenerate_id=about), EDITED)


@pytest.mark.parametrize(
    ("shown", "parent"),
    [
        ("a2", "a2"),
        ("a3", "a3"),
        ("edit", "a3"),
        ("q2", "a3"),
        ("a1", "a3"),
        ("q1", "a3"),
        ("unknown", "a3"),
        (None, "a3"),
    ],
)
def test_a_message_continues_the_branch_that_is_shown_to_its_end(shown: str | None, parent: str) -> None:
    assert asked_anew(asks("more", message_id="q4", shown_before=shown), EDITED).parent_id == parent


def test_an_edit_and_a_named_parent_know_better_than_what_is_shown() -> None:
    assert asked_anew(asks("again", message_id="q2", shown_before="a3"), EDITED).parent_id == "a1"
    assert asked_anew(asks("more", parent_id="a1", shown_before="a3"), EDITED).parent_id == "a1"


def test_an_unknown_parent_is_refused() -> None:
    with pytest.raises(NotFound):
        choose_question(asks("hi", parent_id="nope"), HISTORY, TURN)


def ids(messages: list[Said]) -> list[str]:
    return [message.message_id for message in messages]


def test_the_branch_of_a_message_leaves_its_siblings_out() -> None:
    edit = said("q2b", "user", "two, but better", "a1", 5)
    answer = said("a2b", "assistant", "second, but better", "q2b", 6)
    history = [*HISTORY, edit, answer]
    assert ids(branch(history, "a2b")) == ["q1", "a1", "q2b", "a2b"]
    assert ids(branch(history, "a2")) == ["q1", "a1", "q2", "a2"]
    assert ids(branch(history, None)) == ["q1", "a1", "q2b", "a2b"]


def test_a_system_note_is_on_every_branch_and_replies_to_nothing() -> None:
    note = said("n1", "system", "a quote came", None, 5)
    history = [*HISTORY, note]
    assert newest(history) == "a2"
    assert ids(branch(history, None)) == ["q1", "a1", "q2", "a2", "n1"]


def test_a_circle_of_parents_ends() -> None:
    circle = [said("x", "user", "x", "y", 1), said("y", "assistant", "y", "x", 2)]
    assert set(ids(branch(circle, "x"))) == {"x", "y"}
