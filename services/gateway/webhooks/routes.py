"""Notices, Avinode's and others': kept as they come, answered at once, worked later."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from services.gateway.http.answers.problems import problem_response, problem_responses
from services.gateway.http.callers.authorization import one_authorization
from services.gateway.http.edge.middleware import correlation_id_of
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import Json
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.webhooks.senders import SignedSenders, is_avinode
from services.gateway.writes.broker_gate import require_broker
from shared.errors import NotAuthenticated, NotFound
from shared.events import WebhookReceived
from shared.ids import NAMESPACE, derived_id, new_id, scoped
from shared.publishing.publisher import Publisher
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
        "webhook-id",
        "webhook-timestamp",
    )
)
MAX_HEADER_LENGTH = 1000
# What an attempt that was not confirmed has left to find another connection: the answer must come while Avinode is
# still there to hear it, which we take for 10 s.
RECONNECT_S = 2.0

# Avinode may try once without credentials, and wait to be asked for them (docs/avinode.md, "Notices").
CHALLENGE = {"WWW-Authenticate": 'Basic realm="tripthread webhooks", charset="UTF-8"'}

SECURITY: dict[str, Any] = {"security": [{"webhook": []}]}
SIGNED: dict[str, Any] = {"security": [{"webhook_signature": []}]}

router = APIRouter(tags=["webhooks"], route_class=StrictRoute)


@dataclass(frozen=True)
class Webhooks:
    """What these routes work with."""

    settings: Settings
    publisher: Publisher
    senders: SignedSenders


WebhooksDep = Annotated[Webhooks, from_app(Webhooks)]
EventName = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="One path for each kind of notice")]
Source = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="A name in WEBHOOK_SENDERS")]


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


@router.post(
    "/api/webhooks/{source}",
    responses=problem_responses(401, 404, 413, 422, 503),
    response_class=Response,
    openapi_extra=SIGNED,
)
async def receive_signed_notice(webhooks: WebhooksDep, request: Request, source: Source) -> Response:
    """Keep what another sender has signed (Standard Webhooks), once for each of its `webhook-id`s."""
    if source not in webhooks.senders:
        raise NotFound("WEBHOOK_SENDERS names no such sender.")
    body = await request.body()
    if not webhooks.senders.has_signed(source, request.headers, body):
        raise NotAuthenticated(
            "Its signature is missing, malformed, too old or too new, or not by the sender's secret."
        )
    # Of one id it makes one event, however often that comes, and the workflow keeps it once.
    delivery_id = derived_id(NAMESPACE, f"webhook/{scoped(source, request.headers['webhook-id'])}")
    await _publish(
        webhooks,
        WebhookReceived(
            event_id=derived_id(delivery_id, WebhookReceived.__name__),
            correlation_id=correlation_id_of(request),
            delivery_id=delivery_id,
            source=source,
            headers=_kept(request),
            payload=body,
        ),
    )
    return Response(status_code=200)


async def _receive(webhooks: Webhooks, request: Request, event_name: str | None) -> Response:
    authorization = one_authorization(request.headers.getlist("authorization"))
    if not authorization:
        return problem_response(NotAuthenticated("Send the webhook's user and password by HTTP Basic."), CHALLENGE)
    if not is_avinode(authorization, webhooks.settings):
        return problem_response(NotAuthenticated("The webhook's user or password is wrong."), CHALLENGE)
    notice = WebhookReceived(
        correlation_id=correlation_id_of(request),
        delivery_id=new_id(),
        event_name=event_name,
        headers=_kept(request),
        payload=await request.body(),
    )
    await _publish(webhooks, notice)
    return Response(status_code=200)


async def _publish(webhooks: Webhooks, notice: WebhookReceived) -> None:
    require_broker(webhooks.publisher)
    deadline_s = webhooks.settings.publish_timeout_s + RECONNECT_S
    await webhooks.publisher.publish(notice, deadline_s=min(deadline_s, webhooks.settings.publish_deadline_s))


def _kept(request: Request) -> dict[str, str]:
    return {name: value[:MAX_HEADER_LENGTH] for name, value in request.headers.items() if name in KEPT_HEADERS}


def describe_credentials(document: Json) -> None:
    """Say in the OpenAPI document how a notice's sender is known."""
    schemes = document["components"]["securitySchemes"]
    schemes["webhook"] = {"type": "http", "scheme": "basic"}
    schemes["webhook_signature"] = {"type": "apiKey", "in": "header", "name": "webhook-signature"}
