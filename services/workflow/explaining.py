"""Say of every trip that waits for Avinode why it waits, while our credentials are refused and nothing is called."""

from services.workflow.avinode.client import Avinode
from services.workflow.store.facts import FactStore
from shared.publisher import Publisher


class Explainer:
    """A job of its own, since those that would call are waiting meanwhile."""

    def __init__(self, facts: FactStore, avinode: Avinode, publisher: Publisher) -> None:
        self._facts = facts
        self._avinode = avinode
        self._announce = publisher.announce

    async def work_refusal(self) -> bool:
        """Show the refusal in some trips that do not show it yet; tell whether there were any."""
        refusal = self._avinode.refusal
        if refusal is None:
            return False
        outcomes = await self._facts.explain(refusal)
        await self._announce(outcomes)
        return bool(outcomes)
