"""Requests of which a proxy may believe another length, or another head, than we: none of them hides a second one.

The cases are those of RFC 9112 (2.2, 5, 6.3, 7.1, 11.2), of PortSwigger's lists and of what was found in parsers since.
"""

from collections.abc import AsyncIterator

import pytest

from tests.service.gateway.http.raw_http import Serving, serving

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
HOST = b"Host: localhost\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
END = b"0\r\n\r\n"


def post(headers: bytes, body: bytes = b"", *, version: bytes = b"1.1") -> bytes:
    return b"POST /echo HTTP/" + version + b"\r\n" + HOST + headers + b"\r\n" + body


def length(value: bytes) -> bytes:
    return post(b"Content-Length: " + value + b"\r\n", HIDDEN)


def coded(header: bytes) -> bytes:
    """Say a coding in an odd way, and a length that leaves what is hidden to whoever believes the coding."""
    both = header + b"\r\nContent-Length: %d\r\n" % len(END + HIDDEN)
    return post(both, END + HIDDEN)


def chunk(size: bytes, rest: bytes = b"\r\nhello\r\n") -> bytes:
    return post(CHUNKED, size + rest + END + HIDDEN)


REFUSED = {
    "a length and chunks": coded(b"Transfer-Encoding: chunked"),
    "chunks and a length": post(b"Content-Length: 4\r\n" + CHUNKED, b"1a\r\n" + HIDDEN + END),
    "two lengths": post(b"Content-Length: 0\r\nContent-Length: %d\r\n" % len(HIDDEN), HIDDEN),
    "two lengths that are one": post(b"Content-Length: 0\r\n" * 2, HIDDEN),
    **{
        f"a length of {value!r}": length(value)
        for value in (
            b"+0",
            b"-1",
            b"0x0",
            b"0, 0",
            b"0,41",
            b"0 0",
            b"0_0",
            b"0;0",
            b"0.0",
            b"1e0",
            b"a",
            b"",
            b"18446744073709551616",
            b"\xb2",
            b"0\x0b",
            b"\x000",
        )
    },
    **{
        f"a coding as {header!r}": coded(header)
        for header in (
            b"Transfer-Encoding: xchunked",
            b"Transfer-Encoding: chunked, identity",
            b"Transfer-Encoding: identity",
            b"Transfer-Encoding: identity, chunked",
            b"Transfer-Encoding: chunked, chunked",
            b"Transfer-Encoding: gzip",
            b'Transfer-Encoding: "chunked"',
            b"Transfer-Encoding: chunked;a=b",
            b"Transfer-Encoding: chunked\x0b",
            b"Transfer-Encoding: \x0bchunked",
            b"Transfer-Encoding:\x00chunked",
            b"Transfer-Encoding: chunke\xc4\x8f",
            b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            b"TRANSFER-ENCODING: CHUNKED",
            b"Transfer-Encoding : chunked",
            b"Transfer-Encoding\t: chunked",
            b" Transfer-Encoding: chunked",
            b"Transfer-Encoding:\r\n chunked",
            b"Transfer-Encoding:\r\n\tchunked",
            b"X: a\nTransfer-Encoding: chunked",
            b"X: a\rTransfer-Encoding: chunked",
            b"X: a\x00\r\nTransfer-Encoding: chunked",
            b": a\r\nTransfer-Encoding: chunked",
            b"X\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding",
        )
    },
    **{
        f"a chunk of {size!r}": chunk(size)
        for size in (
            b"0x5",
            b"+5",
            b"-5",
            b" 5",
            b"5 5",
            b"5_",
            b"g",
            b"",
            b"5\x00",
            b"fffffffffffffffff5",
            b"10000000000000005",
        )
    },
    "a chunk whose line ends with a line feed": chunk(b"5", b"\nhello\r\n"),
    "a chunk whose line ends with a carriage return": chunk(b"5", b"\rhello\r\n"),
    "an extension that ends with a line feed": chunk(b"5;a", b"\nhello\r\n"),
    "a chunk that goes on": chunk(b"5", b"\r\nhello!\r\n"),
    "a chunk that ends with a line feed": chunk(b"5", b"\r\nhello\n"),
    "a chunk that ends with nothing": chunk(b"5", b"\r\nhello"),
    "chunks in HTTP/1.0, and a length": post(CHUNKED + b"Content-Length: 5\r\n", END + HIDDEN, version=b"1.0"),
    "a trailer that is a length": post(CHUNKED, b"0\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN),
    "a version that has no chunks": b"POST /echo HTTP/2.0\r\n" + HOST + CHUNKED + b"\r\n" + END + HIDDEN,
    "lines that end with line feeds": b"POST /echo HTTP/1.1\nHost: localhost\nContent-Length: 0\n\n" + HIDDEN,
    "lines that end with carriage returns": b"POST /echo HTTP/1.1\rHost: localhost\rContent-Length: 0\r\r" + HIDDEN,
    "a header before which there is a blank": b"POST /echo HTTP/1.1\r\n X: a\r\n" + HOST + b"\r\n" + HIDDEN,
    "a name with a blank": post(b"Content Length: 0\r\n", HIDDEN),
    "a name with a line": post(b"Content-Length\n: 0\r\n", HIDDEN),
    "two names of the version": b"POST /echo HTTP/1.1 HTTP/1.1\r\n" + HOST + b"\r\n" + HIDDEN,
    "no version": b"POST /echo\r\n" + HOST + b"\r\n" + HIDDEN,
    "no host": b"POST /echo HTTP/1.1\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "two hosts": post(b"Host: localhost\r\n", HIDDEN),
    "a path with a blank": b"POST /echo /hidden HTTP/1.1\r\n" + HOST + b"\r\n" + HIDDEN,
    "a path of two lines": b"POST /echo\rX HTTP/1.1\r\n" + HOST + b"\r\n" + HIDDEN,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN,
}


@pytest.fixture(scope="module")
async def one_server() -> AsyncIterator[Serving]:
    async with serving() as served:
        yield served


@pytest.fixture
async def served(one_server: Serving) -> AsyncIterator[Serving]:
    """The server, of which nothing was asked yet."""
    yield one_server
    await one_server.hang_up()
    one_server.app.requests.clear()


@pytest.mark.parametrize("case", REFUSED)
async def test_what_can_be_read_in_two_ways_is_refused_and_ends_the_connection(served: Serving, case: str) -> None:
    said = await (await served.call(REFUSED[case])).ended()
    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1 ") == 1
    assert "/hidden" not in [scope["path"] for scope in served.app.requests]


READ = {
    "a body of a GET": (b"GET /echo HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN, 1),
    "a chunked body of a GET": (
        b"GET /echo HTTP/1.1\r\n" + HOST + CHUNKED + b"\r\n%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n" + END,
        1,
    ),
    "a length with blanks": (post(b"Content-Length: \t %d \r\n" % len(HIDDEN), HIDDEN), 1),
    "a length with noughts": (post(b"Content-Length: 000%d\r\n" % len(HIDDEN), HIDDEN), 1),
    "an extension of a chunk": (post(CHUNKED, b'%x;a="b"\r\n' % len(HIDDEN) + HIDDEN + b"\r\n" + END), 1),
    "a trailer": (post(CHUNKED, b"0\r\nX-Length: 5\r\n\r\n"), 1),
    "a length by another name": (post(b"Content_Length: %d\r\nX-Content-Length: 9\r\n" % len(HIDDEN), HIDDEN), 2),
    "a coding by another name": (post(b"Transfer_Encoding: chunked\r\nTE: chunked\r\n", HIDDEN), 2),
    "an absolute path": (b"GET http://evil.example/echo HTTP/1.1\r\n" + HOST + b"\r\n", 1),
}


@pytest.mark.parametrize("case", READ)
async def test_what_can_be_read_in_one_way_is_read_so(served: Serving, case: str) -> None:
    said, requests = READ[case]
    caller = await served.call(said)
    assert [(await caller.answer()).status for _ in range(requests)] == [200] * requests
    assert await caller.is_open()
    paths = [scope["path"] for scope in served.app.requests]
    assert paths == [*("/echo", "/hidden")[:requests], "/echo"]
