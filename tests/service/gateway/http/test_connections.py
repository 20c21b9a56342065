"""What a caller may send, how long it may take, and how many may be there at once; with the deadlines made short."""

import asyncio
import gc
from functools import partial
from weakref import ref

import pytest

from services.gateway.http.answers.on_every_answer import HEADERS
from shared.settings import Settings
from tests.service.gateway.http.raw_http import LARGE, Answer, RawCaller, Serving, serving, write_all_then_read
from tests.waiting import until_true

BEGUN = b"POST /echo HTTP/1.1\r\nHost: localhost\r\n"
LONG = b"X-Long: " + b"x" * 64_000
SOON_S = 0.4  # a deadline that is made short
LATER_S = 1.5  # one that must not be missed, though the machine does other things
HEAD_BYTES = Settings.model_fields["http_head_bytes"].default


def refused(answer: Answer, status: int, code: str) -> None:
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert {name.decode(): value.decode() for name, value in HEADERS.items()}.items() <= answer.headers.items()
    assert f'"code":"{code}"'.encode() in answer.body


async def arrived(served: Serving, more_than: int) -> None:
    """Wait until so much is in the room for what came."""
    await until_true(lambda: served.arrived_bytes() > more_than)


def _has_come(served: Serving, requests: int) -> bool:
    return len(served.app.requests) == requests


