"""`POST /v1/traces`: the spans of other applications, as their OpenTelemetry exporters send them.

Spans that are no call of a model are accepted and not kept. An answer means that the broker has the others, as durable
as a message is; the exporter need not wait until they are stored.
"""

import asyncio
from dataclasses import replace
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from services.gateway.account.identity import Caller, KnownCallerDep
from services.gateway.analytics.reporting.accepting import Reporting
from services.gateway.analytics.reporting.model_calls import is_call, read_call
from services.gateway.analytics.reporting.new_trace import MOST, Judged
from services.gateway.analytics.reporting.otlp import Kind, Malformed, kind_of, read_spans, unpacked
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.documents.openapi import REF
from services.gateway.http.handed import from_app
from services.gateway.http.held.bodies import let_go_of_body, take_body
from services.gateway.http.requests.json_body import require_json
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import Write, WriteDep
from shared.errors import TripthreadError
from shared.events import ReportedTrace

router = APIRouter(tags=["analytics"], route_class=StrictRoute)

MEDIA_TYPES: dict[Kind, str] = {"protobuf": "application/x-protobuf", "json": "application/json"}
BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "An ExportTraceServiceRequest",
        "content": {MEDIA_TYPES["protobuf"]: BINARY, MEDIA_TYPES["json"]: {"schema": {"type": "object"}}},
    }
}


class PartialSuccess(BaseModel):
    rejected_spans: str = Field(alias="rejectedSpans")  # a number of 64 bits is a text
    error_message: str = Field(alias="errorMessage")


class ExportAnswer(BaseModel):
    """An ExportTraceServiceResponse."""

    partial_success: PartialSuccess | None = Field(None, alias="partialSuccess")


class Status(BaseModel):
    """A google.rpc.Status."""

    message: str


@router.post(
    "/v1/traces",
    response_class=Response,
    responses={
        200: {
            "description": "An ExportTraceServiceResponse, encoded as the request, with the count of refused spans",
            "content": {
                MEDIA_TYPES["protobuf"]: BINARY,
                MEDIA_TYPES["json"]: {"schema": {"$ref": REF.format(model="ExportAnswer")}},
            },
        },
        **problem_responses(401, 403, 413, 415, 422, 429, 503),
        400: {
            "description": "It is no such request: a google.rpc.Status, encoded as it",
            "content": {
                MEDIA_TYPES["protobuf"]: BINARY,
                MEDIA_TYPES["json"]: {"schema": Status.model_json_schema()},
            },
        },
    },
    openapi_extra=_BODY,
)
async def receive_spans(
    reporting: Annotated[Reporting, from_app(Reporting)], caller: KnownCallerDep, request: Request, write: WriteDep
) -> Response:
    """Take spans by OTLP/HTTP; those that are calls of models become traces."""
    kind = kind_of(request.headers.get("content-type", ""))
    if kind == "json":
        require_json(request.headers)
    body = await take_body(request)
    try:
        # In a thread: it may take longer than anybody else should wait.
        judged = await asyncio.to_thread(_calls_in, body, request.headers.get("content-encoding", ""), kind)
    except Malformed as error:
        return Response(_status(error.detail, kind), 400, media_type=MEDIA_TYPES[kind])
    del body
    let_go_of_body(request.scope)
    refused = await _accept(reporting, caller, judged, replace(write, wait_s=0.0))
    return Response(_answer(refused, kind), media_type=MEDIA_TYPES[kind])


def _calls_in(body: bytes, encoding: str, kind: Kind) -> list[Judged]:
    return [read_call(span) for span in read_spans(unpacked(body, encoding), kind) if is_call(span)]


async def _accept(
    reporting: Reporting, caller: Caller, judged: list[Judged], write: Write
) -> list[tuple[int, TripthreadError]]:
    """Accept what is good, and return what is not, by its place among the calls."""
    refused: list[tuple[int, TripthreadError]] = []
    for first in range(0, len(judged), MOST):
        report = await reporting.report(caller, judged[first : first + MOST], write)
        refused += [
            (first + index, each) for index, each in enumerate(report.judged) if not isinstance(each, ReportedTrace)
        ]
    return refused


def _message(refused: list[tuple[int, TripthreadError]]) -> str:
    index, first = refused[0]
    return f"{len(refused)} refused; the first one, number {index} of the calls of models: {first.detail}"


def _answer(refused: list[tuple[int, TripthreadError]], kind: Kind) -> bytes:
    if kind == "json":
        partial = {"rejectedSpans": str(len(refused)), "errorMessage": _message(refused)} if refused else None
        return orjson.dumps({"partialSuccess": partial} if partial else {})
    if not refused:
        return b""  # the message without fields
    message = _message(refused).encode()
    counted = b"\x08" + _varint(len(refused)) + b"\x12" + _varint(len(message)) + message
    return b"\x0a" + _varint(len(counted)) + counted  # partial_success = 1 {rejected_spans = 1, error_message = 2}


def _status(detail: str, kind: Kind) -> bytes:
    if kind == "json":
        return orjson.dumps({"message": detail})
    message = detail.encode()
    return b"\x12" + _varint(len(message)) + message  # message = 2


def _varint(number: int) -> bytes:
    """Write a number as protobuf does: seven bits a byte, the lowest first."""
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes([*written, number])
