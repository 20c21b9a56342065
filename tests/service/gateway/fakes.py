"""The gateway's parts kept in dictionaries, and an HTTP client for the API on them."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast
from uuid import UUID

import httpx2
import orjson
from fastapi import FastAPI

from services.gateway.account.authenticator import Authenticator
from services.gateway.account.identity import Caller
from services.gateway.account.keys.api_keys import ApiKeys
from services.gateway.account.keys.routes import Keys
from services.gateway.account.keys.store import ApiKey, KeyStore
from services.gateway.account.limits.buckets import Buckets
from services.gateway.account.limits.counting import Counting
from services.gateway.account.limits.lanes import Lanes
from services.gateway.account.limits.quota import Quota, QuotaOf, Usage
from services.gateway.account.limits.quota_store import QuotaStore
from services.gateway.account.limits.refusals import Refusals
from services.gateway.account.limits.throttle import Throttle
from services.gateway.account.logins.links import LoginLink
from services.gateway.account.logins.logins import Logins
from services.gateway.account.logins.store import LASTS_S, LoginStore
from services.gateway.account.projects import Projects, sees
from services.gateway.account.recording import Recording
from services.gateway.account.rights import Role
from services.gateway.account.standing import Standing, StandingCredentials
from services.gateway.account.tokens.claims import Identity
from services.gateway.account.tokens.verifier import TokenVerifier
from services.gateway.account.visitors.links import VisitorLinks
from services.gateway.account.visitors.store import LinkStore
from services.gateway.admin.dead_letter import DeadLetter, Parked
from services.gateway.admin.delivery import Delivery, WholeDelivery
from services.gateway.admin.delivery_queries import DeliveryFilter, DeliveryQueries
from services.gateway.admin.delivery_routes import Deliveries
from services.gateway.admin.looking import Looked
from services.gateway.admin.message_queries import EverybodysMessageQueries, MessageFilter, Weighed
from services.gateway.admin.message_routes import EverybodysMessages
from services.gateway.admin.queries import DeadLetterQueries
from services.gateway.admin.queue_history import Minute, QueueHistory
from services.gateway.admin.queue_routes import QueueViews
from services.gateway.admin.quota_routes import UserQuotas
from services.gateway.admin.read_queries import Read, ReadFilter, ReadQueries
from services.gateway.admin.read_routes import Reads
from services.gateway.admin.refused_users import RefusedUserQueries
from services.gateway.admin.routes import DeadLetters
from services.gateway.admin.session_queries import EverybodysFilter, EverybodysSessionQueries
from services.gateway.admin.session_queries import Shown as ShownSession
from services.gateway.admin.session_routes import EverybodysSessions
from services.gateway.admin.user_queries import User, UserQueries
from services.gateway.admin.user_routes import Users
from services.gateway.analytics.comparing import Comparing
from services.gateway.analytics.comparison import MEASURES, Arm
from services.gateway.analytics.comparison_queries import ComparisonQueries, Which
from services.gateway.analytics.filters import Whose
from services.gateway.analytics.intervals import Difference, paired_difference
from services.gateway.analytics.queries import Known, KnownSession, KnownTrace, TraceQueries
from services.gateway.analytics.record import WholeTrace
from services.gateway.analytics.reporting import Reporting
from services.gateway.analytics.routes import Traces
from services.gateway.api import create_api
from services.gateway.chat.approving import Approving
from services.gateway.chat.memory import Memory, Remembered
from services.gateway.chat.routes import Chat
from services.gateway.chat.running import RunningChat
from services.gateway.chat.session_tags import SessionTags
from services.gateway.deletion.deleting import Deleting
from services.gateway.deletion.routes import Erasing
from services.gateway.deletion.state import ErasureState, ErasureStates
from services.gateway.deletion.store import Deletion, Erasure
from services.gateway.helpers.configured import read_helpers
from services.gateway.http.cursors import Place
from services.gateway.http.fields import Json
from services.gateway.http.room import Room
from services.gateway.http.write_headers import Write
from services.gateway.live.listeners import Listener, Listeners
from services.gateway.live.routes import Live
from services.gateway.model.catalog import read_catalog
from services.gateway.models.allowed import AllowedModels
from services.gateway.models.answers import Model, ReservedTag, Tag
from services.gateway.models.queries import ModelQueries, ReservedQueries, TagQueries
from services.gateway.models.reserving import Reserving
from services.gateway.models.routes import Models
from services.gateway.privacy.config_routes import Frontend
from services.gateway.privacy.export import Exporting, ExportPlaces
from services.gateway.privacy.kinds import Kind
from services.gateway.privacy.pages import ExportPage
from services.gateway.sessions.answers import Feedback
from services.gateway.sessions.bulk import Bulk
from services.gateway.sessions.changing import Changing
from services.gateway.sessions.conversation import Conversation
from services.gateway.sessions.creating import Creating
from services.gateway.sessions.deleting import SessionDeletion
from services.gateway.sessions.feedback import GivingFeedback
from services.gateway.sessions.filters import SessionFilter
from services.gateway.sessions.folders import FolderQueries, Folders
from services.gateway.sessions.forking import Forking
from services.gateway.sessions.journey import Journeys
from services.gateway.sessions.message_page import Listed, Window
from services.gateway.sessions.message_queries import MessageQueries, StoredEnd
from services.gateway.sessions.messages import SessionMessages
from services.gateway.sessions.openings import Opening, SessionOpenings
from services.gateway.sessions.own_session import OwnSessions
from services.gateway.sessions.posting import Posting
from services.gateway.sessions.queries import SessionQueries
from services.gateway.sessions.routes import Sessions
from services.gateway.sessions.searching import Found
from services.gateway.sessions.share_store import Readers, SharedSession, ShareStore
from services.gateway.sessions.shared_queries import SharedQueries, SharedRow
from services.gateway.sessions.shared_session import SharedSessions
from services.gateway.sessions.shared_with import SharedWith
from services.gateway.sessions.sharing import Sharing
from services.gateway.sessions.stats import Stats
from services.gateway.sessions.stats_queries import (
    Counts,
    MessageCounts,
    StatsQueries,
    TokenCounts,
    WordCounts,
)
from services.gateway.sessions.status import TripStatus
from services.gateway.sessions.template_routes import Templates
from services.gateway.sessions.templates import TemplateQueries, TemplateRow
from services.gateway.sessions.view import SessionFacts, StoredSession, show_session
from services.gateway.tools.names import TOOL_NAMES
from services.gateway.tools.toolkit import Toolkit
from services.gateway.trips.admin_routes import EverybodysTrips
from services.gateway.trips.expected import expected_trip
from services.gateway.trips.filters import TripFilter
from services.gateway.trips.listing import TripLists
from services.gateway.trips.order_limits import OrderLimits
from services.gateway.trips.placed import PlacedOrder
from services.gateway.trips.proposal_queries import Choice, ProposalQueries
from services.gateway.trips.proposal_record import ProposalRow
from services.gateway.trips.proposing import Proposing
from services.gateway.trips.queries import TripQueries
from services.gateway.trips.record import Trip, TripRow
from services.gateway.trips.routes import Trips
from services.gateway.trips.without_trip import SessionsWithoutTrip
from services.gateway.turns.buffer import TurnBuffer
from services.gateway.turns.claims import Claim
from services.gateway.turns.consent import Consent
from services.gateway.turns.counts import TurnCounts
from services.gateway.turns.history import HistoryMessage, shown_of
from services.gateway.turns.kept import first_seen, kept_by
from services.gateway.turns.readings import Spoken, TurnReadings, Unstored
from services.gateway.turns.recent import RecentSessions
from services.gateway.turns.retold import Retold
from services.gateway.turns.running import OnBusy, RunningTurns
from services.gateway.turns.said import Glimpse, Said
from services.gateway.turns.starting import TurnStarter
from services.gateway.turns.store import TurnStore
from services.gateway.turns.telling import Telling
from services.gateway.turns.turn import Answer, Question, Turn
from services.gateway.turns.weight import turn_room
from services.gateway.v1.answers import Answers
from services.gateway.v1.joining import Joining
from services.gateway.v1.kept_responses import KeptResponses
from services.gateway.v1.models import ListedModels
from services.gateway.v1.previous import Previous, PreviousTurns
from services.gateway.v1.response_readings import KeptAnswer, KeptResponse, ResponseReadings
from services.gateway.v1.turns import V1Turns
from services.gateway.v1.way import told_with, way_to
from services.gateway.webhooks.routes import Webhooks
from services.gateway.webhooks.senders import SignedSenders
from services.gateway.writes.accept import Accepting
from services.gateway.writes.announcing import Announcing
from services.gateway.writes.receipts import Receipts
from services.logger.settling import SessionState, settle
from shared import ids
from shared.condition import Condition
from shared.errors import BrokerAway, DatabaseAway, NotFound, TripthreadError
from shared.events import (
    ConversationRead,
    DeadLetterDropped,
    DeadLetterReplayed,
    DeliveryReprocessed,
    Event,
    FeedbackGiven,
    ModelChanged,
    ModelRegistered,
    Outcome,
    ReportedTrace,
    SessionChanged,
    SessionForked,
    SessionOpened,
    TagBatchRequested,
    TemplateDeleted,
    TemplateSaved,
    TracesReported,
    TripAttached,
    TripChanged,
    TripRequested,
)
from shared.publisher import Publisher
from shared.search_words import words_of
from shared.settings import Settings
from tests.pure.gateway.samples import NOON, glimpse, said_in
from tests.tokens import token_for

BASE_URL = "http://gateway.test"
KEPT_AT_ONCE = 100  # rows of a page of an export


@dataclass
class World:
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
    _app: FastAPI | None = None

    def api(self) -> FastAPI:
        """Make the API on this world, again where its settings are others."""
        if self._app is None or self._app.state.handed[Settings] is not self.settings:
            self._app = self._make_api()
        return self._app

    def _make_api(self) -> FastAPI:
        publisher, turns = cast(Publisher, FakePublisher(self)), cast(TurnReadings, _Readings(self))
        accepting = Accepting(publisher, self.receipts)
        tags, sessions = cast(TagQueries, _Tags(self)), cast(SessionQueries, _Sessions(self))
        openings = cast(SessionOpenings, _Openings(self))
        own, trips = OwnSessions(turns, sessions, openings), cast(TripQueries, _Trips(self))
        conversation = Conversation(turns, cast(MessageQueries, _Messages(self)))
        session_messages = SessionMessages(own, conversation, Room(self.settings.read_bytes_at_once), self.lanes)
        shares = _Shares(self)
        share_store = cast(ShareStore, shares)
        buckets = Buckets()
        throttle, keys = Throttle(self.settings, TurnCounts(), buckets), cast(KeyStore, FakeKeyStore(self))
        browsers = cast(LoginStore, FakeLoginStore(self))
        logins = Logins(browsers, StandingCredentials(browsers), throttle)
        catalog, room = read_catalog(self.settings), turn_room(self.settings)
        quotas, links = cast(QuotaStore, _Quotas(self)), VisitorLinks(cast(LinkStore, FakeLinkStore(self)))
        counting = Counting(self.settings, quotas, links, self.refusals)
        posting = Posting(
            self.settings,
            cast(TurnStore, _Store(self)),
            turns,
            cast(MessageQueries, _Messages(self)),
            openings,
            telling=cast(Telling, _Telling(self)),
            receipts=self.receipts,
            buckets=buckets,
            catalog=catalog,
            quota_of=counting.quota_of,
        )
        limits = OrderLimits(self.settings, buckets, trips)
        ordering = Trips(self.settings, own, turns, limits, trips, trips, publisher, accepting)
        proposals = cast(ProposalQueries, _Proposals())
        proposing = Proposing(self.settings, turns, trips, proposals, buckets, publisher, accepting)
        trip_lists = TripLists(turns, trips, SessionsWithoutTrip(sessions), self.lanes)
        recording = Recording(publisher, self._clock, shows_bodies=self.settings.admins_read_bodies)
        subjects = (
            Authenticator(
                self.settings,
                TokenVerifier(self.settings),
                ApiKeys(StandingCredentials(keys), throttle),
                logins,
                links,
            ),
            logins,
            Keys(keys),
            throttle,
            Chat(
                self.settings,
                cast(TurnStarter, _Turns(self)),
                cast(Memory, _Memory(self)),
                SessionTags(RecentSessions(), tags),
                throttle=throttle,
                room=room,
                models=AllowedModels(self.settings, catalog.is_listed),
                catalog=catalog,
                helpers=read_helpers(self.settings, catalog, TOOL_NAMES),
                recent=RecentSessions(),
                toolkit=Toolkit(ordering, proposing),
                approving=cast(Approving, _Approving(own)),
            ),
            Answers(
                self.settings,
                V1Turns(
                    self.settings,
                    cast(TurnStarter, _Turns(self)),
                    cast(TurnStore, _Store(self)),
                    cast(Memory, _Memory(self)),
                    joining=cast(Joining, _Joining()),
                    previous=cast(PreviousTurns, _Previous(self)),
                    responses=cast(ResponseReadings, _Responses(self)),
                    room=room,
                    recent=RecentSessions(),
                ),
                SessionTags(RecentSessions(), tags),
                throttle=throttle,
                models=AllowedModels(self.settings, catalog.is_listed),
                catalog=catalog,
            ),
            KeptResponses(cast(ResponseReadings, _Responses(self))),
            ListedModels(catalog, AllowedModels(self.settings, catalog.is_listed), 0.0),
            RunningChat(
                own,
                cast(TurnStore, _Store(self)),
                cast(RunningTurns, _Turns(self)),
                throttle,
                room,
            ),
            Sessions(own, turns, sessions, tags, self.receipts, self.lanes),
            Creating(
                own,
                openings,
                cast(TemplateQueries, _Templates(self)),
                publisher,
                accepting,
                catalog=catalog,
                models=AllowedModels(self.settings, catalog.is_listed),
                journeys=Journeys(posting, lambda helper: self.first_words.get(helper or "")),
                quota_of=counting.quota_of,
            ),
            Changing(own, publisher, accepting),
            Bulk(own, publisher, accepting, cast(Deleting, _Deleting(self))),
            Folders(cast(FolderQueries, _Folders(self)), self.lanes),
            session_messages,
            Templates(cast(TemplateQueries, _Templates(self)), publisher, accepting),
            Sharing(own, share_store, Announcing(publisher)),
            SharedSessions(share_store, session_messages, throttle),
            SharedWith(cast(SharedQueries, _SharedRows(shares)), share_store, session_messages, Announcing(publisher)),
            Stats(own, cast(StatsQueries, _Stats(self)), self.lanes),
            Forking(own, conversation, buckets, publisher, accepting, quotas=counting),
            GivingFeedback(own, conversation, publisher, accepting),
            posting,
            ordering,
            trip_lists,
            EverybodysTrips(trip_lists, trips, trip_lists.without),
            proposing,
            Live(_BriefListeners(), throttle, own),
            Traces(cast(TraceQueries, _Traces(self)), self.lanes, recording),
            Comparing(cast(ComparisonQueries, _Comparisons()), self.lanes),
            Reporting(cast(TraceQueries, _Traces(self)), publisher, accepting),
            Announcing(publisher),
            Models(catalog, cast(ModelQueries, FakeModelQueries(self)), accepting),
            Reserving(
                catalog,
                cast(ModelQueries, FakeModelQueries(self)),
                cast(ReservedQueries, _Reserved(self)),
                accepting,
                buckets,
            ),
            read_helpers(self.settings, catalog, TOOL_NAMES),
            Webhooks(self.settings, publisher, SignedSenders(self.settings)),
            SessionDeletion(own, cast(Deleting, _Deleting(self))),
            Erasing(cast(Deleting, _Deleting(self)), cast(ErasureStates, _ErasureStates(self))),
            Exporting(
                self.read_kept,
                cast(LinkStore, FakeLinkStore(self)),
                self.export_places,
                self.lanes,
                Room(self.settings.read_bytes_at_once),
            ),
            Frontend.of(self.settings, catalog, AllowedModels(self.settings, catalog.is_listed)),
            DeadLetters(cast(DeadLetterQueries, _DeadLetters(self)), publisher, accepting),
            Deliveries(cast(DeliveryQueries, _Deliveries(self)), accepting),
            recording,
            Reads(cast(ReadQueries, _Reads(self))),
            UserQuotas(quotas, counting),
            self.refusals,
            EverybodysSessions(cast(EverybodysSessionQueries, _EverybodysSessions(self))),
            EverybodysMessages(
                cast(EverybodysMessageQueries, _EverybodysMessages(self)), Room(self.settings.read_bytes_at_once)
            ),
            Users(self.settings, cast(UserQueries, _Users(self)), cast(RefusedUserQueries, _RefusedUsers())),
            QueueViews(publisher, cast(QueueHistory, _QueueHistory())),
        )
        return create_api(self.settings, subjects, self._condition)

    async def read_kept(self, owner: str, kind: Kind, after: tuple[Any, ...] | None) -> ExportPage:
        """Do as `read_page` of an export does, a page of `KEPT_AT_ONCE` rows; the key is a row's place."""
        begin = 0 if after is None else int(after[0]) + 1
        kept = self.kept.get((owner, kind.table), [])[begin : begin + KEPT_AT_ONCE]
        lines = [orjson.dumps({"table": kind.table, "row": row}).decode() for row in kept]
        return ExportPage(lines, (begin + len(kept) - 1,) if kept else None)

    async def _clock(self) -> datetime:
        return datetime.now(UTC)

    @asynccontextmanager
    async def client(self, user: str | None = None, role: str = "user") -> AsyncIterator[httpx2.AsyncClient]:
        """Call as this user; without one, as somebody without credentials."""
        async with self.client_of(self.api()) as client:
            if user is not None:
                client.headers["Authorization"] = f"Bearer {token_for(self.settings, user, role=role)}"
            yield client

    @asynccontextmanager
    async def client_of(self, app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=BASE_URL) as client:
            yield client

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

    async def _condition(self) -> Condition:
        return Condition(self.faults, self.degraded)

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


