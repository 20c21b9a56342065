"""Avinode's notices: kept as they come, answered at once, worked later."""

from base64 import b64decode
from dataclasses import dataclass
from hmac import compare_digest
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from services.gateway.http.authorization import credentials_in
from services.gateway.http.edge import correlation_id_of
from services.gateway.http.fields import Json
from services.gateway.http.handed import from_app
from services.gateway.http.problems import problem_response, problem_responses
from services.gateway.http.strict_route import StrictRoute
from services.gateway.writes.broker_gate import require_broker
from shared.errors import NotAuthenticated
from shared.events import WebhookReceived
from shared.ids import new_id
from shared.publisher import Publisher
from shared.settings import Settings

# The headers that may tell something of a notice, each by its name: of Avinode's own, X-Avinode-ApiToken is a secret.
KEPT_HEADERS = frozenset(
    (
        "content-type",
        "content-encoding",
        "date",
        "user-agent",
        "traceparent",
        "x-avinode-eventtype",
        "x-avinode-senttimestamp",
    )
)
MAX_HEADER_LENGTH = 1000
# What an attempt that was not confirmed has left to find another connection: the answer must come while Avinode is
# still there to hear it, which we take for 10 s.
RECONNECT_S = 2.0

# Avinode may try once without credentials, and wait to be asked for them (docs/avinode.md, "Notices").
CHALLENGE = {"WWW-Authenticate": 'Basic realm="tripthread webhooks", charset="UTF-8"'}

SECURITY: dict[str, Any] = {"security": [{"webhook": []}]}

router = APIRouter(tags=["webhooks"], route_class=StrictRoute)


@dataclass(frozen=True)
class Webhooks:
    """What these routes work with."""

    settings: Settings
    publisher: Publisher


WebhooksDep = Annotated[Webhooks, from_app(Webhooks)]
EventName = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="One path for each kind of notice")]


@router.post(
    "/api/webhooks/avinode", responses=problem_responses(401, 413, 503), response_class=Response, openapi_extra=SECURITY
)
async def receive_notice(webhooks: WebhooksDep, request: Request) -> Response:
    """Keep a notice, whatever it says: Avinode repeats for 48 hours what is not answered 200."""
    return await _receive(webhooks, request, None)


@router.post(
    "/api/webhooks/avinode/{event}",
    responses=problem_responses(401, 413, 422, 503),
    response_class=Response,
    openapi_extra=SECURITY,
)
async def receive_named_notice(webhooks: WebhooksDep, request: Request, event: EventName) -> Response:
    """Keep a notice whose path says what happened, which its body does not."""
    return await _receive(webhooks, request, event)


async def _receive(webhooks: Webhooks, request: Request, event_name: str | None) -> Response:
    authorization = request.headers.get("authorization")
    if not authorization:
        return problem_response(NotAuthenticated("Send the webhook's user and password by HTTP Basic."), CHALLENGE)
    if not is_avinode(authorization, webhooks.settings):
        return problem_response(NotAuthenticated("The webhook's user or password is wrong."), CHALLENGE)
    require_broker(webhooks.publisher)
    notice = WebhookReceived(
        correlation_id=correlation_id_of(request),
        delivery_id=new_id(),
        event_name=event_name,
        headers=_kept(request),
        payload=await request.body(),
    )
    deadline_s = webhooks.settings.publish_timeout_s + RECONNECT_S
    await webhooks.publisher.publish(notice, deadline_s=min(deadline_s, webhooks.settings.publish_deadline_s))
    return Response(status_code=200)


def is_avinode(authorization: str, settings: Settings) -> bool:
    """Check HTTP Basic credentials, in a time that tells nothing of how wrong they are."""
    scheme, token = credentials_in(authorization)
    try:
        given = b64decode(token, validate=True)
    except ValueError:
        return False
    wanted = f"{settings.avinode_webhook_user}:{settings.avinode_webhook_password.get_secret_value()}"
    return scheme == "basic" and compare_digest(given, wanted.encode())


def _kept(request: Request) -> dict[str, str]:
    return {name: value[:MAX_HEADER_LENGTH] for name, value in request.headers.items() if name in KEPT_HEADERS}


def describe_credentials(document: Json) -> None:
    """Say in the OpenAPI document how a notice's sender is known."""
    document["components"]["securitySchemes"]["webhook"] = {"type": "http", "scheme": "basic"}
