"""Somebody who may call."""

from dataclasses import dataclass
from uuid import UUID

from services.gateway.account.projects import Projects, sees
from services.gateway.account.rights import RIGHTS, Rights, Role


@dataclass(frozen=True)
class Caller:
    """Somebody who may call, and whose data they may see."""

    user_id: str  # the owner of what this caller makes
    visitor_id: str | None
    role: Role
    projects: Projects
    user_ids: tuple[str, ...]  # the owners whose data may be read: `user_id` first, then visitors whom they were
    expires_at: float | None = None  # when the credentials do, in seconds since 1970
    key_id: UUID | None = None  # of the API key that they call by
    login_id: UUID | None = None  # of the signed-in browser that they call by

    @property
    def is_visitor(self) -> bool:
        return self.user_id == self.visitor_id

    @property
    def links(self) -> bool:
        """Whether a visitor who comes with them is theirs from then on: not with a program, nor a part of a user."""
        return self.key_id is None and self.projects is None and self.role != "service"

    @property
    def rights(self) -> Rights:
        """What their role lets them do beyond a user's."""
        return RIGHTS[self.role]

    @property
    def reads_everybody(self) -> bool:
        """Whether what is others' is theirs to read: an administrator's whose token is limited to no projects."""
        return self.rights.administers and self.projects is None

    def sees(self, project_id: str | None) -> bool:
        """Tell whether a session of theirs that is of this project is there for them."""
        return sees(self.projects, project_id)
