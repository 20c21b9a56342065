"""Routes that take nothing for what it is not: JSON that can be stored, and each query parameter once."""

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.http.requests.json_body import MAX_COMMAND_NODES, read_json, require_json
from services.gateway.http.requests.refused_field import refused_field
from shared.errors import Invalid

MOST_PARAMETERS = 500  # of which a list of ids may be made

JSON_TYPE = (b"content-type", b"application/json")  # FastAPI hands a body of another type on as bytes


SPELLINGS = {b"projectId": b"project_id", b"sessionId": b"session_id"}
LISTS = frozenset(("id", "label"))  # parameters that are lists, wherever they are known


class StrictRoute(APIRoute):
    """A route that refuses what FastAPI would read in its own way."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        has_body = self.body_field is not None

        async def handle_strictly(request: Request) -> Response:
            require_plain_query(request)
            return await handle(await _read(request) if has_body else request)

        return handle_strictly


def require_plain_query(request: Request) -> None:
    """Refuse a query in which nobody can know what was meant, and spell it as ours.

    Raises:
        Invalid: It has too many parameters, or one of them twice.
    """
    if request.scope["query_string"]:
        _refuse_many(request)
        _spell_as_ours(request)
        _refuse_repeats(request)


class _ReadRequest(Request):
    """A request whose JSON was read already, whatever its content type said."""

    value: Any = None

    async def json(self) -> Any:
        return self.value


async def _read(request: Request) -> Request:
    require_json(request.headers)
    headers = request.scope["headers"]
    request.scope["headers"] = [*(header for header in headers if header[0] != JSON_TYPE[0]), JSON_TYPE]
    read = _ReadRequest(request.scope, request.receive)
    read.value = read_json(await read.body(), MAX_COMMAND_NODES)
    return read


def _spell_as_ours(request: Request) -> None:
    """Read `projectId` as `project_id`: older clients spell parameters as they do fields."""
    query = request.scope["query_string"]
    if b"Id=" in query:
        pairs = (pair.partition(b"=") for pair in query.split(b"&"))
        request.scope["query_string"] = b"&".join(
            b"".join((SPELLINGS.get(name, name), equals, value)) for name, equals, value in pairs
        )


def _refuse_many(request: Request) -> None:
    if request.scope["query_string"].count(b"&") > MOST_PARAMETERS:
        raise Invalid(f"A query may have at most {MOST_PARAMETERS} parameters.")


def _refuse_repeats(request: Request) -> None:
    """FastAPI takes the last of several; but nobody can know which one was meant."""
    counts = Counter(name for name, _ in request.query_params.multi_items())
    for name, count in counts.items():
        if count > 1 and name not in LISTS:
            raise refused_field(name, "was given more than once")
