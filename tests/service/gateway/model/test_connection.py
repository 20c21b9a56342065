"""The connections on which models are asked: what is read of them, and which serve another request."""

import asyncio
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
from pydantic import SecretStr
from yarl import URL

from services.gateway.model.asking import pool as pools
from services.gateway.model.asking.connection import LONGEST_HEAD, MOST_UNREAD, Connection, CutOff, Disconnected, NoHttp
from services.gateway.model.asking.pool import Pool
from services.gateway.model.asking.reaching import Lookup, by_turns, first_of
from services.gateway.model.asking.unpacking import MOST_AT_ONCE
from services.gateway.model.asking.upstream import open_upstream
from services.gateway.model.configured.catalog import UpstreamSpec
from services.gateway.model.configured.patience import Limits
from tests.waiting import PATIENCE_S, until_true

OK = b"HTTP/1.1 200 OK\r\n"
HI = OK + b"Content-Length: 2\r\n\r\nhi"
SHORT_S = 0.05


class Service:
    """Answers each request of a connection with the next of these, whatever it is; closes where there is none."""

    def __init__(self, *answers: bytes, closes: bool = False) -> None:
        self.answers = list(answers)
        self.connections = self.ended = 0
        self.asked: list[bytes] = []
        self._closes = closes
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while self.answers:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.asked.append(head + await reader.readexactly(length))
                writer.write(self.answers.pop(0))
                await writer.drain()
                if self._closes:
                    break
            else:
                await reader.read()
        writer.close()
        self.ended += 1


@asynccontextmanager
async def pool_of(service: Service, path: str = "/v1/chat/completions") -> AsyncIterator[Pool]:
    async with await asyncio.start_server(service.serve, "127.0.0.1", 0) as server, asyncio.timeout(PATIENCE_S):
        service.port = server.sockets[0].getsockname()[1]
        pool = Pool(URL(f"http://127.0.0.1:{service.port}{path}"), {"X-Key": "50%"}, 5)
        try:
            yield pool
        finally:
            pool.close()


async def body_of(answer: Connection) -> bytes:
    body = b""
    while data := await answer.readany():
        body += data
    return body


async def asked(pool: Pool, body: bytes = b"{}") -> bytes:
    answer = await pool.post(body)
    try:
        return await body_of(answer)
    finally:
        pool.release(answer)


async def test_a_request_is_spelled_as_it_was_configured() -> None:
    service = Service(HI)
    async with pool_of(service, "/v1/a%20b?version=1") as pool:
        assert await asked(pool, b'{"a":"%d"}') == b"hi"
        assert service.asked == [
            b"POST /v1/a%%20b?version=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Key: 50%%\r\nContent-Length: 10\r\n\r\n"
            b'{"a":"%%d"}' % service.port
        ]


async def test_a_header_that_would_be_two_is_refused() -> None:
    with pytest.raises(ValueError, match="line break"):
        Pool(URL("http://localhost/v1"), {"Authorization": "Bearer x\r\nX-Other: y"}, 5)


