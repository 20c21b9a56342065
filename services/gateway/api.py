"""The public HTTP application: every route, behind one edge, with problem documents for whatever goes wrong."""

from fastapi import FastAPI
from fastapi.routing import APIRoute
from faststream.specification import AsyncAPI

from services.gateway.edge import Edge
from services.gateway.openapi import complete_openapi
from services.gateway.parts import Parts
from services.gateway.problems import handle_problems
from services.gateway.routes import account, admin, messages, models, sessions, trips, webhooks
from services.gateway.routes.chat import Chat, chat_route
from services.gateway.routes.operations import operations

ROUTERS = (sessions.router, messages.router, trips.router, models.router, webhooks.router, account.router, admin.router)


def create_api(parts: Parts, chat: Chat, events: AsyncAPI) -> FastAPI:
    """Make the application; `events` describes what goes between the services."""
    app = FastAPI(
        title="Tripthread",
        version="1",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        separate_input_output_schemas=False,
        redirect_slashes=False,  # behind a proxy it would send callers, and their tokens, to http and any `Host`
    )
    app.state.parts = parts
    handle_problems(app)
    app.add_middleware(Edge, settings=parts.settings)
    for router in ROUTERS:
        app.include_router(router)
    app.include_router(operations(events))
    app.router.routes.append(chat_route(chat))
    complete_openapi(app)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
