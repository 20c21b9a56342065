"""What administrators see and decide, and what others post to us."""

from typing import cast

from services.gateway.admin.delivery_queries import DeliveryQueries
from services.gateway.admin.delivery_routes import Deliveries
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
from services.gateway.webhooks.routes import Webhooks
from services.gateway.webhooks.senders import SignedSenders
from tests.service.gateway.fakes import admin as fakes
from tests.service.gateway.fakes.wiring.parts import Parts


def admin(parts: Parts) -> tuple[object, ...]:
    world, settings = parts.world, parts.settings
    users = cast(UserQueries, fakes.FakeUsers(world)), cast(RefusedUserQueries, fakes.FakeRefusedUsers())
    letters = cast(DeadLetterQueries, fakes.FakeDeadLetters(world))
    messages = cast(EverybodysMessageQueries, fakes.FakeEverybodysMessages(world))
    return (
        Webhooks(settings, parts.publisher, SignedSenders(settings)),
        DeadLetters(letters, parts.publisher, parts.accepting),
        Deliveries(cast(DeliveryQueries, fakes.FakeDeliveries(world)), parts.accepting),
        parts.recording,
        Reads(cast(ReadQueries, fakes.FakeReads(world))),
        UserQuotas(parts.quotas, parts.counting),
        EverybodysSessions(cast(EverybodysSessionQueries, fakes.FakeEverybodysSessions(world))),
        EverybodysMessages(messages, parts.room),
        Users(settings, *users),
        QueueViews(parts.publisher, cast(QueueHistory, fakes.FakeQueueHistory())),
    )
