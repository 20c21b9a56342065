"""Errors of `/sim` and of the page: problem documents (RFC 9457), or a page that says the same."""

from aiohttp import web
from aiohttp.typedefs import Handler

from deploy.sandbox.avinode.market.errors import InvalidInputError, RefusedError, UnknownIdError
from deploy.sandbox.avinode.pages.pages import error_page


@web.middleware
async def as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer errors as problem documents, in HTML below `/ui`."""
    try:
        return await handler(request)
    except InvalidInputError as error:
        return _problem(request, 422, f"{error}" + (f" (at {error.path})" if error.path else ""))
    except UnknownIdError as error:
        return _problem(request, 404, str(error))
    except RefusedError as error:
        return _problem(request, 409, str(error))
    except web.HTTPClientError as error:
        response = _problem(request, error.status, error.reason)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response


def _problem(request: web.Request, status: int, detail: str) -> web.Response:
    if request.path.startswith("/ui"):
        return web.Response(text=error_page(status, detail), status=status, content_type="text/html")
    body = {"type": "about:blank", "title": f"HTTP {status}", "status": status, "detail": detail}
    return web.json_response(body, status=status, content_type="application/problem+json")
