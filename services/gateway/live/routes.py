"""`GET /api/events`: what changes of the caller's sessions, as it changes."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from services.gateway.account.authenticator import Authenticator
from services.gateway.account.identity import Caller, KnownCallerDep, account_of
from services.gateway.account.limits.throttle import Throttle
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app, handed
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.live.admitting import Admitting
from services.gateway.live.listeners import Listeners
from services.gateway.live.stream import EventStream
from services.gateway.sessions.own_session import OwnSessions

LONGEST_S = 7 * 86400.0  # that a stream stays open, whatever its credentials say

router = APIRouter(tags=["sessions"], route_class=StrictRoute)


@dataclass(frozen=True)
class Live:
    """What this route works with."""

    listeners: Listeners
    throttle: Throttle
    own: OwnSessions


_EXAMPLE = """retry: 3000
id: 5f0c1d2e3a4b.1

id: 5f0c1d2e3a4b.2
event: stored
data: {"session_id":"0198c0de","changed":["messages"],"at":"2026-11-29T12:00:00.000000+00:00"}

"""


@router.get(
    "/api/events",
    responses={
        200: {
            "description": "Server-sent events: stored, renamed, tagged, trip, proposal, changed, deleted, resync",
            "content": {"text/event-stream": {"example": _EXAMPLE}},
        },
        **problem_responses(401, 422, 429, 503),
    },
    response_class=Response,
)
async def follow_events(
    live: Annotated[Live, from_app(Live)],
    request: Request,
    caller: KnownCallerDep,
    last_event_id: Annotated[str, Header()] = "",
) -> Response:
    """Follow what changes of the caller's sessions; after a gap the first event is `resync`: fetch everything again."""
    end = live.throttle.begin_listening(account_of(caller, request))
    try:
        listener = live.listeners.open(caller.user_ids)
    except BaseException:
        end()
        raise
    return EventStream(
        listener,
        admit=None if caller.projects is None else Admitting(live.own, caller).admit,
        holds=partial(handed(request, Authenticator).holds, caller),
        is_return=bool(last_event_id),
        lasts_s=_lasts_s(caller),
        on_end=end,
    )


def _lasts_s(caller: Caller) -> float:
    """Tell how long the caller's credentials hold; the stream ends with them, and others open the next one."""
    return LONGEST_S if caller.expires_at is None else min(LONGEST_S, caller.expires_at - time.time())