class FakeKeyStore:
    """As `KeyStore`, of the world's keys."""

    def __init__(self, world: World) -> None:
        self._world = world

    def _stands(self, digest: bytes) -> bool:
        owner, key = self._world.keys[digest]
        ends = key.expires_at
        return key.revoked_at is None and (ends is None or ends > datetime.now(UTC)) and owner not in self._world.erased

    def _ask(self, what: str) -> None:
        if self._world.reads_fail:
            raise DatabaseAway
        self._world.keys_asked.append(what)

    async def find(self, digest: bytes) -> Standing | None:
        self._ask("find")
        if digest not in self._world.keys or not self._stands(digest):
            return None
        owner, key = self._world.keys[digest]
        ends = key.expires_at.timestamp() if key.expires_at else 2**53
        return Standing(key.key_id, Identity(owner, key.role, key.projects, ends), key.last_used_at is not None)

    async def standing(self, digests: Sequence[bytes]) -> set[bytes]:
        self._ask("standing")
        return {digest for digest in digests if digest in self._world.keys and self._stands(digest)}

    async def stands(self, credential_id: UUID) -> bool:
        digests = [digest for digest, (_, key) in self._world.keys.items() if key.key_id == credential_id]
        return any(map(self._stands, digests))

    async def note_use(self, digests: Sequence[bytes]) -> None:
        self._ask("note")
        for digest in digests:
            owner, key = self._world.keys[digest]
            self._world.keys[digest] = owner, replace(key, last_used_at=datetime.now(UTC))

    async def add(
        self, key_id: UUID, digest: bytes, user_id: str, given: tuple[str, Role, Projects], expires_at: datetime
    ) -> tuple[ApiKey, bool]:
        known = next((key for _, key in self._world.keys.values() if key.key_id == key_id), None)
        if known is not None:
            return known, False
        key = ApiKey(key_id, *given, datetime.now(UTC), expires_at, None, None)
        self._world.keys[digest] = user_id, key
        return key, True

    def _of(self, user_id: str, projects: Projects) -> list[ApiKey]:
        mine = (key for owner, key in self._world.keys.values() if owner == user_id)
        return [
            key for key in mine if projects is None or (key.projects is not None and {*key.projects} <= {*projects})
        ]

    async def page(
        self, user_id: str, projects: Projects, limit: int, before: Place | None
    ) -> Sequence[tuple[Place, ApiKey]]:
        places = [((key.created_at, str(key.key_id)), key) for key in self._of(user_id, projects)]
        return sorted((each for each in places if before is None or each[0] < before), reverse=True)[:limit]

    async def revoke(self, user_id: str, projects: Projects, key_id: UUID) -> ApiKey | None:
        key = next((key for key in self._of(user_id, projects) if key.key_id == key_id), None)
        if key is None:
            return None
        revoked = replace(key, revoked_at=key.revoked_at or datetime.now(UTC))
        digest = next(digest for digest, (_, each) in self._world.keys.items() if each is key)
        self._world.keys[digest] = user_id, revoked
        return revoked


