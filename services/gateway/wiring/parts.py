"""What several subjects work with, made once."""

from dataclasses import dataclass
from functools import partial

from services.gateway.account.limits.buckets import Buckets
from services.gateway.account.limits.counting import Counting
from services.gateway.account.limits.lanes import Lanes
from services.gateway.account.limits.quota_store import QuotaStore
from services.gateway.account.limits.refusals import Refusals
from services.gateway.account.limits.throttle import Throttle
from services.gateway.account.recording import Recording, database_clock
from services.gateway.account.visitors.links import VisitorLinks
from services.gateway.account.visitors.store import LinkStore
from services.gateway.admin.queues.history import QueueHistory
from services.gateway.deletion.deleting import Deleting
from services.gateway.deletion.noted import NotedDeletions
from services.gateway.deletion.store import DeletionStore
from services.gateway.helpers.configured import read_helpers
from services.gateway.http.held.room import Room
from services.gateway.live.listeners import Listeners
from services.gateway.model.asking.upstreams import Upstreams
from services.gateway.models.allowed import AllowedModels
from services.gateway.models.queries import ModelQueries, TagQueries
from services.gateway.sessions.messages.conversation import Conversation
from services.gateway.sessions.messages.posting import Posting
from services.gateway.sessions.messages.queries import MessageQueries
from services.gateway.sessions.openings import SessionOpenings
from services.gateway.sessions.own_session import OwnSessions
from services.gateway.sessions.queries import SessionQueries
from services.gateway.tools.names import TOOL_NAMES
from services.gateway.turns.elsewhere.peers import Peers
from services.gateway.turns.here.runner import Runner
from services.gateway.turns.running import RunningTurns
from services.gateway.turns.stored.outbox import Outbox
from services.gateway.turns.stored.readings import TurnReadings
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.stored.unfit import Unfit
from services.gateway.turns.stored.waiting import WaitingTurns
from services.gateway.writes.accept import Accepting
from services.gateway.writes.announcing import Announcing
from services.gateway.writes.receipts import Receipts
from shared.database import Pool
from shared.publishing.publisher import Publisher
from shared.settings import Settings


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


class Parts:
    """What is there once, in the order in which one is made of the other."""

    def __init__(self, settings: Settings, pools: Pools, links: Links) -> None:
        self.settings, self.pools = settings, pools
        self.publisher, self.upstreams, self.catalog = links.publisher, links.upstreams, links.upstreams.catalog
        self.lanes, self.room, self.buckets = Lanes(), Room(settings.read_bytes_at_once), Buckets()
        self.receipts, self.listeners, self.unfit = Receipts(), Listeners(), Unfit()
        self.accepting = Accepting(self.publisher, self.receipts)
        self.announcing = Announcing(self.publisher, self.receipts, self.listeners)
        self.allowed = AllowedModels(settings, self.catalog.is_listed)
        self.helpers = read_helpers(settings, self.catalog, TOOL_NAMES)

        self.store, self.outbox = TurnStore(pools.own), Outbox(pools.own, pools.admin)
        self.runner = Runner(
            settings, self.store, self.outbox, self.publisher, links.upstreams, instructing=self.helpers.instructed
        )
        self.running = RunningTurns(self.store, self.runner, links.peers)
        self.throttle, self.refusals = Throttle(settings, self.runner.counts, self.buckets), Refusals()
        self.linked, self.quotas = VisitorLinks(LinkStore(pools.own)), QuotaStore(pools.own)
        self.counting = Counting(settings, self.quotas, self.linked, self.refusals)

        self.turns, self.messages = TurnReadings(pools.own), MessageQueries(pools.reader)
        self.openings, self.sessions = SessionOpenings(pools.own), SessionQueries(pools.reader)
        self.own = OwnSessions(self.turns, self.sessions, self.openings)
        self.conversation = Conversation(self.turns, self.messages)
        self.tags, self.models = TagQueries(pools.reader), ModelQueries(pools.reader)
        self.posting = Posting(
            settings,
            self.store,
            self.turns,
            self.messages,
            telling=self.runner.telling,
            receipts=self.receipts,
            buckets=self.buckets,
            catalog=self.catalog,
            quota_of=self.counting.quota_of,
        )

        self.deletions, self.noted = DeletionStore(pools.own), NotedDeletions(pools.admin)
        self.deleting = Deleting(
            self.deletions,
            self.noted,
            self.store,
            self.running,
            publisher=self.publisher,
            receipts=self.receipts,
            announcing=self.announcing,
            unfit=self.unfit,
        )
        self.recording = Recording(
            self.publisher, partial(database_clock, pools.admin), shows_bodies=settings.admins_read_bodies
        )
        self.waiting, self.history = WaitingTurns(pools.own), QueueHistory(pools.own, pools.admin)
