"""The public HTTP application: every route, behind one edge, with problem documents for whatever goes wrong."""

from collections.abc import Iterable
from functools import partial

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig

from services.gateway.account import routes as account
from services.gateway.account.identity import account_in
from services.gateway.admin import routes as admin
from services.gateway.chat import running
from services.gateway.chat.description import describe_chat
from services.gateway.chat.routes import chat_route
from services.gateway.http import documents
from services.gateway.http.documents import Documents
from services.gateway.http.edge import Edge
from services.gateway.http.handed import hand_over
from services.gateway.http.openapi import complete_openapi
from services.gateway.http.operations import Ask, operations
from services.gateway.http.problems import handle_problems
from services.gateway.models import routes as models
from services.gateway.sessions import messages, posting
from services.gateway.sessions import routes as sessions
from services.gateway.trips import routes as trips
from services.gateway.webhooks import routes as webhooks
from shared.settings import Settings

ROUTERS = (
    running.router,
    sessions.router,
    messages.router,
    posting.router,
    trips.router,
    models.router,
    webhooks.router,
    account.router,
    admin.router,
)

# `Edge` makes the one span of a request; FastAPI would add three, outside of it, and so in a trace of their own.
TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


def create_api(settings: Settings, subjects: Iterable[object], ask: Ask) -> FastAPI:
    """Make the application.

    Args:
        settings: What every route may ask.
        subjects: What each subject's routes work with; they find it by its class.
        ask: Says what keeps this gateway from its job, and what it does without.
    """
    app = FastAPI(
        title="Tripthread",
        version="1",
        openapi_url=None,  # and so no page for it: `http/documents.py` has both
        generate_unique_id_function=_operation_id,
        separate_input_output_schemas=False,
        telemetry=TELEMETRY,
        redirect_slashes=False,  # behind a proxy it would send callers, and their tokens, to http and any `Host`
    )
    hand_over(app, settings, Documents(app), *subjects)
    handle_problems(app)
    app.add_middleware(Edge, settings=settings, whose=partial(account_in, settings=settings))
    app.router.routes.append(chat_route())  # before all others: it is called most, and routes are tried in order
    for router in ROUTERS:
        app.include_router(router)
    app.include_router(operations(ask))
    app.include_router(documents.router)
    complete_openapi(app, describe_chat, webhooks.describe_credentials)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
