"""One request and its answer, where a caller speaks HTTP/1.0: it knows no chunks, so the connection's end ends it."""

from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent


class UnframedExchange(RequestResponseCycle):
    """Sends an answer without a known length as it is, and never in chunks."""

    ends_with_connection = False

    async def send(self, message: "ASGISendEvent") -> None:
        if message["type"] == "http.response.start":
            self.ends_with_connection = b"content-length" not in (
                name.lower() for name, _ in message.get("headers", ())
            )
            if self.ends_with_connection:
                self.chunked_encoding = False
        elif message["type"] == "http.response.body" and self.ends_with_connection:
            self.expected_content_length = len(message.get("body", b""))  # each piece is as long as it should be
        await super().send(message)
