"""What administrators see and decide, and what others post to us."""

from services.gateway.admin.delivery_queries import DeliveryQueries
from services.gateway.admin.delivery_routes import Deliveries
from services.gateway.admin.message_queries import EverybodysMessageQueries
from services.gateway.admin.message_routes import EverybodysMessages
from services.gateway.admin.queries import DeadLetterQueries
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
