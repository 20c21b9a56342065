"""Wire the gateway: its turns, what it reads, what it hears, and the public HTTP API."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI

from services.gateway.account.authenticator import Authenticator
from services.gateway.account.keys.api_keys import ApiKeys
from services.gateway.account.keys.routes import Keys
from services.gateway.account.keys.store import KeyStore
from services.gateway.account.limits.buckets import Buckets
from services.gateway.account.limits.counting import Counting
from services.gateway.account.limits.lanes import Lanes
from services.gateway.account.limits.old_days import trimming
from services.gateway.account.limits.quota_store import QuotaStore
from services.gateway.account.limits.refusals import Refusals
from services.gateway.account.limits.throttle import Throttle
from services.gateway.account.logins.logins import Logins
from services.gateway.account.logins.store import LoginStore
from services.gateway.account.recording import Recording, database_clock
from services.gateway.account.standing import StandingCredentials
from services.gateway.account.tokens.verifier import TokenVerifier
from services.gateway.account.visitors.links import VisitorLinks
from services.gateway.account.visitors.store import LinkStore
from services.gateway.admin.census import DeadLetterCensus
from services.gateway.admin.delivery_queries import DeliveryQueries
from services.gateway.admin.delivery_routes import Deliveries
from services.gateway.admin.drift import DriftCensus
from services.gateway.admin.message_queries import EverybodysMessageQueries
from services.gateway.admin.message_routes import EverybodysMessages
from services.gateway.admin.queries import DeadLetterQueries
from services.gateway.admin.queue_history import QueueHistory
from services.gateway.admin.queue_routes import QueueViews
from services.gateway.admin.quota_routes import UserQuotas
from services.gateway.admin.read_queries import ReadQueries
from services.gateway.admin.read_routes import Reads
from services.gateway.admin.refused_users import RefusedUserQueries
from services.gateway.admin.routes import DeadLetters
from services.gateway.admin.session_queries import EverybodysSessionQueries
from services.gateway.admin.session_routes import EverybodysSessions
from services.gateway.admin.user_queries import UserQueries
from services.gateway.admin.user_routes import Users
from services.gateway.analytics.comparing import Comparing
from services.gateway.analytics.comparison_queries import ComparisonQueries
from services.gateway.analytics.queries import TraceQueries
from services.gateway.analytics.reporting import Reporting
from services.gateway.analytics.routes import Traces
from services.gateway.api import create_api
from services.gateway.chat.approving import Approving
from services.gateway.chat.memory import Memory
from services.gateway.chat.routes import Chat
from services.gateway.chat.running import RunningChat
from services.gateway.chat.session_tags import SessionTags
from services.gateway.deletion.deleting import Deleting
from services.gateway.deletion.noted import NotedDeletions
from services.gateway.deletion.retention import OldSessions, ProposalStore
from services.gateway.deletion.retiring import session_retiring
from services.gateway.deletion.routes import Erasing
from services.gateway.deletion.state import ErasureStates
from services.gateway.deletion.store import DeletionStore
from services.gateway.deletion.sweeping import DeletionSweeper
from services.gateway.deletion.sweeps import SweepStore
from services.gateway.helpers.configured import read_helpers
from services.gateway.http.documents import Documents
from services.gateway.http.handed import handed_over
from services.gateway.http.operations import Ask
from services.gateway.http.room import Room
from services.gateway.http.server import PublicServer
from services.gateway.live.listeners import Listeners
from services.gateway.live.looking import ChangeQueries, Looking
from services.gateway.live.routes import Live
from services.gateway.model.listing import list_models
from services.gateway.model.upstreams import Upstreams, open_upstreams
from services.gateway.models.allowed import AllowedModels
from services.gateway.models.queries import ModelQueries, ReservedQueries, TagQueries
from services.gateway.models.registering import ModelRegistration
from services.gateway.models.reserving import Reserving
from services.gateway.models.routes import Models
from services.gateway.privacy.config_routes import Frontend
from services.gateway.privacy.export import Exporting, ExportPlaces
from services.gateway.privacy.pages import read_page
from services.gateway.sessions.bulk import Bulk
from services.gateway.sessions.changing import Changing
from services.gateway.sessions.conversation import Conversation
from services.gateway.sessions.creating import Creating
from services.gateway.sessions.deleting import SessionDeletion
from services.gateway.sessions.feedback import GivingFeedback
from services.gateway.sessions.folders import FolderQueries, Folders
from services.gateway.sessions.forking import Forking
from services.gateway.sessions.journey import Journeys
from services.gateway.sessions.message_queries import MessageQueries
from services.gateway.sessions.messages import SessionMessages
from services.gateway.sessions.openings import SessionOpenings
from services.gateway.sessions.own_session import OwnSessions
from services.gateway.sessions.posting import Posting
from services.gateway.sessions.queries import SessionQueries
from services.gateway.sessions.routes import Sessions
from services.gateway.sessions.share_store import ShareStore
from services.gateway.sessions.shared_queries import SharedQueries
from services.gateway.sessions.shared_session import SharedSessions
from services.gateway.sessions.shared_with import SharedWith
from services.gateway.sessions.sharing import Sharing
from services.gateway.sessions.stats import Stats
from services.gateway.sessions.stats_queries import StatsQueries
from services.gateway.sessions.template_routes import Templates
from services.gateway.sessions.templates import TemplateQueries
from services.gateway.tools.names import TOOL_NAMES
from services.gateway.tools.toolkit import Toolkit
from services.gateway.trips.admin_routes import EverybodysTrips
from services.gateway.trips.listing import TripLists
from services.gateway.trips.order_limits import OrderLimits
from services.gateway.trips.proposal_queries import ProposalQueries
from services.gateway.trips.proposing import Proposing
from services.gateway.trips.queries import TripQueries
from services.gateway.trips.routes import Trips
from services.gateway.trips.without_trip import SessionsWithoutTrip
from services.gateway.turns.census import TurnCensus
from services.gateway.turns.outbox import Outbox
from services.gateway.turns.peer_routes import PeerRoutes
from services.gateway.turns.peers import Peers, open_peers
from services.gateway.turns.readings import TurnReadings
from services.gateway.turns.relay import Relay
from services.gateway.turns.retention import TURNS
from services.gateway.turns.runner import Runner
from services.gateway.turns.running import RunningTurns
from services.gateway.turns.starting import TurnStarter
from services.gateway.turns.store import TurnStore
from services.gateway.turns.sweeper import Sweeper, sweeping
from services.gateway.turns.unanswered import Unanswered
from services.gateway.turns.unfit import Unfit
from services.gateway.turns.waiting import WaitingTurns
from services.gateway.v1.answers import Answers
from services.gateway.v1.joining import Joining
from services.gateway.v1.kept_responses import KeptResponses
from services.gateway.v1.models import ListedModels
from services.gateway.v1.previous import PreviousTurns
from services.gateway.v1.response_readings import ResponseReadings
from services.gateway.v1.turns import V1Turns
from services.gateway.webhooks.routes import Webhooks
from services.gateway.webhooks.senders import SignedSenders
from services.gateway.writes.accept import Accepting
from services.gateway.writes.announcing import Announcing
from services.gateway.writes.outcomes import Outcomes
from services.gateway.writes.receipts import Receipts
from shared.backoff import Delays
from shared.census import Census
from shared.database import READ_STATEMENT_TIMEOUT_MS, Pool, open_pool, probe
from shared.declaring import Declaring
from shared.publisher import Publisher
from shared.queue_census import QueueCensus
from shared.retention import retention_jobs
from shared.service import Service
from shared.settings import Settings
from shared.worker import Worker

ADMIN_POOL_SIZE = 3
LOCK_TIMEOUT_MS = 1000  # one claim that is stuck elsewhere must not hold up those that are grouped with its repeat


@dataclass(frozen=True)
class Pools:
    """The database as each of the gateway's roles may use it."""

    own: Pool  # writes gateway.*
    reader: Pool  # reads everybody's tables, as the caller may see them
    admin: Pool  # the same tables, as administrators may see them


