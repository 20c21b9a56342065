"""The public HTTP application: every route, behind one edge, with problem documents for whatever goes wrong."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from faststream.specification import AsyncAPI

from services.gateway.edge import Edge
from services.gateway.parts import Parts
from services.gateway.problems import Problem, handle_problems
from services.gateway.routes import account, admin, messages, models, sessions, trips, webhooks
from services.gateway.routes.operations import operations

ROUTERS = (sessions.router, messages.router, trips.router, models.router, webhooks.router, account.router, admin.router)


def create_api(parts: Parts, events: AsyncAPI) -> FastAPI:
    """Make the application; `POST /api/chat` is added by `app.py`, which knows what runs a turn."""
    app = FastAPI(
        title="Tripthread",
        version="1",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        separate_input_output_schemas=False,
    )
    app.state.parts = parts
    handle_problems(app)
    app.add_middleware(Edge, settings=parts.settings)
    for router in ROUTERS:
        app.include_router(router)
    app.include_router(operations(events))
    _describe_problems(app)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


def _describe_problems(app: FastAPI) -> None:
    """Put into the OpenAPI document what the routes refer to: `Problem`, and how webhooks authenticate."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        document = describe()
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"] |= problem.pop("$defs") | {"Problem": problem}
        document["components"]["securitySchemes"]["webhook"] = {"type": "http", "scheme": "basic"}
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend its document
