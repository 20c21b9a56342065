"""Server-sent events, cut anywhere: ours against a plain reading of the standard, and against httpx-sse."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from httpx_sse._decoders import SSEDecoder
from hypothesis import example, given
from hypothesis import strategies as st

from services.gateway.model.reading.event_stream import ErrorEvent, EventStream

LIMIT = 1 << 20
END = re.compile(rb"\r\n|\r|\n")
PIECES = [
    *(b"data:", b"data: ", b"data", b"data:  ", b"event: error", b"event:", b"error: ", b": a comment", b"id: 1"),
    *(b"retry: 1", b'{"a"', b'"b":1}', b"{", b"}", b"[", b"[DONE]", b" ", b":", "\u00e9\U0001f600".encode(), b"\xff"),
    *(b"\n", b"\n", b"\n\n", b"\n\n", b"\r", b"\r\n", b"\r\n\r\n", b"\r\r", b"\xef\xbb\xbf", b"\xef\xbb"),
]
STREAMS = st.lists(st.sampled_from(PIECES), max_size=40)


def read(pieces: Sequence[bytes], limit: int = LIMIT) -> list[bytes]:
    stream = EventStream(limit)
    return [event for piece in pieces for event in stream.feed(piece)] + stream.close()


def named(data: bytes, name: bytes) -> bytes:
    return ErrorEvent(data) if name == b"error" else data


def by_the_book(whole: bytes) -> Iterator[bytes]:
    """Read a stream that is there whole, as the standard describes it, with our four departures."""
    data: list[bytes] = []
    name = b""
    for line in [*END.split(whole.removeprefix(b"\xef\xbb\xbf")), b""]:
        field, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        is_another = bool(data) and data[-1].endswith(b"}") and value[:1] in (b"{", b"[")
        if not line or (field == b"data" and is_another):
            if data:
                yield named(b"\n".join(data), name)
            data, name = [], b""
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
        elif field == b"error":
            yield ErrorEvent(value)
        elif line[:1] in (b"{", b"["):
            if data:
                yield named(b"\n".join(data), name)
            data, name = [], b""
            yield line


@given(STREAMS, st.data())
@example([b"data: a\r\n\r\ndata: b\r\n\r\n"], None)
@example([b"data: a\n", b"data: b\n\n"], None)
@example([b"data: a\r\r", b"data: b\n", b"\n", b"data: c\n\n"], None)
@example([b"\xef", b"data: a\n\n"], None)
def test_a_stream_cut_anywhere_is_read_by_the_book(written: list[bytes], cuts: st.DataObject | None) -> None:
    whole = b"".join(written)
    places = cuts.draw(st.lists(st.integers(0, len(whole)))) if cuts else range(len(whole))
    edges = [0, *sorted(places), len(whole)]
    pieces = [whole[start:end] for start, end in pairwise(edges)]
    expected = [(data, type(data)) for data in by_the_book(whole)]
    assert [(data, type(data)) for data in read(pieces)] == expected
    assert [(data, type(data)) for data in read(written)] == expected
    assert [(data, type(data)) for data in read([whole[at : at + 1] for at in range(len(whole))])] == expected


@given(st.lists(st.lists(st.sampled_from(["data: ", "data:", "event: x", ": c", "id: 7"]), max_size=4), max_size=8))
def test_httpx_sse_reads_the_same_where_both_follow_the_standard(blocks: list[list[str]]) -> None:
    """It has no say on what departs: open ends, `error:` lines, two JSON texts in one event, events without data."""
    lines = [line + (f"v{number}" if line[0] == "d" else "") for number, block in enumerate(blocks) for line in block]
    whole = "".join("\n".join([*lines[: len(block)], "", ""]) for block in blocks)
    theirs = SSEDecoder()
    decoded = [event for line in whole.split("\n")[:-1] if (event := theirs.decode(line))]
    with_data = [sse.data.encode() for sse in decoded if sse.data]
    assert [data for data in read([whole.encode()]) if data] == with_data


@pytest.mark.parametrize(
    ("sent", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b": OPENROUTER PROCESSING\n\ndata: a\n\n", [b"a"]),
        (b": c\ndata: a\n: c\n\n", [b"a"]),
        (b"data:\n\ndata: a\n\n", [b"", b"a"]),
        (b"data: \n\ndata: a\n\n", [b"", b"a"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\n\ndata: [DONE]", [b"a", b"[DONE]"]),
        (b"data: a\n\ndata: [DONE]\n", [b"a", b"[DONE]"]),
        (b'data: {"a":1}\ndata: {"b":2}\ndata: [DONE]\n\n', [b'{"a":1}', b'{"b":2}', b"[DONE]"]),
        (b'data: {"a":\ndata: {}}\n\n', [b'{"a":\n{}}']),
        (b"\n\n\n\ndata: a\n\n\n\ndata: b\n\n", [b"a", b"b"]),
        (b"id: 1\nevent: completion\nretry: 5\ndata: a\n\n", [b"a"]),
        (b"event: ping\n\ndata: a\n\n", [b"a"]),
        (b'data: a\n\n{"error":1}\n', [b"a", b'{"error":1}']),
        (b'data: a\n{"error":1}', [b"a", b'{"error":1}']),
    ],
)
def test_the_ways_that_services_write_events(sent: bytes, events: list[bytes]) -> None:
    assert read([sent]) == events
    assert read([sent[at : at + 1] for at in range(len(sent))]) == events


def test_an_error_has_its_name() -> None:
    events = read([b"event: error\ndata: a\n\ndata: b\n\nerror: c\n\n"])
    assert [(event, isinstance(event, ErrorEvent)) for event in events] == [(b"a", True), (b"b", False), (b"c", True)]


def test_an_event_is_told_as_soon_as_it_is_over() -> None:
    stream = EventStream(LIMIT)
    assert stream.feed(b"data: a\n") == []
    assert stream.open_data == [b"a"]
    assert stream.feed(b"\ndata: b") == [b"a"]
    assert stream.feed(b"\r") == []
    assert stream.feed(b"\r") == [b"b"]


def test_an_event_that_comes_alone_may_be_too_long_too() -> None:
    stream = EventStream(8)
    assert stream.feed(b"data: a\n") + stream.feed(b"\n") == [b"a"]
    assert stream.feed(b"data: xxxxxxxxxx\n\n") == []
    assert stream.is_too_long


@pytest.mark.parametrize(
    "flood",
    [b"x" * 10, b"data: " + b"x" * 10, b"data: x\n" * 3, b"data: " + b"x" * 10 + b"\n\n", b":" * 9],
    ids=["no field", "a line", "an event of many lines", "a whole event", "a comment"],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_what_is_too_long_ends_the_reading_and_keeps_what_came_before(flood: bytes, size: int) -> None:
    whole = b"data: a\n\n" + flood * 2 + b"\n\ndata: never\n\n"
    stream = EventStream(8)
    events = [event for at in range(0, len(whole), size) for event in stream.feed(whole[at : at + size])]
    assert events + stream.close() == [b"a"]
    assert stream.is_too_long
