"""Sessions, and what people keep with them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.gateway.account.projects import Projects, sees
from services.gateway.http.requests.cursors import Place
from services.gateway.http.requests.fields import Json
from services.gateway.sessions.beginning.templates import TemplateRow
from services.gateway.sessions.finding.filters import SessionFilter
from services.gateway.sessions.finding.searching import Found
from services.gateway.sessions.messages.stats_queries import Counts, MessageCounts, TokenCounts, WordCounts
from services.gateway.sessions.openings import Opening
from services.gateway.sessions.view import SessionFacts
from services.gateway.turns.past.said import Glimpse
from shared.search_words import words_of
from tests.service.gateway.fakes.stored import Stored


class FakeSessions:
    def __init__(self, world: Stored) -> None:
        self._world = world

    async def facts(self, user_ids: Sequence[str], session_id: str) -> list[SessionFacts]:
        return await self.facts_of([(user_id, session_id) for user_id in user_ids])

    async def existing(self, user_ids: Sequence[str], session_ids: Sequence[str]) -> set[tuple[str, str]]:
        known = {facts.key for facts in self._world.sessions}
        return known & {(user_id, session_id) for user_id in user_ids for session_id in session_ids}

    async def facts_of(self, keys: Sequence[tuple[str, str]]) -> list[SessionFacts]:
        self._world.most_looked_up = max(self._world.most_looked_up, len(keys))
        return [self._known(*key) for key in keys]

    async def chosen(
        self, user_ids: Sequence[str], turns: Sequence[Glimpse], _stored: object, *, opened_by: Sequence[str] = ()
    ) -> list[SessionFacts]:
        fresh = {(turn.user_id, turn.session_id): None for turn in turns}
        own = {facts.key: None for facts in self._world.sessions if facts.user_id in user_ids}
        return [self._known(*key) for key in fresh | own]

    async def page(
        self,
        user_ids: Sequence[str],
        wanted: SessionFilter,
        limit: int,
        before: Place | None,
        turns: Sequence[Glimpse],
    ) -> list[SessionFacts]:
        fresh = [self._known(turn.user_id, turn.session_id) for turn in turns]
        own = (facts.key for facts in self._world.sessions if facts.user_id in user_ids)
        return [*fresh, *(self._known(*key) for key in own)]

    async def found(
        self,
        user_ids: Sequence[str],
        wanted: SessionFilter,
        limit: int,
        before: Place | None,
        turns: Sequence[Glimpse],
    ) -> tuple[list[SessionFacts], Found]:
        assert wanted.search is not None
        stored = [facts for facts in await self.page(user_ids, wanted, limit, before, ()) if facts.stored]
        words = {word.text for word in wanted.search.words()}
        facts = [each for each in stored if each.stored and words <= set(words_of(each.stored.title or ""))]
        return facts, {each.key: None for each in facts}

    async def texts(self, user_ids: Sequence[str], found: Found) -> dict[tuple[str, str], str]:
        return {}

    def _known(self, user_id: str, session_id: str) -> SessionFacts:
        found = (facts for facts in self._world.sessions if facts.key == (user_id, session_id))
        return replace(next(found, SessionFacts(user_id, session_id)), read_at=datetime.now(UTC))


class FakeOpenings:
    def __init__(self, world: Stored) -> None:
        self._world = world

    async def take(
        self,
        user_id: str,
        body_hash: bytes,
        session_id: str,
        event_id: UUID,
        *,
        opening: Json,
        quota: Json | None = None,
    ) -> Opening:
        new = Opening(user_id, session_id, event_id, datetime.now(UTC), opening)
        known = self._world.openings.setdefault((user_id, body_hash), new)
        if known.session_id != session_id and new.accepted_at - known.accepted_at > timedelta(seconds=2):
            known = self._world.openings[user_id, body_hash] = new
        return known

    async def find(self, keys: Sequence[tuple[str, str]]) -> list[Opening]:
        return [known for known in self._world.openings.values() if (known.user_id, known.session_id) in keys]

    async def withdraw(self, user_id: str, event_id: UUID, quota: Json | None = None) -> None:
        self._world.openings = {key: known for key, known in self._world.openings.items() if known.event_id != event_id}


class FakeFolders:
    def __init__(self, world: Stored) -> None:
        self._world = world

    async def counts(self, user_ids: Sequence[str], projects: Projects) -> Counter[tuple[str, str]]:
        own = [known.stored for known in self._world.sessions if known.user_id in user_ids and known.stored]
        folders = (("folder", row.folder) for row in own if row.folder is not None)
        return Counter([*folders, *(("label", label) for row in own for label in row.labels)])


class FakeTemplates:
    def __init__(self, world: Stored) -> None:
        self._world = world

    async def find(self, user_ids: Sequence[str], projects: Projects, template_id: UUID) -> TemplateRow | None:
        own = await self.page(user_ids, projects, len(self._world.templates), None)
        return next((row for row in own if row.template_id == template_id), None)

    async def page(
        self, user_ids: Sequence[str], projects: Projects, limit: int, before: str | None
    ) -> list[TemplateRow]:
        rows = sorted(self._world.templates.values(), key=lambda row: row.template_id, reverse=True)
        own = (row for row in rows if row.user_id in user_ids and sees(projects, row.template.get("project_id")))
        return [row for row in own if before is None or str(row.template_id) < before][:limit]

    async def now(self) -> datetime:
        return datetime.now(UTC)


class FakeStats:
    def __init__(self, world: Stored) -> None:
        self._world = world

    async def of(self, user_id: str, session_id: str) -> Counts:
        count = len(self._world.messages)
        return Counts(
            messages=MessageCounts(user=count, assistant=0, system=0, tool=0, total=count),
            words=WordCounts(user=0, assistant=0, total=0),
            tool_calls={},
            tokens=TokenCounts(input=0, output=0, total=0, estimated=False),
            turns=0,
            first_at=None,
            last_at=None,
            duration_s=0,
            answering_s=0,
            is_complete=True,
        )
