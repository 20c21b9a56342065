"""Read the body of an HTTP error: JSON in any of the services' shapes, or something else that is nobody's business."""

from typing import Protocol

from services.gateway.model.chunks import Complaint
from services.gateway.model.reading.complaints import complaint_in
from services.gateway.model.reading.lenient import values_in

LONGEST_REFUSAL = 64 * 1024  # bytes that are read of it


class Body(Protocol):
    """What comes of an answer."""

    async def readany(self) -> bytes:
        """Wait for what comes next; nothing at its end."""
        ...


async def read_refusal(answer: Body) -> bytes:
    """Return the body of a refusal, as much of it as anybody looks at."""
    body = b""
    while len(body) < LONGEST_REFUSAL and (data := await answer.readany()):
        body += data
    return body[:LONGEST_REFUSAL]


def complaint_of_body(body: bytes) -> Complaint | None:
    """Read a refusal's body; None where it says nothing about the request: HTML is a proxy's."""
    complaints = (complaint_in(value, is_error=True) for value in values_in(body))
    text = body.decode("utf-8", "replace").strip()
    plain = Complaint(text=text) if text and text[0] not in "<{[" else None
    return next((complaint for complaint in complaints if complaint is not None), plain)
