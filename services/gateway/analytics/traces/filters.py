"""Which traces a search asks for. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.gateway.account.projects import Projects

RUNNING = "running"
LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True)
class TagRange:
    """Tags from one to another, by their bytes: `LIKE` uses no index under row-level security."""

    first: str
    before: str  # the first that is not among them
    is_prefix: bool


def tag_range(wanted: str) -> TagRange:
    """Read `session_tag`: a tag, or with a `*` at its end the beginning of tags."""
    if wanted.endswith("*"):
        return TagRange(wanted[:-1], wanted[:-1] + LAST_CHARACTER, is_prefix=True)
    return TagRange(wanted, wanted + "\x01", is_prefix=False)  # no text is between them


@dataclass(frozen=True)
class TraceFilter:
    """Which traces; a field that is not given asks for nothing."""

    session_tag: str | None = None
    session_id: str | None = None
    model: str | None = None
    status: str | None = None
    w3c_trace_id: str | None = None
    since: datetime | None = None  # of their beginning
    until: datetime | None = None  # before which they began
    projects: Projects = None  # that the caller is limited to

    @property
    def tags(self) -> TagRange | None:
        return tag_range(self.session_tag) if self.session_tag is not None else None

    @property
    def asks_for_sessions(self) -> bool:
        """Whether it depends on what is known of a trace's session."""
        return self.session_tag is not None or self.projects is not None


@dataclass(frozen=True)
class Whose:
    """Whose traces are read: those of these users, or of everybody, for administrators."""

    user_ids: Sequence[str] = ()
    everybody: bool = False
    as_admin: bool = False  # by the administrators' role, from which no policy hides what is to go
