"""The door of `POST .../sessions/{session_id}/messages`, found before FastAPI and the list of all other routes."""

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.account.identity import account_of, caller_of, counted
from services.gateway.http.answers.problems import PROBLEMS, invalid, problem_of
from services.gateway.http.callers.client import client_of
from services.gateway.http.handed import handed
from services.gateway.http.held.bodies import take_body
from services.gateway.http.requests.fields import SessionId
from services.gateway.http.requests.json_body import MAX_COMMAND_NODES, read_json, require_json
from services.gateway.http.requests.strict_route import require_plain_query
from services.gateway.http.write_headers import write_of
from services.gateway.sessions.answers import Message
from services.gateway.sessions.messages.posting import PATH, MessageAnswer, NewMessage, Posting

BEFORE, AFTER = PATH.split("{session_id}")

_session_id = TypeAdapter[str](SessionId)


class PostingDoor:
    """Answers whoever stores a message, and hands on everything else."""

    def __init__(self, others: ASGIApp) -> None:
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or (name := _named(scope["path"])) is None:
            await self._others(scope, receive, send)
            return
        scope["route"] = POSTING  # as FastAPI's routes do, for metrics and spans
        try:
            response = await _answer(Request(scope, receive), name)
        except PROBLEMS as error:
            response = problem_of(error)
        await response(scope, receive, send)


def _named(path: str) -> str | None:
    """Return what stands for the session in a path of this kind; None of any other."""
    if not (path.startswith(BEFORE) and path.endswith(AFTER)):
        return None
    name = path[len(BEFORE) : -len(AFTER)]
    return name if name and "/" not in name else None


async def _answer(request: Request, name: str) -> Response:
    """Store a message as the route's description says (`posting.py`)."""
    require_plain_query(request)
    require_json(request.headers)
    value = read_json(await take_body(request), MAX_COMMAND_NODES)
    caller = await counted(await caller_of(request), request)
    session_id, message = _read(name, value)
    posting, account = handed(request, Posting), account_of(caller, request)
    write, client = write_of(request, posting.settings), client_of(request.scope, posting.settings)
    await posting.admit(account, message)
    shown, status = await posting.post(caller, session_id, message, write, client=client, account=account)
    answer = MessageAnswer(message=Message.of(shown))
    return Response(answer.model_dump_json(), status, media_type="application/json")


def _read(name: str, value: object) -> tuple[str, NewMessage]:
    """Read path and body as FastAPI does, and refuse them in the same words.

    Raises:
        Invalid: Something in them is not as it must be.
    """
    faults = []
    try:
        _session_id.validate_python(name)
    except ValidationError as error:
        faults += [{**each, "loc": ("path", "session_id")} for each in error.errors()]
    try:
        message = NewMessage.model_validate(value, from_attributes=True)
    except ValidationError as error:
        faults += [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
    if faults:
        raise invalid(faults)
    return name, message


async def _at_the_door(_request: Request) -> Response:
    raise NotImplementedError("the door answers before any route")


POSTING = Route(PATH, _at_the_door, methods=["POST"])
