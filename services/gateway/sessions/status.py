"""The status of a conversation, which is that of its trip. Pure."""

from datetime import datetime, timedelta
from typing import Literal

# docs/requirements.md, "Trip sessions".
PAUSED_AFTER = timedelta(minutes=30)
ARCHIVED_AFTER = timedelta(days=90)
FIRST_STEP = "understanding_request"  # also of a session without a trip

TripStatus = Literal["active", "paused", "completed", "archived"]

# `status_of` for a row `t` of workflow.trips, by which lists are filtered and counted before they are cut into pages.
# `spoken_at` is when something was said in its session last. A day is 24 hours, as in Python, whatever the clocks do.
STATUS_IN_SQL = """
    CASE WHEN t.outcome = 'cancelled' THEN 'archived'
        WHEN coalesce(t.proposal_sent_at, t.closed_at) <= now() - interval '2160 hours' THEN 'archived'
        WHEN coalesce(t.proposal_sent_at, t.closed_at) IS NOT NULL THEN 'completed'
        WHEN t.paused_at >= greatest(t.last_activity_at, spoken_at) THEN 'paused'
        WHEN greatest(t.last_activity_at, spoken_at) <= now() - interval '30 minutes' THEN 'paused'
        ELSE 'active' END
"""


def status_of(
    *,
    outcome: str | None,
    completed_at: datetime | None,
    last_activity_at: datetime,
    paused_at: datetime | None = None,
    now: datetime,
) -> TripStatus:
    """Tell a trip's status at this moment; it is never stored, since time alone changes it.

    Args:
        outcome: How it was closed, `completed` or `cancelled`; none while it is open.
        completed_at: When its proposal was sent, or when it was closed.
        last_activity_at: At Avinode or in the chat, whichever is later.
        paused_at: When it was set aside, if it was.
        now: By the clock that the other times are of.
    """
    if outcome == "cancelled":
        return "archived"
    if completed_at is not None:
        return "archived" if now - completed_at >= ARCHIVED_AFTER else "completed"
    is_set_aside = paused_at is not None and paused_at >= last_activity_at
    return "paused" if is_set_aside or now - last_activity_at >= PAUSED_AFTER else "active"