async def pour(caller: RawCaller, what: bytes, most: int) -> None:
    """Write until it is too much for the other side."""
    for _ in range(most // len(what)):
        if caller.reader.at_eof():
            break
        try:
            await caller.say(what)
        except ConnectionError:
            break


# Heads


@pytest.mark.parametrize(
    ("beginning", "more"),
    [
        (BEGUN + b"X-Long: ", b"X-More: and %b\r\n" % (b"x" * 1000)),
        (BEGUN + b"X-Long: ", b"x" * 1024),
        (b"GET /", b"x" * 1024),
    ],
    ids=["headers", "one value", "path"],
)
async def test_a_head_without_end_is_refused_at_its_limit(beginning: bytes, more: bytes) -> None:
    async with serving(http_drop_bytes=1_000_000) as served:
        caller = await served.call(beginning)
        await caller.say(more * (HEAD_BYTES // len(more) + 1))
        refused(await caller.answer(), 431, "head_too_large")
        await pour(caller, more * 10, 50_000_000)
        await caller.ended()
        assert not served.app.requests


async def test_a_head_of_too_many_headers_is_refused() -> None:
    async with serving() as served:
        caller = await served.call(BEGUN + b"a:b\r\n" * 199 + b"\r\n")  # and `Host`
        assert (await caller.answer()).status == 200
        await caller.say(BEGUN + b"a:b\r\n" * 200 + b"\r\n")
        refused(await caller.answer(), 431, "head_too_large")
        assert len(served.app.requests) == 1


@pytest.mark.parametrize("second", [b"Host: localhost", b"HOST: evil.example", b"host:"])
async def test_a_head_of_two_hosts_is_refused(second: bytes) -> None:
    async with serving() as served:
        caller = await served.call(BEGUN + second + b"\r\nContent-Length: 2\r\n\r\n{}")
        refused(await caller.answer(), 400, "bad_request")
        await caller.ended()
        assert not served.app.requests


async def test_a_head_of_just_the_limit_is_read() -> None:
    async with serving() as served:
        head = BEGUN + b"X-Long: \r\n\r\n"
        whole = head.replace(b"Long: ", b"Long: " + b"x" * (HEAD_BYTES - len(head)))
        assert len(whole) == HEAD_BYTES
        caller = await served.call(whole)
        assert (await caller.answer()).status == 200
        await caller.say(whole.replace(b"Long: ", b"Long: x"))
        refused(await caller.answer(), 431, "head_too_large")


async def test_a_head_that_comes_with_its_body_in_one_piece_counts_alone() -> None:
    async with serving() as served:
        body = b"x" * (3 * HEAD_BYTES)
        caller = await served.call(BEGUN + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert (await caller.answer()).body == str(len(body)).encode()
        assert await caller.is_open()


@pytest.mark.parametrize("extension", [b"X-More: and more\r\n", b"x" * 100], ids=["trailers", "one trailer"])
async def test_trailers_without_end_are_refused(extension: bytes) -> None:
    async with serving() as served:
        caller = await served.call(BEGUN + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Trailer: ")
        await caller.say(extension * (2 * HEAD_BYTES // len(extension)))
        refused(await caller.answer(), 431, "head_too_large")
        await until_true(lambda: served.app.disconnected == 1)


async def test_trailers_are_no_headers() -> None:
    async with serving() as served:
        chunked = b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
        caller = await served.call(BEGUN + chunked)
        assert (await caller.answer()).status == 200
        assert b"authorization" not in dict(served.app.requests[0]["headers"])


@pytest.mark.parametrize("said", [b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n", b"GET  HTTP/1.1\r\n\r\n"])
async def test_what_is_no_http_is_refused(said: bytes) -> None:
    async with serving() as served:
        caller = await served.call(said)
        refused(await caller.answer(), 400, "bad_request")
        caller.writer.write_eof()
        assert await caller.ended() == b""


# Deadlines


async def test_a_head_that_is_half_sent_has_a_deadline() -> None:
    async with serving(http_head_s=SOON_S) as served:
        caller = await served.call(BEGUN)
        refused(await caller.answer(), 408, "too_slow")


async def test_a_head_that_comes_a_byte_at_a_time_has_the_same_deadline() -> None:
    async with serving(http_head_s=SOON_S) as served:
        caller = await served.call(BEGUN)
        answer = asyncio.create_task(caller.answer())
        for _ in range(1000):
            if answer.done():
                break
            await caller.say(b"x")
            await asyncio.sleep(SOON_S / 20)
        refused(await answer, 408, "too_slow")


async def test_a_second_head_has_a_deadline_of_its_own() -> None:
    async with serving(http_head_s=SOON_S) as served:
        caller = await served.call()
        assert await caller.is_open()
        await caller.say(BEGUN)
        refused(await caller.answer(), 408, "too_slow")


@pytest.mark.parametrize("requests", [0, 2], ids=["new", "used"])
async def test_an_idle_connection_is_closed(requests: int) -> None:
    async with serving(http_idle_s=SOON_S) as served:
        caller = await served.call()
        for _ in range(requests):
            assert await caller.is_open()
        assert await caller.ended() == b""


async def test_a_stream_may_be_silent_for_as_long_as_it_likes() -> None:
    async with serving(http_idle_s=SOON_S, http_head_s=SOON_S, http_body_s=SOON_S, http_drop_s=SOON_S) as served:
        streaming = await served.call(b"GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await streaming.head()).status == 200
        assert await streaming.piece() == b"first,"
        assert await (await served.call()).ended() == b""  # idle for longer than any deadline
        served.app.release()
        assert await streaming.piece() == b"second"


async def test_a_body_may_take_its_time_while_it_goes_on() -> None:
    async with serving(http_body_s=LATER_S) as served:
        caller = await served.call(BEGUN + b"Content-Length: 20\r\n\r\n")
        for _ in range(20):
            await caller.say(b"x")
            await asyncio.sleep(LATER_S / 15)
        assert (await caller.answer()).body == b"20"


@pytest.mark.parametrize("framing", [b"Content-Length: 20\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf"])
async def test_a_body_that_does_not_go_on_has_a_deadline(framing: bytes) -> None:
    async with serving(http_body_s=SOON_S) as served:
        caller = await served.call(BEGUN + framing)
        refused(await caller.answer(), 408, "too_slow")
        await until_true(lambda: served.app.disconnected == 1)


async def test_a_body_that_goes_on_for_ever_has_a_deadline_too() -> None:
    async with serving(http_whole_body_s=2 * SOON_S) as served:
        caller = await served.call(BEGUN + b"Content-Length: 1000\r\n\r\n")
        answer = asyncio.create_task(caller.answer())
        for _ in range(1000):
            if answer.done():
                break
            await caller.say(b"x")
            await asyncio.sleep(SOON_S / 20)
        refused(await answer, 408, "too_slow")
        await until_true(lambda: served.app.disconnected == 1)


async def test_each_body_of_a_connection_has_a_deadline_of_its_own() -> None:
    async with serving(http_whole_body_s=LATER_S) as served:
        caller = await served.call()
        for _ in range(5):
            await caller.say(BEGUN + b"Content-Length: 2\r\n\r\nx")
            await asyncio.sleep(SOON_S)
            await caller.say(b"x")
            assert (await caller.answer()).body == b"2"


async def test_an_answer_that_nobody_reads_is_given_up() -> None:
    async with serving(http_unread_s=SOON_S) as served:
        await served.call(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n", window=2**16)
        await until_true(lambda: bool(served.app.requests))
        await until_true(lambda: served.open_connections() == 0)


async def test_an_answer_that_is_read_slowly_is_not_given_up() -> None:
    async with serving(http_unread_s=LATER_S, http_idle_s=LATER_S) as served:
        caller = await served.call(b"GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", window=2**16)
        assert (await caller.head()).status == 200
        came = 0
        while data := await caller.reader.read(LARGE // 20):
            came += len(data)
            await asyncio.sleep(SOON_S / 10)
        assert came == LARGE


# How much


async def test_an_answer_in_many_pieces_is_not_held_for_whoever_reads_none() -> None:
    async with serving() as served:
        slow = await served.call(b"GET /pieces HTTP/1.1\r\nHost: localhost\r\n\r\n", window=2**16)
        await until_true(lambda: served.app.pieces > 0)
        assert await (await served.call()).is_open()
        assert served.app.pieces < 600  # of 16 kB: the kernel takes some megabytes
        assert len((await slow.answer()).body) == LARGE


async def test_bodies_beyond_their_callers_share_are_refused_and_what_is_small_is_not() -> None:
    head = BEGUN + b"Content-Length: 900000\r\n\r\n"
    async with serving(body_bytes_at_once=2**20) as served:  # of which one caller has as much as the longest body
        held = await served.call(head + b"x" * 800_000)
        await until_true(lambda: len(served.app.requests) == 1)
        second = await served.call(head + b"x" * 900_000)
        answer = await second.answer()
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert b'"code":"too_many_requests"' in answer.body
        assert await second.is_open()  # what it still sent was dropped
        small = await served.call(BEGUN + b"Content-Length: 16000\r\n\r\n" + b"x" * 16_000)
        assert (await small.answer()).body == b"16000"
        await held.say(b"x" * 100_000)
        assert (await held.answer()).body == b"900000"
        await second.say(head + b"x" * 900_000)
        assert (await second.answer()).body == b"900000"


async def test_a_body_whose_caller_has_gone_takes_no_room() -> None:
    half_sent = BEGUN + b"Content-Length: 900000\r\n\r\n" + b"x" * 800_000
    async with serving(body_bytes_at_once=2**20) as served:
        for _ in range(3):
            before = served.app.disconnected
            caller = await served.call(half_sent)
            await until_true(lambda: served.held_bytes() > 700_000)
            caller.writer.close()
            await until_true(lambda: served.held_bytes() == 0)
            assert served.app.disconnected == before + 1


async def test_heads_of_all_connections_have_one_room_and_the_oldest_gives_way() -> None:
    async with serving(head_bytes_at_once=256 * 1024) as served:
        begun = BEGUN + LONG
        slow = []
        for number in range(4):
            slow.append(await served.call(begun))
            await arrived(served, 55_000 * (number + 1))
        newest = await served.call(begun)
        assert await slow[0].ended() == b""
        for caller in (*slow[1:], newest):
            await caller.say(b"\r\n\r\n")
            assert (await caller.answer()).status == 200
        assert served.arrived_bytes() == 0  # though the connections are open


async def test_of_bodies_that_nobody_reads_yet_the_oldest_is_told_to_come_back() -> None:
    async with serving(head_bytes_at_once=256 * 1024) as served:
        large = b"POST /late HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000\r\n\r\n" + b"x" * 63_000
        callers = []
        for number in range(5):
            callers.append(await served.call(large))
            await arrived(served, 45_000 * min(number + 1, 4))
        refused(await callers[0].answer(), 503, "overloaded")
        served.app.release()
        for caller in callers[1:]:
            await caller.say(b"x" * 7_000)
            assert (await caller.answer()).body == b"70000"
        await until_true(lambda: served.arrived_bytes() == 0)


async def test_many_short_headers_take_room_for_what_they_cost() -> None:
    async with serving(head_bytes_at_once=256 * 1024) as served:
        slow = [await served.call(BEGUN + b"a:b\r\n" * 198) for _ in range(30)]
        assert await slow[0].ended() == b""
        await slow[-1].say(b"\r\n")
        assert (await slow[-1].answer()).status == 200


async def test_where_all_heads_are_being_answered_a_long_one_is_told_to_come_back() -> None:
    async with serving(head_bytes_at_once=256 * 1024) as served:
        long = LONG + b"\r\n\r\n"
        for number in range(4):
            await served.call(b"GET /hold HTTP/1.1\r\nHost: localhost\r\n" + long)
            await arrived(served, 55_000 * (number + 1))
        refused(await (await served.call(BEGUN + long)).answer(), 503, "overloaded")
        assert await (await served.call()).is_open()  # what is small is never refused
        served.app.release()
        await until_true(lambda: served.arrived_bytes() == 0)
        assert (await (await served.call(BEGUN + long)).answer()).status == 200


async def test_a_head_whose_answer_came_early_is_not_held_while_its_body_is_dropped() -> None:
    async with serving() as served:
        head = b"POST /early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n" + LONG
        caller = await served.call(head + b"\r\n\r\nx")
        assert (await caller.answer()).status == 401
        await until_true(lambda: served.arrived_bytes() == 0)
        (open_one,) = served.connections()
        assert (open_one.headers, open_one.scope, open_one.cycle.scope) == ([], None, {})


async def test_nothing_more_is_read_while_a_request_waits_for_the_answer_before_it() -> None:
    async with serving() as served:
        waiting = BEGUN + LONG + b"\r\n\r\n"
        caller = await served.call(b"GET /watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await caller.head()
        assert await caller.piece() == b"first,"
        caller.writer.write(waiting * 12)
        await until_true(lambda: served.arrived_bytes() > 0)
        looks = served.app.looks
        await until_true(lambda: served.app.looks > looks + 20)
        assert served.arrived_bytes() < 330_000  # what one read brings
        served.app.release()
        assert await caller.piece() == b"second"
        assert await caller.piece() == b""
        assert [(await caller.answer()).status for _ in range(12)] == [200] * 12


async def test_what_waits_behind_an_answer_gives_way_and_the_answer_does_not() -> None:
    async with serving(head_bytes_at_once=256 * 1024) as served:
        waiting = BEGUN + LONG + b"\r\n\r\n"
        callers = []
        for number in range(5):
            callers.append(await served.call(b"GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            await callers[-1].head()
            await callers[-1].say(waiting)
            await arrived(served, 58_000 * min(number + 1, 4))
        served.app.release()
        for caller in callers:
            assert [await caller.piece() for _ in range(3)] == [b"first,", b"second", b""]
        assert await callers[0].ended() == b""
        for caller in callers[1:]:
            assert (await caller.answer()).status == 200


async def test_sixteen_small_requests_at_once_are_all_answered_in_their_order() -> None:
    async with serving() as served:
        asked = b"".join(b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % n for n in range(16))
        caller = await served.call(asked)
        assert [(await caller.answer()).status for _ in range(16)] == [200] * 16
        assert [scope["path"] for scope in served.app.requests] == [f"/{n}" for n in range(16)]
        assert served.arrived_bytes() == 0
        assert await caller.is_open()


@pytest.mark.parametrize(
    ("said", "is_answered"),
    [
        (b"", False),
        (b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n", True),
        (BEGUN + LONG, False),
        (BEGUN + b"Content-Length: 60001\r\n\r\n" + b"x" * 60_000, False),
        (b"GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n", True),
        (b"GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n" + BEGUN + LONG + b"\r\n\r\n", True),
    ],
    ids=["nothing", "answered", "half a head", "half a body", "half an answer", "two requests"],
)
async def test_a_connection_that_has_closed_is_gone_with_all_that_came(said: bytes, is_answered: bool) -> None:
    async with serving() as served:
        gc.disable()  # which would find it, later
        try:
            caller = await served.call(said)
            await until_true(lambda: len(served.connections()) == 1)
            if is_answered:
                await caller.head()
            (closing,) = map(ref, served.connections())
            await served.hang_up()
            if said.count(b"Host") > 1:  # so it does not read on, and see that its caller has gone
                served.app.release()
            await until_true(lambda: closing() is None)
        finally:
            gc.enable()


async def test_what_has_given_way_is_gone_at_once() -> None:
    async with serving(head_bytes_at_once=256 * 1024) as served:
        gc.disable()  # which would find it, later
        try:
            waiting = []
            for number in range(5):
                caller = await served.call(b"GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await caller.head()
                await caller.say(BEGUN + LONG + b"\r\n\r\n")
                await arrived(served, 58_000 * min(number + 1, 4))
                waiting += [ref(each[0]) for connection in served.connections() for each in connection.pipeline]
            await until_true(lambda: waiting[0]() is None)
        finally:
            gc.enable()


# How many


async def test_idle_connections_make_room_the_longest_idle_first() -> None:
    async with serving(http_connections=4) as served:
        first, second = await served.call(), await served.call()
        assert await first.is_open()
        assert await second.is_open()
        streaming = await served.call(b"GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await streaming.head()
        sending = await served.call(BEGUN + b"Content-Length: 1\r\n\r\n")
        await until_true(lambda: len(served.app.requests) == 4)
        assert await first.is_open()  # so the second is idle for longer
        newcomer = await served.call()
        assert await second.ended() == b""
        assert await newcomer.is_open()
        assert await first.is_open()
        await sending.say(b"x")
        assert (await sending.answer()).body == b"1"
        served.app.release()
        assert await streaming.piece() == b"first,"
        assert await streaming.piece() == b"second"


async def test_whoever_says_nothing_takes_nobody_s_place_who_was_here_later() -> None:
    async with serving(http_connections=4) as served:
        silent = [await served.call() for _ in range(3)]
        user = await served.call()
        assert await user.is_open()
        newcomers = [await served.call() for _ in range(2)]
        assert [await each.ended() for each in silent[:2]] == [b"", b""]
        assert await user.is_open()
        assert await newcomers[-1].is_open()


async def test_who_makes_room_has_had_their_answer() -> None:
    """Though they read it later, and however many come."""
    async with serving(http_connections=2) as served:
        for number in range(10):
            user = await served.call(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await until_true(partial(_has_come, served, number + 1))
            for _ in range(6):
                await served.call()
            assert (await user.answer()).body == b"0"
            assert await user.reader.read() == b""  # in order, and not by a reset
            await served.hang_up()


async def test_whoever_has_not_sent_its_request_makes_room_for_others() -> None:
    async with serving(http_connections=3) as served:
        streaming = await served.call(b"GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await streaming.head()
        body = await served.call(BEGUN + b"Content-Length: 1\r\n\r\n")
        await until_true(lambda: len(served.app.requests) == 2)
        head = await served.call(BEGUN)
        newcomers = [await served.call(BEGUN) for _ in range(20)]
        assert [await slow.ended() for slow in (head, body)] == [b"", b""]
        await newcomers[-1].say(b"\r\n")
        assert (await newcomers[-1].answer()).status == 200
        served.app.release()
        assert await streaming.piece() == b"first,"


async def test_where_all_are_busy_a_newcomer_is_told_to_come_back() -> None:
    async with serving(http_connections=2) as served:
        busy = [await served.call(b"GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n") for _ in range(2)]
        for each in busy:
            await each.head()
        for _ in range(3):
            newcomer = await served.call()
            answer = await newcomer.answer()
            refused(answer, 503, "too_many_connections")
            assert answer.headers["retry-after"]
        served.app.release()
        for each in busy:
            assert await each.piece() == b"first,"
            assert await each.piece() == b"second"


async def test_a_flood_of_connections_leaves_as_many_as_are_allowed() -> None:
    async with serving(http_connections=20) as served:
        for _ in range(100):
            await served.call()
        assert await (await served.call()).is_open()
        await until_true(lambda: served.open_connections() <= 20)


# Requests of other kinds


async def test_a_websocket_is_not_opened() -> None:
    async with serving() as served:
        upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n"
        caller = await served.call(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n" + upgrade + b"\r\n")
        assert (await caller.answer()).status == 200  # as without
        assert [scope["type"] for scope in served.app.requests] == ["http"]
        assert await caller.is_open()


async def test_an_upgrade_that_is_not_taken_up_loses_nothing() -> None:
    async with serving() as served:
        upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n"
        asked = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n" + upgrade + b"\r\nabc"
        caller = await served.call(asked + asked)
        assert [(await caller.answer()).body for _ in range(2)] == [b"3", b"3"]
        assert await caller.is_open()


@pytest.mark.parametrize("said", ["close, Upgrade", "Upgrade, close", "Upgrade\r\nConnection: close"])
@pytest.mark.parametrize("body", [b"", b"abc"])
async def test_an_upgrade_of_a_connection_that_is_to_end_is_answered_too(said: str, body: bytes) -> None:
    """As `curl --http2 -H 'Connection: close'` asks."""
    async with serving() as served:
        rows = f"Connection: {said}\r\nUpgrade: h2c\r\nContent-Length: {len(body)}\r\n\r\n"
        caller = await served.call(b"POST /echo HTTP/1.1\r\nHost: localhost\r\n" + rows.encode() + body)
        assert (await caller.answer()).body == str(len(body)).encode()
        assert not await caller.is_open()


async def test_it_is_no_proxy() -> None:
    async with serving() as served:
        caller = await served.call(b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere:443\r\n\r\n")
        refused(await caller.answer(), 400, "bad_request")


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    async with serving() as served:
        asked = b"".join(
            b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % n + b"x" * n for n in range(9)
        )
        caller = await served.call(b"GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n" + asked)
        await until_true(lambda: len(served.app.requests) == 1)
        served.app.release()
        assert (await caller.answer()).body == b"first,second"
        assert [(await caller.answer()).body for _ in range(9)] == [str(n).encode() for n in range(9)]
        assert await caller.is_open()


async def test_a_flood_of_pipelined_requests_is_answered_as_far_as_it_is_taken() -> None:
    async with serving() as served:
        caller = await served.call(b"GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2000)
        await until_true(lambda: len(served.app.requests) == 1)
        served.app.release()
        answers = (await caller.ended()).count(b"HTTP/1.1 200")
        assert 1 < answers < 50
        assert len(served.app.requests) == answers


async def test_nonsense_behind_a_request_does_not_get_into_its_answer() -> None:
    async with serving() as served:
        caller = await served.call(b"GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\nno HTTP\r\n\r\n")
        assert (await caller.head()).status == 200
        assert await caller.piece() == b"first,"
        served.app.release()
        assert await caller.piece() == b"second"
        assert await caller.ended() == b"0\r\n\r\n"


@pytest.mark.parametrize("keep_alive", [b"", b"Connection: keep-alive\r\n"])
async def test_a_caller_of_http_1_0_gets_no_chunks(keep_alive: bytes) -> None:
    async with serving() as served:
        caller = await served.call(b"GET /hold HTTP/1.0\r\nHost: localhost\r\n" + keep_alive + b"\r\n")
        answer = await caller.head()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert "transfer-encoding" not in answer.headers
        assert await caller.reader.readexactly(6) == b"first,"  # piece by piece
        served.app.release()
        assert await caller.reader.read() == b"second"


async def test_an_answer_that_breaks_off_does_not_end_in_order() -> None:
    async with serving() as served:
        caller = await served.call(b"GET /broken HTTP/1.0\r\nHost: localhost\r\n\r\n")
        await caller.head()
        with pytest.raises(ConnectionResetError):
            await caller.reader.read()
        chunked = await served.call(b"GET /broken HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await chunked.head()
        assert not (await chunked.ended()).endswith(b"0\r\n\r\n")


# Bodies that nobody wants


BODY = b"x" * 20_000_000
CHUNKS = b"4000\r\n%b\r\n" % (b"x" * 0x4000) * 1000 + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        (BEGUN + b"Content-Length: %d\r\n\r\n" % len(BODY), BODY, 413),
        (BEGUN + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY), BODY, 413),
        (BEGUN + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNKS, 413),
        (BEGUN.replace(b"1.1", b"1.0") + b"Content-Length: %d\r\n\r\n" % len(BODY), BODY, 413),
        (b"POST /early HTTP/1.0\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n", BODY[:900_000], 401),
    ],
    ids=["length", "close", "chunks", "1.0", "early"],
)
async def test_an_early_answer_reaches_whoever_reads_only_after_writing(head: bytes, body: bytes, status: int) -> None:
    async with serving() as served:
        for _ in range(5):  # a reset may come too late to do harm
            answer = await asyncio.to_thread(write_all_then_read, served.port, head, body)
            assert answer.startswith(b"HTTP/1.1 %d " % status)


async def test_a_connection_can_be_used_again_after_a_body_that_nobody_read() -> None:
    async with serving() as served:
        caller = await served.call(b"POST /early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n")
        assert (await caller.answer()).status == 401
        await caller.say(b"x" * 900_000)
        assert await caller.is_open()


async def test_only_so_much_is_dropped() -> None:
    async with serving(http_drop_bytes=1_000_000) as served:
        caller = await served.call(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000000\r\n\r\n")
        assert (await caller.answer()).status == 413
        await pour(caller, b"x" * 100_000, 200_000_000)
        assert caller.reader.at_eof() or caller.writer.is_closing()
        await until_true(lambda: served.open_connections() == 0)


async def test_it_is_dropped_only_for_so_long() -> None:
    async with serving(http_drop_s=SOON_S) as served:
        caller = await served.call(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000000\r\n\r\n")
        assert (await caller.answer()).status == 413
        ended = asyncio.create_task(caller.ended())
        while not ended.done():
            try:
                await caller.say(b"x")
            except ConnectionError:
                break
            await asyncio.sleep(SOON_S / 20)
        assert await ended == b""


async def test_a_body_that_was_not_asked_for_is_not_taken_for_a_request() -> None:
    async with serving(http_drop_s=SOON_S) as served:
        caller = await served.call(
            BEGUN.replace(b"echo", b"early") + b"Expect: 100-continue\r\nContent-Length: 99\r\n\r\n"
        )
        assert (await caller.answer()).status == 401
        await caller.say(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await caller.ended() == b""
        assert len(served.app.requests) == 1


# The end


async def test_what_is_being_answered_is_finished_before_the_end() -> None:
    async with serving() as served:
        idle = await served.call()
        assert await idle.is_open()
        streaming = await served.call(b"GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await streaming.head()
        served.server.shut_down()
        assert await idle.ended() == b""
        served.app.release()
        assert await streaming.piece() == b"first,"
        assert await streaming.piece() == b"second"
        assert await streaming.ended() == b"0\r\n\r\n"


# The gateway's own slowness


async def test_a_body_that_waits_for_the_gateway_has_no_deadline() -> None:
    async with serving(http_body_s=SOON_S) as served:
        body = b"x" * 900_000
        caller = await served.call(b"POST /late HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body))
        sending = asyncio.create_task(caller.say(body))
        await until_true(lambda: len(served.app.requests) == 1)
        for _ in range(2):
            slow = await served.call(BEGUN + b"Content-Length: 1\r\n\r\n")
            refused(await slow.answer(), 408, "too_slow")  # so the deadline has passed
        served.app.release()
        await sending
        assert (await caller.answer()).body == str(len(body)).encode()
