"""Requests as nobody in his right mind sends them, each as large as it may be."""

from collections.abc import Iterator

import orjson

from services.gateway.chat.request import MOST_MESSAGES
from services.gateway.http.requests.fields import MOST_PARTS
from services.gateway.http.requests.json_body import MAX_NODES

MEGABYTE = 1_000_000  # what a body may have
HEAD = 60_000  # bytes of one header or of a query, which heads have room for
FEWER = MAX_NODES - 100  # values that a body may just have
DAY = "2099-01-01"
MANY_FIT = ("userMessages of texts", "messages of objects", "unknown of lists", "a list of numbers", "keys", "parts")


def bodies() -> Iterator[tuple[str, bytes]]:
    """Yield bodies by what is odd about them."""
    for name, whole in _repeated():
        if name in MANY_FIT:
            yield f"as many as fit: {name}", _filled(whole, MEGABYTE)
    for name, whole in _repeated():
        yield f"as many as may be: {name}", _filled(whole, MEGABYTE, FEWER // _nodes(whole[1]))
    for name, text in _texts():
        for field in ("message", "name", "userMessages", "unknown"):
            text_field = b'["%s"]' % text if field == "userMessages" else b'"%s"' % text
            yield f"{field}: {name}", b'{"%s": %s}' % (field.encode(), text_field)
    for name, number in _numbers():
        yield f"a number: {name}", b'{"message": "a", "name": "a", "metadata": {"n": %s}, "pax": %s}' % (number, number)
    yield "as many messages as may be", orjson.dumps({"userMessages": [str(n) for n in range(MOST_MESSAGES)]})
    yield "as many parts as may be", orjson.dumps({"message": {"parts": [{"type": "text", "text": "a"}] * MOST_PARTS}})
    yield "brackets", b"[" * MEGABYTE
    yield "braces", b'{"a":' * (MEGABYTE // 5)
    yield "brackets that close", b"[" * (MEGABYTE // 2) + b"]" * (MEGABYTE // 2)
    yield "sixty deep, often", b"[" + b",".join([b"[" * 60 + b"]" * 60] * (FEWER // 61)) + b"]"
    yield "quotes", b'"' * MEGABYTE
    yield "nothing", b" " * MEGABYTE
    yield "no UTF-8", b'{"message": "' + b"\xff" * MEGABYTE


Repeated = tuple[bytes, bytes, bytes]  # a body's beginning, what is repeated, with commas between, and its end


def _repeated() -> Iterator[tuple[str, Repeated]]:
    for name, item in (("texts", b'"a"'), ("numbers", b"1"), ("lists", b"[]"), ("objects", b"{}"), ("nulls", b"null")):
        for field in ("userMessages", "messages", "unknown", "segments"):
            yield f"{field} of {name}", (b'{"%s": [' % field.encode(), item, b"]}")
        yield f"a list of {name}", (b"[", item, b"]")
    flight = b'{"from": "KTEB", "to": "KPBI", "date": "%s"}' % DAY.encode()
    yield "messages", (b'{"messages": [', b'{"role": "user", "content": "a"}', b"]}")
    yield "userMessages", (b'{"userMessages": [', b'{"id": "m", "content": "a"}', b"]}")
    yield "parts", (b'{"message": {"parts": [', b'{"type": "text", "text": "a"}', b"]}}")
    yield "data parts", (b'{"message": {"parts": [', b'{"type": "data-a", "data": [1]}', b"]}}")
    yield "flights", (b'{"pax": 1, "segments": [', flight, b"]}")
    yield "bad flights", (b'{"pax": 1, "segments": [', b'{"from": 1, "to": 2}', b"]}")
    yield "one key", (b"{", b'"message": "a"', b"}")
    yield "keys", (b"{", b'"k%d": 1', b"}")
    yield "keys of metadata", (b'{"message": "a", "metadata": {', b'"k%d": 1', b"}}")
    yield "keys of criteria", (b'{"pax": 1, "segments": [%s], "criteria": {' % flight, b'"k%d": 1', b"}}")
    yield "keys of a flight", (b'{"pax": 1, "segments": [{', b'"k%d": 1', b"}]}")
    yield "keys of a model", (b'{"name": "m", ', b'"k%d": 1', b"}")


def _nodes(item: bytes) -> int:
    """Count the values in one item, and its keys."""
    return item.count(b":") * 2 + item.count(b"[1") + 1


def _filled(whole: Repeated, most_bytes: int, most: int | None = None) -> bytes:
    begin, item, end = whole
    count = (most_bytes - len(begin) - len(end)) // (len(item) + 1 + (4 if b"%d" in item else 0))
    count = min(count, most or count)
    items = [item % number for number in range(count)] if b"%d" in item else [item] * count
    return begin + b",".join(items) + end


def _texts() -> Iterator[tuple[str, bytes]]:
    size = MEGABYTE - 100
    for name, piece in (
        ("letters", b"a"),
        ("spaces", b" "),
        ("line ends", rb"\n"),
        ("backslashes", rb"\\"),
        ("quotes", rb"\""),
        ("escapes", rb"\u0041"),
        ("surrogates", rb"\ud83d\ude00"),
        ("half surrogates", rb"\ud83d"),
        ("NULs", rb"\u0000"),
        ("emoji", "\N{GRINNING FACE}".encode()),
        ("brackets", b"[{"),
        ("commas", b",:"),
    ):
        yield name, piece * (size // len(piece))


def _numbers() -> Iterator[tuple[str, bytes]]:
    half = MEGABYTE // 2 - 100
    yield "digits", b"9" * half
    yield "decimals", b"0." + b"3" * half
    yield "an exponent", b"1e" + b"9" * half
    yield "infinity", b"1e400"
    yield "a small one", b"-0.0"


def queries() -> Iterator[tuple[str, str]]:
    """Yield queries by what is odd about them."""
    for name, piece in (
        ("one parameter", "limit=1&"),
        ("parameters without values", "a&"),
        ("ampersands", "&"),
        ("an unknown one", "sessionId=1&"),
        ("escapes", "%26"),
        ("a long value", "a"),
        ("plus signs", "+"),
    ):
        yield name, (piece if "=" in piece or "&" in piece else f"limit={piece}") + piece * (HEAD // len(piece))
    yield "parameters", "&".join(f"k{number}=1" for number in range(HEAD // 8))


def headers() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield headers by what is odd about them."""
    for name in (
        "Cookie",
        "Accept",
        "If-None-Match",
        "Idempotency-Key",
        "Authorization",
        "X-Request-Id",
        "traceparent",
    ):
        for piece in ("a=b; ", "a, ", "a", ";", ",", "="):
            yield f"{name} of {piece!r}", [(name, (piece * (HEAD // len(piece))).strip())]
    known = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    yield "tracestate", [("traceparent", known), ("tracestate", "a=b," * (HEAD // 4))]
    yield "one after another", [("a", "b")] * (HEAD // 5)
    yield "cookies", [("Cookie", "; ".join(f"c{number}=1" for number in range(HEAD // 8)))]
    yield "visitors", [("Cookie", "visitor=x; " * (HEAD // 11))]
