"""Say what one thinks of a message: thumbs up or down, and why."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, StringConstraints

from services.gateway.account.identity import Caller, CallerDep
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import SessionId
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import Write, WriteDep
from services.gateway.sessions.answers import Feedback
from services.gateway.sessions.messages.conversation import Conversation
from services.gateway.sessions.own_session import OwnSessions
from services.gateway.writes.accept import Accepting
from services.gateway.writes.broker_gate import require_broker
from shared.errors import NotFound
from shared.events import FeedbackGiven
from shared.publishing.publisher import Publisher

LONGEST_COMMENT = 2000

router = APIRouter(tags=["sessions"], route_class=StrictRoute)

Comment = Annotated[str, StringConstraints(max_length=LONGEST_COMMENT, pattern=r"^[^\x00]*$")]


class NewFeedback(BaseModel):
    model_config = ConfigDict(extra="forbid")

    value: Literal["up", "down"]
    comment: Comment | None = None


class FeedbackAnswer(BaseModel):
    message_id: str
    feedback: Feedback
    stored: bool


class GivingFeedback:
    """What the route works with."""

    def __init__(
        self, own: OwnSessions, conversation: Conversation, publisher: Publisher, accepting: Accepting
    ) -> None:
        self._own = own
        self._conversation = conversation
        self._publisher = publisher
        self._accepting = accepting

    async def give(
        self, caller: Caller, session_id: str, message_id: str, body: NewFeedback, write: Write
    ) -> tuple[FeedbackAnswer, int]:
        """Say what the caller thinks of a message.

        Returns:
            What stands of it, and the status: 201 for the first of this message, 200 for another, 202 where it is
            accepted and not stored yet.

        Raises:
            BrokerAway: Nothing can be accepted.
            NotFound: There is no such session, or no such message in it.
        """
        require_broker(self._publisher)
        own = await self._own.find(caller, session_id)
        if await self._conversation.place_of(own, message_id) is None:
            raise NotFound("There is no such message in this session.")
        before = await self._conversation.queries.feedback(own.user_id, session_id, [message_id])
        accepted_at = own.facts.read_at
        assert accepted_at is not None  # noqa: S101 - whoever reads a session asks the database for the time
        event = FeedbackGiven(
            correlation_id=write.correlation_id,
            user_id=own.user_id,
            session_id=session_id,
            accepted_at=accepted_at,
            message_id=message_id,
            value=body.value,
            comment=body.comment,
        )
        stands = await self._accepting.accept([event], self._look(event), write.wait_s)
        given = Feedback(value=event.value, comment=event.comment, created_at=accepted_at)
        status = 202 if stands is None else 200 if before else 201
        return FeedbackAnswer(message_id=message_id, feedback=stands or given, stored=stands is not None), status

    def _look(self, event: FeedbackGiven) -> Callable[[], Awaitable[Feedback | None]]:
        async def look() -> Feedback | None:
            found = await self._conversation.queries.feedback(event.user_id, event.session_id, [event.message_id])
            stands = found.get(event.message_id)
            return stands if stands is not None and stands.created_at >= event.accepted_at else None

        return look


@router.post(
    "/api/chat/sessions/{session_id}/messages/{message_id}/feedback",
    status_code=201,
    responses={
        200: {"model": FeedbackAnswer, "description": "It takes the place of what was said before"},
        202: {"model": FeedbackAnswer, "description": "Accepted, and not stored yet"},
        **problem_responses(400, 401, 403, 404, 413, 415, 422, 429, 503),
    },
)
async def give_feedback(
    *,
    giving: Annotated[GivingFeedback, from_app(GivingFeedback)],
    caller: CallerDep,
    session_id: SessionId,
    message_id: SessionId,
    body: NewFeedback,
    write: WriteDep,
    response: Response,
) -> FeedbackAnswer:
    """Say what one thinks of a message; what was said of it last stands."""
    answer, response.status_code = await giving.give(caller, session_id, message_id, body, write)
    return answer
