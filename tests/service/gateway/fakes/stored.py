"""What all fakes know: the world that a test sets up."""

from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson

from services.gateway.account.keys.store import ApiKey
from services.gateway.account.limits.lanes import Lanes
from services.gateway.account.limits.quota import Quota
from services.gateway.account.limits.refusals import Refusals
from services.gateway.account.standing import Standing
from services.gateway.admin.dead_letters.answers import Parked
from services.gateway.admin.deliveries.answers import WholeDelivery
from services.gateway.analytics.traces.known import KnownSession
from services.gateway.analytics.traces.record import WholeTrace
from services.gateway.models.answers import Model, Tag
from services.gateway.privacy.export import ExportPlaces
from services.gateway.privacy.kinds import Kind
from services.gateway.privacy.pages import ExportPage
from services.gateway.sessions.answers import Feedback
from services.gateway.sessions.beginning.templates import TemplateRow
from services.gateway.sessions.openings import Opening
from services.gateway.sessions.view import SessionFacts, StoredSession
from services.gateway.trips.records.expected import expected_trip
from services.gateway.trips.records.placed import PlacedOrder
from services.gateway.trips.records.record import Trip
from services.gateway.turns.here.buffer import TurnBuffer
from services.gateway.turns.past.history import HistoryMessage
from services.gateway.turns.turn import Answer, Turn
from services.gateway.writes.receipts import Receipts
from services.logger.reducing.settling import SessionState, settle
from shared import ids
from shared.events import (
    DeadLetterDropped,
    DeadLetterReplayed,
    DeliveryReprocessed,
    Event,
    FeedbackGiven,
    ModelChanged,
    ModelRegistered,
    Outcome,
    SessionChanged,
    SessionForked,
    SessionOpened,
    TagBatchRequested,
    TemplateDeleted,
    TemplateSaved,
    TracesReported,
    TripAttached,
    TripRequested,
)
from shared.settings import Settings
from tests.pure.gateway.samples import NOON
from tests.service.gateway.fakes.orders import order_of

KEPT_AT_ONCE = 100  # rows of a page of an export


