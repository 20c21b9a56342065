"""What a claim counts against, where whoever asks may not have as much as they like, and what becomes of it past that.

Who has a quota, and which, `account/limits/counting.py` says; `deploy/migrations/sql/*_counted.up.sql` counts it.
"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.gateway.http.edge.rate_limit import as_headers
from shared.errors import QuotaUsedUp, Refused, TooManySessions

Quota = dict[str, Any]  # as `gateway.count_against` reads it
# Says what a user's turn or session counts against, by whom it counts for; none: nothing.
QuotaOf = Callable[[str, str], Awaitable[Quota | None]]

DAY_S = 24 * 3600
WORDS = {"turns_per_day": "turns", "tokens_per_day": "tokens", "sessions_per_day": "new sessions"}


async def no_quota(_user_id: str, _account: str) -> None:
    """Let everybody have as much as they like."""
    return


@dataclass(frozen=True)
class UsedUp:
    """A claim was refused, and there is nothing of it."""

    kind: str  # of its quota; with `visitor_` before it, of its address's
    next_day: datetime  # when there is more, by the database's clock

    def refusal(self, quota: Quota) -> Refused:
        """Say so to whoever claimed."""
        kind = self.kind.removeprefix("visitor_")
        most = (quota["address"] if kind != self.kind else quota)[kind]
        if kind == "sessions_in_all":
            return TooManySessions(
                f"You have {most} sessions, as many as you may: delete one to begin another.", limit=kind, quota=most
            )
        whose = "Visitors from your address have" if kind != self.kind else "You have"
        until = self.next_day.astimezone(UTC).isoformat().replace("+00:00", "Z")
        wait_s = max(1, math.ceil((self.next_day - datetime.now(UTC)).total_seconds()))
        return QuotaUsedUp(
            f"{whose} used the {most} {WORDS[kind]} of today ({self.kind}); there are more from {until} on.",
            limit=self.kind,
            quota=most,
            resets_at=until,
            retry_after_s=wait_s,
            headers=as_headers(self.kind, most, DAY_S, (0, wait_s)),
        )
