"""What describes the gateway, for programs and for people: built once, before the first request, since it takes long.

What goes over the broker is described by a program of its own, which ends with that: FastStream, which it takes, would
add 8 MB to a gateway. No page asks another host for anything. Swagger UI's files come from the package
`fastapi-offline`.
"""

import subprocess
import sys
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import fastapi_offline
import orjson
from fastapi import APIRouter, FastAPI, Response
from starlette.responses import FileResponse

from services.gateway.http.documents.event_page import POLICY as EVENT_PAGE_POLICY
from services.gateway.http.documents.event_page import event_page
from services.gateway.http.handed import from_app

# Swagger UI draws its own icons from data: URLs, and asks this origin for the document and for what is tried out.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
DOCS_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Tripthread API</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="docs/swagger-ui.css"></head>
<body><div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script></body></html>
"""
DOCS_START = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true});\n'
SWAGGER_UI = Path(str(files(fastapi_offline))) / "static"
FOR_A_DAY = {"Cache-Control": "public, max-age=86400"}


EVENTS_PROGRAM = "services.gateway.http.documents.event_document"
ROOT = Path(__file__).parents[4]  # where `services` is


class Documents:
    """What is served; `prepare` builds it."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    @cached_property
    def openapi(self) -> bytes:
        """The HTTP API, as OpenAPI."""
        return orjson.dumps(self._app.openapi())

    @cached_property
    def events(self) -> bytes:
        """What goes between the services, as AsyncAPI."""
        return _described_events()

    @cached_property
    def event_page(self) -> bytes:
        return event_page(orjson.loads(self.events)).encode()

    def prepare(self) -> None:
        """Build all of it: a second, in which the process can do nothing else."""
        _ = self.openapi, self.events, self.event_page


@cache
def _described_events() -> bytes:
    program = [sys.executable, "-m", EVENTS_PROGRAM]
    return subprocess.run(program, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout


DocumentsDep = Annotated[Documents, from_app(Documents)]

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
async def openapi(documents: DocumentsDep) -> Response:
    return Response(documents.openapi, media_type="application/json")


@router.get("/docs")
async def docs() -> Response:
    return Response(DOCS_PAGE, media_type="text/html", headers={"Content-Security-Policy": DOCS_POLICY})


@router.get("/docs/start.js")
async def docs_start() -> Response:
    return Response(DOCS_START, media_type="text/javascript")


@router.get("/docs/swagger-ui-bundle.js")
async def docs_script() -> Response:
    return FileResponse(SWAGGER_UI / "swagger-ui-bundle.js", media_type="text/javascript", headers=FOR_A_DAY)


@router.get("/docs/swagger-ui.css")
async def docs_style() -> Response:
    return FileResponse(SWAGGER_UI / "swagger-ui.css", media_type="text/css", headers=FOR_A_DAY)


@router.get("/docs/events")
async def events_page(documents: DocumentsDep) -> Response:
    headers = {"Content-Security-Policy": EVENT_PAGE_POLICY}
    return Response(documents.event_page, media_type="text/html", headers=headers)


@router.get("/docs/events.json")
async def events(documents: DocumentsDep) -> Response:
    return Response(documents.events, media_type="application/json")
