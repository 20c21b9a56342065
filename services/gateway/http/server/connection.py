"""One caller's connection: what it waits for, how long that may take, and how it ends."""

import asyncio
import socket
import struct
from typing import Any

from prometheus_client import Counter
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from services.gateway.http.answers.on_every_answer import HEADERS
from services.gateway.http.answers.problems import problem_response
from services.gateway.http.server.connections import Connections, Phase
from services.gateway.http.server.exchange import Exchange, Flow, UnframedExchange, do_nothing
from services.gateway.http.server.outlet import Outlet
from services.gateway.http.server.parsing import Parsing
from shared.errors import Overloaded, TooManyConnections, TooSlow, TripthreadError
from shared.settings import Settings

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close is a reset

REFUSED = Counter("tripthread_http_refused", "Answers to what never became a request", ["code"])


class Connection(Parsing):
    """Is always in the row of its phase, and ends so that its last answer arrives.

    An answer may be complete before its request is: whoever closes then with unread bytes resets the connection, and a
    caller that reads only after it has written everything loses the answer. So the rest is read and dropped.
    """

    def __init__(
        self,
        settings: Settings,
        connections: Connections,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(settings.http_head_bytes, config, server_state, app_state, _loop)
        self._connections = connections
        self._drop_bytes = settings.http_drop_bytes
        self.phase = Phase.NEW
        self._ending = False  # no further answer is given

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        room = self._connections.find_room()
        super().connection_made(transport)
        self.flow = Flow(transport, self.pipeline)
        self.outlet = Outlet(transport, self._end_answer)
        self._connections.enter(self, Phase.NEW)
        if not room:
            self.refuse(TooManyConnections())
            self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.leave(self)
        if self.unanswered is not None:  # of several, uvicorn tells only the last
            self.unanswered.disconnect()
        super().connection_lost(exc)
        self._part()

    def _part(self) -> None:
        """Know nobody who knows this connection: else it lies about, with all that came, until garbage is collected."""
        for exchange in (self.answering, self.cycle, *(waiting for waiting, _ in self.pipeline)):
            if exchange is not None:
                exchange.part()
        self.pipeline.clear()
        self.outlet.close = do_nothing
        self.forget_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.came > self._drop_bytes and self.unanswered is None:
            self._close()
        self._settle()
        self.count()

    def has_room(self, size: int) -> bool:
        return self._connections.arrivals.has_room(size, self)

    def count(self) -> None:
        if not self.transport.is_closing():
            self._connections.arrivals.count(self, self.held_bytes)

    def give_way(self) -> bool:
        """Hold less: take no more of a request that is not whole, else answer only the one that is being answered.

        Who sends a body may be anybody whose request is large, and is told; who is still at the head is not.
        """
        exchange = self.unanswered
        if exchange is None:
            self._connections.evict(self)
            return True
        if self.incomplete is Phase.BODY and exchange is self.cycle:
            self.refuse(Overloaded())
            self._settle()
            self.count()
            return True
        if not self.pipeline and self.incomplete is not Phase.HEAD:
            return False
        self.pipeline.clear()
        self.cycle = exchange
        self._answer_only_what_is_whole(exchange)
        self.deaf = True
        self.forget_request()
        self.count()
        return True

    def pause_writing(self) -> None:
        super().pause_writing()
        self._connections.unread(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._connections.read(self)

    def shutdown(self) -> None:
        """Finish what is begun, and close."""
        if self.phase is Phase.DROPPING:
            self._ending = True
        else:
            self.outlet.flush()
            super().shutdown()

    def waited_too_long(self) -> None:
        if self.phase is Phase.BODY and self.flow.read_paused:  # it is the gateway that does not read
            self._connections.begin_again(self)
        elif self.phase in (Phase.HEAD, Phase.BODY):
            self.refuse(TooSlow())
            self._settle()
        else:
            self._close()

    def make_room(self) -> None:
        """End at once; an answer that is whole is still read by its caller, where it takes no more memory here."""
        if self.phase is Phase.IDLE:
            self.outlet.flush()
            if not self.unsent_bytes():
                self.transport.close()
                return
        self.abort()

    def abort(self) -> None:
        """End at once, and let it look so."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    def unsent_bytes(self) -> int:
        return self.transport.get_write_buffer_size() + self.outlet.held_bytes

    def on_headers_complete(self) -> None:
        if self._ending:
            raise OverflowError
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.incomplete is Phase.BODY and self.expect_100_continue and not self.came:
            self._ending = True  # it was not told to go on, and may not send the body at all
        if self._ending:
            self.pipeline.clear()
        if self.answering is not None:
            self.answering.forget()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self.incomplete is not Phase.HEAD:
            self.forget_request()
        self.flow.resume_reading()
        self._settle()
        self.count()

    def _end_answer(self) -> None:
        """Close after a whole answer, once its request is whole too; break off any other."""
        exchange = self.unanswered
        if exchange is None:
            self._ending = True
        else:
            self._break_off(exchange)

    def _break_off(self, exchange: Exchange) -> None:
        if isinstance(exchange, UnframedExchange) and exchange.ends_with_connection:
            # An orderly end would look like the end of the answer. What is written already is still read before it.
            self.outlet.flush()
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._close()

    def refuse(self, error: TripthreadError) -> None:
        """Take no other request, and say why, unless another answer is still on its way."""
        self.deaf = True
        if self._ending or self.transport.is_closing():
            return
        exchange = self.unanswered
        if exchange is None:
            self._answer_at_last(error)
        elif self.incomplete is not Phase.BODY or exchange is not self.cycle:  # it is another request's fault
            self._answer_only_what_is_whole(exchange)
        elif exchange.response_started:
            self._break_off(exchange)
        else:
            exchange.disconnect()
            self._answer_at_last(error)

    def _answer_at_last(self, error: TripthreadError) -> None:
        REFUSED.labels(error.code).inc()
        self.outlet.write(_raw(error))
        self.outlet.flush()
        self.transport.write_eof()
        self._ending = True
        self.incomplete = Phase.BODY  # whatever still comes, until the caller closes
        self.forget_request()

    def _answer_only_what_is_whole(self, exchange: Exchange) -> None:
        if self.incomplete is Phase.BODY:
            self.pipeline.popleft()
        newest = self.pipeline[0][0] if self.pipeline else exchange
        newest.keep_alive = False
        self.incomplete = None
        self.flow.pause_reading()

    def _close(self) -> None:
        if self.transport.is_closing():
            return
        self.outlet.flush()
        self.transport.close()
        if self.unsent_bytes():
            self._connections.unread(self)

    def _settle(self) -> None:
        """Enter the phase that follows from what is incomplete now."""
        if self.transport.is_closing():
            return
        if self._ending and self.incomplete is not Phase.BODY:
            self._close()
            return
        phase, moved = self._phase_now(), self.moved
        self.moved = False
        if phase is not self.phase or (moved and phase is not Phase.DROPPING):  # which is as long as it is
            self._connections.enter(self, phase)

    def _phase_now(self) -> Phase:
        exchange = self.unanswered
        if exchange is not None:
            its_own_body = self.incomplete is Phase.BODY and exchange is self.cycle
            return Phase.BODY if its_own_body else Phase.ANSWERING
        if self.incomplete is not None:
            return Phase.HEAD if self.incomplete is Phase.HEAD else Phase.DROPPING
        return Phase.NEW if self.phase is Phase.NEW else Phase.IDLE


def _raw(error: TripthreadError) -> bytes:
    response = problem_response(error, {"Connection": "close"})
    headers = [name + b": " + value + b"\r\n" for name, value in (*response.raw_headers, *HEADERS.items())]
    return b"".join([STATUS_LINE[response.status_code], *headers, b"\r\n", response.body])
