"""`GET` and `DELETE /v1/responses/{response_id}`: a turn as it is kept, until its client wants it withheld.

A withheld one cannot be asked for or gone on from any more. The history keeps what was said.
"""

from typing import Any

from services.gateway.account.identity import Caller
from services.gateway.v1.conversation import shown
from services.gateway.v1.response_readings import KeptResponse, ResponseReadings
from services.gateway.v1.response_request import response_id, turn_of
from services.gateway.v1.response_shape import ended, failed, running
from services.gateway.v1.telling import error_of, has_ended
from shared.errors import NotFound


class NoSuchResponse(NotFound):
    """There is no response under this id."""

    def __init__(self, named: str) -> None:
        super().__init__(f"Response with id '{shown(named)}' not found.")


class KeptResponses:
    """Show them, and withhold them."""

    def __init__(self, readings: ResponseReadings) -> None:
        self._readings = readings

    async def show(self, named: str, caller: Caller) -> dict[str, Any]:
        """Return one; of its request it repeats what is kept.

        Raises:
            NoSuchResponse: It is not there, not the caller's, or withheld.
        """
        kept = await self._find(named, caller)
        previous = response_id(kept.previous) if kept.previous else None
        told = {"metadata": kept.metadata, "previous_response_id": previous}
        if kept.answer is None:
            return running(kept, told, kept.so_far or [])
        if has_ended(kept.answer):
            return ended(kept, told, kept.answer)
        return failed(kept, told, error_of(kept.answer)[1]["message"], kept.answer)

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
