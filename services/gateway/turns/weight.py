"""How many bytes of memory the texts of a turn take, about."""

from collections.abc import Iterable

from services.gateway.http.held.shares import Shares
from services.gateway.turns.turn import Question
from shared.settings import Settings

FREE = 64 * 1024  # bytes of each turn: as many as may run take no more of memory than the room does
WIDEST = 4  # bytes of one character, where a text has a single one beyond the basic plane
SAID = 3  # times that the text of an answer is kept: as it came, as a whole, and in its parts


def turn_room(settings: Settings) -> Shares:
    """Make the room for the turns that run here, and for those that have ended and are still being read."""
    largest = 2 * WIDEST * (settings.max_body_bytes + settings.context_bytes)
    return Shares(settings.turn_bytes_at_once, one_bytes=largest, free_bytes=FREE)


def bytes_of(texts: Iterable[str]) -> int:
    return sum([len(text) if text.isascii() else WIDEST * len(text) for text in texts])


def question_bytes(question: Question) -> int:
    """Weigh a question, with the messages that came with it."""
    return bytes_of([question.content, *[earlier.content for earlier in question.earlier]])
