"""`POST /v1/chat/completions`: a turn like any other, whose model is told what its client sends, and not what we know.

The hot path: it reads and writes its bodies by hand; `door.py` leads here.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import structlog
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.account.identity import Caller, account_of
from services.gateway.account.limits.throttle import Throttle
from services.gateway.account.projects import admit_writer, key_within, project_of_new
from services.gateway.chat.following import FollowingResponse, WholeResponse, whole_turn
from services.gateway.chat.memory import Memory, Remembered
from services.gateway.http.bodies import let_go_of_body, take_body
from services.gateway.http.client import client_of
from services.gateway.http.edge import correlation_id_of
from services.gateway.http.fields import check_text
from services.gateway.http.openai_errors import error_response, openai_error
from services.gateway.http.rate_limit import tell_limits
from services.gateway.http.request_span import traceparent_of
from services.gateway.http.shares import Shares
from services.gateway.model.catalog import Catalog, ConfiguredModel
from services.gateway.models.allowed import AllowedModels
from services.gateway.models.queries import TagQueries
from services.gateway.turns.buffer import QUIET_S, TurnBuffer
from services.gateway.turns.kept import Kept
from services.gateway.turns.recent import RecentSessions
from services.gateway.turns.retold import Retold
from services.gateway.turns.running import OnBusy
from services.gateway.turns.said import newest
from services.gateway.turns.starting import StaleHistory, TurnStarter, until_fresh
from services.gateway.turns.store import TurnStore
from services.gateway.turns.turn import Turn
from services.gateway.v1.beginning import Beginning, sent_key
from services.gateway.v1.completion_request import CompletionRequest, read_completion_request
from services.gateway.v1.joining import Joined, Joining
from services.gateway.v1.telling import (
    STREAM_HEADERS,
    completion_of,
    error_of,
    has_ended,
    kept_stream,
    relayed_stream,
)
from shared.database import DATABASE_ERRORS
from shared.errors import Invalid, NotFound, SessionBusy, TripthreadError
from shared.ids import new_id
from shared.settings import Settings

TAG_WAIT_S = 0.5  # beyond the first piece, for a session's tag to be read

log = structlog.get_logger(__name__)


class NoSuchModel(NotFound):
    """This model does not exist, or you do not have access to it."""

    def __init__(self) -> None:
        super().__init__(None, openai_code="model_not_found", errors=[{"field": "model"}])


@dataclass(frozen=True)
class Begun:
    """A turn, and what this request is told of it."""

    request: CompletionRequest
    buffer: TurnBuffer
    retold: Retold | None  # none: another request has begun it
    tag: asyncio.Task[str | None] | None  # of a session that may have one


class Completions:
    """Serve one turn: claim it, and relay its answer."""

    def __init__(
        self,
        settings: Settings,
        turns: TurnStarter,
        store: TurnStore,
        memory: Memory,
        tags: TagQueries,
        *,
        joining: Joining,
        throttle: Throttle,
        room: Shares,
        models: AllowedModels,
        catalog: Catalog,
        recent: RecentSessions,
    ) -> None:
        self._settings = settings
        self._turns = turns
        self._store = store
        self._memory = memory
        self._joining = joining
        self._tags = tags
        self._throttle = throttle
        self._room = room
        self._models = models
        self._catalog = catalog
        self._recent = recent

    async def answer(self, request: Request, caller: Caller) -> Response:
        """Answer one request of this caller.

        Raises:
            Refused, Away: It can't be served.
        """
        begun = await self._begin_as_asked(await take_body(request), request, caller)
        let_go_of_body(request.scope)
        follower = begun.buffer.attach()
        try:
            response = await self._answer_or_refuse(begun, request)
        finally:
            follower.close()
        turn = begun.buffer.turn
        response.headers["X-Session-Id"] = turn.session_id
        response.headers["X-Turn-Id"] = str(turn.turn_id)
        if begun.tag is not None:
            await asyncio.wait({begun.tag}, timeout=TAG_WAIT_S)
            if begun.tag.done() and (tag := begun.tag.result()):
                response.headers["X-Session-Tag"] = tag
        return response

    async def _begin_as_asked(self, body: bytes, request: Request, caller: Caller) -> Begun:
        account = account_of(caller, request)
        async with self._throttle.admitted(account) as left:
            tell_limits(request.scope, left.headers)
            asked = read_completion_request(body, request.headers, self._settings.max_extra_bytes)
            for question in asked.conversation.new:
                if question.role == "user":
                    check_text(self._settings.max_message_characters, question.content)
            admit_writer(caller.projects, asked.project_id)
            model = self._model(asked.model, caller)
            beginning = Beginning(
                asked,
                caller,
                account,
                model,
                correlation_id_of(request),
                traceparent_of(request.headers.get("traceparent")),
                client_of(request.scope, self._settings),
            )
            if asked.session_id is None and asked.conversation.continues is not None:
                with suppress(NotFound, SessionBusy):  # it is another's, or others were quicker: a session of its own
                    return await until_fresh(lambda: self._try_to_join(beginning))
            return await until_fresh(lambda: self._try_to_begin(beginning, asked.session_id))

    async def _try_to_join(self, beginning: Beginning) -> Begun:
        """Go on in the session whose last answer is where the history ends.

        Raises:
            NotFound: There is none.
            SessionBusy: It is being spoken in.
        """
        asked, caller = beginning.asked, beginning.caller
        if asked.is_retry and await self._sent_before(asked, caller) is not None:
            raise NotFound  # it is known by its key
        joined = await self._joining.session(caller.user_id, asked.conversation.continues or "")
        if joined is None:
            raise NotFound
        return await self._try_to_begin(beginning, joined.session_id, joined)

    async def _try_to_begin(self, beginning: Beginning, session_id: str | None, joined: Joined | None = None) -> Begun:
        asked, caller = beginning.asked, beginning.caller
        remembered = await self._remember(session_id, caller)
        if joined is not None and remembered.known_until != joined.known_until:
            raise StaleHistory
        kept = remembered.kept or Kept(project_of_new(caller.projects, asked.project_id))
        key = await self._key(asked, caller, kept)
        parent_id = joined.last_id if joined else newest(remembered.history)
        claim = beginning.claim(
            remembered, session_id, parent_id=parent_id, kept=kept, key=key, owner=self._settings.reachable_at
        )
        retold = Retold(asked.relayed, list(asked.conversation.messages), asked.size)
        on_busy: OnBusy | None = "reject" if joined else None
        with self._room.held(beginning.account, 2 * asked.size):
            buffer = await self._turns.start(
                claim, remembered.history, remembered.turns, on_busy=on_busy, retold=retold
            )
        tag = asyncio.create_task(self._tag_of(buffer.turn)) if session_id is not None else None
        return Begun(asked, buffer, retold if buffer.retold is retold else None, tag)

    async def _remember(self, session_id: str | None, caller: Caller) -> Remembered:
        """Return the session that is meant, and what its next message replies to."""
        if session_id is None:
            return Remembered(caller.user_id, [])
        recent = self._recent.take(caller.user_id, session_id)
        if recent is not None and caller.sees(recent.kept.project_id):
            return Remembered(caller.user_id, list(recent.history), recent.kept, recent.known_until, is_recalled=True)
        return await self._memory.of(caller.user_ids, session_id, projects=caller.projects)

    async def _key(self, asked: CompletionRequest, caller: Caller, kept: Kept) -> str | None:
        """Return what makes a repeat the same turn: the caller's key, or what a retry finds its first try by."""
        if asked.key is not None:
            return key_within(caller.projects, kept.project_id, f"v1:key:{asked.key}")
        before = await self._sent_before(asked, caller) if asked.is_retry else None
        return before or f"{sent_key(asked)}{new_id()}"

    async def _sent_before(self, asked: CompletionRequest, caller: Caller) -> str | None:
        """Return the key of the turn that a retry is about; None where its first try began none."""
        return await self._store.sent_before(caller.user_id, sent_key(asked))

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

    async def _answer_or_refuse(self, begun: Begun, request: Request) -> Response:
        """Answer, whatever it came to: who is refused must learn the session too."""
        try:
            if begun.request.relayed.streams:
                return await self._stream(begun)
            return await self._whole(begun, request)
        except TripthreadError as error:
            _leave(begun)
            return openai_error(error)
        except BaseException:
            _leave(begun)
            raise

    async def _stream(self, begun: Begun) -> Response:
        """Begin to stream once there is something: a model that refuses at once is an error with a status."""
        buffer, retold = begun.buffer, begun.retold
        if retold is None:
            stream = kept_stream(buffer, wants_usage=begun.request.relayed.wants_usage)
            return FollowingResponse(buffer, stream, STREAM_HEADERS)
        if await _has_nothing(buffer, retold):
            if buffer.failure is not None:
                raise buffer.failure
            return error_response(*error_of(buffer.ended.answer if buffer.ended else None))
        return FollowingResponse(buffer, relayed_stream(buffer, retold), STREAM_HEADERS, retold.leave)

    async def _whole(self, begun: Begun, request: Request) -> Response:
        turn = await whole_turn(begun.buffer, request)
        whole = begun.retold.whole if begun.retold else None
        answer = turn.answer
        if answer is None or not has_ended(answer, begun.retold):
            return error_response(*error_of(answer))
        if whole is None or answer.status == "stopped":
            whole = completion_of(turn, answer)
        return WholeResponse(begun.buffer, whole)

    async def _tag_of(self, turn: Turn) -> str | None:
        """Return the session's tag where it can be read; nothing of the turn depends on it."""
        try:
            tag = await self._tags.of_session([turn.user_id], turn.session_id)
        except DATABASE_ERRORS as error:
            log.warning("tag not read", turn_id=str(turn.turn_id), error=str(error) or type(error).__name__)
            return None
        return tag.session_tag if tag else None


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
