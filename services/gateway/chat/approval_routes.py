"""Say whether a call that a turn asks about may be made, where a client does not show that in its next message."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, StrictBool, StringConstraints

from services.gateway.account.identity import CallerDep
from services.gateway.chat.description import answer_forms
from services.gateway.chat.request import form_of
from services.gateway.chat.routes import Chat
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import SessionId
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.turns.consent import LONGEST_REASON, Consent

router = APIRouter(tags=["chat"], route_class=StrictRoute)


class ApprovalAnswer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    approved: StrictBool  # what only looks like a yes orders no trip
    reason: Annotated[str, StringConstraints(max_length=LONGEST_REASON, pattern=r"^[^\x00]*$")] | None = None
    stream: StrictBool | None = None  # false: the whole answer as one JSON record


@router.post(
    "/api/chat/{session_id}/approvals/{approval_id}",
    responses={200: answer_forms(), **problem_responses(401, 403, 404, 409, 410, 413, 415, 422, 429, 502, 503)},
    response_class=Response,
)
async def answer_approval(
    *,
    chat: Annotated[Chat, from_app(Chat)],
    request: Request,
    caller: CallerDep,
    session_id: SessionId,
    approval_id: SessionId,
    body: ApprovalAnswer,
) -> Response:
    """Approve or deny a call that waits for its user; the answer goes on, and this streams what is new of it."""
    consent = Consent(approval_id, body.approved, body.reason)
    return await chat.approve(request, caller, session_id, consent, form_of(request.headers, stream=body.stream))
