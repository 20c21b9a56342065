"""Go on from a response: find its turn, and tell the model what led to it, with the calls of tools and their results.

The turn's row is looked at first, so that one goes on while the logger is away; once that is trimmed, what is stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from services.gateway.account.identity import Caller
from services.gateway.chat.memory import Remembered
from services.gateway.turns.histories import Message
from services.gateway.turns.history import shown_of
from services.gateway.turns.readings import TurnReadings
from services.gateway.turns.said import Said
from services.gateway.v1.response_shape import calls_of
from shared.database import Pool, fetched, reading
from shared.ids import answer_id

NO_RESULT = "(There is no result yet.)"  # of a tool of ours, such as one that its user was asked about

Parts = Sequence[Mapping[str, Any]]  # the AI SDK's, of one message


@dataclass(frozen=True)
class Previous:
    """An answer that a request goes on from."""

    user_id: str
    session_id: str
    last_id: str  # its message
    is_running: bool = False


class PreviousTurns:
    """Reads turns and what led to them."""

    def __init__(self, own_pool: Pool, reader_pool: Pool, turns: TurnReadings) -> None:
        self._own = own_pool
        self._reader = reader_pool
        self._turns = turns

    async def find(self, caller: Caller, turn_id: UUID) -> Previous | None:
        """Return a turn of this caller's that is not withheld, in whichever project; None where there is none."""
        rows = await fetched(
            self._own,
            """
            SELECT user_id, session_id, attempt, state FROM gateway.turns t
            WHERE turn_id = $1 AND user_id = ANY ($2) AND state <> 'posted'
                AND NOT tripthread.is_hidden(user_id, session_id, asked_at)
                AND NOT EXISTS (SELECT FROM gateway.withheld_responses w WHERE w.user_id = t.user_id AND w.turn_id = $1)
            """,
            turn_id,
            caller.user_ids,
        )
        for row in rows:
            last_id = str(answer_id(turn_id, row["attempt"]))
            return Previous(row["user_id"], row["session_id"], last_id, row["state"] == "running")
        async with reading(self._reader, *caller.user_ids) as db:
            stored = await db.fetchrow(
                """
                SELECT m.user_id, m.session_id, m.message_id
                FROM chat.messages m JOIN chat.sessions s USING (user_id, session_id)
                WHERE m.user_id = ANY ($1) AND m.turn_id = $2 AND m.role = 'assistant'
                    AND s.created_at <= m.created_at  -- which a fork's copies are older than
                    AND NOT EXISTS (SELECT FROM gateway.withheld_responses w
                        WHERE w.user_id = m.user_id AND w.turn_id = $2)
                ORDER BY m.created_at DESC LIMIT 1
                """,
                caller.user_ids,
                turn_id,
            )
        return Previous(stored["user_id"], stored["session_id"], stored["message_id"]) if stored else None

    async def messages(self, previous: Previous, remembered: Remembered, room_bytes: float) -> list[Message]:
        """Return what was said up to the answer, as the model is told: the newest that fits, from a question on.

        Args:
            previous: The answer.
            remembered: Its session.
            room_bytes: How long all of it may be.
        """
        path = way_to(previous.last_id, remembered.history)
        return told_of(path, await self._parts(previous, remembered, path), room_bytes)

    async def _parts(self, previous: Previous, remembered: Remembered, path: Sequence[Said]) -> dict[str, Parts]:
        """Return the parts of what may have called a tool, or says what one gave."""
        wanted = {said.message_id for said in path if said.role in ("assistant", "tool")}
        unstored = [turn.turn_id for turn in remembered.turns if wanted & {said.message_id for said in turn.said()}]
        shown = [shown for turn in await self._turns.whole(unstored) for shown in shown_of(turn)] if unstored else []
        parts: dict[str, Parts] = {each.message_id: each.parts for each in shown}
        async with reading(self._reader, previous.user_id) as db:
            rows = await db.fetch(
                """
                SELECT message_id, parts FROM chat.messages
                WHERE user_id = $1 AND session_id = $2 AND message_id = ANY ($3)
                """,
                previous.user_id,
                previous.session_id,
                list(wanted),
            )
        return parts | {row["message_id"]: row["parts"] for row in rows}


def way_to(message_id: str, history: Sequence[Said]) -> list[Said]:
    """Return what was said on the way to a message, in order; what the system noted is on no way."""
    by_id = {said.message_id: said for said in history}
    path: list[Said] = []
    at: str | None = message_id
    while at is not None and (said := by_id.pop(at, None)) is not None:
        path.append(said)
        at = said.parent_id
    return path[::-1]


def told_of(path: Sequence[Said], parts: Mapping[str, Parts], room_bytes: float) -> list[Message]:
    """Spell what was said in the words of chat completions; of what does not fit, the newest, from a question on."""
    told: list[tuple[Said, list[Message]]] = []
    for said in reversed(path):
        if said.content is None:
            break
        messages = _messages(said, parts.get(said.message_id, ()))
        room_bytes -= sum(_length(message) for message in messages)
        if room_bytes < 0:
            break
        told.append((said, messages))
    else:
        return [message for _, messages in reversed(told) for message in messages]
    while told and told[-1][0].role != "user":  # whose question, or whose call, is cut off
        told.pop()
    return [message for _, messages in reversed(told) for message in messages]


def _length(message: Message) -> int:
    called = sum(len(call["function"]["arguments"]) for call in message.get("tool_calls", ()))
    return len((message["content"] or "").encode()) + called


def _messages(said: Said, parts: Parts) -> list[Message]:
    """Spell one message, with the results of tools that were called and answered in it."""
    text = said.content or ""
    if said.role == "tool":
        return [_result(part["toolCallId"], text) for part in parts if part.get("type") == "tool-result"][:1]
    if said.role != "assistant":
        return [{"role": said.role, "content": text}]
    calls = [part for part in parts if part["type"].startswith("tool-") and "input" in part]
    called = calls_of(parts)
    results = [
        _result(call_id, part.get("output", part.get("errorText", NO_RESULT)))
        for part, (call_id, _, _) in zip(calls, called, strict=True)
        if part.get("state") != "input-available"  # which the client's own are, and stay
    ]
    if not called:
        return [{"role": "assistant", "content": text}] if text.strip() else []
    spelled = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for call_id, name, arguments in called
    ]
    return [{"role": "assistant", "content": text or None, "tool_calls": spelled}, *results]


def _result(call_id: str, output: Any) -> Message:
    text = output if isinstance(output, str) else orjson.dumps(output).decode()
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def calls_in(messages: Sequence[Message]) -> set[str]:
    """Return the calls of tools that were made."""
    return {call["id"] for message in messages for call in message.get("tool_calls", ())}
