"""Read server-sent events from the pieces that a connection gives: bytes in, the data of events out, nothing else.

As the WHATWG standard says (https://html.spec.whatwg.org/multipage/server-sent-events.html, "Interpreting an event
stream"), with four departures for what the services of models really send:

- An event counts at the end of the stream although its blank line, or the end of its line, is missing: llama.cpp's
  `[DONE]` has been seen so (https://github.com/darshi1337/apogee/pull/139).
- A line `error: ...` is an event called error. llama.cpp told of errors so until September 2025
  (https://github.com/ggml-org/llama.cpp/pull/16109).
- A `data:` line that begins with `{` or `[` after one that ended with `}` is an event of its own: no JSON goes on like
  that, so the blank line between the two is missing (https://github.com/ggml-org/llama.cpp/issues/14268).
- A line that begins with `{` or `[` is an event of its own: services write an error into a stream as they write it
  into a body (https://github.com/pepperoni21/ollama-rs/pull/357).

`id` and `retry` mean nothing here, since nobody reconnects to an answer, nor does any name but `error`.
"""

BOM = b"\xef\xbb\xbf"
DATA = b"data: "
LF = b"\n"
CR = ord("\r")  # a number is found faster than a text
BETWEEN = b"\n\n" + DATA


class ErrorEvent(bytes):
    """The data of an event called error."""

    __slots__ = ()


class EventStream:
    """Cuts a stream into its events. Every byte is looked at a few times, whatever the pieces are.

    Args:
        longest_event: Bytes of one event, and so of one line; with the next one `is_too_long` is set, and nothing more
            is read.
    """

    def __init__(self, longest_event: int) -> None:
        self.is_too_long = False
        self._longest = longest_event
        self._start: bytes | None = b""  # as much of it as a byte order mark may still be; None once that is clear
        self._after_cr = False  # whose LF, if one follows, ends no other line
        self._is_odd = False  # after a CR, or after a part of the byte order mark
        self._line: list[bytes] = []  # what has come of a line
        self.open_data: list[bytes] = []  # what has come of an event: the values of its data lines
        self._name = b""
        self._size = 0  # of the open event with the open line, as they came; 0 between two events

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next piece, and return the events that it ends."""
        if not self._size and not self._is_odd and data.startswith(DATA) and CR not in data:
            self._start = None
            return self._take_many(data)
        if self._is_odd or self._start is not None or CR in data:
            data = self._in_lf(data)
        events: list[bytes] = []
        if self._size:
            data = self._finish_open(data, events)
        if data:
            events += self._take_many(data)
        return events

    def close(self) -> list[bytes]:
        """Return the event that the stream's end has left open."""
        events: list[bytes] = []
        self._take_lines(b"\n\n", events)
        return events

    def _in_lf(self, data: bytes) -> bytes:
        """Let the stream begin after its byte order mark, and every line end with LF."""
        if self._start is not None:
            data = self._start + data
            self._start = data if len(data) < len(BOM) and BOM.startswith(data) else None
            data = b"" if self._start is not None else data.removeprefix(BOM)
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        self._after_cr = self._after_cr or data.endswith(b"\r")
        self._is_odd = self._after_cr or bool(self._start)
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _take_many(self, data: bytes) -> list[bytes]:
        """Take a piece that comes between two events."""
        # Nearly every event of nearly every service is one line of data, and most come alone.
        line, _, rest = data.partition(LF)
        if rest == LF and line.startswith(DATA) and len(data) <= self._longest:
            return [line[6:]]
        end = data.rfind(b"\n\n") + 2
        events: list[bytes] = []
        if data.startswith(DATA) and end <= self._longest:
            plain = data[6 : end - 2].split(BETWEEN)
            if data.count(LF, 0, end) == 2 * len(plain):
                events, data = plain, data[end:]
        if data:
            self._take_lines(data, events)
        return events

    def _finish_open(self, data: bytes, events: list[bytes]) -> bytes:
        """Take what belongs to the event that is open, and return what comes after it."""
        if self._line and not self.open_data and not self._name and b"\n" in data:
            data = b"".join((*self._line, data))  # as if the line had come whole
            self._line, self._size = [], 0
            return data
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._hold(data[start:end])
            self._end_line(events)
            start = end + 1
            if not self._size:
                return data[start:]
        self._hold(data[start:])
        return b""

    def _take_lines(self, data: bytes, events: list[bytes]) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._hold(line)
            self._end_line(events)
        self._hold(rest)

    def _hold(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._longest or self.is_too_long:
            self.is_too_long = True
            self._line, self.open_data, self._name = [], [], b""
        elif piece:
            self._line.append(piece)

    def _end_line(self, events: list[bytes]) -> None:
        line = b"".join(self._line)
        self._line = []
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            self._end_event(events)
        elif field == b"data":
            self._take_data(value, events)
        elif field == b"event":
            self._name = value
        elif field == b"error":
            events.append(ErrorEvent(value))
        elif line[:1] in (b"{", b"["):
            self._end_event(events)
            events.append(line)
        if not self.open_data and not self._name and not self.is_too_long:
            self._size = 0

    def _take_data(self, value: bytes, events: list[bytes]) -> None:
        if value[:1] in (b"{", b"[") and self.open_data and self.open_data[-1].endswith(b"}"):
            self._end_event(events)
            self._size = len(DATA) + len(value)
        self.open_data.append(value)

    def _end_event(self, events: list[bytes]) -> None:
        if self.open_data:
            data = b"\n".join(self.open_data)
            events.append(ErrorEvent(data) if self._name == b"error" else data)
        self.open_data, self._name = [], b""
