"""What went wrong on `/v1`, in the shape that clients of OpenAI's read: `{"error": {message, type, param, code}}`.

Their SDKs choose an exception by the status, and whether to try again: they do after 408, 409, 429 and 5xx. What we
refuse as 422 is 400 there. `/v1/traces` is OpenTelemetry's, and keeps its own shape.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Scope

from services.gateway.http.answers.openai_limits import openai_limits_in
from services.gateway.http.answers.problems import note_refusal, problem_response, unexpected_response
from shared.errors import Away, NotAuthenticated, QuotaUsedUp, Refused, TooMany, TripthreadError

PREFIX = "/v1/"
OTHERS = ("/v1/traces",)
REFUSED, LIMITED, FAILED = "invalid_request_error", "requests", "server_error"  # types
USED_UP = "insufficient_quota"  # type and code
CODES = {
    "not_authenticated": "invalid_api_key",
    "too_many_requests": "rate_limit_exceeded",
    "quota_used_up": USED_UP,
    "invalid": "invalid_value",
}
STATUSES = {422: 400}
UNEXPECTED = "Something went wrong on our side."


def is_openai(scope: Scope) -> bool:
    """Tell whether a request is of a client of OpenAI's."""
    path: str = scope["path"]
    return path.startswith(PREFIX) and not path.startswith(OTHERS)


def refusal(scope: Scope, error: TripthreadError, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with an error, in the shape that its path has."""
    return openai_error(error, headers) if is_openai(scope) else problem_response(error, headers)


def unexpected(scope: Scope) -> Response:
    """Answer for an error that nobody foresaw, in the shape that its path has."""
    if not is_openai(scope):
        return unexpected_response()
    return error_response(500, error_object(UNEXPECTED, FAILED, "internal_error"))


def openai_error(error: TripthreadError, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with an error in OpenAI's shape."""
    status = error.status if isinstance(error, Refused | Away) else 500
    own = {**error.extra.get("headers", {}), **(headers or {})}
    own |= openai_limits_in(own)
    note_refusal(error)
    retry_after = error.extra.get("retry_after_s", error.retry_after_s if isinstance(error, Away) else None)
    if retry_after is not None:
        own["Retry-After"] = str(retry_after)
    if isinstance(error, QuotaUsedUp):
        own["x-should-retry"] = "false"  # which OpenAI's clients heed: else they come twice more within seconds
    if isinstance(error, NotAuthenticated):
        own["WWW-Authenticate"] = "Bearer"
    return error_response(STATUSES.get(status, status), described(error), own)


def described(error: TripthreadError) -> dict[str, Any]:
    """Describe an error; of several fields that are refused the first is named."""
    fields = error.extra.get("errors") or [{}]
    kind = FAILED if not isinstance(error, Refused) else LIMITED if isinstance(error, TooMany) else REFUSED
    if isinstance(error, QuotaUsedUp):
        kind = USED_UP
    code = error.extra.get("openai_code") or CODES.get(error.code, error.code)
    return error_object(error.detail, kind, code, fields[0].get("field"))


def error_object(message: str, kind: str, code: str | None, param: str | None = None) -> dict[str, Any]:
    return {"message": message, "type": kind, "param": param, "code": code}


def error_response(status: int, error: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps({"error": error}), status, headers=headers, media_type="application/json")
