"""Credentials, browsers that are signed in, visitors' links and quotas."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from services.gateway.account.keys.store import ApiKey
from services.gateway.account.limits.quota import Quota, QuotaOf, Usage
from services.gateway.account.logins.links import LoginLink
from services.gateway.account.logins.store import LASTS_S
from services.gateway.account.projects import Projects
from services.gateway.account.rights import Role
from services.gateway.account.standing import Standing
from services.gateway.account.tokens.claims import Identity
from services.gateway.http.requests.cursors import Place
from shared import ids
from shared.errors import DatabaseAway
from tests.pure.gateway.samples import NOON
from tests.service.gateway.fakes.stored import Stored


class FakeKeyStore:
    """As `KeyStore`, of the world's keys."""

    def __init__(self, world: Stored) -> None:
        self._world = world

    def _stands(self, digest: bytes) -> bool:
        owner, key = self._world.keys[digest]
        ends = key.expires_at
        return key.revoked_at is None and (ends is None or ends > datetime.now(UTC)) and owner not in self._world.erased

    def _ask(self, what: str) -> None:
        if self._world.reads_fail:
            raise DatabaseAway
        self._world.keys_asked.append(what)

    async def find(self, digest: bytes) -> Standing | None:
        self._ask("find")
        if digest not in self._world.keys or not self._stands(digest):
            return None
        owner, key = self._world.keys[digest]
        ends = key.expires_at.timestamp() if key.expires_at else 2**53
        return Standing(key.key_id, Identity(owner, key.role, key.projects, ends), key.last_used_at is not None)

    async def standing(self, digests: Sequence[bytes]) -> set[bytes]:
        self._ask("standing")
        return {digest for digest in digests if digest in self._world.keys and self._stands(digest)}

    async def stands(self, credential_id: UUID) -> bool:
        digests = [digest for digest, (_, key) in self._world.keys.items() if key.key_id == credential_id]
        return any(map(self._stands, digests))

    async def note_use(self, digests: Sequence[bytes]) -> None:
        self._ask("note")
        for digest in digests:
            owner, key = self._world.keys[digest]
            self._world.keys[digest] = owner, replace(key, last_used_at=datetime.now(UTC))

    async def add(
        self, key_id: UUID, digest: bytes, user_id: str, given: tuple[str, Role, Projects], expires_at: datetime
    ) -> tuple[ApiKey, bool]:
        known = next((key for _, key in self._world.keys.values() if key.key_id == key_id), None)
        if known is not None:
            return known, False
        key = ApiKey(key_id, *given, datetime.now(UTC), expires_at, None, None)
        self._world.keys[digest] = user_id, key
        return key, True

    def _of(self, user_id: str, projects: Projects) -> list[ApiKey]:
        mine = (key for owner, key in self._world.keys.values() if owner == user_id)
        return [
            key for key in mine if projects is None or (key.projects is not None and {*key.projects} <= {*projects})
        ]

    async def page(
        self, user_id: str, projects: Projects, limit: int, before: Place | None
    ) -> Sequence[tuple[Place, ApiKey]]:
        places = [((key.created_at, str(key.key_id)), key) for key in self._of(user_id, projects)]
        return sorted((each for each in places if before is None or each[0] < before), reverse=True)[:limit]

    async def revoke(self, user_id: str, projects: Projects, key_id: UUID) -> ApiKey | None:
        key = next((key for key in self._of(user_id, projects) if key.key_id == key_id), None)
        if key is None:
            return None
        revoked = replace(key, revoked_at=key.revoked_at or datetime.now(UTC))
        digest = next(digest for digest, (_, each) in self._world.keys.items() if each is key)
        self._world.keys[digest] = user_id, revoked
        return revoked


class FakeLoginStore:
    """As `LoginStore`, of the world's browsers."""

    def __init__(self, world: Stored) -> None:
        self._world = world

    async def open(self, link: LoginLink, digest: bytes) -> bool:
        if link.digest in self._world.used_links or link.user_id in self._world.erased:
            return False
        self._world.used_links.add(link.digest)
        identity = Identity(link.user_id, link.role, None, time.time() + LASTS_S)
        self._world.browsers[digest] = Standing(ids.new_id(), identity, is_noted=True)
        return True

    async def end(self, digest: bytes) -> None:
        self._world.browsers.pop(digest, None)

    async def end_all(self, user_id: str) -> int:
        theirs = [digest for digest, each in self._world.browsers.items() if each.identity.user_id == user_id]
        for digest in theirs:
            del self._world.browsers[digest]
        return len(theirs)

    async def renew(self, digest: bytes) -> bool:
        standing = await self.find(digest)
        if standing is None:
            return False
        identity = replace(standing.identity, expires_at=time.time() + LASTS_S)
        self._world.browsers[digest] = replace(standing, identity=identity)
        return True

    async def find(self, digest: bytes) -> Standing | None:
        standing = self._world.browsers.get(digest)
        return standing if standing and standing.identity.expires_at > time.time() else None

    async def standing(self, digests: Sequence[bytes]) -> set[bytes]:
        return {digest for digest in digests if await self.find(digest)}

    async def stands(self, credential_id: UUID) -> bool:
        return credential_id in {each.id for each in self._world.browsers.values()}

    async def note_use(self, digests: Sequence[bytes]) -> None:
        raise AssertionError("nothing is noted of browsers")


class FakeLinkStore:
    """As `LinkStore`, of the world's links."""

    def __init__(self, world: Stored) -> None:
        self._world = world

    async def of(self, user_id: str) -> tuple[str, ...]:
        if self._world.links_away:
            raise ConnectionRefusedError
        return tuple(visitor for visitor, user in self._world.linked.items() if user == user_id)

    async def owner_of(self, visitor_id: str) -> str | None:
        return self._world.linked.get(visitor_id)

    async def link(self, visitor_id: str, user_id: str) -> str | None:
        return self._world.linked.setdefault(visitor_id, user_id)

    async def heard(self, visitor_ids: Collection[str], since: datetime | None) -> tuple[Mapping[str, str], datetime]:
        if self._world.links_away:
            raise ConnectionRefusedError
        return dict(self._world.linked), datetime.now(UTC)


class FakeQuotas:
    def __init__(self, world: Stored) -> None:
        self._quotas = world.quotas

    async def said(self, since: datetime | None) -> tuple[list[QuotaOf], datetime]:
        return [QuotaOf(user_id, quota, NOON) for user_id, quota in self._quotas.items()], NOON

    async def set(self, user_id: str, changes: Mapping[str, int | None]) -> Quota:
        self._quotas[user_id] = replace(self._quotas.get(user_id, Quota()), **changes)
        return self._quotas[user_id]

    async def today(self, user_id: str) -> Usage:
        return Usage(NOON.date())
