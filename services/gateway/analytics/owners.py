"""Whose calls somebody may read: their own, and all for who reads everybody's. Pure."""

from services.gateway.account.identity import Caller
from shared.errors import Forbidden


def owners(caller: Caller, user_id: str | None) -> tuple[str, ...]:
    """Return the owners whose traces are meant: this one, or without one the caller's.

    Raises:
        Forbidden: They are somebody else's, which only administrators read.
    """
    if user_id is None:
        return caller.user_ids
    if user_id not in caller.user_ids and not caller.reads_everybody:
        raise Forbidden("Traces of other users are for administrators.")
    return (user_id,)
