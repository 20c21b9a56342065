"""End a turn in the stead of an owner that does not, and tell of it."""

from services.gateway.turns.here.runner import Runner
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.turn import Turn


class Abandoned:
    """Turns whose owner is gone, or does not answer."""

    def __init__(self, store: TurnStore, runner: Runner) -> None:
        self._store = store
        self._runner = runner

    async def interrupt(self, expired: Turn) -> Turn | None:
        """End a turn whose lease has passed; None where that is not so any more."""
        return self._tell(await self._store.interrupt_expired(expired))

    async def stop(self, turn: Turn) -> Turn | None:
        """Stop a turn by its row alone, which its owner sees when it renews its lease; None where it has ended."""
        return self._tell(await self._store.stop(turn))

    def _tell(self, turn: Turn | None) -> Turn | None:
        if turn is not None:
            self._runner.telling.tell(turn)
        return turn
