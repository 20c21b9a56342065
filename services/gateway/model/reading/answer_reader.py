"""Read one answer of a model's service: the bytes of its body in, what they say out. It knows nothing of connections.

Most are event streams. A body that begins as JSON or HTML does is taken as a whole, whatever it calls itself: services
answer with a `chat.completion` where a stream was asked for, with an error under status 200, or with the page of a
proxy; `docs/models.md` has the sources.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from services.gateway.model.chunks import Chunk, Complaint
from services.gateway.model.configured.manner import USUAL, Manner
from services.gateway.model.ending import ERROR, STOP, TOOLS, reason_of
from services.gateway.model.reading.complaints import NO_ANSWER, WEB_PAGE
from services.gateway.model.reading.event_stream import ErrorEvent, EventStream
from services.gateway.model.reading.known_shapes import UNFIT, read_calls, read_text, read_texts, read_usual, read_whole
from services.gateway.model.reading.lenient import read_leniently
from services.gateway.model.reading.mending import Mending
from services.gateway.model.reading.retelling import Retelling
from services.gateway.model.reading.thoughts import Thoughts, begins_plainly
from services.gateway.model.reading.tool_calls import Numbering

DONE = b"[DONE]"
BLANK = b"\xef\xbb\xbf \t\r\n"
HTML = b"<"


class AnswerReader:
    """Reads one body."""

    def __init__(self, longest_event: int, manner: Manner = USUAL, retelling: Retelling | None = None) -> None:
        """Begin an answer; each chunk has what `retelling` says of it, where a client of OpenAI's is to be told."""
        self._longest = longest_event
        self._retelling = retelling
        self._numbering: Numbering | None = None  # none: no tool is called
        self._manner = manner
        self._events = EventStream(longest_event)
        self._is_stream: bool | None = None  # none: nothing has come yet but blanks
        self._may_be_lines = False  # of JSON, as long as the body's first one has not ended
        self._body: list[bytes] = []
        self._size = 0
        self._is_early = True  # what comes may be a thought
        self._thoughts: Thoughts | None = None  # none: nothing has come that may be one
        self._mending: Mending | None = None  # none: every event could be taken as it was
        self._is_odd = manner.is_odd  # the next one cannot

    @property
    def is_too_long(self) -> bool:
        return self._events.is_too_long or self._size > self._longest

    def feed(self, data: bytes) -> list[Chunk]:
        """Take the next bytes, and return what they say."""
        if not self._is_stream:
            data = self._begin(data)
            if not self._is_stream:
                return []
        chunks = self._read(self._events.feed(data))
        if (open_data := self._events.open_data) and open_data[0].strip() == DONE:
            chunks += self._done()  # who keeps the connection open may never send the blank line behind it
        return self._without_thoughts(chunks) if self._is_early else chunks

    def close(self) -> list[Chunk]:
        """Return what the end of the body tells."""
        rest = self._read(self._events.close()) if self._is_stream else self._read_body()
        told = [*rest, replace(self._end(), is_done=False)]
        told = self._without_thoughts(told) if self._is_early else told
        return [*told, Chunk(*self._thoughts.rest())] if self._thoughts else told

    def _begin(self, data: bytes) -> bytes:
        """Find out from its first byte what the body is, and keep it where it is no stream."""
        if self._is_stream is None:
            if data.startswith(b"data:") and not self._body:
                self._is_stream = True
                return data
            data = b"".join((*self._body, data))
            first = data.lstrip(BLANK)[:1]
            self._is_stream = first not in (b"{", b"[", HTML) if first else None
            self._may_be_lines = first == b"{"
            self._body, self._size = [], 0
        if self._may_be_lines and b"\n" in data:
            data = b"".join((*self._body, data))
            self._is_stream, self._may_be_lines = _begins_with_chunk(data), False
            self._body, self._size = [], 0
        if not self._is_stream:
            self._size += len(data)
            if not self.is_too_long:
                self._body.append(data)
        return data

    def _read(self, events: Sequence[bytes]) -> list[Chunk]:
        if len(events) > 1 and self._may_be_text(events) and (text := read_texts(events)) is not None:
            return [self._united(events, text)]
        chunks: list[Chunk] = []
        for event in events:
            if event == DONE:
                chunks += self._done()
                continue
            if self._is_odd or type(event) is not bytes:
                self._look_at(event, chunks)
                continue
            try:
                chunk = read_text(event)
            except UNFIT:
                self._look_at(event, chunks)
                continue
            if self._numbering is not None and chunk.finish_reason is not None:
                chunks += self._without_arguments(chunk)
            if self._retelling is not None:
                self._retelling.pass_on(event, chunk, is_text=True)
            chunks.append(chunk)
        return chunks

    def _may_be_text(self, events: Sequence[bytes]) -> bool:
        """Tell whether what came together may be read at once, as text alone may be in the middle of an answer."""
        if self._is_early or self._is_odd or events[-1] == DONE or ErrorEvent in map(type, events):
            return False
        return self._retelling is None or self._retelling.tells_text

    def _united(self, events: Sequence[bytes], text: str) -> Chunk:
        """Make one chunk of what came together."""
        chunk = Chunk(text, pieces=len(events))
        if self._retelling is not None:
            self._retelling.pass_on_text(events, chunk)
        return chunk

    def _look_at(self, event: bytes, chunks: list[Chunk]) -> None:
        """Read an event that is no plain piece of the text, behind the chunks that came with it."""
        if event.strip().upper() == DONE:
            chunks += self._done()
            return
        is_error = isinstance(event, ErrorEvent)
        usual = None if is_error or self._is_odd else self._read_usual(event)
        if usual is not None:
            self._take(usual, chunks, event)
            return
        before = len(chunks)
        mending = self._mending = self._mending or Mending(self._manner)
        for chunk in read_leniently(event, is_error=is_error):
            for part in _parted(mending.mend(chunk, has_said=self._has_said(chunks))):
                self._take(part, chunks, event, is_usual=False)
        self._is_odd = mending.is_needed
        if is_error and len(chunks) == before:
            chunks.append(Chunk(complaint=Complaint(text=event.decode("utf-8", "replace").strip() or None)))

    def _read_usual(self, event: bytes) -> Chunk | None:
        return (read_usual(event) or read_calls(event)) if self._is_stream else read_whole(event)

    def _take(self, chunk: Chunk, chunks: list[Chunk], event: bytes, *, is_usual: bool = True) -> None:
        """Take what an event says."""
        is_right = True
        if chunk.calls:
            self._numbering = self._numbering or Numbering()
            is_right = self._numbering.number(chunk.calls)
        if self._numbering is not None and chunk.finish_reason is not None:
            chunks += self._without_arguments(chunk)
            is_right = is_right and not any(piece.is_odd for piece in chunk.calls)
        if self._retelling is not None:
            if not is_right:
                self._retelling.renumber(event, chunk)
            elif is_usual:
                self._retelling.pass_on(event, chunk)
            else:
                self._retelling.respell(chunk)
        chunks.append(chunk)

    def _without_arguments(self, end: Chunk) -> list[Chunk]:
        """Say at the end of an answer of calls that came without arguments what these are; it may have some itself."""
        reason = reason_of(end.finish_reason) if end.finish_reason is not None else None
        if self._numbering is None or (end.calls and reason == STOP):  # which some say with each piece
            return []
        further = self._numbering.complete(end.calls)
        if reason not in (STOP, TOOLS, None):  # what did not come then is not known
            return []
        chunk = Chunk(calls=further, calls_tool=True)
        if self._retelling is not None and further:
            self._retelling.respell(chunk)
        return [chunk] if further else []

    def _has_said(self, chunks: Iterable[Chunk]) -> bool:
        """Tell whether there is text, in what was told already or in what comes next."""
        has_begun = not self._is_early or (self._thoughts is not None and self._thoughts.has_begun)
        return has_begun or any(chunk.text for chunk in chunks)

    def _done(self) -> list[Chunk]:
        end = self._end()
        return [*self._without_arguments(end), end]

    def _end(self) -> Chunk:
        text, reasoning = self._mending.rest() if self._mending else ("", "")
        end = Chunk(text, reasoning, is_done=True)
        if self._retelling is not None:
            self._retelling.respell(end)
        return end

    def _without_thoughts(self, chunks: list[Chunk]) -> list[Chunk]:
        """Let what the text begins with be reasoning, where it is."""
        thoughts = self._thoughts or self._open_thoughts(chunks)
        if thoughts is None:
            return chunks
        told: list[Chunk] = []
        for chunk in chunks:
            if chunk.text:
                chunk.text, thought = thoughts.split(chunk.text)
                chunk.reasoning += thought
            if chunk.finish_reason and reason_of(chunk.finish_reason) == STOP:
                chunk.text += thoughts.taken_back()
            if chunk.complaint is not None or chunk.is_done:
                told.append(Chunk(*thoughts.rest()))
            told.append(chunk)
        self._is_early = thoughts.may_come
        return told

    def _open_thoughts(self, chunks: Iterable[Chunk]) -> Thoughts | None:
        """Find the first piece; None where there is none, or it is no thought, and what comes then is none either."""
        comes_first = self._manner.thinks_first
        for chunk in chunks:
            if chunk.text or chunk.reasoning:
                self._is_early = comes_first or not begins_plainly(chunk.text)
                # Who tells a thought from the text needs no tags for it.
                self._thoughts = Thoughts(come_first=comes_first and not chunk.reasoning) if self._is_early else None
                return self._thoughts
        return None

    def _read_body(self) -> list[Chunk]:
        """Read a body that is no stream: an answer, an error, or nothing that says anything."""
        body = b"".join(self._body).lstrip(BLANK)
        chunks = self._read([body]) if body and not self.is_too_long else []
        if any(chunk.is_piece or chunk.complaint for chunk in chunks) or not body:
            return chunks
        return [Chunk(complaint=WEB_PAGE if body[:1] == HTML else NO_ANSWER)]


def _begins_with_chunk(body: bytes) -> bool:
    """Tell whether the first line says something alone: Ollama answers so, a line of JSON for each piece."""
    line = body.lstrip(BLANK).partition(b"\n")[0]
    return any(b'"%s"' % key in line for key in (b"choices", b"done")) and bool(read_leniently(line))


def _parted(chunk: Chunk) -> list[Chunk]:
    """Let a complaint come after what was said beside it; that it ended with an error is no more than the complaint."""
    is_failure = chunk.is_only_end and reason_of(chunk.finish_reason or "") == ERROR
    if chunk.complaint is None or is_failure or not chunk.is_piece:
        return [chunk]
    complaint, chunk.complaint = chunk.complaint, None
    return [chunk, Chunk(complaint=complaint)]