@dataclass
class Stored:
    """What the services have stored; each event that is published is stored at once, unless its service is away."""

    settings: Settings = field(
        default_factory=lambda: Settings(
            _env_file=None,
            environment="test",
            stored_wait_s=0.2,
            allowed_hosts="gateway.test",
            calls_per_minute=1_000_000,
        )
    )
    lanes: Lanes = field(default_factory=Lanes)
    export_places: ExportPlaces = field(default_factory=lambda: ExportPlaces(2))
    published: list[Event] = field(default_factory=list)
    announced: list[Outcome] = field(default_factory=list)
    sent_to: list[tuple[str, bytes, str | None]] = field(default_factory=list)  # queue, body, message id
    broker_away: bool = False
    broker_loses_all: bool = False  # what is sent to it, without being known to be away
    consumers_away: bool = False
    database_leaves: bool = False  # before an answer is kept
    turns_break: bool = False
    reads_fail: bool = False  # of tags, and of which models are known
    model_fails: bool = False
    model_ends: str = "stop"  # how a model that fails says that it has ended
    turns: list[Turn] = field(default_factory=list)
    withheld: set[UUID] = field(default_factory=set)  # turns that are no responses any more
    sessions: list[SessionFacts] = field(default_factory=list)
    messages: list[HistoryMessage] = field(default_factory=list)
    feedback: dict[tuple[str, str, str], Feedback] = field(default_factory=dict)  # by owner, session and message
    kept: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)  # for exports; by owner and table
    models: dict[UUID, Model] = field(default_factory=dict)
    trips: list[Trip] = field(default_factory=list)
    orders: list[PlacedOrder] = field(default_factory=list)
    held_by_others: set[str] = field(default_factory=set)  # references of strangers' trips
    parked: dict[UUID, Parked] = field(default_factory=dict)
    deliveries: dict[UUID, WholeDelivery] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)
    erased_by: str | None = None  # the administrator who asked for the last erasure
    keys: dict[bytes, tuple[str, ApiKey]] = field(default_factory=dict)  # by hash, each with its owner
    links_away: bool = False
    most_looked_up: int = 0  # sessions, at once
    ends_read: int = 0  # of sessions, for messages that follow
    linked: dict[str, str] = field(default_factory=dict)  # visitors who have signed in, with the user
    used_links: set[bytes] = field(default_factory=set)
    browsers: dict[bytes, Standing] = field(default_factory=dict)  # that are signed in
    keys_asked: list[str] = field(default_factory=list)  # what was asked of them
    faults: dict[str, str] = field(default_factory=dict)
    degraded: dict[str, str] = field(default_factory=dict)
    openings: dict[tuple[str, bytes], Opening] = field(default_factory=dict)  # by owner and hash
    templates: dict[UUID, TemplateRow] = field(default_factory=dict)
    tag_of_new: Tag | None = None  # of a session that is begun
    first_words: dict[str, str] = field(default_factory=dict)  # by helper
    traces: list[WholeTrace] = field(default_factory=list)
    reported: set[tuple[str, str]] = field(default_factory=set)  # traces from outside, by owner and id
    known_sessions: dict[str, KnownSession] = field(default_factory=dict)  # as those who tell of traces find them
    receipts: Receipts = field(default_factory=Receipts)
    quotas: dict[str, Quota] = field(default_factory=dict)
    refusals: Refusals = field(default_factory=Refusals)

    async def read_kept(self, owner: str, kind: Kind, after: tuple[Any, ...] | None) -> ExportPage:
        """Do as `read_page` of an export does, a page of `KEPT_AT_ONCE` rows; the key is a row's place."""
        begin = 0 if after is None else int(after[0]) + 1
        kept = self.kept.get((owner, kind.table), [])[begin : begin + KEPT_AT_ONCE]
        lines = [orjson.dumps({"table": kind.table, "row": row}).decode() for row in kept]
        return ExportPage(lines, (begin + len(kept) - 1,) if kept else None)

    def answer(self, running: TurnBuffer) -> None:
        """Do what the model does, and keep what it said."""
        text = running.turn.question.content
        answer = Answer(text, [{"type": "text", "text": text}], "complete", trace={"finish_reason": "stop"})
        if self.model_fails:
            answer = Answer("", [], "failed", "it said nothing", trace={"finish_reason": self.model_ends})
        running.add(answer.content)
        ended = replace(running.turn, state=answer.status, answer=answer, answered_at=NOON + timedelta(seconds=1))
        self.turns = [ended if turn is running.turn else turn for turn in self.turns]
        running.end(ended)

    def store(self, event: Event) -> None:
        """Do what the event's consumer does."""
        if isinstance(event, ModelRegistered | ModelChanged):
            self._hear_of_model(event)
        elif isinstance(event, TagBatchRequested):
            self._reserve(event)
        elif isinstance(event, SessionOpened | SessionChanged):
            self._settle(event)
        elif isinstance(event, TemplateSaved):
            self.templates[event.template_id] = TemplateRow(
                event.user_id, event.template_id, event.name, event.template, event.accepted_at, event.event_id
            )
        elif isinstance(event, TracesReported):
            self.reported |= {(event.user_id, trace.trace_id) for trace in event.traces}
        elif isinstance(event, TemplateDeleted):
            self.templates.pop(event.template_id, None)
        elif isinstance(event, SessionForked):
            self._fork(event)
        elif isinstance(event, FeedbackGiven):
            given = Feedback(value=event.value, comment=event.comment, created_at=event.accepted_at)
            self.feedback[event.user_id, event.session_id, event.message_id] = given
        elif isinstance(event, TripRequested | TripAttached):
            self.trips.append(expected_trip(event, 0))
            self.orders.append(order_of(event))
        elif isinstance(event, DeliveryReprocessed):
            again = {"state": "due", "reprocessed_by": event.operator, "reprocessed_at": event.occurred_at}
            self.deliveries[event.delivery_id] = self.deliveries[event.delivery_id].model_copy(update=again)
        elif isinstance(event, DeadLetterReplayed | DeadLetterDropped):
            parked = self.parked[event.dead_letter_id]
            state = "replayed" if isinstance(event, DeadLetterReplayed) else "dropped"
            decided = {"state": state, "decided_by": event.operator, "decided_at": event.occurred_at}
            letter = parked.letter.model_copy(update=decided)
            self.parked[letter.id] = Parked(letter, parked.body, parked.headers)

    def _hear_of_model(self, event: ModelRegistered | ModelChanged) -> None:
        if isinstance(event, ModelRegistered):
            model_id = ids.model_id(event.provider, event.name)
            if event.only_if_new and model_id in self.models:
                return
            known = {"id": model_id, "short_id": "a1b2c3", "display_name": event.name}
            self.models[model_id] = Model.model_validate({**event.model_dump(), **known})
            return
        model = self.models[ids.model_id(event.provider, event.name)]
        said = {"display_name": event.display_name or event.name, "tracked": event.tracked}
        self.models[model.id] = model.model_copy(update={name: said[name] for name in event.changed})

    def _reserve(self, event: TagBatchRequested) -> None:
        model = ids.model_id(event.provider, event.name)
        known = {facts.key for facts in self.sessions}
        for place, session_id in enumerate(event.session_ids(), 1):
            text = f"chat_model_a1b2c3_{ids.spell_number(place)}"
            tag = Tag(text, place, event.experiment_name, model, event.name, event.accepted_at)
            if (event.user_id, session_id) not in known:
                self.sessions.append(SessionFacts(event.user_id, session_id, tag=tag))

    def _fork(self, event: SessionForked) -> None:
        source = next(facts for facts in self.sessions if facts.key == (event.user_id, event.source_id))
        if source.stored is not None and (event.user_id, event.session_id) not in {each.key for each in self.sessions}:
            row = replace(source.stored, forked_from=event.source_id, title=event.title or source.stored.title)
            self.sessions.append(SessionFacts(event.user_id, event.session_id, stored=row))

    def _settle(self, event: SessionOpened | SessionChanged) -> None:
        began_at = event.accepted_at if isinstance(event, SessionOpened) else event.began_at
        key = (event.user_id, event.session_id)
        known = next((facts for facts in self.sessions if facts.key == key), SessionFacts(*key, tag=self.tag_of_new))
        row = known.stored or StoredSession(last_activity_at=began_at, created_at=began_at, updated_at=began_at)
        shared = {each.name for each in fields(SessionState)} & {each.name for each in fields(StoredSession)}
        state = settle(SessionState(*key, **{name: getattr(row, name) for name in shared}), event)
        stored = replace(row, **{name: getattr(state, name) for name in shared})
        self.sessions = [*(facts for facts in self.sessions if facts.key != key), replace(known, stored=stored)]
