"""What went wrong, as RFC 9457 problem documents: `{type, title, status, detail, code, error}`.

`code` is stable and `error` repeats the detail for clients that look there. A refused field is in `errors`.
"""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import Counter
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from shared.database import DATABASE_ERRORS, Fault, fault_of, is_away
from shared.errors import (
    Away,
    DatabaseAway,
    Invalid,
    NotAuthenticated,
    Refused,
    TooMany,
    TooManySessions,
    TripthreadError,
)

MEDIA_TYPE = "application/problem+json"
# What can be told of a refusal that no class of ours stands for, by its status.
CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}

MOST_ERRORS = 100  # that one problem document names; whoever made more has them for one reason

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

# What refuses for being too much, by the names that callers read; `visitor_` is what all of one address may together.
LIMITS = (
    *("calls", "turns", "visitor_turns", "looks", "visitor_looks", "messages", "forks", "batches", "wrong_keys"),
    *("trip_orders", "trip_guesses", "proposal_sends"),
    *("turns_at_once", "followed_at_once", "event_streams_at_once", "readings_at_once", "bytes_at_once"),
    *("turns_per_day", "tokens_per_day", "sessions_per_day", "sessions_in_all"),
    *("visitor_turns_per_day", "visitor_tokens_per_day", "visitor_sessions_per_day"),
)
REFUSED = Counter(
    "tripthread_refused_total", "Requests that were refused for the sake of a limit, by its kind", ["limit"]
)
for _limit in LIMITS:  # or the first refusals would raise nothing: what was never seen has not increased
    REFUSED.labels(_limit)

log = structlog.get_logger(__name__)


class FieldProblem(BaseModel):
    field: str
    detail: str


class Problem(BaseModel):
    """A problem document; some kinds have further members."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    error: str
    errors: list[FieldProblem] | None = None


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe for OpenAPI the statuses that a route answers with a problem document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def problem_response(error: TripthreadError, headers: Mapping[str, str] | None = None, **about: str) -> Response:
    """Answer with the problem that this error is; `about` are further members of the document."""
    status = error.status if isinstance(error, Refused | Away) else 500
    members = {**about, **error.extra}
    retry_after = members.pop("retry_after_s", error.retry_after_s if isinstance(error, Away) else None)
    own_headers = {**members.pop("headers", {}), **(headers or {})}
    note_refusal(error)
    if retry_after is not None:
        own_headers["Retry-After"] = str(retry_after)
    if isinstance(error, NotAuthenticated):
        own_headers.setdefault("WWW-Authenticate", "Bearer")
    return _document(status, error.code, error.detail, members, own_headers)


def note_refusal(error: TripthreadError) -> None:
    """Count an error that is told, where it is for the sake of a limit."""
    if isinstance(error, TooMany | TooManySessions):
        REFUSED.labels(error.extra.get("limit", "other")).inc()


def unexpected_response() -> Response:
    """Answer for an error that nobody foresaw; what it was is in the log, under the request's id."""
    return _document(500, "internal_error", "Something went wrong on our side.", {}, {})


# Every error for which a route's caller gets an answer of its own.
PROBLEMS = (Refused, Away, *DATABASE_ERRORS)


def handle_problems(app: FastAPI) -> None:
    """Turn every error that leaves a route of this app into a problem document."""
    for kind in PROBLEMS:
        app.add_exception_handler(kind, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)


def problem_of(error: Exception) -> Response:
    """Answer for one of `PROBLEMS`."""
    told = told_as(error)
    return problem_response(told) if told else unexpected_response()


def told_as(error: Exception) -> TripthreadError | None:
    """Return what the caller is told of an error; None where nobody foresaw it, and it is in the log."""
    if isinstance(error, TripthreadError):
        return error
    fault = fault_of(error)
    if is_away(error):
        level = logging.DEBUG if fault is Fault.TRANSIENT else logging.ERROR
        log.log(level, "database away", error=str(error) or type(error).__name__)
        return DatabaseAway()
    if fault is Fault.MESSAGE:
        log.warning("the database refused a request's values", error=str(error))
        return Invalid("The database can't work with these values.")
    log.error("request failed", exc_info=error)
    return None


async def _on_problem(_request: Request, error: Exception) -> Response:
    return problem_of(error)


async def _on_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    return problem_response(invalid(error.errors()))


def invalid(faults: Sequence[Mapping[str, Any]]) -> Invalid:
    """Say of each field what pydantic found, naming only the field and the rule, never what was sent."""
    errors = [
        {"field": _field(fault["loc"]), "detail": fault["msg"].removeprefix("Value error, ")}
        for fault in faults[:MOST_ERRORS]
    ]
    first = errors[0]
    return Invalid(f"{first['field']}: {first['detail']}" if first["field"] else first["detail"], errors=errors)


def _field(location: Sequence[str | int]) -> str:
    """Name a field as the caller knows it: without body, query or header, and which `<shape>` a body was taken for."""
    return ".".join(str(part) for part in location[1:] if not str(part).startswith("<"))


async def _on_http(request: Request, error: Exception) -> Response:
    """Answer for what Starlette and FastAPI refuse by themselves: unknown paths, wrong methods."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    code, detail = CODES.get(error.status_code, "error"), str(error.detail)
    headers = dict(error.headers or {})
    if error.status_code == 404:
        detail = "There is nothing at this path; /openapi.json lists what there is, and OpenAI's API begins with /v1."
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_allowed(request))
        detail = f"This path takes {headers['Allow']}."
    return _document(error.status_code, code, detail, {}, headers)


def _allowed(request: Request) -> list[str]:
    """Ask every route, since the router names only the methods of the first one on this path."""
    scopes = {method: {**request.scope, "method": method} for method in METHODS}
    routes = request.app.router.routes
    return [
        method for method, scope in scopes.items() if any(route.matches(scope)[0] is Match.FULL for route in routes)
    ]


def _document(status: int, code: str, detail: str, members: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    document = {
        "type": f"urn:tripthread:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "error": detail,
        **members,
    }
    return Response(orjson.dumps(document), status, headers=headers, media_type=MEDIA_TYPE)
