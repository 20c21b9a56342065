"""Verify everything every hour, as one gateway for all, and say how much is not as it should be."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing, suppress
from math import nan

import structlog
from prometheus_client import Gauge

from services.gateway.admin.verifying.verification import CHECKS, SETTLED_S, findings
from shared.database import ACQUIRE_TIMEOUT_S, DATABASE_ERRORS, Pool

FIRST_S = 300.0  # after a gateway's start
EVERY_S = 3600.0
MOST = 100_000  # that are counted of all kinds together
DRIFT = Gauge("tripthread_drift", "What `tripthread verify` finds, of each kind; by the gateway that looks", ["kind"])

log = structlog.get_logger(__name__)


class DriftCensus:
    """The worker that looks, where this gateway is the one that does."""

    def __init__(self, admin: Pool, leads: Callable[[], bool], *, first_s: float = FIRST_S) -> None:
        self._admin = admin
        self._leads = leads
        self._first_s = first_s
        self._stopping = asyncio.Event()
        _say(None)

    async def run(self) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        wait_s = self._first_s
        while not self._stopping.is_set():
            await asyncio.wait({stopping}, timeout=wait_s)
            wait_s = EVERY_S
            if self._stopping.is_set():
                break
            if not self._leads():
                _say(None)
                continue
            work = asyncio.create_task(self.count())
            await asyncio.wait({stopping, work}, return_when=asyncio.FIRST_COMPLETED)
            work.cancel()  # a long look holds no stop up: the next one begins anew
            with suppress(asyncio.CancelledError):
                await work

    async def count(self) -> None:
        """Look once; unknown where the database does not answer."""
        found: Counter[str] = Counter()
        try:
            async with self._admin.acquire(timeout=ACQUIRE_TIMEOUT_S) as db, aclosing(findings(db, SETTLED_S)) as each:
                async for finding in each:
                    found[finding.kind] += 1
                    if found.total() >= MOST:
                        break
        except (*DATABASE_ERRORS, TimeoutError) as error:
            log.warning("not verified", error=str(error) or type(error).__name__)
            _say(None)
            return
        if found:
            log.warning("not all is as it should be: see `tripthread verify`", found=dict(found))
        _say(found)

    def shut_down(self) -> None:
        self._stopping.set()

    def fault(self) -> str | None:
        return None

    def __str__(self) -> str:
        return "drift"


def _say(found: Counter[str] | None) -> None:
    for kind in CHECKS:
        DRIFT.labels(kind).set(nan if found is None else found[kind])
