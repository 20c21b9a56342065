"""Proposals: prepare one from quotes, show it, change it, send it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from services.gateway.account.identity import KnownCallerDep, account_of
from services.gateway.http.handed import from_app
from services.gateway.http.problems import problem_responses
from services.gateway.http.strict_route import StrictRoute
from services.gateway.http.write_headers import WriteDep
from services.gateway.trips.order import TripName
from services.gateway.trips.proposal_orders import NewProposal, ProposalPatch, SendProposal
from services.gateway.trips.proposal_record import ProposalAnswer, ProposalRow, WholeProposal, shown
from services.gateway.trips.proposing import Proposing
from services.gateway.trips.routes import OrdererDep, TripsDep, trip_named

router = APIRouter(tags=["proposals"], route_class=StrictRoute)

ProposingDep = Annotated[Proposing, from_app(Proposing)]
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


@router.get("/api/proposals/{proposal_id}", responses=problem_responses(401, 404, 422, 429, 503))
async def get_proposal(proposing: ProposingDep, caller: KnownCallerDep, proposal_id: UUID) -> WholeProposal:
    """Show a proposal."""
    row, _ = await proposing.find(caller, proposal_id)
    return shown(row)


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
