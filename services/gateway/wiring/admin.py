"""What administrators see and decide, and what others post to us."""

from services.gateway.admin.conversations.message_queries import EverybodysMessageQueries
from services.gateway.admin.conversations.message_routes import EverybodysMessages
from services.gateway.admin.conversations.read_queries import ReadQueries
from services.gateway.admin.conversations.read_routes import Reads
from services.gateway.admin.conversations.session_queries import EverybodysSessionQueries
from services.gateway.admin.conversations.session_routes import EverybodysSessions
from services.gateway.admin.dead_letters.queries import DeadLetterQueries
from services.gateway.admin.dead_letters.routes import DeadLetters
from services.gateway.admin.deliveries.queries import DeliveryQueries
from services.gateway.admin.deliveries.routes import Deliveries
from services.gateway.admin.queues.routes import QueueViews
from services.gateway.admin.users.queries import UserQueries
from services.gateway.admin.users.quota_routes import UserQuotas
from services.gateway.admin.users.refused_users import RefusedUserQueries
from services.gateway.admin.users.routes import Users
from services.gateway.webhooks.routes import Webhooks
from services.gateway.webhooks.senders import SignedSenders
from services.gateway.wiring.parts import Parts


def admin(parts: Parts) -> tuple[object, ...]:
    pool, settings = parts.pools.admin, parts.settings
    return (
        Webhooks(settings, parts.publisher, SignedSenders(settings)),
        DeadLetters(DeadLetterQueries(pool), parts.publisher, parts.accepting),
        Deliveries(DeliveryQueries(pool), parts.accepting),
        parts.recording,
        Reads(ReadQueries(pool)),
        UserQuotas(parts.quotas, parts.counting),
        EverybodysSessions(EverybodysSessionQueries(pool, parts.pools.reader)),
        EverybodysMessages(EverybodysMessageQueries(pool), parts.room),
        Users(settings, UserQueries(pool), RefusedUserQueries(pool)),
        QueueViews(parts.publisher, parts.history),
    )
