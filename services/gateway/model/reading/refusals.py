"""Read the body of an HTTP error: JSON in any of the services' shapes, or something else that is nobody's business."""

import aiohttp

from services.gateway.model.chunks import Complaint
from services.gateway.model.reading.complaints import complaint_in
from services.gateway.model.reading.lenient import values_in

LONGEST_REFUSAL = 64 * 1024  # bytes that are read of it


async def read_refusal(response: aiohttp.ClientResponse) -> bytes:
    """Return the body of a refusal, as much of it as anybody looks at."""
    return await _beginning(response.content)


def complaint_of_body(body: bytes) -> Complaint | None:
    """Read a refusal's body; None where it says nothing about the request: HTML is a proxy's."""
    complaints = (complaint_in(value, is_error=True) for value in values_in(body))
    text = body.decode("utf-8", "replace").strip()
    plain = Complaint(text=text) if text and text[0] not in "<{[" else None
    return next((complaint for complaint in complaints if complaint is not None), plain)


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    body = b""
    while len(body) < LONGEST_REFUSAL and (data := await content.readany()):
        body += data
    return body[:LONGEST_REFUSAL]
