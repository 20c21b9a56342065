"""Models and tags."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from services.gateway.http.requests.cursors import Place
from services.gateway.models.answers import Model, ReservedTag, Tag
from tests.pure.gateway.samples import NOON
from tests.service.gateway.fakes.stored import Stored


class FakeModelQueries:
    def __init__(self, world: Stored) -> None:
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


class FakeTags:
    def __init__(self, world: Stored) -> None:
        self._world = world

    async def of_session(self, user_ids: Sequence[str], session_id: str) -> Tag | None:
        if self._world.reads_fail:
            raise ConnectionRefusedError
        own = (facts for facts in self._world.sessions if facts.user_id in user_ids and facts.session_id == session_id)
        return next((facts.tag for facts in own), None)


class FakeReserved:
    def __init__(self, world: Stored) -> None:
        self._world = world

    async def of_sessions(self, user_id: str, session_ids: Sequence[str]) -> tuple[datetime, list[ReservedTag]]:
        tags = {facts.session_id: facts.tag for facts in self._world.sessions if facts.user_id == user_id and facts.tag}
        found = [(each, tags[each]) for each in session_ids if each in tags]
        return NOON, [
            ReservedTag(session_id=each, session_tag=tag.session_tag, counter=tag.counter) for each, tag in found
        ]
