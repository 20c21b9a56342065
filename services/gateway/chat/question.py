"""Choose what a chat request asks: which message is the question, what it replies to, and what came before it unsaid.

Pure; the rules are those of docs/http.md, "Chat".
"""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from services.gateway.chat.request import ChatRequest
from services.gateway.http.refused_field import refused_field
from services.gateway.turns.said import Said, newest
from services.gateway.turns.turn import Question
from shared.errors import Invalid, NotFound
from shared.ids import derived_id

MOST_UNSAID = 100  # each of them is an event of its own, confirmed before the next


def choose_question(request: ChatRequest, history: Sequence[Said], turn_id: UUID) -> Question | Said:
    """Find the question in `request`, given what was said in its session: a new one, or one that is there already.

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
        return _asked_again(request.regenerate_id, history)
    unsaid = _unsaid(request.questions, history)
    if len(unsaid) > MOST_UNSAID:
        raise refused_field("userMessages", f"may have at most {MOST_UNSAID} new messages at once")
    if not unsaid:
        return _asked_again(None, history)
    return _chained(unsaid, request.parent_id, history, turn_id)


def _unsaid(questions: Sequence[Question], history: Sequence[Said]) -> Sequence[Question]:
    """Return what follows the longest prefix equal to the session's user texts; a lone message is always new."""
    if len(questions) < 2:
        return questions
    said = [shown for shown in history if shown.role == "user"]
    same = 0
    while same < min(len(said), len(questions)) and said[same].says(questions[same].content):
        same += 1
    return questions[same:]


def _chained(unsaid: Sequence[Question], parent_id: str | None, history: Sequence[Said], turn_id: UUID) -> Question:
    """Give each message its id and its parent, the one before it; return the last, which brings the others."""
    names = _Names(history)
    chain: list[Question] = []
    for index, question in enumerate(unsaid):
        before = chain[-1].message_id if chain else None
        known = names.asked.get(question.message_id)
        if known is not None and _is_same(question, known, before, parent_id, names):
            chain.append(replace(question, parent_id=known.parent_id, is_known=True, said_at=known.created_at))
            continue
        own_id = str(derived_id(turn_id, f"question/{index}"))
        parent = before or _parent(known, parent_id, history, names)
        chain.append(replace(_new(question, own_id, names), parent_id=parent))
    return replace(chain[-1], earlier=tuple(chain[:-1]))


class _Names:
    """What messages are called, by us and by their clients; built once, since there may be thousands."""

    def __init__(self, history: Sequence[Said]) -> None:
        self.by_id = {said.message_id: said for said in history}
        self.taken = {*self.by_id, *(said.client_message_id for said in history)}
        self.asked: dict[str, Said] = {}  # the user message that one of this name repeats or edits: the first
        for said in history:
            if said.role == "user":
                self.asked.setdefault(said.message_id, said)
                self.asked.setdefault(said.client_message_id or said.message_id, said)

    def leads(self, before: str, message_id: str) -> bool:
        """Tell whether one message is on the way to another, or is it."""
        seen: set[str] = set()
        at: str | None = message_id
        while at is not None and at not in seen and (said := self.by_id.get(at)) is not None:
            if at == before:
                return True
            seen.add(at)
            at = said.parent_id
        return False


def _is_same(question: Question, known: Said, before: str | None, parent_id: str | None, names: _Names) -> bool:
    """Tell whether the known message is meant, in its words and at its place; after an edit it would be at another."""
    if question.message_id != known.message_id or not known.says(question.content):
        return False
    return parent_id in (None, known.parent_id) if before is None else names.leads(before, known.message_id)


def _new(question: Question, own_id: str, names: _Names) -> Question:
    """Keep the client's id for a new message; an id that is taken, as by an edit, gives way to an id of ours."""
    named = question.message_id
    if named and named in names.taken:
        return replace(question, message_id=own_id, client_message_id=named)
    return replace(question, message_id=named or own_id)


def _parent(known: Said | None, parent_id: str | None, history: Sequence[Said], names: _Names) -> str | None:
    if parent_id is not None:
        if parent_id not in names.by_id:
            raise NotFound("parent_id names no message of this session.")
        return parent_id
    return known.parent_id if known is not None else newest(history)


def _asked_again(message_id: str | None, history: Sequence[Said]) -> Said:
    """Return the question that `message_id`, it or its answer, is about; without one, the newest."""
    by_id = {shown.message_id: shown for shown in history}
    at = by_id.get(message_id) if message_id else next((m for m in reversed(history) if m.role == "user"), None)
    if at is not None and at.role == "assistant":
        at = by_id.get(at.parent_id or "")
    if at is None or at.role != "user":
        if message_id:
            raise NotFound("message_id names no question of this session, and no answer to one.")
        raise Invalid("There is nothing to answer: this session has no question yet.")
    return at
