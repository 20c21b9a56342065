"""Tell every gateway what this one has changed by itself, for those who listen there."""

from collections.abc import Iterable, Sequence

from services.gateway.writes.outcomes import Hearer
from shared.events import Outcome, SessionTouched
from shared.publishing.publisher import Publisher


class Announcing:
    """A hint, as all outcomes are: after the commit, and lost where the broker is away."""

    def __init__(self, publisher: Publisher, *hearers: Hearer) -> None:
        """Prepare; `hearers` of this gateway are told by itself while the broker is away."""
        self._publisher = publisher
        self._hearers = hearers

    async def touched(self, user_id: str, session_ids: Iterable[str], *changed: str) -> None:
        """Say, once it is committed, what of these sessions has changed. This raises nothing and waits for nobody.

        Args:
            user_id: The sessions' owner.
            session_ids: Which ones.
            changed: In the words of `GET /api/events` (docs/http.md): `deleted`, `shares`, ...
        """
        await self._announce(
            [SessionTouched(user_id=user_id, session_id=session_id, changed=changed) for session_id in session_ids]
        )

    async def erased(self, user_id: str) -> None:
        """Say, once it is committed, that nothing of a user's is as it was."""
        await self._announce([SessionTouched(user_id=user_id, changed=("deleted",))])

    async def _announce(self, outcomes: Sequence[Outcome]) -> None:
        if not self._publisher.away:
            await self._publisher.announce(outcomes)
            return
        for outcome in outcomes:
            for hearer in self._hearers:
                hearer.hint(outcome)
