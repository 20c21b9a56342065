"""Sessions, their messages, and what people do with them."""

from typing import cast

from services.gateway.live.routes import Live
from services.gateway.sessions.beginning.creating import Creating
from services.gateway.sessions.beginning.forking import Forking
from services.gateway.sessions.beginning.journey import Journeys
from services.gateway.sessions.beginning.template_routes import Templates
from services.gateway.sessions.beginning.templates import TemplateQueries
from services.gateway.sessions.edits.bulk import Bulk
from services.gateway.sessions.edits.changing import Changing
from services.gateway.sessions.edits.deleting import SessionDeletion
from services.gateway.sessions.finding.folders import FolderQueries, Folders
from services.gateway.sessions.messages.feedback import GivingFeedback
from services.gateway.sessions.messages.routes import SessionMessages
from services.gateway.sessions.messages.stats import Stats
from services.gateway.sessions.messages.stats_queries import StatsQueries
from services.gateway.sessions.routes import Sessions
from services.gateway.sessions.sharing.giving import Sharing
from services.gateway.sessions.sharing.queries import SharedQueries
from services.gateway.sessions.sharing.shared_session import SharedSessions
from services.gateway.sessions.sharing.shared_with import SharedWith
from services.gateway.sessions.sharing.store import ShareStore
from tests.service.gateway.fakes.conversations.sessions import FakeFolders, FakeStats, FakeTemplates
from tests.service.gateway.fakes.conversations.shares import FakeSharedRows, FakeShares
from tests.service.gateway.fakes.live import BriefListeners
from tests.service.gateway.fakes.wiring.parts import Parts


def sessions(parts: Parts) -> tuple[object, ...]:
    world, own, publisher, accepting = parts.world, parts.own, parts.publisher, parts.accepting
    rows = FakeShares(world)
    shares, shared = cast(ShareStore, rows), cast(SharedQueries, FakeSharedRows(rows))
    messages = SessionMessages(own, parts.conversation, parts.room, parts.lanes)
    templates = cast(TemplateQueries, FakeTemplates(world))
    creating = Creating(
        own,
        parts.openings,
        templates,
        publisher,
        accepting,
        catalog=parts.catalog,
        models=parts.allowed,
        journeys=Journeys(parts.posting, lambda helper: world.first_words.get(helper or "")),
        quota_of=parts.counting.quota_of,
    )
    return (
        Sessions(own, parts.turns, parts.sessions, parts.tags, world.receipts, parts.lanes),
        creating,
        Changing(own, publisher, accepting),
        Bulk(own, publisher, accepting, parts.deleting),
        Folders(cast(FolderQueries, FakeFolders(world)), parts.lanes),
        messages,
        Templates(templates, publisher, accepting),
        Sharing(own, shares, parts.announcing),
        SharedSessions(shares, messages, parts.throttle),
        SharedWith(shared, shares, messages, parts.announcing),
        Stats(own, cast(StatsQueries, FakeStats(world)), parts.lanes),
        Forking(own, parts.conversation, parts.buckets, publisher, accepting, quotas=parts.counting),
        GivingFeedback(own, parts.conversation, publisher, accepting),
        parts.posting,
        SessionDeletion(own, parts.deleting),
        Live(BriefListeners(), parts.throttle, own),
        parts.announcing,
    )