class FakeLoginStore:
    """As `LoginStore`, of the world's browsers."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def open(self, link: LoginLink, digest: bytes) -> bool:
        if link.digest in self._world.used_links or link.user_id in self._world.erased:
            return False
        self._world.used_links.add(link.digest)
        identity = Identity(link.user_id, link.role, None, time.time() + LASTS_S)
        self._world.browsers[digest] = Standing(ids.new_id(), identity, is_noted=True)
        return True

    async def end(self, digest: bytes) -> None:
        self._world.browsers.pop(digest, None)

    async def end_all(self, user_id: str) -> int:
        theirs = [digest for digest, each in self._world.browsers.items() if each.identity.user_id == user_id]
        for digest in theirs:
            del self._world.browsers[digest]
        return len(theirs)

    async def renew(self, digest: bytes) -> bool:
        standing = await self.find(digest)
        if standing is None:
            return False
        identity = replace(standing.identity, expires_at=time.time() + LASTS_S)
        self._world.browsers[digest] = replace(standing, identity=identity)
        return True

    async def find(self, digest: bytes) -> Standing | None:
        standing = self._world.browsers.get(digest)
        return standing if standing and standing.identity.expires_at > time.time() else None

    async def standing(self, digests: Sequence[bytes]) -> set[bytes]:
        return {digest for digest in digests if await self.find(digest)}

    async def stands(self, credential_id: UUID) -> bool:
        return credential_id in {each.id for each in self._world.browsers.values()}

    async def note_use(self, digests: Sequence[bytes]) -> None:
        raise AssertionError("nothing is noted of browsers")


class FakeLinkStore:
    """As `LinkStore`, of the world's links."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def of(self, user_id: str) -> tuple[str, ...]:
        if self._world.links_away:
            raise ConnectionRefusedError
        return tuple(visitor for visitor, user in self._world.linked.items() if user == user_id)

    async def owner_of(self, visitor_id: str) -> str | None:
        return self._world.linked.get(visitor_id)

    async def link(self, visitor_id: str, user_id: str) -> str | None:
        return self._world.linked.setdefault(visitor_id, user_id)

    async def heard(self, visitor_ids: Collection[str], since: datetime | None) -> tuple[Mapping[str, str], datetime]:
        if self._world.links_away:
            raise ConnectionRefusedError
        return dict(self._world.linked), datetime.now(UTC)


