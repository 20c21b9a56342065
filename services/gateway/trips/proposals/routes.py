"""Proposals: prepare one from quotes, show it, change it, send it."""

import asyncio
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response

from services.gateway.account.identity import KnownCallerDep, account_of
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import WriteDep
from services.gateway.trips.ordering.order import TripName
from services.gateway.trips.proposals.orders import NewProposal, ProposalPatch, SendProposal
from services.gateway.trips.proposals.proposing import Proposing
from services.gateway.trips.proposals.record import ProposalAnswer, ProposalRow, WholeProposal, shown
from services.gateway.trips.routes import OrdererDep, TripsDep, trip_named
from shared.proposals.content import Content
from shared.proposals.html import as_html
from shared.proposals.markdown import as_markdown
from shared.proposals.pdf import as_pdf

router = APIRouter(tags=["proposals"], route_class=StrictRoute)

ProposingDep = Annotated[Proposing, from_app(Proposing)]
MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "pdf": "application/pdf",
}
ONE_PDF = asyncio.Semaphore(1)  # at once: the others wait, and the event loop has its share of the processor
ACCEPTED = {"model": ProposalAnswer, "description": "Accepted, and not stored yet"}


@router.post(
    "/api/trips/{trip_id}/proposals",
    status_code=201,
    responses={
        200: {"model": ProposalAnswer, "description": "This key has made it before"},
        202: ACCEPTED,
        **problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
    },
)
async def prepare_proposal(
    *,
    trips: TripsDep,
    proposing: ProposingDep,
    caller: OrdererDep,
    trip_id: Annotated[TripName, Path(description="Our id, Avinode's, or the code that people see")],
    body: NewProposal,
    write: WriteDep,
    response: Response,
) -> ProposalAnswer:
    """Prepare a proposal from operators' own quotes of a trip, at a margin."""
    trip = await trip_named(trips, caller, trip_id)
    row, response.status_code = await proposing.prepare(caller, trip, body, write)
    return _answer(row, response)


@router.get(
    "/api/proposals/{proposal_id}",
    response_model=WholeProposal,
    responses={
        200: {"content": {media_type: {"schema": {"type": "string"}} for media_type in MEDIA_TYPES.values()}},
        **problem_responses(401, 404, 422, 429, 503),
    },
)
async def get_proposal(
    proposing: ProposingDep,
    caller: KnownCallerDep,
    proposal_id: UUID,
    form: Annotated[Literal["json", "html", "md", "pdf"], Query(alias="format")] = "json",
) -> Any:
    """Show a proposal: as whoever makes it sees it, or as its client would, who sees neither quote nor margin."""
    row, _ = await proposing.find(caller, proposal_id)
    if form == "json":
        return shown(row)
    headers = {
        "Content-Disposition": f'inline; filename="proposal-{proposal_id}.{form}"',
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    }
    return Response(await _written(row.content, form), headers=headers, media_type=MEDIA_TYPES[form])


async def _written(content: Content, form: str) -> str | bytes:
    """Write a proposal; a PDF beside the event loop, since it takes tenths of a second."""
    if form == "pdf":
        async with ONE_PDF:
            return await asyncio.to_thread(as_pdf, content)
    return as_html(content) if form == "html" else as_markdown(content)


@router.patch(
    "/api/proposals/{proposal_id}",
    responses={202: ACCEPTED, **problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 429, 503)},
)
async def change_proposal(
    *,
    proposing: ProposingDep,
    caller: OrdererDep,
    proposal_id: UUID,
    body: ProposalPatch,
    write: WriteDep,
    response: Response,
) -> ProposalAnswer:
    """Set fields of a proposal that was not sent; its quotes are taken as they stand now."""
    row, response.status_code = await proposing.change(caller, proposal_id, body, write)
    return _answer(row, response)


@router.post(
    "/api/proposals/{proposal_id}/send",
    responses={
        202: {"model": ProposalAnswer, "description": "Accepted, and not known to be sent yet"},
        **problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
    },
)
async def send_proposal(
    *,
    proposing: ProposingDep,
    caller: OrdererDep,
    proposal_id: UUID,
    body: SendProposal,
    write: WriteDep,
    request: Request,
    response: Response,
) -> ProposalAnswer:
    """Send a proposal by mail, or mark it as sent by hand; a sent one completes its trip."""
    account = account_of(caller, request)
    row, response.status_code = await proposing.send(caller, account, proposal_id, body, write)
    return _answer(row, response)


def _answer(row: ProposalRow, response: Response) -> ProposalAnswer:
    return ProposalAnswer(proposal=shown(row), stored=response.status_code != 202)
