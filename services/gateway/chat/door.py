"""The door of `POST /api/chat`: it is called most, and found before FastAPI and the list of all other routes."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.account.identity import caller_of
from services.gateway.chat.routes import Chat
from services.gateway.http.answers.problems import PROBLEMS, problem_of
from services.gateway.http.handed import handed

PATH = "/api/chat"


class ChatDoor:
    """Answers a chat, and hands on everything else."""

    def __init__(self, others: ASGIApp) -> None:
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._others(scope, receive, send)
            return
        scope["route"] = CHAT  # as FastAPI's routes do, for metrics and spans
        request = Request(scope, receive)
        try:
            response = await _answer(request)
        except PROBLEMS as error:
            response = problem_of(error)
        await response(scope, receive, send)


async def _answer(request: Request) -> Response:
    return await handed(request, Chat).answer(request, await caller_of(request))


CHAT = Route(PATH, _answer, methods=["POST"])
