"""Whom a verified token names, wherever its issuer writes that. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.gateway.account.projects import Projects
from services.gateway.account.rights import Role
from services.gateway.account.tokens.jwt import is_name
from services.gateway.account.visitors.cookies import VISITOR_PREFIX
from shared.errors import NotAuthenticated

RAISED: tuple[Role, ...] = ("admin", "service")  # above `user`, the greatest first
NEVER = 2**53  # a time that every float holds, and no token lives to see


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, as credentials name them."""

    user_id: str
    role: Role
    projects: Projects
    expires_at: float  # in seconds since 1970


@dataclass(frozen=True)
class ClaimPaths:
    """Where a token says what: `role`, `app_metadata.role`, or a whole name, `https://example.com/role`."""

    role: str
    projects: str

    def identity(self, claims: Mapping[str, Any]) -> Identity:
        """Return whom these claims name; `sub` and `exp` are checked already.

        Raises:
            NotAuthenticated: They name a visitor, or the projects are no list of names.
        """
        user_id: str = claims["sub"]
        if not may_be_named(user_id):
            raise NotAuthenticated("A token may not name a visitor.")
        role, projects = _role(_at(claims, self.role)), _projects(_at(claims, self.projects), self.projects)
        return Identity(user_id, role, projects, min(claims["exp"], NEVER))


def may_be_named(user_id: str) -> bool:
    """Tell whether a token or a login link may name this user: a visitor is known by a token of ours alone."""
    return is_name(user_id) and not user_id.startswith(VISITOR_PREFIX)


def _at(claims: Mapping[str, Any], path: str) -> Any:
    """Return the claim that is called so as a whole, else the one at this path; None where there is none.

    Raises:
        NotAuthenticated: What should hold it is something else: nobody knows what was meant to be limited there.
    """
    if path in claims or "://" in path:
        return claims.get(path)
    held: Any = claims
    for name in path.split("."):
        if held is None:
            return None
        if not isinstance(held, Mapping):
            raise NotAuthenticated(f"`{path}` leads nowhere in this token.")
        held = held.get(name)
    return held


def _role(claim: Any) -> Role:
    """Take what the issuer calls a role, or a list of them; what we do not know is a user's."""
    named = claim if isinstance(claim, list) else [claim]
    return next((role for role in RAISED if role in named), "user")


def _projects(claim: Any, path: str) -> Projects:
    if claim is None:
        return None
    if not isinstance(claim, list) or not all(isinstance(each, str) and is_name(each) for each in claim):
        raise NotAuthenticated(f"`{path}` must be a list of texts, each of 1 to 255 printable characters.")
    return tuple(dict.fromkeys(claim))
