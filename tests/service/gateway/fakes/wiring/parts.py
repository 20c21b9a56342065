"""What several subjects work with, made once."""

from datetime import UTC, datetime
from typing import cast

from services.gateway.account.limits.buckets import Buckets
from services.gateway.account.limits.counting import Counting
from services.gateway.account.limits.quota_store import QuotaStore
from services.gateway.account.limits.throttle import Throttle
from services.gateway.account.recording import Recording
from services.gateway.account.visitors.links import VisitorLinks
from services.gateway.account.visitors.store import LinkStore
from services.gateway.deletion.deleting import Deleting
from services.gateway.helpers.configured import read_helpers
from services.gateway.http.held.room import Room
from services.gateway.model.configured.catalog import read_catalog
from services.gateway.models.allowed import AllowedModels
from services.gateway.models.queries import ModelQueries, TagQueries
from services.gateway.sessions.messages.conversation import Conversation
from services.gateway.sessions.messages.posting import Posting
from services.gateway.sessions.messages.queries import MessageQueries
from services.gateway.sessions.openings import SessionOpenings
from services.gateway.sessions.own_session import OwnSessions
from services.gateway.sessions.queries import SessionQueries
from services.gateway.tools.names import TOOL_NAMES
from services.gateway.turns.here.counts import TurnCounts
from services.gateway.turns.stored.readings import TurnReadings
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.told.telling import Telling
from services.gateway.writes.accept import Accepting
from services.gateway.writes.announcing import Announcing
from shared.publishing.publisher import Publisher
from tests.service.gateway.fakes.account import FakeLinkStore, FakeQuotas
from tests.service.gateway.fakes.conversations.messages import FakeMessages
from tests.service.gateway.fakes.conversations.sessions import FakeOpenings, FakeSessions
from tests.service.gateway.fakes.deletion import FakeDeleting
from tests.service.gateway.fakes.models import FakeModelQueries, FakeTags
from tests.service.gateway.fakes.publisher import FakePublisher
from tests.service.gateway.fakes.stored import Stored
from tests.service.gateway.fakes.turns import FakeTelling, FakeTurnReadings, FakeTurnStore


class Parts:
    """What is there once, in the order in which one is made of the other."""

    def __init__(self, world: Stored) -> None:
        self.world, self.settings = world, world.settings
        self.publisher = cast(Publisher, FakePublisher(world))
        self.lanes, self.room, self.buckets = world.lanes, Room(self.settings.read_bytes_at_once), Buckets()
        self.accepting, self.announcing = Accepting(self.publisher, world.receipts), Announcing(self.publisher)
        self.catalog = read_catalog(self.settings)
        self.allowed = AllowedModels(self.settings, self.catalog.is_listed)
        self.helpers = read_helpers(self.settings, self.catalog, TOOL_NAMES)

        self.store = cast(TurnStore, FakeTurnStore(world))
        self.throttle = Throttle(self.settings, TurnCounts(), self.buckets)
        self.links, self.quotas = cast(LinkStore, FakeLinkStore(world)), cast(QuotaStore, FakeQuotas(world))
        self.linked = VisitorLinks(self.links)
        self.counting = Counting(self.settings, self.quotas, self.linked, world.refusals)

        self.turns = cast(TurnReadings, FakeTurnReadings(world))
        self.messages = cast(MessageQueries, FakeMessages(world))
        self.openings = cast(SessionOpenings, FakeOpenings(world))
        self.sessions = cast(SessionQueries, FakeSessions(world))
        self.own = OwnSessions(self.turns, self.sessions, self.openings)
        self.conversation = Conversation(self.turns, self.messages)
        self.tags, self.models = cast(TagQueries, FakeTags(world)), cast(ModelQueries, FakeModelQueries(world))
        self.posting = Posting(
            self.settings,
            self.store,
            self.turns,
            self.messages,
            telling=cast(Telling, FakeTelling(world)),
            receipts=world.receipts,
            buckets=self.buckets,
            catalog=self.catalog,
            quota_of=self.counting.quota_of,
        )

        self.deleting = cast(Deleting, FakeDeleting(world))
        self.recording = Recording(self.publisher, _clock, shows_bodies=self.settings.admins_read_bodies)


async def _clock() -> datetime:
    return datetime.now(UTC)
