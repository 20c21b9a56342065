"""`tripthread verify`: recount everything, and mend what can be mended without a guess."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import UUID

from services.gateway.admin.verifying.verification import SETTLED_S, Finding, findings
from services.logger.mending import mend_session
from services.tagger.mending import raise_counter
from shared.configured.urls import malformed
from shared.database import ACQUIRE_TIMEOUT_S, Pool, open_pool
from shared.settings import Settings

OF_SESSIONS = frozenset(("message_count", "preview", "place"))
LOGIN = "tripthread verify"


class Mender:
    """Mends counts, previews and places, and raises counters; whatever else is found is for a person to judge."""

    def __init__(self, logger: Pool, tagger: Pool) -> None:
        self._logger = logger
        self._tagger = tagger

    async def mend(self, finding: Finding) -> bool:
        """Mend what was found, by what is so now; tell whether it is right."""
        if finding.user_id is None:
            return False
        if finding.kind in OF_SESSIONS:
            return await mend_session(self._logger, finding.user_id, finding.subject)
        if finding.kind == "counter_behind":
            return await raise_counter(self._tagger, finding.user_id, UUID(finding.subject))
        return False


async def verify(
    settings: Settings, *, fix: bool = False, settled_s: float = SETTLED_S
) -> AsyncIterator[tuple[Finding, bool]]:
    """Find what is not as it should be, each with whether it was mended.

    Raises:
        ValueError: A setting is wrong.
    """
    urls = ("admin_database_url", *(("logger_database_url", "tagger_database_url") if fix else ()))
    for setting in urls:
        if wrong := malformed(setting, getattr(settings, setting)):
            raise ValueError(wrong)
    async with AsyncExitStack() as stack:
        pools = [await stack.enter_async_context(open_pool(getattr(settings, url), LOGIN, 1)) for url in urls]
        mender = Mender(*pools[1:]) if fix else None
        async with pools[0].acquire(timeout=ACQUIRE_TIMEOUT_S) as db:
            async for finding in findings(db, settled_s):
                yield finding, mender is not None and await mender.mend(finding)
