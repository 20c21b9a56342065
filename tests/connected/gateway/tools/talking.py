"""Talk to the charter helper, and see what its model was sent."""

from typing import Any
from uuid import UUID

import aiohttp

from tests.connected.gateway.stage import Rows, Stage

SESSION = "s1"


async def chat(stage: Stage, text: str, user: str = "ann", session: str = SESSION, **body: Any) -> dict[str, Any]:
    """Ask, and return the whole answer."""
    stage.http.cookies.clear()
    asked = {"session_id": session, "message": text, "helper": "charter", "stream": False, **body}
    answer = await stage.post("/api/chat", asked, user=user)
    assert answer.status_code == 200, answer.text
    record: dict[str, Any] = answer.json()
    return record


async def requests(stage: Stage) -> list[dict[str, Any]]:
    """Return what the model was sent."""
    url = stage.settings.openai_base_url.removesuffix("/v1")
    async with aiohttp.ClientSession() as http, http.get(f"{url}/sim/requests") as response:
        sent: list[dict[str, Any]] = (await response.json())["requests"]
        return sent


def calls(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the calls of an answer, by their tools."""
    return {part["type"]: part for part in record["message"]["parts"] if "toolCallId" in part}


async def trip_with_quotes(rows: Rows, session: str = SESSION, user: str = "ann", code: str = "A1B2C3") -> UUID:
    """Write an open trip of a session, with an operator's quote and an estimate."""
    await rows.session(session, user=user)
    trip_id = await rows.trip(
        session,
        user,
        step="analyzing_options",
        due_at=await rows.ages_ago(days=-9),
        trip_code=code,
        avinode_trip_id=f"atrip-{code}",
    )
    await rows.quote(f"usd-{code}", trip_id)
    await rows.quote(f"estimate-{code}", trip_id, estimate=True)
    return trip_id
