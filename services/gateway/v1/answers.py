"""Answer what clients of OpenAI's ask: a turn is begun, and told as it comes or whole.

The hot path: it reads and writes its bodies by hand; `door.py` leads here.
"""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.account.identity import Caller, account_of
from services.gateway.account.limits.throttle import Throttle
from services.gateway.account.projects import admit_writer
from services.gateway.chat.following import FollowingResponse, WholeResponse, named, whole_turn
from services.gateway.chat.session_tags import SessionTags
from services.gateway.http.answers.openai_errors import openai_error
from services.gateway.http.answers.openai_limits import openai_limits
from services.gateway.http.callers.client import client_of
from services.gateway.http.edge.middleware import correlation_id_of
from services.gateway.http.edge.rate_limit import tell_limits
from services.gateway.http.edge.request_span import traceparent_of
from services.gateway.http.held.bodies import let_go_of_body, take_body
from services.gateway.http.requests.fields import check_text
from services.gateway.model.configured.catalog import Catalog, ConfiguredModel
from services.gateway.models.allowed import AllowedModels
from services.gateway.turns.here.buffer import QUIET_S, TurnBuffer
from services.gateway.turns.here.retold import Retold
from services.gateway.v1.reading.asked import Asked
from services.gateway.v1.reading.beginning import Beginning
from services.gateway.v1.reading.response_input import ItemsNamed
from services.gateway.v1.told.telling import STREAM_HEADERS, failure_response, has_ended
from services.gateway.v1.told.wording import Begun, Wording
from services.gateway.v1.turns import V1Turns
from shared.errors import Invalid, NotFound, TripthreadError
from shared.settings import Settings

TAG_WAIT_S = 0.5  # beyond the first piece, for a session's tag to be read


class NoSuchModel(NotFound):
    """This model does not exist, or you do not have access to it."""

    def __init__(self) -> None:
        super().__init__(None, openai_code="model_not_found", errors=[{"field": "model"}])


class Answers:
    """Serve one turn: have it begun, and relay its answer."""

    def __init__(
        self,
        settings: Settings,
        turns: V1Turns,
        tags: SessionTags,
        *,
        throttle: Throttle,
        models: AllowedModels,
        catalog: Catalog,
    ) -> None:
        self._settings = settings
        self._turns = turns
        self._tags = tags
        self._throttle = throttle
        self._models = models
        self._catalog = catalog

    async def answer(self, request: Request, caller: Caller, wording: Wording) -> Response:
        """Answer one request of this caller, in these words.

        Raises:
            Refused, Away: It can't be served.
        """
        begun = await self._begin(await take_body(request), request, caller, wording)
        let_go_of_body(request.scope)
        turn = begun.buffer.turn
        reading = None if begun.is_known else asyncio.create_task(self._tags.of(turn))
        follower = begun.buffer.attach()
        try:
            response = await self._answer_or_refuse(begun, request, wording)
        finally:
            follower.close()
        response.raw_headers += named(turn)
        if tag := await self._tag(begun, reading):
            response.raw_headers.append((b"x-session-tag", tag.encode()))
        return response

    async def _begin(self, body: bytes, request: Request, caller: Caller, wording: Wording) -> Begun:
        account = account_of(caller, request)
        async with self._throttle.admitted(account) as left:
            told = openai_limits(left.rate.amount, left.remaining, left.resets_s)
            tell_limits(request.scope, {**left.headers, **told})
            asked = await self._read(body, request, caller, wording)
            for question in asked.conversation.new:
                if question.role == "user":
                    check_text(self._settings.max_message_characters, question.content)
            admit_writer(caller.projects, asked.naming.project_id)
            beginning = Beginning(
                asked,
                caller,
                account,
                self._model(asked.model, caller),
                correlation_id_of(request),
                traceparent_of(request.headers.get("traceparent")),
                client_of(request.scope, self._settings),
            )
            return await self._turns.begin(beginning, wording)

    async def _read(self, body: bytes, request: Request, caller: Caller, wording: Wording) -> Asked:
        try:
            return wording.read(body, request.headers, self._settings.max_extra_bytes)
        except ItemsNamed as named:
            items = await self._turns.items(named.names, caller)
        return wording.read(body, request.headers, self._settings.max_extra_bytes, items)

    def _model(self, name: str, caller: Caller) -> ConfiguredModel:
        """Return the model that is asked for."""
        model = self._catalog.find(name)
        try:
            self._models.chosen(model.name if model else name, caller)
        except Invalid as error:
            raise NoSuchModel from error
        if model is None:
            raise NoSuchModel
        return model

    async def _answer_or_refuse(self, begun: Begun, request: Request, wording: Wording) -> Response:
        """Answer, whatever it came to: who is refused must learn the session too."""
        try:
            if begun.asked.streams:
                return await _stream(begun, wording)
            return await _whole(begun, request, wording)
        except TripthreadError as error:
            _leave(begun)
            return openai_error(error)
        except BaseException:
            _leave(begun)
            raise

    async def _tag(self, begun: Begun, reading: asyncio.Task[str | None] | None) -> str | None:
        """Return the session's tag, once it is known."""
        if reading is not None:
            await asyncio.wait({reading}, timeout=TAG_WAIT_S)
            return reading.result() if reading.done() else None
        return begun.tag or self._tags.heard(begun.buffer.turn)


async def _stream(begun: Begun, wording: Wording) -> Response:
    """Begin to stream once there is something: a model that refuses at once is an error with a status."""
    buffer, retold = begun.buffer, begun.retold
    if retold is None:
        return FollowingResponse(buffer, wording.stream(begun), STREAM_HEADERS)
    if await _has_nothing(buffer, retold):
        if buffer.failure is not None:
            raise buffer.failure
        return failure_response(buffer.ended.answer if buffer.ended else None)
    return FollowingResponse(buffer, wording.stream(begun), STREAM_HEADERS, retold.leave)


async def _whole(begun: Begun, request: Request, wording: Wording) -> Response:
    turn = await whole_turn(begun.buffer, request)
    answer = turn.answer
    if answer is None or not has_ended(answer, begun.retold):
        return failure_response(answer)
    return WholeResponse(begun.buffer, wording.whole(begun, turn, answer))


async def _has_nothing(buffer: TurnBuffer, retold: Retold) -> bool:
    """Wait for the first piece, but not for ever; tell whether the turn has ended without one, and as an error."""
    loop = asyncio.get_running_loop()
    until = loop.time() + QUIET_S
    looking_up = loop.call_at(until, buffer.announce)
    try:
        while not (retold.is_waiting or buffer.is_settled or loop.time() >= until):
            await buffer.hear()
    finally:
        looking_up.cancel()
    if retold.is_waiting or not buffer.is_settled:
        return False
    answer = buffer.ended.answer if buffer.ended else None
    return answer is None or not has_ended(answer, retold)


def _leave(begun: Begun) -> None:
    if begun.retold is not None:
        begun.retold.leave()