class FakePublisher:
    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def away(self) -> str | None:
        return "gone" if self._world.broker_away else None

    @property
    def connection(self) -> None:
        """None: nobody can ask this broker how long its queues are."""
        return None

    async def publish(self, event: Event, *, deadline_s: float | None = None, key: str | None = None) -> None:
        if self._world.broker_loses_all:
            raise BrokerAway
        assert not self._world.broker_away, "a real one waits for seconds here"
        self._world.published.append(event)
        if not self._world.consumers_away:
            self._world.store(event)

    async def announce(self, outcomes: Sequence[Outcome]) -> None:
        self._world.announced += outcomes

    async def publish_to(
        self, queue: str, body: bytes, *, name: str | None, message_id: str | None, headers: Mapping[str, str]
    ) -> None:
        assert not self._world.broker_away, "a real one waits for seconds here"
        self._world.sent_to.append((queue, body, message_id))


class _BriefListeners(Listeners):
    """Ends each stream when it has begun: this client reads answers to their end."""

    def open(self, user_ids: Sequence[str]) -> Listener:
        listener = super().open(user_ids)
        listener.end()
        return listener


class _Turns:
    """Answers every question at once, with the question."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def start(
        self,
        claim: Claim,
        history: Sequence[Said],
        session: Sequence[Glimpse] = (),
        *,
        again: bool = False,
        on_busy: OnBusy | None = None,
        retold: Retold | None = None,
    ) -> TurnBuffer:
        running = TurnBuffer(claimed(claim))
        self._world.turns.append(running.turn)
        self._world.published.append(running.turn.posted())
        if self._world.database_leaves:
            running.fail(DatabaseAway())
            return running
        if self._world.turns_break:
            running.fail(TripthreadError("Something went wrong on our side."))
            return running
        self._world.answer(running)
        return running


class _Approving:
    """Knows of nothing that waits."""

    def __init__(self, own: OwnSessions) -> None:
        self._own = own

    async def answer(self, caller: Caller, _account: str, session_id: str | None, _consents: Sequence[Consent]) -> None:
        await self._own.find(caller, session_id or "")
        raise NotFound("Nothing is asked so in this session.")


def claimed(claim: Claim) -> Turn:
    """Return the turn of a claim that got its session."""
    return Turn(
        turn_id=claim.turn_id,
        user_id=claim.user_id,
        session_id=claim.session_id,
        body_hash=claim.body_hash,
        owner=claim.owner,
        attempt=1,
        state=claim.state,
        correlation_id=claim.correlation_id,
        model=claim.model,
        provider=claim.provider,
        project_id=claim.project_id,
        helper=claim.helper,
        question=claim.question,
        asked_at=NOON,
    )


class _Joining:
    """Knows no history."""

    async def session(self, _user_id: str, _conversation: str) -> None:
        return


class _Previous:
    def __init__(self, world: World) -> None:
        self._world = world

    async def find(self, caller: Caller, turn_id: UUID) -> Previous | None:
        known = () if turn_id in self._world.withheld else self._world.turns
        own = (turn for turn in known if turn.turn_id == turn_id and turn.user_id in caller.user_ids)
        return next((Previous(turn.user_id, turn.session_id, turn.answer_id) for turn in own), None)

    async def messages(
        self,
        previous: Previous,
        remembered: Remembered,
        room_bytes: float,
        results: Sequence[tuple[str, str]] = (),
    ) -> list[dict[str, Any]]:
        parts = {shown.message_id: shown.parts for turn in self._world.turns for shown in shown_of(turn)}
        return told_with(results, way_to(previous.last_id, remembered.history), parts, room_bytes)


class _Responses:
    def __init__(self, world: World) -> None:
        self._world = world

    async def withhold(self, _user_id: str, _session_id: str, turn_id: UUID) -> None:
        self._world.withheld.add(turn_id)

    async def forget_unbegun(self, _user_id: str, turn_id: UUID) -> None:
        if turn_id not in {turn.turn_id for turn in self._world.turns}:
            self._world.withheld.discard(turn_id)

    async def answers(self, user_ids: Sequence[str], turn_ids: Sequence[UUID]) -> list[KeptAnswer]:
        shown = set(turn_ids) - self._world.withheld
        kept = [turn for turn in self._world.turns if turn.turn_id in shown and turn.user_id in user_ids]
        return [KeptAnswer(turn.turn_id, turn.project_id, turn.answer) for turn in kept if turn.answer]

    async def find(self, user_ids: Sequence[str], turn_id: UUID) -> KeptResponse | None:
        known = () if turn_id in self._world.withheld else self._world.turns
        turn = next((turn for turn in known if turn.turn_id == turn_id and turn.user_id in user_ids), None)
        return None if turn is None else KeptResponse.of(turn, previous=None)


class _Telling:
    def __init__(self, world: World) -> None:
        self._world = world

    def tell(self, turn: Turn, *, session: Sequence[Glimpse]) -> None:
        self._world.published += turn.asked()


class _Memory:
    def __init__(self, world: World) -> None:
        self._world = world

    async def of(
        self,
        user_ids: Sequence[str],
        session_id: str,
        about: Sequence[str] = (),
        resent: int = 0,
        projects: Projects = None,
    ) -> Remembered:
        known = [facts for facts in self._world.sessions if facts.user_id in user_ids]
        stored = next((facts for facts in known if facts.session_id == session_id), None)
        if stored is not None and stored.deleted:
            raise NotFound("this session was deleted")
        turns = [turn for turn in self._world.turns if turn.user_id in user_ids and turn.session_id == session_id]
        if stored is None and not turns:
            return Remembered(user_ids[0], [])
        kept = kept_by([glimpse(turn) for turn in turns], stored.stored if stored else None)
        return Remembered(first_seen({user_ids[0]: kept}, partial(sees, projects)) or "", said_in(turns), kept)

    async def question(self, user_id: str, session_id: str, message_id: str) -> Question | None:
        own = (turn.question for turn in self._world.turns if (turn.user_id, turn.session_id) == (user_id, session_id))
        return next((replace(asked, is_known=True) for asked in own if asked.message_id == message_id), None)


class _Store:
    def __init__(self, world: World) -> None:
        self._world = world

    async def running(self, user_ids: Sequence[str], session_id: str) -> Turn | None:
        own = (turn for turn in self._world.turns if turn.user_id in user_ids and turn.session_id == session_id)
        return next((turn for turn in own if turn.state == "running"), None)

    async def find(self, turn_id: UUID) -> Turn | None:
        return next((turn for turn in self._world.turns if turn.turn_id == turn_id), None)

    async def claim(self, claim: Claim) -> Turn:
        self._world.turns.append(claimed(claim))
        return self._world.turns[-1]

    async def by_key(self, user_id: str, key: str) -> None:
        return None

    async def is_gone(self, _user_id: str, _session_id: str) -> bool:
        return False

    async def take(self, *_copy: str) -> None:
        return None


class _Readings:
    """Knows no window: a session's turns are few here."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def session(self, user_ids: Sequence[str], session_id: str) -> Unstored:
        own = (turn for turn in self._world.turns if turn.user_id in user_ids)
        turns = [glimpse(turn) for turn in own if turn.session_id == session_id]
        return Unstored(turns, {turn.user_id: turn.place for turn in turns})

    async def sessions_of(self, user_ids: Sequence[str]) -> list[Glimpse]:
        return [glimpse(turn) for turn in self._world.turns if turn.user_id in user_ids]

    async def said_between(self, user_id: str, session_id: str, *_window: Any, **_direction: Any) -> list[Glimpse]:
        return (await self.session([user_id], session_id)).turns

    async def was_deleted(self, user_ids: Sequence[str], session_id: str) -> bool:
        return any(
            known.deleted and known.key[0] in user_ids and known.key[1] == session_id for known in self._world.sessions
        )

    async def last_spoken(self, user_ids: Sequence[str]) -> list[Spoken]:
        turns = (turn for turn in self._world.turns if turn.user_id in user_ids)
        return [Spoken(turn.user_id, turn.session_id, turn.place, turn.project_id) for turn in turns]

    async def previews(self, turn_ids: Sequence[UUID], length: int) -> dict[UUID, str]:
        return {
            turn.turn_id: (turn.answer.content if turn.answer else turn.question.content)[:length]
            for turn in await self.whole(turn_ids)
        }

    async def sizes(self, turn_ids: Sequence[UUID], most_bytes: int) -> dict[UUID, int]:
        return {turn.turn_id: len(turn.question.content) for turn in await self.whole(turn_ids)}

    async def whole(self, turn_ids: Sequence[UUID]) -> list[Turn]:
        return [turn for turn in self._world.turns if turn.turn_id in turn_ids]


