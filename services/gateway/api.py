"""The public HTTP application: every route, behind one edge, with problem documents for whatever goes wrong."""

from collections.abc import Iterable

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp

from services.gateway.account import routes as account
from services.gateway.account.identity import account_in, note_refusal
from services.gateway.account.keys import routes as key_routes
from services.gateway.account.logins import routes as login_routes
from services.gateway.admin.conversations import message_routes, read_routes, session_routes
from services.gateway.admin.dead_letters import routes as admin
from services.gateway.admin.deliveries import routes as delivery_routes
from services.gateway.admin.queues import routes as queue_routes
from services.gateway.admin.users import quota_routes
from services.gateway.admin.users import routes as user_routes
from services.gateway.analytics.comparing import routes as comparing
from services.gateway.analytics.reporting import otlp_routes
from services.gateway.analytics.reporting import routes as report_routes
from services.gateway.analytics.reporting.description import describe_traces
from services.gateway.analytics.traces import routes as analytics
from services.gateway.chat import approval_routes, running
from services.gateway.chat.description import describe_chat
from services.gateway.chat.door import CHAT, ChatDoor
from services.gateway.deletion import routes as deletion
from services.gateway.helpers import routes as helpers
from services.gateway.http.answers.problems import handle_problems
from services.gateway.http.documents import routes as documents
from services.gateway.http.documents.openapi import complete_openapi
from services.gateway.http.documents.routes import Documents
from services.gateway.http.edge.middleware import Edge
from services.gateway.http.handed import hand_over
from services.gateway.http.operations import Ask, operations
from services.gateway.live import routes as live
from services.gateway.models import reserving
from services.gateway.models import routes as models
from services.gateway.privacy import config_routes, export_routes
from services.gateway.sessions import routes as sessions
from services.gateway.sessions.beginning import creating, forking, template_routes
from services.gateway.sessions.edits import bulk, changing, deleting
from services.gateway.sessions.finding import folders
from services.gateway.sessions.messages import exporting, feedback, posting, stats
from services.gateway.sessions.messages import routes as messages
from services.gateway.sessions.messages.door import PostingDoor
from services.gateway.sessions.older import routes as older_routes
from services.gateway.sessions.sharing import giving as sharing
from services.gateway.sessions.sharing import shared_session, shared_with
from services.gateway.trips import admin_routes as everybodys_trips
from services.gateway.trips import changing as trip_changes
from services.gateway.trips import listing
from services.gateway.trips import routes as trips
from services.gateway.trips import stats as trip_stats
from services.gateway.trips.proposals import routes as proposal_routes
from services.gateway.v1.description import describe_v1
from services.gateway.v1.door import V1Door
from services.gateway.webhooks import routes as webhooks
from shared.settings import Settings

ROUTERS = (
    running.router,
    approval_routes.router,
    sessions.router,
    creating.router,
    bulk.router,
    changing.router,
    folders.router,
    messages.router,
    feedback.router,
    forking.router,
    exporting.router,
    sharing.router,
    shared_session.router,
    shared_with.router,
    stats.router,
    template_routes.router,
    posting.router,
    older_routes.router,
    deleting.router,
    deletion.router,
    export_routes.router,
    config_routes.router,
    everybodys_trips.router,
    trip_stats.router,
    listing.router,  # before what is named in a path
    trips.router,
    trip_changes.router,
    proposal_routes.router,
    models.router,
    reserving.router,
    comparing.router,
    analytics.router,
    report_routes.router,
    otlp_routes.router,
    helpers.router,
    live.router,
    webhooks.router,
    account.router,
    key_routes.router,
    login_routes.router,
    admin.router,
    delivery_routes.router,
    read_routes.router,
    quota_routes.router,
    session_routes.router,
    message_routes.router,
    user_routes.router,
    queue_routes.router,
)

# `Edge` makes the one span of a request; FastAPI would add three, outside of it, and so in a trace of their own.
TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


class Api(FastAPI):
    """FastAPI behind our own edge and the doors of what is called most, without layers that do what the edge does.

    Each layer costs every request, and every piece of an answer passes through it.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            title="Tripthread",
            version="1",
            openapi_url=None,  # and so no page for it: `http/documents/routes.py` has both
            generate_unique_id_function=_operation_id,
            separate_input_output_schemas=False,
            telemetry=TELEMETRY,
            redirect_slashes=False,  # behind a proxy it would send callers, and tokens, to http and any `Host`
        )
        self._settings = settings

    def build_middleware_stack(self) -> ASGIApp:
        routes = ExceptionMiddleware(AsyncExitStackMiddleware(self.router), handlers=self.exception_handlers)
        return Edge(ChatDoor(PostingDoor(V1Door(routes))), self._settings, account_in, note_refusal)


def create_api(settings: Settings, subjects: Iterable[object], ask: Ask) -> FastAPI:
    """Make the application.

    Args:
        settings: What every route may ask.
        subjects: What each subject's routes work with; they find it by its class.
        ask: Says what keeps this gateway from its job, and what it does without.
    """
    app = Api(settings)
    hand_over(app, settings, Documents(app), *subjects)
    handle_problems(app)
    app.router.routes.append(CHAT)  # for what is asked by another method
    for router in ROUTERS:
        app.include_router(router)
    app.include_router(operations(ask))
    app.include_router(documents.router)
    complete_openapi(app, describe_chat, describe_v1, describe_traces, webhooks.describe_credentials)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
