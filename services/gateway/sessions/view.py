"""A session as its owner sees it: what is stored of it, united with its turns that are not stored yet. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from uuid import UUID

import orjson

from services.gateway.http.requests.cursors import Place
from services.gateway.http.requests.fields import Json
from services.gateway.models.answers import Tag
from services.gateway.sessions.answers import RunningTurn, Session, TripSummary
from services.gateway.sessions.finding.filters import SessionFilter
from services.gateway.sessions.status import FIRST_STEP, PAUSED_AFTER, TripStatus, status_of
from services.gateway.turns.past.kept import kept_by
from services.gateway.turns.past.said import Glimpse, Said


@dataclass(frozen=True)
class StoredSession:
    """A row of `chat.sessions`; by default of a session that nobody has done anything with yet."""

    last_activity_at: datetime
    created_at: datetime
    updated_at: datetime
    project_id: str | None = None
    helper: str | None = None
    model: str | None = None
    title: str | None = None
    title_source: str = "none"  # `user` where somebody gave it, `model`, or `message`: of the first one
    message_count: int = 0
    last_message: str | None = None
    last_message_at: datetime | None = None
    ended_at: datetime | None = None
    pinned: bool = False
    archived: bool = False
    folder: str | None = None
    labels: list[str] = field(default_factory=list)
    analytics: bool = True
    experiment_name: str | None = None
    mixed: bool = False  # more than one model was spoken to, or another than it was reserved for
    forked_from: str | None = None  # the session that it began as a copy of
    metadata: Json = field(default_factory=dict)
    field_stamps: dict[str, list[str]] = field(default_factory=dict)  # who set each field last: see services/logger


@dataclass(frozen=True)
class SessionFacts:
    """What the other services' tables say of a session, which any of them may not have heard of yet."""

    user_id: str
    session_id: str
    stored: StoredSession | None = None
    deleted: bool = False
    erased_at: datetime | None = None  # what its user said before is being erased; none: nothing is
    tag: Tag | None = None
    opened: StoredSession | None = None  # what its opening makes of it, where that is not stored yet
    trip: TripSummary | None = None  # its status by what is stored
    paused_at: datetime | None = None  # when the trip was set aside, if it was
    workflow_state: Json = field(default_factory=dict)  # of the trip
    read_at: datetime | None = None

    @property
    def reserved(self) -> StoredSession | None:
        """What is shown of a session that was reserved with its tag, while nothing else is known of it."""
        at = self.tag.reserved_at if self.tag else None
        return StoredSession(last_activity_at=at, created_at=at, updated_at=at) if at else None

    @property
    def key(self) -> tuple[str, str]:
        return self.user_id, self.session_id

    def kept(self, turns: Iterable[Glimpse]) -> list[Glimpse]:
        """Return the turns of this session that are not being erased."""
        own = [turn for turn in turns if turn.user_id == self.user_id]
        return own if self.erased_at is None else [turn for turn in own if turn.asked_at > self.erased_at]


@dataclass(frozen=True)
class SessionView:
    """A session; of what was said last only its beginning is still to be read where that is not stored."""

    session: Session
    speaking: UUID | None  # the turn that said it
    user_id: str  # whose the session is

    def quoting(self, previews: Mapping[UUID, str]) -> Session:
        """Return the session with the beginning of its newest message, by the turn that said it."""
        if self.speaking is None:
            return self.session
        return self.session.model_copy(update={"last_message": previews.get(self.speaking)})


def show_session(facts: SessionFacts, turns: Sequence[Glimpse]) -> SessionView | None:
    """Show a session; None where it was deleted, or there is nothing of it.

    Args:
        facts: What is stored.
        turns: Turns of this session, in any order; stored ones among them add nothing.
    """
    turns = facts.kept(turns)
    fresh = _fresh(facts.stored, turns)
    stored = facts.stored or facts.opened or (_begun(turns, fresh) if turns else facts.reserved)
    if facts.deleted or stored is None:
        return None
    newest, speaking = fresh[-1] if fresh else (None, None)
    tag, trip, kept = facts.tag, _trip_of(facts, newest), kept_by(turns, stored)
    last_activity_at = max(stored.last_activity_at, newest.created_at) if newest else stored.last_activity_at
    session = Session(
        id=facts.session_id,
        thread_id=facts.session_id,
        status=_status_of(facts, trip, last_activity_at),
        workflow_state=facts.workflow_state,
        title=stored.title,
        helper=kept.helper,
        project_id=kept.project_id,
        model=speaking.model if speaking else stored.model,
        session_tag=tag.session_tag if tag else None,
        tag_label=tag.label if tag else None,
        message_count=stored.message_count + len(fresh),
        last_message=None if newest else stored.last_message,
        last_activity_at=last_activity_at,
        created_at=stored.created_at,
        updated_at=max(stored.updated_at, newest.created_at) if newest else stored.updated_at,
        ended_at=None if newest else stored.ended_at,
        pinned=stored.pinned,
        archived=stored.archived,
        folder=stored.folder,
        labels=stored.labels,
        analytics=stored.analytics,
        experiment_name=stored.experiment_name or (tag.experiment_name if tag else None),
        mixed=stored.mixed,
        forked_from=stored.forked_from,
        current_step=trip.current_step if trip else FIRST_STEP,
        trip=trip,
        running_turn=_running(turns),
        metadata=stored.metadata,
        stored=facts.stored is not None and not fresh,
    )
    return SessionView(session, speaking.turn_id if speaking else None, facts.user_id)


