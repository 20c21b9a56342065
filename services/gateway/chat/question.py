"""Choose what a chat request asks: which message is the question, what it replies to, and what came before it unsaid.

Pure; the rules are those of docs/http.md, "Chat".
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from services.gateway.chat.request import ChatRequest
from services.gateway.http.refused_field import refused_field
from services.gateway.turns.history import HistoryMessage, branch, newest
from services.gateway.turns.turn import Question
from shared.errors import Invalid, NotFound
from shared.ids import derived_id

MOST_UNSAID = 100  # each of them is an event of its own, confirmed before the next


@dataclass(frozen=True)
class ChosenQuestion:
    """What a turn is to answer."""

    question: Question
    again: bool = False  # the question is there already, and wants another answer


def choose_question(request: ChatRequest, history: Sequence[HistoryMessage], turn_id: UUID) -> ChosenQuestion:
    """Find the question in `request`, given what was said in its session.

    Args:
        request: What the caller sent.
        history: What the session's next turn knows of it.
        turn_id: Messages without an id of their own get one that follows from it, so that a repeat of the turn makes
            the same messages.

    Raises:
        NotFound: It is about a message that is not there.
        Invalid: There is nothing to ask.
    """
    if request.regenerate:
        return ChosenQuestion(_asked_again(request.regenerate_id, history), again=True)
    unsaid = _unsaid(request.questions, history)
    if len(unsaid) > MOST_UNSAID:
        raise refused_field("userMessages", f"may have at most {MOST_UNSAID} new messages at once")
    if not unsaid:
        return ChosenQuestion(_asked_again(None, history), again=True)
    return ChosenQuestion(_chained(unsaid, request.parent_id, history, turn_id))


def _unsaid(questions: Sequence[Question], history: Sequence[HistoryMessage]) -> Sequence[Question]:
    """Return what follows the longest prefix equal to the session's user texts; a lone message is always new."""
    if len(questions) < 2:
        return questions
    said = [shown.content for shown in history if shown.role == "user"]
    same = 0
    while same < min(len(said), len(questions)) and said[same] == questions[same].content:
        same += 1
    return questions[same:]


def _chained(
    unsaid: Sequence[Question], parent_id: str | None, history: Sequence[HistoryMessage], turn_id: UUID
) -> Question:
    """Give each message its id and its parent, the one before it; return the last, which brings the others."""
    chain: list[Question] = []
    for index, question in enumerate(unsaid):
        before = chain[-1].message_id if chain else None
        known = _known(question, history)
        if known is not None and _is_same(question, known, before, parent_id, history):
            chain.append(replace(question, parent_id=known.parent_id, is_known=True, said_at=known.created_at))
            continue
        own_id = str(derived_id(turn_id, f"question/{index}"))
        parent = before or _parent(question, parent_id, history)
        chain.append(replace(_new(question, history, own_id), parent_id=parent))
    return replace(chain[-1], earlier=tuple(chain[:-1]))


def _is_same(
    question: Question,
    known: HistoryMessage,
    before: str | None,
    parent_id: str | None,
    history: Sequence[HistoryMessage],
) -> bool:
    """Tell whether the known message is meant, in its words and at its place; after an edit it would be at another."""
    if (question.message_id, question.content) != (known.message_id, known.content):
        return False
    if before is None:
        return parent_id in (None, known.parent_id)
    return any(shown.message_id == before for shown in branch(history, known.message_id))


def _new(question: Question, history: Sequence[HistoryMessage], own_id: str) -> Question:
    """Keep the client's id for a new message; an id that is taken, as by an edit, gives way to an id of ours."""
    named = question.message_id
    if named and any(named in (shown.message_id, shown.client_message_id) for shown in history):
        return replace(question, message_id=own_id, client_message_id=named)
    return replace(question, message_id=named or own_id)


def _parent(question: Question, parent_id: str | None, history: Sequence[HistoryMessage]) -> str | None:
    if parent_id is not None:
        if all(shown.message_id != parent_id for shown in history):
            raise NotFound("parent_id names no message of this session.")
        return parent_id
    known = _known(question, history)
    return known.parent_id if known is not None else newest(history)


def _known(question: Question, history: Sequence[HistoryMessage]) -> HistoryMessage | None:
    """Find the user message that this one repeats or edits, by the client's id for it."""
    if not question.message_id:
        return None
    return next(
        (
            shown
            for shown in history
            if shown.role == "user" and question.message_id in (shown.message_id, shown.client_message_id)
        ),
        None,
    )


def _asked_again(message_id: str | None, history: Sequence[HistoryMessage]) -> Question:
    """Return the question that `message_id`, it or its answer, is about; without one, the newest."""
    by_id = {shown.message_id: shown for shown in history}
    at = by_id.get(message_id) if message_id else next((m for m in reversed(history) if m.role == "user"), None)
    if at is not None and at.role == "assistant":
        at = by_id.get(at.parent_id or "")
    if at is None or at.role != "user":
        if message_id:
            raise NotFound("message_id names no question of this session, and no answer to one.")
        raise Invalid("There is nothing to answer: this session has no question yet.")
    return Question(
        message_id=at.message_id,
        content=at.content,
        parts=at.parts,
        parent_id=at.parent_id,
        client_message_id=at.client_message_id,
        metadata=at.metadata,
        is_known=True,
        said_at=at.created_at,
    )