class _Sessions:
    def __init__(self, world: World) -> None:
        self._world = world

    async def facts(self, user_ids: Sequence[str], session_id: str) -> list[SessionFacts]:
        return await self.facts_of([(user_id, session_id) for user_id in user_ids])

    async def existing(self, user_ids: Sequence[str], session_ids: Sequence[str]) -> set[tuple[str, str]]:
        known = {facts.key for facts in self._world.sessions}
        return known & {(user_id, session_id) for user_id in user_ids for session_id in session_ids}

    async def facts_of(self, keys: Sequence[tuple[str, str]]) -> list[SessionFacts]:
        self._world.most_looked_up = max(self._world.most_looked_up, len(keys))
        return [self._known(*key) for key in keys]

    async def chosen(
        self, user_ids: Sequence[str], turns: Sequence[Glimpse], _stored: object, *, opened_by: Sequence[str] = ()
    ) -> list[SessionFacts]:
        fresh = {(turn.user_id, turn.session_id): None for turn in turns}
        own = {facts.key: None for facts in self._world.sessions if facts.user_id in user_ids}
        return [self._known(*key) for key in fresh | own]

    async def page(
        self,
        user_ids: Sequence[str],
        wanted: SessionFilter,
        limit: int,
        before: Place | None,
        turns: Sequence[Glimpse],
    ) -> list[SessionFacts]:
        fresh = [self._known(turn.user_id, turn.session_id) for turn in turns]
        own = (facts.key for facts in self._world.sessions if facts.user_id in user_ids)
        return [*fresh, *(self._known(*key) for key in own)]

    async def found(
        self,
        user_ids: Sequence[str],
        wanted: SessionFilter,
        limit: int,
        before: Place | None,
        turns: Sequence[Glimpse],
    ) -> tuple[list[SessionFacts], Found]:
        assert wanted.search is not None
        stored = [facts for facts in await self.page(user_ids, wanted, limit, before, ()) if facts.stored]
        words = {word.text for word in wanted.search.words()}
        facts = [each for each in stored if each.stored and words <= set(words_of(each.stored.title or ""))]
        return facts, {each.key: None for each in facts}

    async def texts(self, user_ids: Sequence[str], found: Found) -> dict[tuple[str, str], str]:
        return {}

    def _known(self, user_id: str, session_id: str) -> SessionFacts:
        found = (facts for facts in self._world.sessions if facts.key == (user_id, session_id))
        return replace(next(found, SessionFacts(user_id, session_id)), read_at=datetime.now(UTC))


