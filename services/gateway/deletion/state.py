"""How far the erasure of a user has come."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from services.gateway.deletion.noted import SERVICES, NotedDeletions
from shared.database import Pool, fetched
from shared.ids import user_hash

OWN = "gateway"


@dataclass(frozen=True)
class ErasureState:
    status: Literal["none", "pending", "done"]
    erased_at: datetime | None
    services: dict[str, bool]


class ErasureStates:
    def __init__(self, pool: Pool, noted: NotedDeletions) -> None:
        self._pool = pool
        self._noted = noted

    async def of(self, user_ids: Sequence[str]) -> ErasureState:
        """Return the state of these identities of one person together: what is left of any is left."""
        rows = await fetched(
            self._pool,
            """
            SELECT user_hash, erased_at, swept_at IS NOT NULL AS is_swept, done_at IS NOT NULL AS is_done
            FROM gateway.erasures WHERE user_hash = ANY ($1::bytea[])
            """,
            [user_hash(user_id) for user_id in user_ids],
        )
        if not rows:
            return ErasureState("none", None, {})
        services = dict.fromkeys((OWN, *SERVICES), True)
        for row in rows:
            if not row["is_done"]:
                done = await self._noted.erased(row["user_hash"], row["erased_at"])
                services = {name: so_far and {OWN: row["is_swept"], **done}[name] for name, so_far in services.items()}
        status: Literal["pending", "done"] = "done" if all(row["is_done"] for row in rows) else "pending"
        return ErasureState(status, max(row["erased_at"] for row in rows), services)