@dataclass(frozen=True)
class Links:
    """Whom the gateway talks to besides."""

    publisher: Publisher
    upstreams: Upstreams
    peers: Peers


@dataclass(frozen=True)
class Gateway:
    """What runs, and what is served."""

    runner: Runner
    sweeper: Worker
    outcomes: Outcomes
    looking: Looking
    census: Census
    drift: DriftCensus
    registration: ModelRegistration
    counting: Counting
    documents: Documents
    api: FastAPI


async def main(settings: Settings) -> None:
    """Run the gateway until a signal."""
    size = settings.database_pool_size
    peer_routes = PeerRoutes(settings)
    async with (
        Service(settings, "gateway", peer_routes.routes()) as service,
        open_pool(settings.gateway_database_url, settings.instance, size, lock_timeout_ms=LOCK_TIMEOUT_MS) as own,
        _reading_pool(settings, settings.reader_database_url, size) as reader,
        _reading_pool(settings, settings.admin_database_url, ADMIN_POOL_SIZE) as admin,
        Publisher(settings, "gateway", Declaring()) as publisher,
        open_upstreams(settings) as upstreams,
        open_peers(settings) as peers,
    ):
        gateway = wire(settings, Pools(own, reader, admin), Links(publisher, upstreams, peers), service.condition)
        peer_routes.serve(gateway.runner)
        service.check("broker", lambda: publisher.fault() or gateway.outcomes.away(), degrades=True)
        service.check("database", partial(_database_fault, own, reader, admin))
        gateway.documents.prepare()
        public = PublicServer(settings, gateway.api)
        await service.run(
            gateway.registration,
            gateway.runner,
            gateway.sweeper,
            gateway.outcomes,
            gateway.looking,
            gateway.census,
            gateway.drift,
            gateway.counting,
            public,
        )