class _Comparisons:
    async def arms(self, _which: Which, *, as_admin: bool) -> list[tuple[Arm, bool]]:
        return []

    async def pairs(self, _which: Which) -> tuple[int, dict[str, Difference]]:
        return 0, {name: paired_difference(None, None, 0) for name in MEASURES}


class _Openings:
    def __init__(self, world: World) -> None:
        self._world = world

    async def take(
        self,
        user_id: str,
        body_hash: bytes,
        session_id: str,
        event_id: UUID,
        *,
        opening: Json,
        quota: Json | None = None,
    ) -> Opening:
        new = Opening(user_id, session_id, event_id, datetime.now(UTC), opening)
        known = self._world.openings.setdefault((user_id, body_hash), new)
        if known.session_id != session_id and new.accepted_at - known.accepted_at > timedelta(seconds=2):
            known = self._world.openings[user_id, body_hash] = new
        return known

    async def find(self, keys: Sequence[tuple[str, str]]) -> list[Opening]:
        return [known for known in self._world.openings.values() if (known.user_id, known.session_id) in keys]

    async def withdraw(self, user_id: str, event_id: UUID, quota: Json | None = None) -> None:
        self._world.openings = {key: known for key, known in self._world.openings.items() if known.event_id != event_id}


class _Folders:
    def __init__(self, world: World) -> None:
        self._world = world

    async def counts(self, user_ids: Sequence[str], projects: Projects) -> Counter[tuple[str, str]]:
        own = [known.stored for known in self._world.sessions if known.user_id in user_ids and known.stored]
        folders = (("folder", row.folder) for row in own if row.folder is not None)
        return Counter([*folders, *(("label", label) for row in own for label in row.labels)])


class _Templates:
    def __init__(self, world: World) -> None:
        self._world = world

    async def find(self, user_ids: Sequence[str], projects: Projects, template_id: UUID) -> TemplateRow | None:
        own = await self.page(user_ids, projects, len(self._world.templates), None)
        return next((row for row in own if row.template_id == template_id), None)

    async def page(
        self, user_ids: Sequence[str], projects: Projects, limit: int, before: str | None
    ) -> list[TemplateRow]:
        rows = sorted(self._world.templates.values(), key=lambda row: row.template_id, reverse=True)
        own = (row for row in rows if row.user_id in user_ids and sees(projects, row.template.get("project_id")))
        return [row for row in own if before is None or str(row.template_id) < before][:limit]

    async def now(self) -> datetime:
        return datetime.now(UTC)


class _Quotas:
    def __init__(self, world: World) -> None:
        self._quotas = world.quotas

    async def said(self, since: datetime | None) -> tuple[list[QuotaOf], datetime]:
        return [QuotaOf(user_id, quota, NOON) for user_id, quota in self._quotas.items()], NOON

    async def set(self, user_id: str, changes: Mapping[str, int | None]) -> Quota:
        self._quotas[user_id] = replace(self._quotas.get(user_id, Quota()), **changes)
        return self._quotas[user_id]

    async def today(self, user_id: str) -> Usage:
        return Usage(NOON.date())


class _Deleting:
    """Deletes at once, wherever the consumers are."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def delete(self, sessions: Sequence[tuple[str, str]], write: Write) -> tuple[list[Deletion], bool]:
        self._world.turns = [turn for turn in self._world.turns if (turn.user_id, turn.session_id) not in sessions]
        self._world.sessions = [
            replace(facts, deleted=True) if facts.key in sessions else facts for facts in self._world.sessions
        ]
        deletions = [Deletion(*key, ids.new_id(), write.correlation_id, NOON) for key in sessions]
        return deletions, not self._world.consumers_away and write.wait_s > 0

    async def erase(self, user_ids: Sequence[str], write: Write, *, operator: str | None = None) -> list[Erasure]:
        self._world.erased.update(user_ids)
        self._world.erased_by = operator
        return [Erasure(user_id, ids.new_id(), write.correlation_id, NOON) for user_id in user_ids]


class _ErasureStates:
    def __init__(self, world: World) -> None:
        self._world = world

    async def of(self, user_ids: Sequence[str]) -> ErasureState:
        if self._world.erased.isdisjoint(user_ids):
            return ErasureState("none", None, {})
        return ErasureState("pending", NOON, {"gateway": True, "logger": False, "tagger": True, "workflow": True})


class _Messages:
    def __init__(self, world: World) -> None:
        self._world = world

    async def listed(self, user_id: str, session_id: str, window: Window, limit: int) -> list[Listed]:
        held = (shown for shown in self._world.messages if window.holds(shown.place))
        return [Listed(shown.message_id, shown.created_at, len(shown.content)) for shown in held]

    async def whole(self, user_id: str, session_id: str, message_ids: Sequence[str]) -> list[HistoryMessage]:
        return [shown for shown in self._world.messages if shown.message_id in message_ids]

    async def said(self, user_id: str, session_id: str, page: Sequence[Listed]) -> list[HistoryMessage]:
        return await self.whole(user_id, session_id, [listed.message_id for listed in page])

    async def missing(self, user_id: str, session_id: str, message_ids: Sequence[str]) -> list[str]:
        known = {shown.message_id for shown in self._world.messages}
        return [each for each in message_ids if each not in known]

    async def feedback(self, user_id: str, session_id: str, message_ids: Sequence[str]) -> dict[str, Feedback]:
        given = self._world.feedback
        return {each: given[user_id, session_id, each] for each in message_ids if (user_id, session_id, each) in given}

    async def named(self, user_id: str, session_id: str, names: Sequence[str]) -> list[HistoryMessage]:
        return await self.whole(user_id, session_id, names)

    async def ends(self, user_ids: Sequence[str], session_id: str) -> dict[str, StoredEnd]:
        own = (known for known in self._world.sessions if known.user_id in user_ids)
        newest = max((shown.place for shown in self._world.messages), default=None)
        return {
            known.user_id: StoredEnd(known.deleted, newest, kept_by([], known.stored))
            for known in own
            if known.session_id == session_id
        }

    async def place_of(self, user_id: str, session_id: str, message_id: str) -> Place | None:
        return next((shown.place for shown in self._world.messages if shown.message_id == message_id), None)


class _Shares:
    """Rows, each with whom it is for and the project that its session is of."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rows: dict[UUID, tuple[SharedSession, Readers, str | None]] = {}

    async def add(
        self,
        share_id: UUID,
        readers: Readers,
        session: tuple[str, str],
        about: tuple[str | None, str | None],
        expires_at: datetime,
    ) -> tuple[SharedSession, bool]:
        if share_id in self._rows:
            return self._rows[share_id][0], False
        title, project_id = about
        row = SharedSession(
            share_id, *session, title, datetime.now(UTC), expires_at, None, readers.project_id, readers.users
        )
        self._rows[share_id] = row, readers, project_id
        return row, True

    async def page(
        self, session: tuple[str, str], limit: int, before: Place | None
    ) -> Sequence[tuple[Place, SharedSession]]:
        own = [row for row, _, _ in self._rows.values() if (row.user_id, row.session_id) == session]
        placed = [((row.created_at, str(row.share_id)), row) for row in reversed(own)]
        return [(place, row) for place, row in placed if before is None or place < before][:limit]

    async def revoke(self, session: tuple[str, str], share_id: UUID) -> SharedSession | None:
        if share_id not in self._rows:
            return None
        row, readers, project_id = self._rows[share_id]
        if (row.user_id, row.session_id) != session:
            return None
        row = replace(row, revoked_at=NOON, has_ended=True)
        self._rows[share_id] = row, readers, project_id
        return row

    async def find(self, token_hash: bytes) -> SharedSession | None:
        return next((row for row, readers, _ in self._rows.values() if readers.token_hash == token_hash), None)

    async def leave(self, user_ids: Sequence[str], share_id: UUID) -> bool:
        row, readers, project_id = self._rows[share_id]
        left = [user_id for user_id in row.users or () if user_id not in user_ids]
        self._rows[share_id] = replace(row, users=left), readers, project_id
        return row.users is not None and len(left) < len(row.users)

    def read_by(self, caller: Caller) -> list[SharedSession]:
        """Return what is shared with a caller, as the database's functions decide it."""
        return [
            row
            for row, readers, project_id in self._rows.values()
            if (set(row.users or ()) & set(caller.user_ids) and caller.sees(project_id))
            or (readers.project_id is not None and readers.project_id in (caller.projects or ()))
        ]