async def test_a_connection_serves_one_request_after_the_other() -> None:
    service = Service(HI, OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", HI)
    async with pool_of(service) as pool:
        assert [await asked(pool) for _ in range(3)] == [b"hi"] * 3
    assert service.connections == 1


@pytest.mark.parametrize(
    "first",
    [
        OK + b"Content-Length: 2\r\nConnection: close\r\n\r\nhi",
        HI.replace(b"1.1", b"1.0"),
        HI + b"and more",
        HI + HI,
    ],
    ids=["said so", "HTTP/1.0", "nonsense behind it", "another answer behind it"],
)
async def test_after_some_answers_another_connection_is_made(first: bytes) -> None:
    service = Service(first, HI)
    async with pool_of(service) as pool:
        assert [await asked(pool), await asked(pool)] == [b"hi", b"hi"]
    assert service.connections == 2


async def test_a_connection_whose_answer_was_not_read_to_its_end_serves_nobody() -> None:
    service = Service(OK + b"Content-Length: 20\r\n\r\nhi", HI)
    async with pool_of(service) as pool:
        answer = await pool.post(b"{}")
        assert await answer.readany() == b"hi"
        pool.release(answer)
        pool.release(answer)  # as who asks again and then fails does
        assert await asked(pool) == b"hi"
    assert service.connections == 2


async def test_a_connection_that_the_service_has_closed_serves_nobody() -> None:
    service = Service(HI, HI, closes=True)
    async with pool_of(service) as pool:
        for _ in range(2):
            answer = await pool.post(b"{}")
            assert await body_of(answer) == b"hi"
            pool.release(answer)
            await until_true(partial(_cannot_be_used, answer))
    assert service.connections == 2


def _cannot_be_used(connection: Connection) -> bool:
    return not connection.is_reusable


async def test_who_waits_to_ask_again_has_no_hold_on_the_connection_that_another_asks_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "MOST", 1)
    refusal = b'data: {"error": {"code": 400, "message": "roles must alternate"}}\n\n'
    service = Service(
        OK + b"Content-Length: %d\r\n\r\n" % len(refusal) + refusal,
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",  # and goes on
    )
    async with await asyncio.start_server(service.serve, "127.0.0.1", 0) as server, asyncio.timeout(PATIENCE_S):
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        limits = Limits(PATIENCE_S, PATIENCE_S, PATIENCE_S, PATIENCE_S)
        async with open_upstream(UpstreamSpec("a", url, SecretStr(""), "a", limits), 10_000) as upstream:
            until = asyncio.get_running_loop().time() + PATIENCE_S
            first = await upstream.answer("m", [{"role": "user", "content": "q"}], {}, until).__aenter__()
            other = asyncio.create_task(upstream.pool.post(b"{}"))
            await asyncio.sleep(0)
            asking_again = asyncio.create_task(first.next())
            answer = await other
            asking_again.cancel()
            await asyncio.wait({asking_again})
            await first.__aexit__(None, None, None)
            assert await answer.readany() == b"hi"
            answer_goes_on = answer.hold()
            upstream.pool.release(answer)
    assert answer_goes_on
    assert service.connections == 1


async def test_a_connection_that_was_answered_before_it_was_asked_all_serves_nobody() -> None:
    """Its service may take the rest of one request for the beginning of the next."""
    service = Service(HI)

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HI)
        await writer.drain()

    async with await asyncio.start_server(hasty, "127.0.0.1", 0) as server, asyncio.timeout(PATIENCE_S):
        service.port = server.sockets[0].getsockname()[1]
        pool = Pool(URL(f"http://127.0.0.1:{service.port}/v1"), {}, 5)
        answer = await pool.post(b"x" * 64 * 1024 * 1024)
        assert await body_of(answer) == b"hi"
        pool.release(answer)
        assert not answer.is_reusable
        pool.close()


async def test_a_connection_of_which_much_was_left_unread_serves_nobody() -> None:
    """It is read no more, so the next answer would never come."""
    size = 2 * MOST_UNREAD
    service = Service(OK + b"Content-Length: %d\r\n\r\n" % size + b"x" * size, HI)
    async with pool_of(service) as pool:
        answer = await pool.post(b"{}")
        while not answer._is_whole:  # as where all of it comes in one turn of the event loop
            answer.go_on()
            await asyncio.sleep(0)
        pool.release(answer)
        assert await asked(pool) == b"hi"


async def test_a_connection_that_nobody_uses_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "KEPT_S", SHORT_S)
    service = Service(HI, HI)
    async with pool_of(service) as pool:
        assert await asked(pool) == b"hi"
        await until_true(lambda: service.ended == 1)
        assert await asked(pool) == b"hi"
    assert service.connections == 2


