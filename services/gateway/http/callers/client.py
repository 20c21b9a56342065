"""From where a message comes, as little of it as is kept: a network, and the program only where that is wanted."""

import re
from collections.abc import Mapping

from starlette.types import Scope

from services.gateway.http.callers.peer import truncated
from shared.settings import Settings

USER_AGENT_LENGTH = 200  # characters: what a program is, and no room to leave something
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


def client_of(scope: Scope, settings: Settings) -> Mapping[str, str] | None:
    """Return the fields of `shared.events.Client` that may be kept of whoever sends a request; None: nothing."""
    kept: dict[str, str] = {}
    peer = scope.get("client") if settings.keep_addresses else None
    if peer and (address := truncated(peer[0])):
        kept["address"] = address
    if settings.keep_user_agents and (program := _user_agent(scope)):
        kept["user_agent"] = program
    return kept or None


def _user_agent(scope: Scope) -> str:
    said = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
    return _UNPRINTABLE.sub(" ", said.decode("latin-1")).strip()[:USER_AGENT_LENGTH]