class _SharedRows:
    def __init__(self, shares: _Shares) -> None:
        self._shares = shares

    async def page(self, caller: Caller, limit: int, before: Place | None) -> Sequence[tuple[Place, SharedRow]]:
        rows = [row for row in self._shares.read_by(caller) if not row.has_ended]
        placed = [((row.created_at, str(row.share_id)), row) for row in reversed(rows)]
        return [
            (place, SharedRow(row.share_id, row.title, row.created_at, row.expires_at, row.project_id))
            for place, row in placed
            if before is None or place < before
        ][:limit]

    async def find(self, caller: Caller, share_id: UUID) -> SharedSession | None:
        return next((row for row in self._shares.read_by(caller) if row.share_id == share_id), None)


class _Stats:
    def __init__(self, world: World) -> None:
        self._world = world

    async def of(self, user_id: str, session_id: str) -> Counts:
        count = len(self._world.messages)
        return Counts(
            messages=MessageCounts(user=count, assistant=0, system=0, tool=0, total=count),
            words=WordCounts(user=0, assistant=0, total=0),
            tool_calls={},
            tokens=TokenCounts(input=0, output=0, total=0, estimated=False),
            turns=0,
            first_at=None,
            last_at=None,
            duration_s=0,
            answering_s=0,
            is_complete=True,
        )


class _Tags:
    def __init__(self, world: World) -> None:
        self._world = world

    async def of_session(self, user_ids: Sequence[str], session_id: str) -> Tag | None:
        if self._world.reads_fail:
            raise ConnectionRefusedError
        own = (facts for facts in self._world.sessions if facts.user_id in user_ids and facts.session_id == session_id)
        return next((facts.tag for facts in own), None)


class _Traces:
    def __init__(self, world: World) -> None:
        self._world = world

    async def known(self, user_id: str, told: Sequence[ReportedTrace]) -> Known:
        stored = {trace_id: KnownTrace("api", 1, NOON) for owner, trace_id in self._world.reported if owner == user_id}
        return Known(NOON, stored, self._world.known_sessions)

    async def page(self, *_: Any, **__: Any) -> list[tuple[tuple[datetime, str], WholeTrace]]:
        return [((each.started_at, f"over/{each.trace_id}"), each) for each in self._world.traces]

    async def find(self, whose: Whose, trace_id: str, _projects: Projects = None) -> WholeTrace | None:
        found = (each for each in self._world.traces if each.user_id in whose.user_ids and each.trace_id == trace_id)
        return next(found, None)


class _Proposals:
    """None: what is read of proposals is tested with the tables."""

    async def find(self, user_ids: Sequence[str], proposal_id: UUID) -> ProposalRow | None:
        return None

    async def choice(self, user_ids: Sequence[str], trip_id: UUID) -> Choice:
        return Choice({}, 0, datetime.now(UTC))


class _Trips:
    def __init__(self, world: World) -> None:
        self._world = world

    async def page(
        self,
        user_ids: Sequence[str],
        wanted: TripFilter,
        limit: int,
        before: Place | None = None,
        turns: Sequence[Turn] = (),
    ) -> list[tuple[Place, TripRow]]:
        found: list[tuple[Place, TripRow]] = [
            ((trip.session_started_at, str(trip.id)), trip) for trip in self._of(user_ids, wanted)
        ]
        return [(place, trip) for place, trip in found if before is None or place < before][:limit]

    async def page_of_all(
        self, wanted: TripFilter, limit: int, before: Place | None = None
    ) -> list[tuple[Place, TripRow]]:
        return await self.page([trip.iso_agent_id for trip in self._world.trips], wanted, limit, before)

    async def count(
        self, user_ids: Sequence[str], projects: Projects, turns: Sequence[Turn]
    ) -> Counter[tuple[TripStatus, str]]:
        return Counter((trip.status, trip.current_step) for trip in self._of(user_ids, TripFilter()))

    async def count_of_all(self) -> tuple[Counter[tuple[TripStatus, str]], bool]:
        return await self.count([trip.iso_agent_id for trip in self._world.trips], None, ()), True

    async def find(self, user_ids: Sequence[str], wanted: TripFilter, turns: Sequence[Turn] = ()) -> Trip | None:
        return next(iter(self._of(user_ids, wanted)), None)

    async def order(self, user_ids: Sequence[str], promised_trip_id: UUID) -> PlacedOrder | None:
        own = (order for order in self._world.orders if order.user_id in user_ids)
        return next((order for order in own if order.promised_trip_id == promised_trip_id), None)

    async def has_settled(self, user_ids: Sequence[str], event: TripChanged) -> bool:
        return False  # nobody hears it here

    async def held_by_others(self, user_ids: Sequence[str], reference: str, projects: Projects = None) -> bool:
        return reference in self._world.held_by_others

    def _of(self, user_ids: Sequence[str], wanted: TripFilter) -> list[Trip]:
        return [
            trip
            for trip in reversed(self._world.trips)
            if trip.iso_agent_id in user_ids
            and wanted.trip_id in (None, trip.id)
            and wanted.session_id in (None, trip.conversation_id)
            and wanted.request_id in (None, trip.request_id)
            and wanted.avinode_trip_id in (None, trip.avinode_trip_id, trip.trip_code)
            and not (wanted.open_only and trip.session_ended_at is not None)
        ]