async def _database_fault(own: Pool, reader: Pool, admin: Pool) -> str | None:
    """Ask by each of the gateway's logins; the one that has something to say is told."""
    faults = await asyncio.gather(probe(own, "gateway"), probe(reader), probe(admin))
    return next(filter(None, faults), None)


def _reading_pool(settings: Settings, url: str, size: int) -> AbstractAsyncContextManager[Pool]:
    return open_pool(url, settings.instance, size, statement_timeout_ms=READ_STATEMENT_TIMEOUT_MS)


def wire(settings: Settings, pools: Pools, links: Links, ask: Ask) -> Gateway:
    """Make everything, and hand each subject its own."""
    store, receipts, publisher = TurnStore(pools.own), Receipts(), links.publisher
    outbox, helpers = Outbox(pools.own, pools.admin), read_helpers(settings, links.upstreams.catalog, TOOL_NAMES)
    runner = Runner(settings, store, outbox, publisher, links.upstreams, instructing=helpers.instructed)
    running = RunningTurns(store, runner, links.peers)
    linked, quotas = VisitorLinks(LinkStore(pools.own)), QuotaStore(pools.own)
    refusals = Refusals()
    counting = Counting(settings, quotas, linked, refusals)
    starter = TurnStarter(store, runner, running, counting.quota_of)
    buckets, trips = Buckets(), TripQueries(pools.reader)
    throttle, keys, browsers = Throttle(settings, runner.counts, buckets), KeyStore(pools.own), LoginStore(pools.own)
    logins = Logins(browsers, StandingCredentials(browsers), throttle)
    listeners, accepting = Listeners(), Accepting(publisher, receipts)
    outcomes, looking = (
        Outcomes(settings, receipts, listeners, runner.recent),
        Looking(ChangeQueries(pools.admin), listeners, every_s=settings.event_looks_s),
    )
    sessions, tags = SessionQueries(pools.reader), TagQueries(pools.reader)
    session_tags = SessionTags(runner.recent, tags)
    turns, models = TurnReadings(pools.own), ModelQueries(pools.reader)
    responses = ResponseReadings(pools.own, pools.reader, store)
    openings, traces = SessionOpenings(pools.own), TraceQueries(pools.reader, pools.admin)
    own, memory = OwnSessions(turns, sessions, openings), Memory(pools.reader, turns, settings.context_bytes)
    catalog, lanes = links.upstreams.catalog, Lanes()
    conversation, room = Conversation(turns, MessageQueries(pools.reader)), Room(settings.read_bytes_at_once)
    allowed = AllowedModels(settings, catalog.is_listed)
    deletions, noted = DeletionStore(pools.own), NotedDeletions(pools.admin)
    announcing, unfit = Announcing(publisher, receipts, listeners), Unfit()
    deleting = Deleting(
        deletions, noted, store, running, publisher=publisher, receipts=receipts, announcing=announcing, unfit=unfit
    )
    history = QueueHistory(pools.own, pools.admin)
    recording = Recording(publisher, partial(database_clock, pools.admin), shows_bodies=settings.admins_read_bodies)
    shares, session_messages = ShareStore(pools.own), SessionMessages(own, conversation, room, lanes)
    registration = ModelRegistration(catalog, models, publisher, list_models, partial(Delays, 1.0, 60.0))
    posting = Posting(
        settings,
        store,
        turns,
        MessageQueries(pools.reader),
        openings,
        telling=runner.telling,
        receipts=receipts,
        buckets=buckets,
        catalog=catalog,
        quota_of=counting.quota_of,
    )
    ordering = Trips(
        settings,
        own,
        turns,
        OrderLimits(settings, buckets, trips),
        trips,
        TripQueries(pools.admin),
        publisher,
        accepting,
    )
    proposing = Proposing(settings, turns, trips, ProposalQueries(pools.reader), buckets, publisher, accepting)
    toolkit, waiting = Toolkit(ordering, proposing), WaitingTurns(pools.own)
    trip_lists = TripLists(turns, trips, SessionsWithoutTrip(sessions), lanes)
    subjects = (
        Authenticator(
            settings,
            TokenVerifier(settings),
            ApiKeys(StandingCredentials(keys), throttle),
            logins,
            linked,
        ),
        logins,
        Keys(keys),
        throttle,
        Chat(
            settings,
            starter,
            memory,
            session_tags,
            throttle=throttle,
            room=runner.room,
            models=allowed,
            catalog=catalog,
            helpers=helpers,
            recent=runner.recent,
            toolkit=toolkit,
            approving=Approving(
                settings.reachable_at,
                own,
                store,
                waiting,
                runner=runner,
                running=running,
                memory=memory,
                helpers=helpers,
                toolkit=toolkit,
            ),
        ),
        Answers(
            settings,
            V1Turns(
                settings,
                starter,
                store,
                memory,
                joining=Joining(runner.recent, pools.own, pools.reader),
                previous=PreviousTurns(pools.own, pools.reader, turns, room),
                responses=responses,
                room=runner.room,
                recent=runner.recent,
            ),
            session_tags,
            throttle=throttle,
            models=allowed,
            catalog=catalog,
        ),
        KeptResponses(responses),
        ListedModels(catalog, allowed, time.time()),
        RunningChat(own, store, running, throttle, runner.room),
        Sessions(own, turns, sessions, tags, receipts, lanes),
        Creating(
            own,
            openings,
            TemplateQueries(pools.reader),
            publisher,
            accepting,
            catalog=catalog,
            models=allowed,
            journeys=Journeys(posting, helpers.opening_message),
            quota_of=counting.quota_of,
        ),
        Changing(own, publisher, accepting),
        Bulk(own, publisher, accepting, deleting),
        Folders(FolderQueries(pools.reader), lanes),
        session_messages,
        Templates(TemplateQueries(pools.reader), publisher, accepting),
        Sharing(own, shares, announcing),
        SharedSessions(shares, session_messages, throttle),
        SharedWith(SharedQueries(pools.reader), shares, session_messages, announcing),
        Stats(own, StatsQueries(pools.reader), lanes),
        Forking(own, conversation, buckets, publisher, accepting, quotas=counting),
        GivingFeedback(own, conversation, publisher, accepting),
        posting,
        ordering,
        trip_lists,
        EverybodysTrips(trip_lists, TripQueries(pools.admin), SessionsWithoutTrip(SessionQueries(pools.admin))),
        proposing,
        Live(listeners, throttle, own),
        Traces(traces, lanes, recording),
        Reporting(traces, publisher, accepting),
        Models(catalog, models, accepting),
        Reserving(catalog, models, ReservedQueries(pools.reader), accepting, buckets),
        Comparing(ComparisonQueries(pools.reader, pools.admin), lanes),
        helpers,
        Webhooks(settings, publisher, SignedSenders(settings)),
        SessionDeletion(own, deleting),
        Erasing(deleting, ErasureStates(pools.own, noted)),
        Exporting(
            partial(read_page, pools.reader),
            LinkStore(pools.own),
            ExportPlaces(settings.exports_at_once),
            lanes,
            room,
        ),
        Frontend.of(settings, catalog, allowed),
        DeadLetters(DeadLetterQueries(pools.admin), publisher, accepting),
        Deliveries(DeliveryQueries(pools.admin), accepting),
        recording,
        Reads(ReadQueries(pools.admin)),
        UserQuotas(quotas, counting),
        refusals,
        EverybodysSessions(EverybodysSessionQueries(pools.admin, pools.reader)),
        EverybodysMessages(EverybodysMessageQueries(pools.admin), room),
        Users(settings, UserQueries(pools.admin), RefusedUserQueries(pools.admin)),
        QueueViews(publisher, history),
    )
    letters = DeadLetterCensus(DeadLetterQueries(pools.admin))
    census = Census(TurnCensus(pools.own).count, letters.count, QueueCensus(publisher, history.note).count)
    api = create_api(settings, subjects, ask)
    relay = Relay(store, outbox, publisher, runner.telling, unfit, lost_after_s=settings.lost_after_s)
    sweeps = DeletionSweeper(deletions, SweepStore(pools.own), noted, store, deleting)
    sessions_go = session_retiring(
        OldSessions(pools.admin), ProposalStore(pools.own), deleting, publisher, settings.sessions_kept_days
    )
    old = {"old sessions": sessions_go.work, **retention_jobs(pools.own, settings, (TURNS,)), **trimming(pools.own)}
    closing = {"unanswered turns": Unanswered(waiting, runner.telling, unfit).close}
    sweeper = sweeping(pools.own, Sweeper(store, running, unfit), relay, {**sweeps.jobs(), **old, **closing})
    drift = DriftCensus(pools.admin, lambda: sweeper.leads)
    return Gateway(
        runner, sweeper, outcomes, looking, census, drift, registration, counting, handed_over(api, Documents), api
    )
