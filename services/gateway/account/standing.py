"""Credentials that say nothing by themselves: each is a row, found by its hash, and stands until somebody ends it.

A gateway remembers those that are in use, and asks of all of them together, at most every `ASKED_EVERY_S`, which still
stand: so one that was ended counts nowhere half a second later, by the database's word alone, and a request costs no
query of its own. While the database cannot be asked, nobody is let in by what is remembered.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol
from uuid import UUID

import structlog

from services.gateway.account.tokens.claims import Identity
from shared.broker.connection import describe
from shared.database import DATABASE_ERRORS

ASKED_EVERY_S = 0.5
FORGOTTEN_S = 60.0  # of disuse
MOST_REMEMBERED = 4096
NOTED_EVERY_S = 3600.0  # that one is in use

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Standing:
    """Credentials that stand."""

    id: UUID
    identity: Identity
    is_noted: bool  # that they are used, in the last hour, where that is noted


class Rows(Protocol):
    """Where they are kept; each of these asks by the database's clock."""

    async def find(self, digest: bytes) -> Standing | None:
        """Return what stands by this hash."""

    async def standing(self, digests: Sequence[bytes]) -> set[bytes]:
        """Return which of these stand."""

    async def stands(self, credential_id: UUID) -> bool:
        """Tell whether these stand."""

    async def note_use(self, digests: Sequence[bytes]) -> None:
        """Note that these are in use."""


@dataclass
class _Remembered:
    standing: Standing
    asked_at: float  # when the question began that it was the answer to
    used_at: float
    noted_at: float


class StandingCredentials:
    """What one gateway knows of them."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._remembered: dict[bytes, _Remembered] = {}  # the oldest first
        self._asking: asyncio.Task[None] | None = None
        self._used: set[bytes] = set()  # and not noted yet
        self._noting: asyncio.Task[None] | None = None

    def remembered(self, digest: bytes) -> Standing | None:
        """Return what stood a moment ago, without asking; for who only wants to name it."""
        known = self._remembered.get(digest)
        return known.standing if known else None

    def forget(self, digest: bytes) -> None:
        """Look anew the next time: what is remembered is not so any more."""
        self._remembered.pop(digest, None)

    async def find(self, digest: bytes) -> Standing | None:
        """Return what stands by this hash."""
        known = self._remembered.get(digest)
        if known is not None and monotonic() - known.asked_at > ASKED_EVERY_S:
            await self._ask_once()
            known = self._remembered.get(digest)
        if known is None:
            began = monotonic()
            standing = await self._rows.find(digest)
            if standing is None:
                return None
            known = self._remember(digest, standing, began)
        self._note(digest, known)
        return known.standing

    async def stands(self, credential_id: UUID) -> bool:
        """Ask whether these stand, for who has been let in by them a while ago."""
        return await self._rows.stands(credential_id)

    async def _ask_once(self) -> None:
        """Ask which still stand, or wait for who does."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(_take_note)  # whoever waited may have gone
        await asyncio.shield(self._asking)

    async def _ask(self) -> None:
        began = monotonic()
        try:
            asked = [each for each, known in self._remembered.items() if began - known.used_at < FORGOTTEN_S]
            standing = await self._rows.standing(asked)
        finally:
            self._asking = None
        for digest in standing & self._remembered.keys():
            self._remembered[digest].asked_at = began
        # What was found meanwhile is newer than this answer; what it does not name is forgotten, or has ended.
        for digest in [each for each, known in self._remembered.items() if known.asked_at < began]:
            del self._remembered[digest]

    def _remember(self, digest: bytes, standing: Standing, asked_at: float) -> _Remembered:
        if len(self._remembered) >= MOST_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        known = _Remembered(standing, asked_at, asked_at, asked_at if standing.is_noted else float("-inf"))
        self._remembered[digest] = known
        return known

    def _note(self, digest: bytes, known: _Remembered) -> None:
        """Have it noted that this is in use, where that was not noted for an hour; all at once with others'."""
        known.used_at = monotonic()
        if known.used_at - known.noted_at < NOTED_EVERY_S:
            return
        known.noted_at = known.used_at
        self._used.add(digest)
        if self._noting is None:
            self._noting = asyncio.create_task(self._note_all())

    async def _note_all(self) -> None:
        try:
            while self._used:
                used, self._used = list(self._used), set()
                await self._rows.note_use(used)
        except DATABASE_ERRORS as error:
            log.info("use of credentials not noted", error=describe(error))
        finally:
            self._noting = None


def _take_note(task: "asyncio.Task[None]") -> None:
    if not task.cancelled():
        task.exception()
