"""`POST /api/analytics/traces`: applications tell of the calls of models that they make themselves."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response

from services.gateway.account.identity import KnownCallerDep
from services.gateway.analytics.reporting.accepting import ReportAnswer, Reporting, TraceResult, results_of
from services.gateway.analytics.reporting.new_trace import MOST, NewTrace, read_traces
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.documents.openapi import REF
from services.gateway.http.handed import from_app
from services.gateway.http.held.bodies import let_go_of_body, take_body
from services.gateway.http.requests.json_body import read_json, require_json
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import WriteDep
from shared.errors import Invalid

router = APIRouter(prefix="/api/analytics", tags=["analytics"], route_class=StrictRoute)

STATUSES = {"new": 201, "known": 200, "accepted": 202}
_TRACE = {"$ref": REF.format(model=NewTrace.__name__)}
# Of a list each is judged by itself, so whatever is in it is no reason to refuse the others.
_LIST = {"type": "array", "minItems": 1, "maxItems": MOST, "items": {}, "description": "NewTrace each"}
_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"anyOf": [_TRACE, _LIST]}}}}
}


@router.post(
    "/traces",
    status_code=201,
    responses={
        200: {"model": ReportAnswer, "description": "All that is good was known already"},
        202: {"model": ReportAnswer, "description": "Accepted, and not stored yet"},
        **problem_responses(400, 401, 403, 413, 415, 422, 429, 503),
    },
    openapi_extra=_BODY,
)
async def report_traces(
    *,
    reporting: Annotated[Reporting, from_app(Reporting)],
    caller: KnownCallerDep,
    request: Request,
    write: WriteDep,
    response: Response,
) -> ReportAnswer:
    """Tell of a call, or of up to 1,000: their starts, their ends, or both at once."""
    require_json(request.headers)
    body = await take_body(request)
    judged = read_traces(read_json(body), caller.user_id, write.key)
    del body
    let_go_of_body(request.scope)
    report = await reporting.report(caller, judged, write)
    results = results_of(report)
    if report.outcome == "none":
        raise Invalid(_all_bad(results), results=[each.model_dump() for each in results])
    response.status_code = STATUSES[report.outcome]
    return ReportAnswer(results=results, stored=report.outcome != "accepted")


def _all_bad(results: Sequence[TraceResult]) -> str:
    if len(results) == 1 and results[0].error is not None:
        return results[0].error.detail
    return "None of these traces can be stored; `results` says why."
