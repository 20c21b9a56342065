"""The door of `/v1`: whatever is asked there is answered in OpenAI's words, also that there is no such path.

`/v1/traces` is no part of it: see `http/answers/openai_errors.py`.
"""

import re
from collections.abc import Awaitable, Callable

import orjson
import structlog
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.account.authenticator import UNKNOWN
from services.gateway.account.identity import Caller, account_of, counted, known_caller
from services.gateway.account.limits.throttle import Throttle
from services.gateway.http.answers.openai_errors import (
    REFUSED,
    error_object,
    error_response,
    is_openai,
    openai_error,
    unexpected,
)
from services.gateway.http.answers.problems import PROBLEMS, told_as
from services.gateway.http.handed import handed
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.v1.answers import Answers
from services.gateway.v1.kept_responses import KeptResponses
from services.gateway.v1.models import ListedModels
from services.gateway.v1.reading.response_fields import check_included
from services.gateway.v1.told.completions import Completions
from services.gateway.v1.told.responses import Responses
from shared.errors import NotAuthenticated

CHATS, MODELS, MODEL = "/v1/chat/completions", "/v1/models", "/v1/models/{model}"
RESPONSES, RESPONSE = "/v1/responses", "/v1/responses/{response_id}"
INPUT, CANCEL = f"{RESPONSE}/input_items", f"{RESPONSE}/cancel"
BELOW = {"/input_items": INPUT, "/cancel": CANCEL}  # one response
NO_IDS = frozenset(("compact", "input_tokens"))  # which are paths of OpenAI's, where an id could stand
AGAIN, SLASHES = re.compile("^(?:/v1)+/"), re.compile("//+")
SERVED = "Here are /v1/chat/completions, /v1/responses and /v1/models."
COMPLETION_WORDS, RESPONSE_WORDS = Completions(), Responses()

Answer = Callable[[Request, Caller], Awaitable[Response]]

log = structlog.get_logger(__name__)


class V1Door:
    """Answers clients of OpenAI's, and hands on everything else."""

    def __init__(self, others: ASGIApp) -> None:
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_openai(scope):
            await self._others(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await _answer(request)
        except PROBLEMS as error:
            response = _refusal(request, error)
        await response(scope, receive, send)


async def _answer(request: Request) -> Response:
    path = request.scope["path"]
    route = ROUTES.get(_pattern_of(path))
    if route is None:
        message = f"Unknown request URL: {request.method} {path[:200]}. {_meant(path) or SERVED}"
        return error_response(404, error_object(message, REFUSED, "unknown_url"))
    request.scope["route"] = route  # as FastAPI's routes do, for metrics and spans
    answer = ANSWERS[route.path].get(request.method)
    if answer is None:
        methods = ", ".join(ANSWERS[route.path])
        message = f"This path takes {methods}."
        return error_response(405, error_object(message, REFUSED, "method_not_allowed"), {"Allow": methods})
    caller = await known_caller(request)
    if caller is None:
        raise NotAuthenticated(UNKNOWN)
    return await answer(request, caller)


def _meant(path: str) -> str:
    """Say which path is meant where a client has joined an address and a path that do not go together.

    Addresses are given to clients with a slash at their end, and with `/v1` to those that add it themselves. It is said
    and not served: nothing is to be reached by two spellings, of which a rule before us may know one.
    """
    tidy = AGAIN.sub("/v1/", SLASHES.sub("/", path).rstrip("/"))
    return f"Did you mean {tidy[:200]}?" if tidy != path and _pattern_of(tidy) in ROUTES else ""


def _pattern_of(path: str) -> str:
    if _id_behind(MODELS, path):  # which may have slashes
        return MODEL
    name, slash, below = _id_behind(RESPONSES, path).partition("/")
    if name and name not in NO_IDS:
        return BELOW.get(slash + below, path) if slash else RESPONSE
    return path


def _id_behind(path: str, whole: str) -> str:
    """Return what stands behind a path, as one of those that it lists has it; nothing where nothing does."""
    return whole.removeprefix(f"{path}/") if whole.startswith(f"{path}/") else ""


def _refusal(request: Request, error: Exception) -> Response:
    told = told_as(error)
    return openai_error(told) if told else unexpected(request.scope)


async def _complete(request: Request, caller: Caller) -> Response:
    return await handed(request, Answers).answer(request, caller, COMPLETION_WORDS)


async def _respond(request: Request, caller: Caller) -> Response:
    return await handed(request, Answers).answer(request, caller, RESPONSE_WORDS)


async def _list_models(request: Request, caller: Caller) -> Response:
    await counted(caller, request)
    return _json(handed(request, ListedModels).all(caller))


async def _show_model(request: Request, caller: Caller) -> Response:
    await counted(caller, request)
    name = _id_behind(MODELS, request.scope["path"])
    return _json(handed(request, ListedModels).one(name, caller))


async def _show_response(request: Request, caller: Caller) -> Response:
    await counted(caller, request)
    query = request.query_params
    if query.get("stream", "").lower() in ("true", "1"):
        raise refused_field("stream", "is not supported: what is kept of a response is shown whole")
    _check_included(query)
    return _json(await handed(request, KeptResponses).show(_response_in(request), caller))


async def _list_input(request: Request, caller: Caller) -> Response:
    await counted(caller, request)
    query = request.query_params
    _check_included(query)
    return _json(await handed(request, KeptResponses).list_input(_response_in(request), query, caller))


async def _cancel_response(request: Request, caller: Caller) -> Response:
    await counted(caller, request)
    await handed(request, Throttle).count_look(account_of(caller, request))
    return _json(await handed(request, KeptResponses).cancel(_response_in(request), caller))


async def _delete_response(request: Request, caller: Caller) -> Response:
    await counted(caller, request)
    return _json(await handed(request, KeptResponses).delete(_response_in(request), caller))


def _response_in(request: Request) -> str:
    """Return the id of the response that a path names."""
    return _id_behind(RESPONSES, request.scope["path"]).partition("/")[0]


def _check_included(query: QueryParams) -> None:
    check_included([value for name, value in query.multi_items() if name in ("include", "include[]")])


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


ANSWERS: dict[str, dict[str, Answer]] = {  # by path and method
    CHATS: {"POST": _complete},
    RESPONSES: {"POST": _respond},
    RESPONSE: {"GET": _show_response, "DELETE": _delete_response},
    INPUT: {"GET": _list_input},
    CANCEL: {"POST": _cancel_response},
    MODELS: {"GET": _list_models},
    MODEL: {"GET": _show_model},
}


async def _at_the_door(_request: Request) -> Response:
    raise NotImplementedError("the door answers before any route")


ROUTES = {path: Route(path, _at_the_door, methods=list(methods)) for path, methods in ANSWERS.items()}
