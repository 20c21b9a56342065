"""Somebody who may call."""

from dataclasses import dataclass
from typing import Literal

from services.gateway.account.projects import Projects, sees

Role = Literal["user", "service", "admin"]


@dataclass(frozen=True)
class Caller:
    """Somebody who may call, and whose data they may see."""

    user_id: str  # the owner of what this caller makes
    visitor_id: str | None
    role: Role
    projects: Projects
    user_ids: tuple[str, ...]  # one or two owners, `user_id` first, whose data may be read
    expires_at: float | None = None  # when the credentials do, in seconds since 1970

    @property
    def is_visitor(self) -> bool:
        return self.user_id == self.visitor_id

    @property
    def reads_everybody(self) -> bool:
        """Whether what is others' is theirs to read: an administrator's whose token is limited to no projects."""
        return self.role == "admin" and self.projects is None

    def sees(self, project_id: str | None) -> bool:
        """Tell whether a session of theirs that is of this project is there for them."""
        return sees(self.projects, project_id)
