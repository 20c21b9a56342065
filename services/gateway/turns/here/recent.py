"""What this gateway knows of sessions in which it has run every turn, so that the next one need not read them.

It is no more than a guess: somebody may have said or deleted something since, here or elsewhere. A claim that goes by
it says so, and the database proves under the claim's lock that there is no more of the session than its newest turn and
those before it (`gateway.take_turns`). What it cannot prove is read as ever.

Known is only a session whose first turn was claimed here, and of which each turn ended here, whole, at its first
attempt and with all its events confirmed: nothing that such a turn has said ever changes.

Of such a session it is also known whether it has its tag, which it keeps for ever unless it is deleted or
its user erased, and then the claim proves nothing: so what is asked in it later is no news to the tagger. And by what
its last answer ends a history that names no session is known to go on in it.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from services.gateway.turns.past.kept import NOTHING, Kept
from services.gateway.turns.past.said import Said
from services.gateway.turns.stored.claims import Claim
from services.gateway.turns.turn import Turn
from services.gateway.turns.weight import bytes_of
from shared.events import Outcome, SessionTagged

LASTS_S = 300.0
MOST_BYTES = 8 * 2**20  # of all sessions together
MOST_BYTES_OF_ONE = 32 * 1024
MESSAGE_BYTES = 1000  # of each message beside its text, about
SESSION_BYTES = 1000  # of each session beside its messages, about
MOST_MESSAGES = 40  # of one session: the proof looks each of them up


@dataclass(frozen=True, slots=True)
class Recent:
    """What is known of a session."""

    history: tuple[Said, ...]  # all that was said
    kept: Kept
    known_until: datetime | None  # the place of its newest turn; none: its first one is running
    running: UUID | None  # the turn that goes by this
    lasts_until: float
    size: int  # bytes
    tag: str | None = None  # as the tagger has said, since the first turn
    ends_with: str | None = None  # hash of all that a client has sent which names no session, and of the last answer


class RecentSessions:
    """The sessions that are known, by owner and id; the one that was spoken in longest ago first."""

    only = SessionTagged  # of all outcomes

    def __init__(self, *, most_bytes: int = MOST_BYTES, now: Callable[[], float] = time.monotonic) -> None:
        self._most_bytes = most_bytes
        self._now = now
        self._known: OrderedDict[tuple[str, str], Recent] = OrderedDict()
        self._size = 0
        self._untagged = 0  # how many of them
        self._taken: set[tuple[str, str]] = set()  # for claims, which go by them; meanwhile a tag may be heard of
        self._ending: dict[tuple[str, str], str] = {}  # the newest session, by owner and what it ends with

    @property
    def are_awaited(self) -> bool:
        """Whether there is a session that is not known to have its tag."""
        return self._untagged > 0

    def hint(self, outcome: Outcome) -> None:
        """Hear that a session has its tag: nothing that is said in it later can change that."""
        if not isinstance(outcome, SessionTagged) or outcome.session_id is None:
            return
        key = outcome.user_id, outcome.session_id
        recent = self._known.get(key)
        if recent is not None and recent.tag is None:
            self._known[key] = replace(recent, tag=outcome.session_tag)
            self._untagged -= 1

    def missed(self) -> None:
        """Forget the sessions that may have been tagged unheard."""
        for key in [key for key, recent in self._known.items() if recent.tag is None]:
            self._forget(key)

    def tag_of(self, user_id: str, session_id: str) -> str | None:
        """Return the session's tag, if it is known to have one."""
        recent = self._known.get((user_id, session_id))
        return recent.tag if recent is not None else None

    def ending_with(self, user_id: str, conversation: str) -> tuple[str, Recent] | None:
        """Return the newest session of this user that ends with this history, which stays known, and what is known."""
        session_id = self._ending.get((user_id, conversation))
        recent = None if session_id is None else self._known.get((user_id, session_id))
        if session_id is None or recent is None or recent.lasts_until <= self._now():
            return None
        return session_id, recent

    def take(self, user_id: str, session_id: str) -> Recent | None:
        """Return what is known of a session, for one claim: it serves no other unless that begins a turn."""
        key = user_id, session_id
        recent = self._known.get(key)
        if recent is None or key in self._taken:
            return None
        if recent.running is not None or recent.lasts_until <= self._now():
            self._forget(key)
            return None
        self._no_longer_ends(key, recent)
        self._taken.add(key)
        return recent

    def began(self, turn: Turn, claim: Claim, history: Sequence[Said]) -> None:
        """Take note of a turn that begins a session, or goes by what was taken; else the session is not known."""
        key = turn.user_id, turn.session_id
        taken = self._forget(key)
        goes_by = taken if claim.is_recalled else None
        is_first = claim.known_until is None and not history
        asked = turn.question
        if (goes_by or is_first) and asked.role == "user" and not asked.is_known and not asked.earlier:
            known, size, tag = (goes_by.history, goes_by.size, goes_by.tag) if goes_by else ((), SESSION_BYTES, None)
            self._keep(key, known, size, NOTHING, claim.known_until, running=turn.turn_id, tag=tag)

    def ended(self, turn: Turn) -> None:
        """Take note of the end of a turn of which all was told."""
        key = turn.user_id, turn.session_id
        recent = self._forget(key)
        if recent is None or recent.running != turn.turn_id or turn.attempt != 1 or turn.state != "complete":
            return
        if turn.answer is not None and turn.answer.waits:  # and may go on elsewhere
            return
        kept = Kept(turn.project_id, turn.helper, turn.model or None)
        said = _said(turn)
        size = recent.size + len(said) * MESSAGE_BYTES + bytes_of(each.content or "" for each in said)
        ends_with = turn.answer.history if turn.answer else None
        self._keep(key, (*recent.history, *said), size, kept, turn.place, tag=recent.tag, ends_with=ends_with)

    def _keep(
        self,
        key: tuple[str, str],
        history: tuple[Said, ...],
        size: int,
        kept: Kept,
        known_until: datetime | None,
        *,
        running: UUID | None = None,
        tag: str | None,
        ends_with: str | None = None,
    ) -> None:
        texts = size - SESSION_BYTES - len(history) * MESSAGE_BYTES
        if texts > MOST_BYTES_OF_ONE or len(history) > MOST_MESSAGES:
            return
        now = self._now()
        self._known[key] = Recent(history, kept, known_until, running, now + LASTS_S, size, tag, ends_with)
        self._size += size
        self._untagged += tag is None
        if ends_with is not None:
            self._ending[key[0], ends_with] = key[1]
        while self._known and (self._size > self._most_bytes or self._oldest().lasts_until <= now):
            self._forget(next(iter(self._known)))

    def _oldest(self) -> Recent:
        return next(iter(self._known.values()))

    def _forget(self, key: tuple[str, str]) -> Recent | None:
        recent = self._known.pop(key, None)
        self._taken.discard(key)
        if recent is not None:
            self._size -= recent.size
            self._untagged -= recent.tag is None
            self._no_longer_ends(key, recent)
        return recent

    def _no_longer_ends(self, key: tuple[str, str], recent: Recent) -> None:
        if recent.ends_with is not None and self._ending.get((key[0], recent.ends_with)) == key[1]:
            del self._ending[key[0], recent.ends_with]


def _said(turn: Turn) -> tuple[Said, Said]:
    """Tell of a turn's question and answer as a reading does."""
    asked = turn.question
    question = Said(
        asked.message_id, "user", asked.parent_id, turn.asked_at, asked.client_message_id, content=asked.content
    )
    answer = turn.answer.content if turn.answer else ""
    return question, Said(turn.answer_id, "assistant", asked.message_id, turn.place, content=answer)