async def test_only_so_many_are_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "MOST", 1)
    service = Service(HI, HI)
    async with pool_of(service) as pool:
        first = await pool.post(b"{}")
        second = asyncio.create_task(asked(pool))
        await asyncio.wait({second}, timeout=SHORT_S)
        assert len(service.asked) == 1
        assert await body_of(first) == b"hi"
        pool.release(first)
        assert await second == b"hi"
    assert service.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\nX-A: b\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + HI,
        OK + b"\r\nhi",
        b"HTTP/1.0 200 OK\r\n\r\nhi",
        OK + b"Transfer-Encoding: chunked\r\n\r\n1 \r\nh\r\n1\r\ni\r\n0\r\nX-Trailer: %b\r\n\r\n" % (b"x" * 1000),
        OK.replace(b"\r\n", b"\n") + b"Content-Length: 2\n\nhi",
        OK + b"X-Odd: \xe4 \x01\r\nContent-Length: 2\r\n\r\nhi",
        OK + b"Content-Encoding: Identity\r\nContent-Length: 2\r\n\r\nhi",
        OK + b"Content-Encoding: utf-8\r\nContent-Length: 2\r\n\r\nhi",
    ],
    ids=[
        "after others",
        "up to the end",
        "of HTTP/1.0",
        "in chunks",
        "lines without CR",
        "odd characters",
        "Identity",
        "no encoding",
    ],
)
async def test_a_body_is_read_as_its_head_has_it(answer: bytes) -> None:
    async with pool_of(Service(answer, closes=True)) as pool:
        assert await asked(pool) == b"hi"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", Disconnected),
        (OK, Disconnected),
        (OK + b"Content-Length: 20\r\n\r\nhi", CutOff),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", CutOff),
        (OK + b"Transfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n", CutOff),
        (b"SSH-2.0-OpenSSH_9.2\r\n", NoHttp),
        (OK + b"X-Long: " + b"x" * 2 * LONGEST_HEAD, NoHttp),
        (OK + b"a: b\r\n" * 300 + b"\r\n", NoHttp),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 4000, NoHttp),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Long: " + b"x" * 20 * LONGEST_HEAD, NoHttp),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhi", NoHttp),
        (OK + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\nhi", NoHttp),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi", NoHttp),
    ],
    ids=[
        *("nothing", "half a head", "half a body", "no last chunk", "no last Chunk", "no HTTP", "a head without end"),
        *("many headers", "heads without end", "a trailer without end", "another protocol"),
        *("an unknown encoding", "not what it says it is"),
    ],
)
async def test_what_is_no_whole_answer_is_an_error(answer: bytes, error: type[Exception]) -> None:
    async with pool_of(Service(answer, closes=True)) as pool:
        with pytest.raises(error):
            await asked(pool)


async def test_what_came_before_the_end_is_read_before_it_is_an_error() -> None:
    async with pool_of(Service(OK + b"Content-Length: 20\r\n\r\nhi", closes=True)) as pool:
        answer = await pool.post(b"{}")
        await until_true(lambda: answer._error is not None)
        assert await answer.readany() == b"hi"
        with pytest.raises(CutOff):
            await answer.readany()


async def test_who_gives_up_has_nothing_more_of_what_came() -> None:
    async with pool_of(Service(OK + b"Content-Length: 20\r\n\r\nhi")) as pool:
        answer = await pool.post(b"{}")
        answer.give_up(TimeoutError("enough"))
        with pytest.raises(TimeoutError, match="enough"):
            await answer.readany()


async def test_what_nobody_reads_stays_with_the_service() -> None:
    size = 64 * 1024 * 1024
    async with pool_of(Service(OK + b"Content-Length: %d\r\n\r\n" % size + b"x" * size)) as pool:
        answer = await pool.post(b"{}")
        await until_true(lambda: answer._unread > MOST_UNREAD)
        await asyncio.sleep(SHORT_S)  # in which all of it would come
        assert answer._unread < 4 * MOST_UNREAD
        assert len(await body_of(answer)) == size


