"""What administrators see."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.gateway.account.limits.quota import Quota, Usage
from services.gateway.admin.conversations.message_queries import MessageFilter, Weighed
from services.gateway.admin.conversations.read_queries import Read, ReadFilter
from services.gateway.admin.conversations.session_queries import EverybodysFilter
from services.gateway.admin.conversations.session_queries import Shown as ShownSession
from services.gateway.admin.dead_letters.answers import DeadLetter, Parked
from services.gateway.admin.deliveries.answers import Delivery, WholeDelivery
from services.gateway.admin.deliveries.queries import DeliveryFilter
from services.gateway.admin.looking import Looked
from services.gateway.admin.queues.history import Minute
from services.gateway.admin.users.queries import User
from services.gateway.http.requests.cursors import Place
from services.gateway.sessions.view import show_session
from services.gateway.turns.past.history import HistoryMessage
from shared.events import ConversationRead
from tests.pure.gateway.samples import NOON
from tests.service.gateway.fakes.stored import Stored


class FakeDeliveries:
    def __init__(self, world: Stored) -> None:
        self._world = world

    async def page(self, which: DeliveryFilter, **_: Any) -> list[tuple[Place, Delivery]]:
        found = [each for each in self._world.deliveries.values() if which.state in (None, each.state)]
        return [((each.received_at, str(each.id)), Delivery(**dict(each))) for each in found]

    async def find(self, delivery_id: UUID) -> WholeDelivery | None:
        return self._world.deliveries.get(delivery_id)


class FakeEverybodysSessions:
    """As their owners see them, without what is asked for."""

    def __init__(self, world: Stored) -> None:
        self._world = world

    async def page(self, wanted: EverybodysFilter, limit: int, before: Place | None) -> Looked[ShownSession]:
        views = [view for each in self._world.sessions if (view := show_session(each, ())) is not None]
        shown = [ShownSession(view.user_id, view.session, "m1" if wanted.search else None) for view in views]
        return Looked([((each.session.last_activity_at, f"{each.session.id}/{each.user_id}"), each) for each in shown])

    async def texts(self, found: Mapping[tuple[str, str], str | None]) -> dict[tuple[str, str], str]:
        return dict.fromkeys(found, "what was said of Paris")


class FakeEverybodysMessages:
    def __init__(self, world: Stored) -> None:
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


class FakeUsers:
    def __init__(self, world: Stored) -> None:
        self._world = world

    async def page(self, limit: int, before: Place | None, *_: Any) -> Looked[User]:
        return Looked([((NOON, f"s1/{each}"), self._user(each)) for each in self._known()][:limit])

    async def find(self, user_id: str) -> User | None:
        return self._user(user_id) if user_id in self._known() else None

    def _known(self) -> list[str]:
        return list(dict.fromkeys(each.user_id for each in self._world.sessions))

    def _user(self, user_id: str) -> User:
        return User(user_id, NOON, None, (), 0, Quota(), Usage(day=NOON.date()))


class FakeRefusedUsers:
    """Nobody was refused."""

    async def page(self, *_: Any) -> list[tuple[Place, User]]:
        return []


class FakeQueueHistory:
    async def read(self) -> tuple[datetime, list[Minute]]:
        return NOON, [Minute("logger.chat", NOON, 3, 1, NOON - timedelta(seconds=30))]


class FakeReads:
    def __init__(self, world: Stored) -> None:
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


class FakeDeadLetters:
    def __init__(self, world: Stored) -> None:
        self._world = world

    async def page(self, *_: Any) -> list[tuple[Place, DeadLetter]]:
        letters = [parked.letter for parked in self._world.parked.values()]
        return [((letter.received_at, str(letter.id)), letter) for letter in letters]

    async def find(self, dead_letter_id: UUID) -> Parked | None:
        return self._world.parked.get(dead_letter_id)
