"""`/v1/responses/{response_id}`: a turn as it is kept, until its client wants it withheld; and what it was asked.

A withheld one cannot be asked for or gone on from any more. The history keeps what was said.
"""

from collections.abc import Mapping
from typing import Any

from services.gateway.account.identity import Caller
from services.gateway.turns.running import RunningTurns
from services.gateway.turns.stored.store import TurnStore
from services.gateway.v1.past.response_readings import KeptResponse, ResponseReadings
from services.gateway.v1.reading.conversation import shown
from services.gateway.v1.reading.response_request import response_id, turn_of
from services.gateway.v1.told.input_items import input_items, page_of, read_window
from services.gateway.v1.told.response_shape import ended, failed, running
from services.gateway.v1.told.telling import error_of, has_ended
from shared.errors import NotFound


class NoSuchResponse(NotFound):
    """There is no response under this id."""

    def __init__(self, named: str) -> None:
        super().__init__(f"Response with id '{shown(named)}' not found.")


class KeptResponses:
    """Show them, stop them, and withhold them."""

    def __init__(self, readings: ResponseReadings, turns: TurnStore, running: RunningTurns) -> None:
        self._readings = readings
        self._turns = turns
        self._running = running

    async def show(self, named: str, caller: Caller) -> dict[str, Any]:
        """Return one; of its request it repeats what is kept.

        Raises:
            NoSuchResponse: It is not there, not the caller's, or withheld.
        """
        return _shown(await self._find(named, caller))

    async def list_input(self, named: str, query: Mapping[str, str], caller: Caller) -> dict[str, Any]:
        """Return a page of what was new in the request of one: what led to it is in its session, and before it.

        Raises:
            NoSuchResponse: It is not there, not the caller's, or withheld.
            Invalid: There is no such page.
        """
        window = read_window(query)
        kept = await self._find(named, caller)
        return page_of(input_items(kept.turn_id, await self._readings.asked(kept)), window)

    async def cancel(self, named: str, caller: Caller) -> dict[str, Any]:
        """Stop one that is being answered, wherever that is; return it as it is then, or as it had ended before.

        Raises:
            NoSuchResponse: It is not there, not the caller's, or withheld.
            DatabaseAway: It is stopped, and not kept yet.
        """
        kept = await self._find(named, caller)
        if kept.answer is None:
            turn = await self._turns.running((kept.user_id,), kept.session_id)
            if turn is not None and turn.turn_id == kept.turn_id:
                await self._running.stop(turn)
            kept = await self._find(named, caller)
        return _shown(kept)

    async def delete(self, named: str, caller: Caller) -> dict[str, Any]:
        """Withhold one.

        Raises:
            NoSuchResponse: It is not there, not the caller's, or withheld already.
        """
        kept = await self._find(named, caller)
        await self._readings.withhold(kept.user_id, kept.session_id, kept.turn_id)
        return {"id": response_id(kept.turn_id), "object": "response", "deleted": True}

    async def _find(self, named: str, caller: Caller) -> KeptResponse:
        turn_id = turn_of(named)
        kept = await self._readings.find(caller.user_ids, turn_id) if turn_id else None
        if kept is None or not caller.sees(kept.project_id):
            raise NoSuchResponse(named)
        return kept


def _shown(kept: KeptResponse) -> dict[str, Any]:
    previous = response_id(kept.previous) if kept.previous else None
    told = {"metadata": kept.metadata, "previous_response_id": previous}
    if kept.answer is None:
        return running(kept, told, kept.so_far or [])
    if not has_ended(kept.answer):
        return failed(kept, told, error_of(kept.answer)[1], kept.answer)
    whole = ended(kept, told, kept.answer)
    # Those who wait for it are told that it is completed, as there is no event to say this by.
    return {**whole, "status": "cancelled", "completed_at": None} if kept.answer.status == "stopped" else whole
