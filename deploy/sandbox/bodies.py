"""Reading request bodies."""

from aiohttp import web


async def read_body(request: web.Request) -> bytes:
    """Read the whole body.

    Raises:
        web.HTTPBadRequest: it is not what its Content-Encoding says.
        web.HTTPRequestEntityTooLarge: it is larger than the application allows.
    """
    try:
        return await request.read()
    except web.RequestPayloadError as error:
        raise web.HTTPBadRequest(reason="The body is not what its Content-Encoding says") from error
