"""Events that come together say what they say one by one, to whoever reads the answer and to who is told of it."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.model.chunks import BETWEEN, Chunk
from services.gateway.model.reading.answer_reader import AnswerReader
from services.gateway.model.reading.retelling import Retelling
from services.gateway.model.relayed import Relayed

HEAD = b'"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":'
FIRST = b'data: {%b[{"index":0,"delta":{"content":"So"},"finish_reason":null}]}\n\n' % HEAD
HALF = b'data: {"choices":[{"delta":{"content":"a"}}\n\n'  # which the next one would make whole
EVENTS = (
    *(b'data: {%b[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (HEAD, text) for text in (b"a", b"b", b"", b"\\n")),
    b'data: {%b[{"index":0,"delta":{"content":"x"},"finish_reason":""}]}\n\n' % HEAD,
    b'data: {%b[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n' % HEAD,
    b'data: {%b[],"usage":{"prompt_tokens":6,"completion_tokens":8}}\n\n' % HEAD,
    b'data: {%b[{"index":0,"delta":{"reasoning_content":"hm"}}]}\n\n' % HEAD,
    b'data: {%b[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n' % HEAD,
    b'data: {%b\ndata: [{"index":0,"delta":{"content":"lines"}}]}\n\n' % HEAD,
    b'data: {"choices":[{"delta":{"content":"y"}}]},{"choices":[{"delta":{"content":"z"}}]}\n\n',
    HALF,
    b'data: {"delta":{"content":"b"}}]}\n\n',
    b'event: error\ndata: {%b[{"index":0,"delta":{"content":"e"}}]}\n\n' % HEAD,
    b'data: {"error":{"message":"no"}}\n\n',
    b"data: [DONE]\n\n",
)


def read(parts: Iterable[bytes], relayed: Relayed | None) -> tuple[list[str | Chunk], bytes, int]:
    """Return what was said, with texts joined that stand together; what is told; and how many pieces there were."""
    reader = AnswerReader(100_000, retelling=Retelling(relayed) if relayed else None)
    said: list[str | Chunk] = []
    told: list[bytes] = []
    pieces = 0
    for chunk in [chunk for part in (FIRST, *parts) for chunk in reader.feed(part)]:
        told += [chunk.told] if chunk.told else []
        pieces += chunk.pieces
        if not chunk.is_text:
            chunk.told = b""
            said.append(chunk)
        elif said and isinstance(said[-1], str):
            said[-1] += chunk.text
        else:
            said.append(chunk.text)
    return said, BETWEEN.join(told), pieces


@pytest.mark.parametrize("relayed", [None, Relayed(), Relayed(streams=False)], ids=["chat", "streamed", "whole"])
@given(events=st.lists(st.sampled_from(EVENTS), max_size=6))
def test_events_say_the_same_together_and_one_by_one(relayed: Relayed | None, events: list[bytes]) -> None:
    assert read([b"".join(events)], relayed) == read(events, relayed)


def test_text_that_comes_together_is_read_as_one_chunk() -> None:
    reader = AnswerReader(100_000)
    reader.feed(FIRST)
    assert reader.feed(EVENTS[0] + EVENTS[1] + EVENTS[0]) == [Chunk("aba", pieces=3)]


def test_of_a_first_event_that_lacks_something_all_others_are_completed_too() -> None:
    bare = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n'
    reader = AnswerReader(100_000, retelling=Retelling(Relayed()))
    reader.feed(bare % b"a")
    chunks = reader.feed(bare % b"b" + bare % b"c")
    assert [chunk.told.count(b'"object":"chat.completion.chunk"') for chunk in chunks] == [1, 1]


def test_events_that_lack_nothing_are_told_as_they_came() -> None:
    reader = AnswerReader(100_000, retelling=Retelling(Relayed()))
    reader.feed(FIRST)
    (chunk,) = reader.feed(EVENTS[0] + EVENTS[1])
    assert b"data: %b\n\n" % chunk.told == EVENTS[0] + EVENTS[1]
