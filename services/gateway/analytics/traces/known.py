"""What is stored of traces and sessions when something is told of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.gateway.analytics.traces.filters import RUNNING
from shared.events import ReportedTrace


@dataclass(frozen=True)
class KnownTrace:
    """Which version of a trace is stored."""

    source: str
    rank: int
    accepted_at: datetime | None


@dataclass(frozen=True)
class KnownSession:
    project_id: str | None
    analytics: bool
    deleted: bool


@dataclass(frozen=True)
class Known:
    """What is stored, by id, when something is told."""

    at: datetime  # the database's clock
    traces: Mapping[str, KnownTrace]
    sessions: Mapping[str, KnownSession]

    def has(self, told: ReportedTrace, accepted_at: datetime) -> bool:
        """Tell whether a trace is stored in this version or a greater one."""
        known = self.traces.get(told.trace_id)
        if known is None or known.source == "turn":
            return known is not None
        rank = 0 if told.status == RUNNING else 1
        return known.accepted_at is not None and (known.rank, known.accepted_at) >= (rank, accepted_at)
