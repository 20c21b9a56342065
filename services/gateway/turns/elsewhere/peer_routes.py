"""What a gateway tells others of the turns that it runs, on its internal address: see `peers.py` for the other end."""

import hmac
from uuid import UUID

import orjson
from aiohttp import web

from services.gateway.turns.elsewhere.peers import internal_tokens
from services.gateway.turns.here.buffer import KINDS, WHOLE, TurnBuffer
from services.gateway.turns.here.runner import Runner
from services.gateway.turns.pieces import Whole
from shared.errors import TripthreadError
from shared.settings import Settings

_NAMES = {kind: name for name, kind in KINDS.items()} | {Whole: WHOLE}


class PeerRoutes:
    """`GET /turns/{turn}/{attempt}/pieces` and `POST /turns/{turn}/{attempt}/stop`."""

    def __init__(self, settings: Settings) -> None:
        self._credentials = [f"Bearer {token}".encode() for token in internal_tokens(settings)]
        self._runner: Runner | None = None

    def serve(self, runner: Runner) -> None:
        """Serve the turns of this runner from now on; before, none runs here."""
        self._runner = runner

    def routes(self) -> list[web.RouteDef]:
        turn = "/turns/{turn}/{attempt}"
        return [web.get(f"{turn}/pieces", self._pieces), web.post(f"{turn}/stop", self._stop)]

    async def _pieces(self, request: web.Request) -> web.StreamResponse:
        """Send the turn from its start: one line of JSON a piece, `["text", "..."]`."""
        _, buffer = self._find(request)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        follower = buffer.attach()
        try:
            await response.prepare(request)
            async for piece in buffer.follow_all():
                await response.write(orjson.dumps([_NAMES[type(piece)], str(piece)]) + b"\n")
        except (TripthreadError, ConnectionResetError):  # the peer finds in the row what became of it, or is gone
            pass
        finally:
            follower.close()
        return response

    async def _stop(self, request: web.Request) -> web.Response:
        """Stop the turn: 200; 409 where somebody follows it still; 404 where it does not run here (any more)."""
        runner, buffer = self._find(request)
        wait_s = request.query.get("unless_followed_for_s")
        if wait_s is not None and not await buffer.unfollowed(float(wait_s)):
            raise web.HTTPConflict
        ended = await runner.stop(buffer.turn)
        if ended is None or ended.state != "stopped":
            raise web.HTTPNotFound
        return web.Response()

    def _find(self, request: web.Request) -> tuple[Runner, TurnBuffer]:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        matches = [hmac.compare_digest(given, credential) for credential in self._credentials]
        if not any(matches):
            raise web.HTTPUnauthorized
        try:
            turn_id, attempt = UUID(request.match_info["turn"]), int(request.match_info["attempt"])
        except ValueError as error:
            raise web.HTTPNotFound from error
        buffer = self._runner.find(turn_id, attempt) if self._runner else None
        if self._runner is None or buffer is None:
            raise web.HTTPNotFound
        return self._runner, buffer
