"""Read one answer of a model's service: the bytes of its body in, what they say out. It knows nothing of connections.

Most are event streams. A body that begins as JSON or HTML does is taken as a whole, whatever it calls itself: services
answer with a `chat.completion` where a stream was asked for, with an error under status 200, or with the page of a
proxy; `docs/models.md` has the sources.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from services.gateway.model.chunks import Chunk, Complaint
from services.gateway.model.complaints import NO_ANSWER, WEB_PAGE
from services.gateway.model.ending import ERROR, reason_of
from services.gateway.model.event_stream import ErrorEvent, EventStream
from services.gateway.model.known_shapes import UNFIT, read_text, read_usual
from services.gateway.model.lenient import read_leniently
from services.gateway.model.surrogates import Halves
from services.gateway.model.thoughts import Thoughts

DONE = b"[DONE]"
BLANK = b"\xef\xbb\xbf \t\r\n"
HTML = b"<"
SHORT = 8  # bytes that no chunk fits in: `[DONE]`, `null`


class AnswerReader:
    """Reads one body."""

    def __init__(self, longest_event: int) -> None:
        self._longest = longest_event
        self._events = EventStream(longest_event)
        self._is_stream: bool | None = None  # none: nothing has come yet but blanks
        self._body: list[bytes] = []
        self._size = 0
        self._text, self._reasoning = Halves(), Halves()
        self._thoughts = Thoughts()
        self._said = False
        self._whole = ""  # what has come in whole messages
        self._is_odd = False  # half a character waits for the other half

    @property
    def is_too_long(self) -> bool:
        return self._events.is_too_long or self._size > self._longest

    def feed(self, data: bytes) -> list[Chunk]:
        """Take the next bytes, and return what they say."""
        if self._is_stream is None:
            data = self._begin(data)
        if not self._is_stream:
            self._size += len(data)
            if not self.is_too_long:
                self._body.append(data)
            return []
        chunks = self._read(self._events.feed(data))
        if (open_data := self._events.open_data) and open_data[0].strip() == DONE:
            chunks.append(self._end())  # who keeps the connection open may never send the blank line behind it
        return self._without_thoughts(chunks) if self._thoughts.may_come else chunks

    def close(self) -> list[Chunk]:
        """Return what the end of the body tells."""
        rest = self._read(self._events.close()) if self._is_stream else self._read_body()
        told = self._without_thoughts([*rest, replace(self._end(), is_done=False)])
        return [*told, Chunk(*self._thoughts.rest())]

    def _begin(self, data: bytes) -> bytes:
        """Find out from its first byte what the body is."""
        data = b"".join((*self._body, data))
        first = data.lstrip(BLANK)[:1]
        self._is_stream = first not in (b"{", b"[", HTML) if first else None
        self._body, self._size = [], 0
        return data

    def _read(self, events: Iterable[bytes]) -> list[Chunk]:
        chunks: list[Chunk] = []
        for event in events:
            try:
                if len(event) < SHORT or self._is_odd or type(event) is not bytes:
                    raise ValueError
                chunks.append(read_text(event))
            except UNFIT:
                self._said = self._said or any(chunk.text for chunk in chunks)
                chunks += self._look_at(event)
        self._said = self._said or any(chunk.text for chunk in chunks)
        return chunks

    def _look_at(self, event: bytes) -> list[Chunk]:
        """Read an event that is no plain piece of the text."""
        if event.strip().upper() == DONE:
            return [self._end()]
        is_error = isinstance(event, ErrorEvent)
        usual = None if is_error or self._is_odd else read_usual(event)
        if usual is not None:
            return [usual]
        chunks = [part for chunk in read_leniently(event, is_error=is_error) for part in _parted(self._mended(chunk))]
        self._is_odd = bool(self._text.held or self._reasoning.held)
        if is_error and not chunks:
            return [Chunk(complaint=Complaint(text=event.decode("utf-8", "replace").strip() or None))]
        return chunks

    def _end(self) -> Chunk:
        """Give up the halves of characters that stayed alone."""
        return Chunk(self._text.rest(), self._reasoning.rest(), is_done=True)

    def _mended(self, chunk: Chunk) -> Chunk:
        if chunk.is_whole:
            self._leave_new(chunk)
        chunk.text = self._text.join(chunk.text)
        chunk.reasoning = self._reasoning.join(chunk.reasoning)
        self._said = self._said or bool(chunk.text)
        return chunk

    def _leave_new(self, chunk: Chunk) -> None:
        """Take out of a message what has come: it may repeat the pieces, go on with the last, or be the next."""
        if self._said and not self._whole:
            chunk.text = chunk.reasoning = ""
            return
        chunk.text = chunk.text.removeprefix(self._whole)
        self._whole += chunk.text

    def _without_thoughts(self, chunks: Iterable[Chunk]) -> list[Chunk]:
        """Let what the text begins with be reasoning, where it is."""
        told: list[Chunk] = []
        for chunk in chunks:
            if chunk.text:
                chunk.text, thought = self._thoughts.split(chunk.text)
                chunk.reasoning += thought
            if chunk.complaint is not None or chunk.is_done:
                told.append(Chunk(*self._thoughts.rest()))
            told.append(chunk)
        return told

    def _read_body(self) -> list[Chunk]:
        """Read a body that is no stream: an answer, an error, or nothing that says anything."""
        body = b"".join(self._body).lstrip(BLANK)
        chunks = self._read([body]) if body and not self.is_too_long else []
        if any(chunk.is_piece or chunk.complaint for chunk in chunks) or not body:
            return chunks
        return [Chunk(complaint=WEB_PAGE if body[:1] == HTML else NO_ANSWER)]


def _parted(chunk: Chunk) -> list[Chunk]:
    """Let a complaint come after what was said beside it; that it ended with an error is no more than the complaint."""
    is_failure = chunk.is_only_end and reason_of(chunk.finish_reason or "") == ERROR
    if chunk.complaint is None or is_failure or not chunk.is_piece:
        return [chunk]
    complaint, chunk.complaint = chunk.complaint, None
    return [chunk, Chunk(complaint=complaint)]
