"""What a role may do beyond a user's; the table of docs/security.md says the same, by a test. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Role = Literal["user", "service", "admin"]


@dataclass(frozen=True)
class Rights:
    rank: int  # whoever makes credentials gives them no greater one
    calls_uncounted: bool  # no CALLS_PER_MINUTE: a program speaks for many people
    reads_abreast: bool  # more than two readings of theirs go on at once
    administers: bool  # /api/admin, and models; only where no projects limit it


RIGHTS: Mapping[Role, Rights] = {
    "user": Rights(rank=0, calls_uncounted=False, reads_abreast=False, administers=False),
    "service": Rights(rank=1, calls_uncounted=True, reads_abreast=True, administers=False),
    "admin": Rights(rank=2, calls_uncounted=True, reads_abreast=True, administers=True),
}


def may_give(giver: Role, given: Role) -> bool:
    """Tell whether somebody of one role may make credentials of another."""
    return RIGHTS[given].rank <= RIGHTS[giver].rank