def etag_of(facts: SessionFacts, shown: Session) -> str | None:
    """Name what people have edited of a session, a point, and a version of all that is shown; an unstored one has none.

    A write is refused for an edit alone, so whoever reads `If-Match` compares what is before the point. What a message
    may set by itself is no edit: the model, a first helper or project, and a title that nobody has given.
    """
    stored = facts.stored
    if stored is None:
        return None
    edited = (
        facts.user_id,
        facts.session_id,
        stored.title if stored.title_source == "user" else None,
        stored.pinned,
        stored.archived,
        stored.folder,
        stored.labels,
        stored.analytics,
        stored.experiment_name,
        stored.metadata,
    )
    return f'"{_digest(orjson.dumps(edited, option=orjson.OPT_SORT_KEYS))}.{_digest(shown.model_dump_json().encode())}"'


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:16]


def show_in_order(
    facts: Iterable[SessionFacts],
    turns: Mapping[tuple[str, str], Glimpse],
    *,
    wanted: SessionFilter,
    before: Place | None,
) -> list[SessionView]:
    """Choose the sessions that a page may be cut from, the newest activity first.

    Args:
        facts: The stored sessions that may be on the page and at least one beyond it, and every session whose newest
            turn is not stored; in any order.
        turns: The newest turns, by owner and session.
        wanted: Which sessions.
        before: Where the page before this one ended.
    """
    distinct = {fact.key: fact for fact in facts}.values()
    shown = (show_session(fact, [turns[fact.key]] if fact.key in turns else []) for fact in distinct)
    return sorted(
        (view for view in shown if view and wanted.fits(view.session) and (before is None or place_of(view) < before)),
        key=place_of,
        reverse=True,
    )


def place_of(view: SessionView) -> Place:
    return view.session.last_activity_at, view.session.id


def _fresh(stored: StoredSession | None, turns: Iterable[Glimpse]) -> list[tuple[Said, Glimpse]]:
    """Return the messages that are newer than every stored one, in order, each with its turn."""
    messages = sorted(((said, turn) for turn in turns for said in turn.said()), key=lambda pair: pair[0].place)
    if stored is None or stored.last_message_at is None:
        return messages
    return [(said, turn) for said, turn in messages if said.created_at > stored.last_message_at]


def _trip_of(facts: SessionFacts, newest: Said | None) -> TripSummary | None:
    """Show the trip: what was said and is not stored yet wakes one that has paused."""
    trip = facts.trip
    if trip is None or newest is None or facts.read_at is None or trip.status != "paused":
        return trip
    is_set_aside = facts.paused_at is not None and newest.created_at <= facts.paused_at
    is_quiet = facts.read_at - newest.created_at >= PAUSED_AFTER
    return trip if is_set_aside or is_quiet else trip.model_copy(update={"status": "active"})


def _status_of(facts: SessionFacts, trip: TripSummary | None, last_activity_at: datetime) -> TripStatus:
    """Tell the trip's status; without one, that of a session in which nothing is under way but talk."""
    if trip is not None:
        return trip.status
    now = facts.read_at or last_activity_at
    return status_of(outcome=None, completed_at=None, last_activity_at=last_activity_at, now=now)


def _begun(turns: Sequence[Glimpse], fresh: Sequence[tuple[Said, Glimpse]]) -> StoredSession:
    """Make up the row that the logger will make of these turns.

    They show nothing where the newest turn is all that was read, and asks again what was asked before.
    """
    newest = max(turns, key=lambda turn: turn.asked_at)
    began = fresh[0][0].created_at if fresh else newest.asked_at
    return StoredSession(
        last_activity_at=began,
        created_at=began,
        updated_at=began,
        model=newest.model,
    )


def _running(turns: Iterable[Glimpse]) -> RunningTurn | None:
    for turn in turns:
        if turn.state == "running" and not turn.expired:
            return RunningTurn(turn_id=turn.turn_id, started_at=turn.asked_at)
    return None
