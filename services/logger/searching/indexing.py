"""Make what was stored findable by its words: a job that one logger does for all, within a second or two.

The statement that stores a message pays for it with an index that grows at its end, and with no mark. The job looks at
what was written lately, by `stored_at` and the block ranges of `updated_at`, up to where every writer is done; and
whether a text is to be indexed is told by the version that the index has of it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from services.logger.searching.store import SearchStore, Text
from shared.backoff import Backoff
from shared.database import Pool
from shared.jobs.leader import Leader
from shared.jobs.worker import Worker

LEADER_LOCK = 0x7477_4C58  # "twLX": of the logger that indexes
LOOK_S = 1.0
SHARE = 0.2  # of the time, so that a full queue is drained first; enough for some two thousand messages a second
BACKOFF = Backoff(first_s=1.0, longest_s=16.0)
PORTION = 100  # messages of one statement
TITLES = 20  # likewise: their sessions are locked meanwhile
NARROWEST, WIDEST = timedelta(milliseconds=1), timedelta(days=30)
NOTED_EVERY = timedelta(seconds=30)  # where nothing was written


class Indexer:
    """Works one stretch of time after the other, whose width follows what was written in it."""

    def __init__(self, store: SearchStore, portion: int = PORTION) -> None:
        self._store = store
        self._portion = portion
        self._width = timedelta(seconds=1)
        self._looked_until: datetime | None = None
        self._noted: datetime | None = None

    async def begin(self) -> None:
        """Begin, once elected, where the last one has noted to be."""
        self._looked_until = self._noted = await self._store.begin_at()

    async def index_next(self) -> bool:
        """Index what was written in the next stretch; tell whether there is more to look at."""
        since = self._looked_until or await self._store.begin_at()
        newest = await self._store.written_until()
        if since is None or newest <= since:
            return False
        until = min(newest, since + self._width)
        texts = await self._store.unindexed(since, until, self._portion)
        await self._index(texts)
        if len(texts) >= self._portion:  # there may be more in it, so it is looked at again
            self._width = max(NARROWEST, (until - since) / 2)
            return True
        self._width = min(WIDEST, (until - since) * 2 + NARROWEST)
        await self._move_to(until, had_any=bool(texts))
        return until < newest

    async def _index(self, texts: Sequence[Text]) -> None:
        messages = [text for text in texts if text.message_id is not None]
        titles = [text for text in texts if text.message_id is None]
        if messages:
            await self._store.index_messages(messages)
        for first in range(0, len(titles), TITLES):
            await self._store.index_titles(titles[first : first + TITLES])

    async def _move_to(self, until: datetime, *, had_any: bool) -> None:
        self._looked_until = until
        if had_any or self._noted is None or until - self._noted > NOTED_EVERY:
            await self._store.note(until)
            self._noted = until


def indexing(pool: Pool) -> Worker:
    """Make what runs the job, wherever this logger is the one that does."""
    indexer = Indexer(SearchStore(pool))
    leader = Leader(pool, LEADER_LOCK, indexer.begin)
    jobs = {"search": indexer.index_next}
    return Worker("indexer", leader, jobs, idle_s=LOOK_S, backoff=BACKOFF, share=SHARE, is_vital=False)
