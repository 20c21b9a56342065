"""OpenAI's wire format, as the simulated model reads and writes it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox.model.completions import text_pieces
from deploy.sandbox.model.errors import BadModelRequestError
from deploy.sandbox.model.request_log import RequestLog
from deploy.sandbox.model.requests import read_chat_request

USER = {"role": "user", "content": "hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "a", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "x"}


def body(messages: Any = None, **fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [USER] if messages is None else messages, **fields}).encode()


@given(st.text(), st.none() | st.integers(1, 50))
def test_pieces_make_the_text_again(text: str, chunks: int | None) -> None:
    pieces = text_pieces(text, chunks)

    assert "".join(pieces) == text
    assert chunks is None or len(pieces) == chunks


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        (b"", None),
        (b"[", None),
        (b"[]", None),
        (b"\xff", None),
        (b'{"model": "\xff"}', None),
        (b'{"model": "m"}', None),
        (body(model=" "), "model"),
        (body(model=5), "model"),
        (body([]), "messages"),
        (body("hi"), "messages"),
        (body([{"role": "wizard", "content": "x"}]), "messages[0].role"),
        (body([USER, {"role": "user", "content": 5}]), "messages[1].content"),
        (body(stream="yes"), "stream"),
        (body(stream_options={"include_usage": True}), "stream_options"),
        (body(n=2), "n"),
        (body([USER, RESULT]), "messages[1].role"),
        (body([USER, CALLING]), "messages[2].role"),
        (body([USER, CALLING, USER]), "messages[2].role"),
        (body([USER, CALLING, RESULT, RESULT]), "messages[3].role"),
        (b'{"model": "m", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
        (b'{"model": "m", "messages": [], "junk": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
    ],
)
def test_bad_request_is_refused_with_its_place(sent: bytes, param: str | None) -> None:
    with pytest.raises(BadModelRequestError) as refused:
        read_chat_request(sent)

    assert str(refused.value)
    assert param is None or refused.value.param == param


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(sent: bytes) -> None:
    with pytest.raises(BadModelRequestError):
        read_chat_request(sent)


def test_answered_tool_calls_are_read() -> None:
    assert len(read_chat_request(body([USER, CALLING, RESULT, USER])).messages) == 4


def test_request_log_forgets_the_oldest_by_number_and_by_size() -> None:
    by_number, by_size = RequestLog(max_requests=2), RequestLog(max_bytes=2 * len(body()))
    for log in (by_number, by_size):
        for _ in range(5):
            log.keep(body())

    assert [kept["id"] for kept in by_number.since(0)] == [4, 5]
    assert [kept["id"] for kept in by_size.since(0)] == [4, 5]
    assert [kept["id"] for kept in by_size.since(4)] == [5]
