"""`POST /api/chat`: the hot path, which reads and writes its bodies by hand; `door.py` leads here."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import orjson
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.account.identity import Caller, account_of
from services.gateway.account.limits.throttle import Throttle
from services.gateway.account.projects import admit_writer, key_within, project_of_new
from services.gateway.chat.approving import Approving
from services.gateway.chat.following import BreakingResponse, FollowingResponse, WholeResponse, named, whole_turn
from services.gateway.chat.memory import Memory, Remembered, recall
from services.gateway.chat.model_fault import model_fault
from services.gateway.chat.question import choose_question, never_arrived
from services.gateway.chat.request import AnswerForm, ChatRequest, read_chat_request
from services.gateway.chat.session_tags import SessionTags
from services.gateway.chat.ui_stream import TEXT_HEADERS, UI_HEADERS, text_stream, ui_stream
from services.gateway.helpers.configured import Helpers
from services.gateway.http.answers.problems import problem_response, unexpected_response
from services.gateway.http.callers.client import client_of
from services.gateway.http.callers.cookies import cookie_values, kept_cookie
from services.gateway.http.edge.middleware import correlation_id_of
from services.gateway.http.edge.rate_limit import tell_limits
from services.gateway.http.edge.request_span import traceparent_of
from services.gateway.http.held.bodies import let_go_of_body, take_body
from services.gateway.http.held.shares import Shares
from services.gateway.http.requests.fields import check_text
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.model.configured.catalog import Catalog, ConfiguredModel
from services.gateway.models.allowed import AllowedModels
from services.gateway.sessions.answers import message_out
from services.gateway.tools.toolkit import Toolkit, TurnTools
from services.gateway.turns.consent import Consent
from services.gateway.turns.here.buffer import TurnBuffer
from services.gateway.turns.here.recent import RecentSessions
from services.gateway.turns.past.history import answer_of
from services.gateway.turns.past.kept import Kept
from services.gateway.turns.past.said import Said
from services.gateway.turns.starting import SessionGone, StaleHistory, TurnStarter, until_fresh
from services.gateway.turns.stored.claims import Claim
from services.gateway.turns.turn import Question, Turn
from services.gateway.turns.weight import WIDEST, bytes_of, question_bytes
from shared.errors import Away, NotFound, Refused, TripthreadError
from shared.ids import new_id
from shared.settings import Settings

SESSION_COOKIE_S = 30 * 24 * 3600
ASKING_STEPS = 2  # turns of the event loop until the model is asked: its call is made in one, and written in the next


class Chat:
    """Serve one turn: claim it, follow it, and write it in the form that the caller asked for."""

    def __init__(
        self,
        settings: Settings,
        turns: TurnStarter,
        memory: Memory,
        tags: SessionTags,
        *,
        throttle: Throttle,
        room: Shares,
        models: AllowedModels,
        catalog: Catalog,
        helpers: Helpers,
        recent: RecentSessions,
        toolkit: Toolkit,
        approving: Approving,
    ) -> None:
        self._settings = settings
        self._recent = recent
        self._toolkit = toolkit
        self._approving = approving
        self._helpers = helpers
        self._catalog = catalog
        self._turns = turns
        self._memory = memory
        self._tags = tags
        self._throttle = throttle
        self._room = room
        self._models = models
        self._owner = settings.reachable_at

    async def answer(self, request: Request, caller: Caller) -> Response:
        """Answer one request of this caller.

        Raises:
            Refused, Away: It can't be served; the problem document says why.
        """
        asked, buffer = await self._begin_as_asked(await take_body(request), request, caller)
        let_go_of_body(request.scope)
        return await self._answer_in(asked.form, request, buffer, goes_on=bool(asked.consents))

    async def approve(
        self, request: Request, caller: Caller, session_id: str, consent: Consent, form: AnswerForm
    ) -> Response:
        """Answer with what comes of a turn whose user says whether a call may be made.

        Raises:
            Refused, Away: It can't be said, or served; the problem document says why.
        """
        account = account_of(caller, request)
        async with self._throttle.admitted(account) as left:
            tell_limits(request.scope, left.headers)
            buffer = await self._approving.answer(caller, account, session_id, [consent])
        return await self._answer_in(form, request, buffer, goes_on=True)

    async def _answer_in(self, form: AnswerForm, request: Request, buffer: TurnBuffer, *, goes_on: bool) -> Response:
        follower = buffer.attach()
        try:
            await _let_the_model_be_asked()
            response = await self._answer_or_refuse(form, request, buffer, goes_on=goes_on)
        finally:
            follower.close()
        self._name_turn(response, buffer)
        return response

    async def _begin_as_asked(self, body: bytes, request: Request, caller: Caller) -> tuple[ChatRequest, TurnBuffer]:
        """Begin the turn; of what was sent only the turn keeps anything."""
        account = account_of(caller, request)
        async with self._throttle.admitted(account) as left:  # to read it takes time, too
            tell_limits(request.scope, left.headers)
            kept = cookie_values(request, "session_id")
            asked = read_chat_request(
                body,
                request.headers,
                kept,
                self._settings.max_extra_bytes,
                traceparent=traceparent_of(request.headers.get("traceparent")),
                client=client_of(request.scope, self._settings),
            )
            if asked.consents:
                return asked, await self._approving.answer(caller, account, asked.session_id, asked.consents)
            for question in asked.questions:
                check_text(self._settings.max_message_characters, question.content)
            admit_writer(caller.projects, asked.project_id)
            if asked.model is not None:
                asked = replace(asked, model=self._models.chosen(self._listed_name(asked.model), caller))
            return asked, await self._begin(asked, caller, account, correlation_id_of(request))

    async def _answer_or_refuse(
        self, form: AnswerForm, request: Request, buffer: TurnBuffer, *, goes_on: bool
    ) -> Response:
        """Answer, whatever it came to: who is refused must learn the session too, or each try begins another one."""
        try:
            return await self._respond(form, request, buffer, goes_on=goes_on)
        except (Refused, Away) as error:
            turn = buffer.turn
            return problem_response(error, session_id=turn.session_id, turn_id=str(turn.turn_id))
        except TripthreadError:  # the turn's task has logged what it was
            return unexpected_response()

    async def _begin(self, request: ChatRequest, caller: Caller, account: str, correlation_id: UUID) -> TurnBuffer:
        try:
            return await until_fresh(lambda: self._try_to_begin(request, caller, account, correlation_id))
        except SessionGone:  # deleted a moment ago
            if request.session_is_named:
                raise
        new = replace(request, session_id=None)
        return await until_fresh(lambda: self._try_to_begin(new, caller, account, correlation_id))

    async def _try_to_begin(
        self, request: ChatRequest, caller: Caller, account: str, correlation_id: UUID
    ) -> TurnBuffer:
        wanted = request.model and self._model(request.model)
        session_id, remembered = await self._remember(request, caller)
        if request.first_asking is not None and never_arrived(request, remembered.history):
            request = request.first_asking
        kept = remembered.kept or Kept(project_of_new(caller.projects, request.project_id))
        project_id, helper = kept.project_id or request.project_id, kept.helper or request.helper
        model = wanted or self._usual_model(kept.model, helper, caller)
        turn_id = new_id()
        chosen = choose_question(request, remembered.history, turn_id)
        question = await self._question(chosen, remembered, session_id)
        claim = Claim(
            turn_id=turn_id,
            user_id=remembered.user_id,
            session_id=session_id or str(new_id()),
            key=key_within(caller.projects, project_id, request.key),
            body_hash=request.body_hash,
            owner=self._owner,
            account=account,
            correlation_id=correlation_id,
            traceparent=request.traceparent,
            model=model.name,
            provider=model.provider,
            project_id=project_id,
            helper=helper,
            question=question.said_by(request.client, request.metadata),
            known_until=remembered.known_until,
            remembers_from=remembered.history[0].created_at if remembered.history else None,
            begins=remembered.is_new,
            is_recalled=remembered.is_recalled,
            tag=remembered.tag,
            names_session=request.session_is_named,
            tools=await self._tools(caller, account, helper, session_id, remembered, can_ask=request.form != "text"),
        )
        again = isinstance(chosen, Said)
        with self._room.held(account, self._weight(question, remembered.history)):
            return await self._turns.start(
                claim, remembered.history, remembered.turns, again=again, on_busy=request.on_busy
            )

    async def _tools(
        self,
        caller: Caller,
        account: str,
        helper: str | None,
        session_id: str | None,
        remembered: Remembered,
        *,
        can_ask: bool,
    ) -> TurnTools | None:
        """Return what a turn may do beside talking, with what was done in earlier ones."""
        told = self._helpers.instructed(helper)
        tools = await self._toolkit.of_turn(caller, account, told, session_id, can_ask=can_ask)
        if tools is None or not tools.tools or session_id is None:
            return tools
        earlier = await self._memory.calls(remembered.user_id, session_id, remembered.history)
        return replace(tools, earlier=earlier)

    def _weight(self, question: Question, history: Sequence[Said]) -> int:
        """Weigh what a turn holds until its model begins to answer: the question, and what the model is told."""
        past = bytes_of(said.content for said in history if said.content is not None)
        return 2 * question_bytes(question) + min(past, WIDEST * self._settings.context_bytes)

    async def _question(self, chosen: Question | Said, remembered: Remembered, session_id: str | None) -> Question:
        """Read a question that is asked again whole: of what was said only the texts are remembered."""
        if isinstance(chosen, Question):
            return chosen
        question = await self._memory.question(remembered.user_id, session_id or "", chosen.message_id)
        if question is None:
            raise StaleHistory  # it was just deleted
        return question

    def _listed_name(self, name: str | None) -> str | None:
        """Return the name of a model that was called by an alias."""
        model = None if name is None else self._catalog.find(name)
        return name if model is None else model.name

    def _usual_model(self, of_session: str | None, helper: str | None, caller: Caller) -> ConfiguredModel:
        """Return the model that answers where none is asked for: the session's, else its helper's, else the usual one.

        One that is not there any more, or that the caller may not have, is passed over.
        """
        names = (name for name in (of_session, self._helpers.model_of(helper)) if name)
        found = (model.name for name in names if (model := self._catalog.find(name)))
        return self._model(self._models.chosen(None, caller, found))

    def _model(self, name: str | None) -> ConfiguredModel:
        """Return the model that is asked for."""
        model = self._catalog.find(name)
        if model is None:
            raise refused_field("model", "is none that can be asked here: GET /api/models says which are configured")
        return model

    async def _remember(self, request: ChatRequest, caller: Caller) -> tuple[str | None, Remembered]:
        """Return the session that is meant, and its past; none where it is to be a new one."""
        new = Remembered(caller.user_id, [])
        if request.session_id is None:
            return None, new
        recalled = self._recall(request, caller, request.session_id)
        if recalled is not None:
            return request.session_id, recalled
        resent = len(request.questions) if len(request.questions) > 1 else 0
        try:
            remembered = await self._memory.of(
                caller.user_ids, request.session_id, request.about, resent, caller.projects
            )
        except NotFound:
            if request.session_is_named:
                raise
            return None, new  # the browser's last session was deleted, or is of another project
        if remembered.user_id != caller.user_id and not request.session_is_named:
            return None, new  # a visitor's, who may have been somebody else at this browser
        return request.session_id, remembered

    def _recall(self, request: ChatRequest, caller: Caller, session_id: str) -> Remembered | None:
        """Return the past as this gateway knows it, for what only a claim can refuse: one question that is to go on."""
        if request.regenerate or request.parent_id is not None or len(request.questions) != 1:
            return None
        return recall(self._recent, caller, session_id)

    async def _respond(self, form: AnswerForm, request: Request, buffer: TurnBuffer, *, goes_on: bool) -> Response:
        if form == "json":
            return WholeResponse(buffer, await self._record(await whole_turn(buffer, request)))
        if form == "text":
            return BreakingResponse(buffer, text_stream(buffer), TEXT_HEADERS)
        return FollowingResponse(buffer, ui_stream(buffer, has_carried=goes_on), UI_HEADERS)

    async def _record(self, turn: Turn) -> bytes:
        """Spell the whole answer: `{session_id, message, session_tag, finish_reason, usage}`."""
        shown = answer_of(turn)
        if shown is None or shown.status == "failed":
            raise model_fault(turn)
        body = {
            "session_id": turn.session_id,
            "message": message_out(shown),
            "session_tag": await self._tags.of(turn),
            "finish_reason": shown.metadata.get("finish_reason"),
            "usage": turn.answer.usage if turn.answer else {},
        }
        return orjson.dumps(body)

    def _name_turn(self, response: Response, buffer: TurnBuffer) -> None:
        turn = buffer.turn
        cookie = kept_cookie("session_id", turn.session_id, SESSION_COOKIE_S, self._settings)
        response.raw_headers += [*named(turn), cookie]


async def _let_the_model_be_asked() -> None:
    """Let the turn's task go first: the head of the answer is made and written while the model thinks."""
    for _ in range(ASKING_STEPS):
        await asyncio.sleep(0)