def order_of(event: TripRequested | TripAttached, **became: Any) -> PlacedOrder:
    """Make the row of an order that has become the trip it was promised."""
    asked = event if isinstance(event, TripRequested) else None
    order = PlacedOrder(
        request_id=asked.request_id if asked else event.event_id,
        promised_trip_id=event.trip_id,
        trip_id=event.trip_id,
        user_id=event.user_id,
        session_id=event.session_id,
        segments=[leg.model_dump() for leg in asked.segments] if asked else None,
        pax=asked.pax if asked else None,
        criteria=asked.criteria if asked else {},
        reference=event.avinode_trip_id if isinstance(event, TripAttached) else None,
        state="created" if asked else "attached",
        code=None,
        error=None,
        event_id=event.event_id,
        created_at=event.occurred_at,
    )
    return replace(order, **became)


class FakeModelQueries:
    def __init__(self, world: World) -> None:
        self._world = world

    async def page(self, limit: int, before: Place | None) -> list[tuple[Place, Model]]:
        models = sorted(self._world.models.values(), key=lambda model: str(model.id), reverse=True)
        placed = [((NOON, str(model.id)), model) for model in models]
        return [(place, model) for place, model in placed if before is None or place < before][:limit]

    async def find(self, model_id: UUID) -> Model | None:
        return self._world.models.get(model_id)

    async def find_to_change(self, model_id: UUID) -> tuple[Model, datetime] | None:
        model = await self.find(model_id)
        return None if model is None else (model, NOON)

    async def known(self, model_ids: Sequence[UUID]) -> set[UUID]:
        if self._world.reads_fail:
            raise ConnectionRefusedError
        return self._world.models.keys() & set(model_ids)


class _Deliveries:
    def __init__(self, world: World) -> None:
        self._world = world

    async def page(self, which: DeliveryFilter, **_: Any) -> list[tuple[Place, Delivery]]:
        found = [each for each in self._world.deliveries.values() if which.state in (None, each.state)]
        return [((each.received_at, str(each.id)), Delivery(**dict(each))) for each in found]

    async def find(self, delivery_id: UUID) -> WholeDelivery | None:
        return self._world.deliveries.get(delivery_id)


class _EverybodysSessions:
    """As their owners see them, without what is asked for."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def page(self, wanted: EverybodysFilter, limit: int, before: Place | None) -> Looked[ShownSession]:
        views = [view for each in self._world.sessions if (view := show_session(each, ())) is not None]
        shown = [ShownSession(view.user_id, view.session, "m1" if wanted.search else None) for view in views]
        return Looked([((each.session.last_activity_at, f"{each.session.id}/{each.user_id}"), each) for each in shown])

    async def texts(self, found: Mapping[tuple[str, str], str | None]) -> dict[tuple[str, str], str]:
        return dict.fromkeys(found, "what was said of Paris")


class _EverybodysMessages:
    def __init__(self, world: World) -> None:
        self._world = world

    async def page(self, wanted: MessageFilter, limit: int, before: Place | None) -> Looked[Weighed]:
        places = [(each.created_at, f"{each.message_id}/s1/u1") for each in self._world.messages]
        return Looked([(place, Weighed(place, 1)) for place in places])

    async def read(self, page: Sequence[Weighed]) -> list[dict[str, Any]]:
        known = {each.message_id: each for each in self._world.messages}
        return [_message_row(known[each.place[1].partition("/")[0]]) for each in page]


def _message_row(message: HistoryMessage) -> dict[str, Any]:
    return {
        "user_id": "u1",
        "session_id": "s1",
        "id": message.message_id,
        "role": message.role,
        "content": message.content,
        "parts": list(message.parts),
        "model": message.model,
        "status": message.status,
        "error": message.error,
        "parent_id": message.parent_id,
        "created_at": message.created_at,
        "stored_at": message.created_at,
        "metadata": message.metadata,
        "client": None,
    }


class _Users:
    def __init__(self, world: World) -> None:
        self._world = world

    async def page(self, limit: int, before: Place | None, *_: Any) -> Looked[User]:
        return Looked([((NOON, f"s1/{each}"), self._user(each)) for each in self._known()][:limit])

    async def find(self, user_id: str) -> User | None:
        return self._user(user_id) if user_id in self._known() else None

    def _known(self) -> list[str]:
        return list(dict.fromkeys(each.user_id for each in self._world.sessions))

    def _user(self, user_id: str) -> User:
        return User(user_id, NOON, None, (), 0, Quota(), Usage(day=NOON.date()))


class _RefusedUsers:
    """Nobody was refused."""

    async def page(self, *_: Any) -> list[tuple[Place, User]]:
        return []


class _QueueHistory:
    async def read(self) -> tuple[datetime, list[Minute]]:
        return NOON, [Minute("logger.chat", NOON, 3, 1, NOON - timedelta(seconds=30))]


class _Reads:
    def __init__(self, world: World) -> None:
        self._world = world

    async def page(self, which: ReadFilter, **_: Any) -> list[tuple[Place, Read]]:
        records = (each for each in self._world.published if isinstance(each, ConversationRead))
        reads = [
            Read(
                id=each.event_id,
                operator=each.operator,
                user_id=each.user_id,
                kind=each.kind,
                items=each.items,
                reason=each.query.get("reason"),
                query=each.query,
                occurred_at=each.accepted_at,
            )
            for each in records
            if which.user in (None, each.user_id)
        ]
        return [((each.occurred_at, str(each.id)), each) for each in reads]


class _Reserved:
    def __init__(self, world: World) -> None:
        self._world = world

    async def of_sessions(self, user_id: str, session_ids: Sequence[str]) -> tuple[datetime, list[ReservedTag]]:
        tags = {facts.session_id: facts.tag for facts in self._world.sessions if facts.user_id == user_id and facts.tag}
        found = [(each, tags[each]) for each in session_ids if each in tags]
        return NOON, [
            ReservedTag(session_id=each, session_tag=tag.session_tag, counter=tag.counter) for each, tag in found
        ]


class _DeadLetters:
    def __init__(self, world: World) -> None:
        self._world = world

    async def page(self, **filters: Any) -> list[tuple[Place, DeadLetter]]:
        letters = [parked.letter for parked in self._world.parked.values()]
        return [((letter.received_at, str(letter.id)), letter) for letter in letters]

    async def find(self, dead_letter_id: UUID) -> Parked | None:
        return self._world.parked.get(dead_letter_id)