@pytest.mark.parametrize(("name", "wbits"), [("gzip", 31), ("x-gzip", 31), ("deflate", 15), ("Deflate", -15)])
async def test_what_is_compressed_is_unpacked_a_little_at_a_time(name: str, wbits: int) -> None:
    packer = zlib.compressobj(wbits=wbits)
    packed = packer.compress(b"x" * 20 * MOST_AT_ONCE) + packer.flush()
    head = OK + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (name.encode(), len(packed))
    pieces = []
    async with pool_of(Service(head + packed)) as pool:
        answer = await pool.post(b"{}")
        while data := await answer.readany():
            pieces.append(len(data))
    assert sum(pieces) == 20 * MOST_AT_ONCE
    assert max(pieces) == MOST_AT_ONCE


async def test_of_several_connections_that_are_made_one_is_kept() -> None:
    dropped: list[str] = []

    async def attempt(name: str, waits_for: asyncio.Event) -> str:
        await waits_for.wait()
        return name

    both, never = asyncio.Event(), asyncio.Event()
    attempts = [partial(attempt, "a", both), partial(attempt, "b", both), partial(attempt, "c", never)]
    reaching = asyncio.create_task(first_of(attempts, 0.0, dropped.append))
    await asyncio.sleep(SHORT_S)
    both.set()
    kept = await reaching
    await asyncio.sleep(0)
    assert {kept, *dropped} == {"a", "b"}
    assert len(dropped) == 1


async def test_who_gives_up_while_a_connection_is_made_keeps_none() -> None:
    dropped: list[str] = []
    made = asyncio.Event()

    async def attempt() -> str:
        made.set()
        return "a"

    reaching = asyncio.create_task(first_of([attempt], PATIENCE_S, dropped.append))
    await made.wait()
    reaching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reaching
    await asyncio.sleep(0)
    assert dropped == ["a"]


async def test_a_host_is_looked_up_once_for_all_who_ask_and_again_where_it_leads_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks, goes_on = list[str](), asyncio.Event()

    async def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        looks.append(host)
        await goes_on.wait()
        return [(socket.AF_INET, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    lookup = Lookup("models.example", 80)
    given_up, *others = [asyncio.create_task(lookup.addresses()) for _ in range(3)]
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait({given_up})
    goes_on.set()
    assert await asyncio.gather(*others, lookup.addresses()) == [["127.0.0.1"]] * 3
    assert await lookup.addresses() == ["127.0.0.1"]
    assert len(looks) == 1
    lookup.forget()
    assert await lookup.addresses() == ["127.0.0.1"]
    assert len(looks) == 2


def test_addresses_are_tried_by_turns() -> None:
    found = [
        *((socket.AF_INET6, 1, 6, "", (address, 80, 0, 0)) for address in ("::1", "::2", "::3", "::1")),
        (socket.AF_INET, 1, 6, "", ("1.1.1.1", 80)),
    ]
    assert by_turns(found) == ["::1", "1.1.1.1", "::2", "::3"]


async def test_an_address_that_leads_nowhere_holds_up_nobody() -> None:
    begun, cancelled = list[str](), list[str]()

    async def attempt(name: str, end: OSError | None) -> str:
        begun.append(name)
        if name == "hangs":
            try:
                await asyncio.sleep(PATIENCE_S)
            except asyncio.CancelledError:
                cancelled.append(name)
                raise
        if end is not None:
            raise end
        return name

    def attempts(*ends: tuple[str, OSError | None]) -> Sequence[Callable[[], Awaitable[str]]]:
        return [partial(attempt, *end) for end in ends]

    assert await first_of(attempts(("hangs", None), ("answers", None), ("never", None)), SHORT_S, print) == "answers"
    await asyncio.sleep(0)
    assert (begun, cancelled) == (["hangs", "answers"], ["hangs"])
    begun.clear()
    assert await first_of(attempts(("fails", OSError("a")), ("answers", None)), PATIENCE_S, print) == "answers"
    with pytest.raises(OSError, match="b"):
        await first_of(attempts(("fails", OSError("a")), ("fails", OSError("b"))), PATIENCE_S, print)
