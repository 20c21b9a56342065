"""Tell Avinode's answers apart: a body to read, a refusal, busy, or nobody knows what became of the call. Pure."""

from collections.abc import Mapping
from typing import Any

from services.workflow.avinode.errors import (
    AvinodeAway,
    AvinodeForbidden,
    AvinodeLocked,
    AvinodeMissing,
    AvinodeRefused,
    AvinodeUnclear,
)
from shared.texts.lenient_json import Unreadable, read_json
from shared.texts.retry_after import retry_after_s

LONGEST_WAIT_S = 3600.0
# After these the call surely changed nothing. Not so 408, 409 or a redirect: a proxy may say them after the fact.
REFUSALS: dict[int, type[AvinodeRefused]] = {
    **dict.fromkeys((400, 405, 406, 411, 413, 414, 415, 422, 431), AvinodeRefused),
    401: AvinodeLocked,
    403: AvinodeForbidden,
    404: AvinodeMissing,
    410: AvinodeMissing,
}


def understood(status: int, headers: Mapping[str, str], content: bytes, *, usual_wait_s: float) -> Any:
    """Return the body of a good answer.

    Args:
        usual_wait_s: For how long a busy Avinode is left alone that does not say.

    Raises:
        AvinodeAway: It is busy, or failed in the middle of the call.
        AvinodeRefused: It did nothing.
        AvinodeUnclear: None of these.
    """
    if status in (429, 503):
        is_busy = status == 429 or "Retry-After" in headers  # a bare 503 may be a proxy that lost the answer
        wanted_s = wanted_wait_s(headers)
        wait_s = usual_wait_s if wanted_s is None else wanted_s  # zero is an answer too
        raise AvinodeAway(f"answered {status}", wait_s=wait_s, is_acted_on=False if is_busy else None)
    if status >= 500:
        raise AvinodeAway(f"answered {status}", is_acted_on=None)
    body = _json(content)
    errors = errors_in(body)
    detail = f"answered {status}" + (f": {errors}" if errors else "")
    if status in REFUSALS:
        raise REFUSALS[status](detail)
    if status >= 300:
        raise AvinodeUnclear(detail)
    if body is None:
        raise AvinodeUnclear(f"answered {status}, but no JSON")
    if errors and not (isinstance(body, dict) and body.get("data")):
        raise AvinodeUnclear(f"answered {status} with errors: {errors}")
    return body


def errors_in(body: Any) -> str:
    """Return the titles of `meta.errors`, which an answer of 200 may have too."""
    meta = body.get("meta") if isinstance(body, dict) else None
    errors = meta.get("errors") if isinstance(meta, dict) else None
    if not isinstance(errors, list):
        return ""
    titles = [str(error.get("title") or error.get("code")) for error in errors if isinstance(error, dict)]
    return "; ".join(titles).replace("\x00", "").encode(errors="replace").decode()[:500]


def wanted_wait_s(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After (seconds or a date), else X-Rate-Limit-Reset (seconds)."""
    wait_s = retry_after_s(headers.get("Retry-After") or headers.get("X-Rate-Limit-Reset"))
    return None if wait_s is None else min(wait_s, LONGEST_WAIT_S)


def _json(content: bytes) -> Any:
    try:
        return read_json(content)
    except Unreadable:
        return None
