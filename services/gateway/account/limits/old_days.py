"""Days that were counted under names which name nobody: no user's erasure takes them, so they go by themselves.

They are an address's, and those of who was erased that day. A claim looks at this day and at forks of the day before.
"""

from services.gateway.account.limits.throttle import VISITORS
from shared.database import Pool
from shared.jobs.retention import Kind, Retiring
from shared.jobs.worker import Job

DAYS = 3  # of UTC: more than matter, in whichever time zone the server's sessions are
NAMELESS = Kind(
    "counted_days",
    "gateway.usage",
    "(day + 0)",  # by no index of days: nearly all rows are users', and these are found by their names
    among=f"(user_id ~ '^{VISITORS}[0-9a-f]{{32}}$' OR user_id ~ '^erased:[0-9a-f]{{64}}$')",
)


def trimming(pool: Pool) -> dict[str, Job]:
    """Return the job that lets them go, by the name that it has in logs."""
    return {"old counted days": Retiring(pool, NAMELESS, DAYS).work}
