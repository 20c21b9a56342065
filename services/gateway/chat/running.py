"""The turn that a session is busy with: follow it, from its start or from where one left off, and stop it."""

from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel

from services.gateway.account.identity import CallerDep, account_of
from services.gateway.account.limits.throttle import Throttle
from services.gateway.chat.following import FollowingResponse
from services.gateway.chat.ui_stream import DONE, UI_HEADERS, PartId, ui_stream
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.held.shares import Shares
from services.gateway.http.requests.fields import SessionId
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.sessions.own_session import OwnSessions
from services.gateway.turns.here.buffer import TurnBuffer, replay
from services.gateway.turns.running import RunningTurns
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.turn import Turn

router = APIRouter(tags=["chat"], route_class=StrictRoute)


@dataclass(frozen=True)
class RunningChat:
    """What these routes work with."""

    own: OwnSessions
    turns: TurnStore
    running: RunningTurns
    throttle: Throttle
    room: Shares  # for turns that have ended and are read again


RunningDep = Annotated[RunningChat, from_app(RunningChat)]


class Stopped(BaseModel):
    turn_id: UUID
    status: Literal["stopped"] = "stopped"


@router.get(
    "/api/chat/{session_id}/stream",
    responses={
        200: {"description": "The parts of the AI SDK's UI message stream", "content": {"text/event-stream": {}}},
        204: {"description": "Nothing is answered in this session"},
        **problem_responses(401, 404, 422, 429, 503),
    },
    response_class=Response,
)
async def follow_turn(
    chat: RunningDep,
    request: Request,
    caller: CallerDep,
    session_id: SessionId,
    last_event_id: Annotated[str, Header()] = "",
) -> Response:
    """Follow the turn that this session is busy with, from its start or after the part that was read last."""
    account = account_of(caller, request)
    await chat.throttle.count_look(account)
    owners = await chat.own.owners(caller, session_id)
    read = PartId.read(last_event_id)
    turn = await chat.turns.running(owners, session_id)
    if turn is not None:
        return _stream(chat, account, chat.running.follow(turn), read.within(turn) if read else 0)
    ended = await chat.turns.find(read.turn_id) if read else None
    is_theirs = ended is not None and ended.user_id in owners and ended.session_id == session_id
    if ended is not None and is_theirs and not await chat.turns.is_gone(ended.user_id, session_id):
        after = read.within(ended) if read else 0
        if ended.state == "running":  # again, since the first look
            return _stream(chat, account, chat.running.follow(ended), after)
        if await _is_more(ended, after):
            return _stream(chat, account, replay(ended, chat.room.hold(account)), after)
        return Response(status_code=204)
    await chat.own.find(caller, session_id)
    return Response(status_code=204)


@router.post(
    "/api/chat/{session_id}/stop",
    responses={
        204: {"description": "Nothing was answered in this session"},
        **problem_responses(401, 403, 404, 422, 429, 503),
    },
)
async def stop_turn(chat: RunningDep, request: Request, caller: CallerDep, session_id: SessionId) -> Stopped:
    """Stop the turn that this session is busy with, wherever it runs; its text so far is kept."""
    await chat.throttle.count_look(account_of(caller, request))
    turn = await chat.turns.running(await chat.own.owners(caller, session_id), session_id)
    if turn is not None and await chat.running.stop(turn):
        return Stopped(turn_id=turn.turn_id)
    if turn is None:
        await chat.own.find(caller, session_id)
    return Response(status_code=204)  # type: ignore[return-value]  # FastAPI passes a response on as it is


def _stream(chat: RunningChat, account: str, buffer: TurnBuffer, after: int) -> Response:
    follower = buffer.attach()
    try:
        on_end = chat.throttle.begin_following(account)
        return FollowingResponse(buffer, ui_stream(buffer, after), UI_HEADERS, on_end)
    finally:
        follower.close()


async def _is_more(ended: Turn, after: int) -> bool:
    """Tell whether anything comes after this place of a turn that has ended."""
    async for event in ui_stream(replay(ended), after):
        return event != DONE
    return False
