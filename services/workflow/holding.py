"""Keep the row that says why nobody calls Avinode while our credentials are refused: each trip that waits shows it."""

from services.workflow.avinode.client import Avinode
from services.workflow.store.status import StatusStore
from shared.publishing.publisher import Publisher


class HoldKeeper:
    """A job of its own, since those that would call are waiting meanwhile."""

    def __init__(self, status: StatusStore, avinode: Avinode, publisher: Publisher) -> None:
        self._status = status
        self._avinode = avinode
        self._announce = publisher.announce
        self._shown: str | None = None

    async def begin(self) -> None:
        """Show what this process knows, once it is elected: whoever led before may have left a refusal behind."""
        await self._show(self._avinode.refusal)

    async def work_hold(self) -> bool:
        """Show that a hold has begun, or has ended; tell whether there is more to do, which there never is."""
        refusal = self._avinode.refusal
        if refusal != self._shown:
            await self._show(refusal)
        return False

    async def _show(self, refusal: str | None) -> None:
        outcomes = await self._status.show(refusal, self._avinode.bucket.held_s)
        self._shown = refusal
        await self._announce(outcomes)
