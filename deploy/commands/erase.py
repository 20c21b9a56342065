"""`tripthread erase`: everything that users have here goes."""

import asyncio

from services.gateway.deletion.noted import NotedDeletions
from services.gateway.deletion.state import ErasureState, ErasureStates
from services.gateway.deletion.store import DeletionStore
from shared.configured.urls import malformed
from shared.database import open_pool
from shared.ids import new_id
from shared.settings import Settings

LOOK_S = 1.0
LONGEST_NAME = 255


async def erase(settings: Settings, user_id: str, *, only_look: bool = False, wait_s: float = 0.0) -> ErasureState:
    """Accept the erasure of a user, as `DELETE /api/me/data` does, and say how far it has come.

    A gateway tells of it within a few seconds, and sees it done.

    Args:
        settings: Where the database is.
        user_id: Of whom everything goes that was accepted until now.
        only_look: Erase nothing.
        wait_s: How long to wait until it is done.

    Raises:
        ValueError: A setting is wrong, or no user is called so.
    """
    if not 1 <= len(user_id) <= LONGEST_NAME or not user_id.isprintable():
        raise ValueError(f"a user id has 1 to {LONGEST_NAME} printable characters")
    for setting in ("gateway_database_url", "admin_database_url"):
        if wrong := malformed(setting, getattr(settings, setting)):
            raise ValueError(wrong)
    async with (
        open_pool(settings.gateway_database_url, "tripthread erase", 1) as own,
        open_pool(settings.admin_database_url, "tripthread erase", 1) as admin,
    ):
        users = [user_id]
        if not only_look:
            users = [erasure.user_id for erasure in await DeletionStore(own).erase(users, new_id())]
        states = ErasureStates(own, NotedDeletions(admin))
        deadline = asyncio.get_running_loop().time() + wait_s
        while True:
            state = await states.of(users)
            if state.status != "pending" or asyncio.get_running_loop().time() >= deadline:
                return state
            await asyncio.sleep(LOOK_S)
