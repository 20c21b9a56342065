"""Choose what a chat request asks: which message is the question, what it replies to, and what came before it unsaid.

Pure; the rules are those of docs/http.md, "Chat".
"""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from services.gateway.chat.request import ChatRequest
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.turns.past.said import Said, newest
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
        return _asked_again(request, history)
    unsaid = _unsaid(request.questions, history)
    if len(unsaid) > MOST_UNSAID:
        raise refused_field("userMessages", f"may have at most {MOST_UNSAID} new messages at once")
    if not unsaid:
        return _newest_question(history)
    return _chained(unsaid, request, history, turn_id)


def never_arrived(request: ChatRequest, history: Sequence[Said]) -> bool:
    """Tell whether a question that is to be answered again was never asked here, as where the sending of it failed.

    A client shows it all the same, and its user's retry is a regeneration.
    """
    if not request.questions or not request.questions[-1].message_id:
        return False
    return _asked_about(request, history) is None


def _unsaid(questions: Sequence[Question], history: Sequence[Said]) -> Sequence[Question]:
    """Return what follows the longest prefix equal to the session's user texts; a lone message is always new."""
    if len(questions) < 2:
        return questions
    said = [shown for shown in history if shown.role == "user"]
    same = 0
    while same < min(len(said), len(questions)) and said[same].says(questions[same].content):
        same += 1
    return questions[same:]


def _chained(unsaid: Sequence[Question], request: ChatRequest, history: Sequence[Said], turn_id: UUID) -> Question:
    """Give each message its id and its parent, the one before it; return the last, which brings the others."""
    names = _Names(history)
    chain: list[Question] = []
    for index, question in enumerate(unsaid):
        before = chain[-1].message_id if chain else None
        known = names.asked.get(question.message_id)
        if known is not None and _is_same(question, known, before, request.parent_id, names):
            chain.append(_as_said(question, known))
            continue
        left = _left_by_client(question, request, history, names) if len(unsaid) == 1 else None
        if left is not None:
            chain.append(_as_said(question, left))
            continue
        own_id = str(derived_id(turn_id, f"question/{index}"))
        parent = before or _parent(known, request, history, names)
        chain.append(_new(question, own_id, parent, names))
    return replace(chain[-1], earlier=tuple(chain[:-1])) if len(chain) > 1 else chain[0]


def _as_said(question: Question, known: Said) -> Question:
    return replace(
        question,
        message_id=known.message_id,
        parent_id=known.parent_id,
        is_known=True,
        said_at=known.created_at,
    )


def _left_by_client(question: Question, request: ChatRequest, history: Sequence[Said], names: "_Names") -> Said | None:
    """Return the message that the client has just stored itself and now asks, without saying which one it is."""
    last = None if question.message_id else names.by_id.get(newest(history) or "")
    if last is None or not last.is_clients or last.role != "user":
        return None
    return last if last.says(question.content) and request.parent_id in (None, last.parent_id) else None


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


def _new(question: Question, own_id: str, parent: str | None, names: _Names) -> Question:
    """Keep the client's id for a new message; an id that is taken, as by an edit, gives way to an id of ours."""
    named = question.message_id
    if named and named in names.taken:
        return replace(question, message_id=own_id, client_message_id=named, parent_id=parent)
    return replace(question, message_id=named or own_id, parent_id=parent)


def _parent(known: Said | None, request: ChatRequest, history: Sequence[Said], names: _Names) -> str | None:
    if request.parent_id is not None:
        if request.parent_id not in names.by_id:
            raise NotFound("parent_id names no message of this session.")
        return request.parent_id
    return known.parent_id if known is not None else _end_of_shown(request.shown_before, history)


def _end_of_shown(shown: str | None, history: Sequence[Said]) -> str | None:
    """Return the newest message on the branch that a client shows, by the last message that it shows of it.

    So a tab on another answer than the newest goes on from its own, and one that was left open, or was cut off from an
    answer, from what it has missed. A branch that nobody knows is the newest.
    """
    last = newest(history)
    if shown is None or shown == last:
        return last
    end: str | None = None
    reached: set[str | None] = set()
    for said in history:
        if shown in (said.message_id, said.client_message_id):
            reached = set()  # a wording of it that came later
        elif said.parent_id not in reached:
            continue
        reached.add(said.message_id)
        end = said.message_id
    return end or last


def _asked_again(request: ChatRequest, history: Sequence[Said]) -> Said:
    """Return the question that a regeneration is about; of one that names none, the newest."""
    asked = _asked_about(request, history)
    if asked is not None:
        return asked
    if request.regenerate_id:
        raise NotFound("message_id names no question of this session, and no answer to one.")
    return _newest_question(history)


def _asked_about(request: ChatRequest, history: Sequence[Said]) -> Said | None:
    """Return the question whose answer is named, or that is shown last, in the words that are shown, or is named."""
    by_id = {said.message_id: said for said in history}
    named = by_id.get(request.regenerate_id or "")
    if named is not None and named.role == "assistant":
        named = by_id.get(named.parent_id or "")
    elif request.questions and request.questions[-1].message_id:
        return _wording(request.questions[-1], history)
    return named if named is not None and named.role == "user" else None


def _wording(question: Question, history: Sequence[Said]) -> Said | None:
    """Return the newest message of this name and text: edits bear the name of what they replace."""
    asked = (said for said in reversed(history) if said.role == "user" and said.says(question.content))
    return next((said for said in asked if question.message_id in (said.message_id, said.client_message_id)), None)


def _newest_question(history: Sequence[Said]) -> Said:
    asked = next((said for said in reversed(history) if said.role == "user"), None)
    if asked is None:
        raise Invalid("There is nothing to answer: this session has no question yet.")
    return asked
