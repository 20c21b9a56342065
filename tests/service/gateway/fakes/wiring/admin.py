"""What administrators see and decide, and what others post to us."""

from typing import cast

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
from services.gateway.admin.queues.history import QueueHistory
from services.gateway.admin.queues.routes import QueueViews
from services.gateway.admin.users.queries import UserQueries
from services.gateway.admin.users.quota_routes import UserQuotas
from services.gateway.admin.users.refused_users import RefusedUserQueries
from services.gateway.admin.users.routes import Users
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
