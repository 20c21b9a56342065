"""Spans of other applications, sent by OpenTelemetry's own exporter over HTTP, and found as traces."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
import uvicorn
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from deploy.supervisor.machine.ports import free_port
from services.gateway.analytics.reporting.otlp import MOST_INFLATED
from shared.ids import new_id
from tests.connected.gateway.sessions.conftest import Two
from tests.connected.gateway.stage import Stage
from tests.tokens import token_for
from tests.waiting import until, until_true

PATH = "/v1/traces"
GENAI: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt",
    "gen_ai.request.stream": True,
    "gen_ai.response.time_to_first_chunk": 0.25,
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.usage.input_tokens": 3,
    "gen_ai.usage.output_tokens": 4,
    "gen_ai.input.messages": "what was said",
}
OPENLLMETRY: dict[str, Any] = {
    "gen_ai.system": "OpenAI",
    "llm.request.type": "chat",
    "gen_ai.request.model": "gpt",
    "gen_ai.usage.prompt_tokens": 3,
    "gen_ai.usage.completion_tokens": 4,
    "llm.is_streaming": True,
    "gen_ai.prompt.0.content": "what was said",
}
OPENINFERENCE: dict[str, Any] = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "gpt",
    "llm.provider": "openai",
    "llm.token_count.prompt": 3,
    "llm.token_count.completion": 4,
    "llm.cost.total": 0.0012,
    "input.value": "what was said",
}


@pytest.fixture
def user() -> str:
    return f"u{new_id().hex}"


@pytest.fixture(scope="module")
async def address(gateways: Two) -> AsyncIterator[str]:
    """Serve the first gateway at a port, as exporters need one."""
    app = gateways.here.http._transport.app  # type: ignore[attr-defined]
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    await until_true(lambda: server.started)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


@contextmanager
def tracing() -> Iterator[tuple[TracerProvider, InMemorySpanExporter]]:
    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    yield provider, kept
    provider.shutdown()


def spans_of(*attributes: dict[str, Any]) -> list[ReadableSpan]:
    """Make an agent's span with calls and a tool in it, all of one trace."""
    with tracing() as (provider, kept):
        tracer = provider.get_tracer("test")
        with tracer.start_as_current_span("invoke_agent", attributes={"gen_ai.operation.name": "invoke_agent"}):
            for each in attributes:
                tracer.start_span("call", attributes=each).end()
            tracer.start_span("tool", attributes={"gen_ai.operation.name": "execute_tool"}).end()
        return list(kept.get_finished_spans())


async def export(address: str, headers: dict[str, str], spans: list[ReadableSpan], **options: Any) -> SpanExportResult:
    exporter = OTLPSpanExporter(endpoint=f"{address}{PATH}", headers=headers, **options)
    return await asyncio.to_thread(exporter.export, spans)


async def shown(stage: Stage, user: str, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    async def are_there() -> bool | None:
        answer = await stage.get("/api/analytics/traces", user)
        found[:] = answer.json()["traces"]
        return len(found) >= count or None

    await until(are_there, f"{count} traces")
    return found


async def send(stage: Stage, user: str, body: Any, **headers: str) -> httpx2.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await stage.http.post(
        PATH, content=content, headers=stage.as_user(user) | {"Content-Type": "application/json", **headers}
    )


def request(*spans: dict[str, Any]) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


def span(**changes: Any) -> dict[str, Any]:
    usual = {
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": "EEE19B7EC3C1B174",
        "name": "chat gpt",
        "kind": 3,
        "startTimeUnixNano": "1544712660000000000",
        "endTimeUnixNano": "1544712661000000000",
        "attributes": attributes({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt"}),
        "unknownField": 1,
    }
    return {**usual, **changes}


def attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = {str: "stringValue", int: "intValue", bool: "boolValue", float: "doubleValue"}
    return [
        {"key": key, "value": {kinds[type(value)]: str(value) if type(value) is int else value}}
        for key, value in values.items()
    ]


@pytest.mark.parametrize("options", [{}, {"compression": Compression.Gzip}])
@pytest.mark.parametrize("told", [GENAI, OPENLLMETRY, OPENINFERENCE], ids=["genai", "openllmetry", "openinference"])
async def test_the_sdks_exporter_sends_calls_that_become_traces(
    gateways: Two, address: str, user: str, told: dict[str, Any], options: dict[str, Any]
) -> None:
    spans = spans_of(told, told)
    headers = gateways.here.as_user(user)
    assert await export(address, headers, spans, **options) is SpanExportResult.SUCCESS
    assert await export(address, headers, spans, **options) is SpanExportResult.SUCCESS, "once more, as exporters may"
    first, second = await shown(gateways.there, user, 2)
    assert first["w3c_trace_id"] == second["w3c_trace_id"] != first["trace_id"]
    assert {first["trace_id"], second["trace_id"]} == {
        f"{each.context.trace_id:032x}-{each.context.span_id:016x}"
        for each in spans
        if each.name == "call" and each.context
    }
    wanted = {"source": "otlp", "model": "gpt", "status": "ok", "input_tokens": 3, "output_tokens": 4}
    assert {name: first[name] for name in wanted} == wanted
    assert first["provider"].lower() == "openai"
    whole = (await gateways.there.get(f"/api/analytics/traces/{first['trace_id']}", user)).json()
    assert whole["attributes"]["service.name"] == "shop"
    assert "what was said" not in str(whole)
    found = await gateways.there.get("/api/analytics/traces", user, w3c_trace_id=first["w3c_trace_id"])
    assert len(found.json()["traces"]) == 2


async def test_what_a_span_says_is_in_its_trace(gateways: Two, user: str, session: str) -> None:
    more = {
        "gen_ai.conversation.id": session,
        "tripthread.session_tag": "mine_001",
        "gen_ai.response.time_to_first_chunk": 0.25,
        "error.type": "timeout",
    }
    call = span(attributes=[*span()["attributes"], *attributes(more)], status={"code": 2, "message": "too late"})
    answer = await send(gateways.here, user, request(call))
    assert (answer.status_code, answer.json()) == (200, {})
    (trace,) = await shown(gateways.there, user, 1)
    wanted = {
        "trace_id": "5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174",
        "session_id": session,
        "session_tag": "mine_001",
        "status": "error",
        "error": "too late",
        "error_class": "timeout",
        "started_at": "2018-12-13T14:51:00Z",
        "duration_ms": 1000,
        "ttft_ms": 250,
        "streaming": True,
    }
    assert {name: trace[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    "changes",
    [
        {"endTimeUnixNano": "1544712650000000000"},
        {"startTimeUnixNano": "0"},
        {"startTimeUnixNano": "9000000000000000000", "endTimeUnixNano": "9000000001000000000"},
        {"traceId": ""},
        {"traceId": "0" * 32},
        {"spanId": "xyz"},
        {"attributes": attributes({"gen_ai.request.model": "m" * 10_000})},
        {"attributes": attributes({"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": -1})},
        {"attributes": attributes({"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 2**40})},
        {"attributes": attributes({"gen_ai.request.model": "m", "tripthread.session_tag": "x" * 10_000})},
    ],
)
async def test_a_bad_span_is_counted_and_spoils_no_other(gateways: Two, user: str, changes: dict[str, Any]) -> None:
    good, tool = span(spanId="EEE19B7EC3C1B175"), span(name="tool", attributes=[])
    answer = await send(gateways.here, user, request(good, span(**changes), tool))
    assert answer.status_code == 200, answer.text
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert [trace["trace_id"][33:] for trace in await shown(gateways.there, user, 1)] == ["eee19b7ec3c1b175"]


async def test_a_partial_success_is_told_in_protobuf_too(gateways: Two, address: str, user: str) -> None:
    spans = spans_of(GENAI, GENAI | {"gen_ai.usage.input_tokens": -1})
    assert await export(address, gateways.here.as_user(user), spans) is SpanExportResult.SUCCESS
    body = encode_spans(spans).SerializeToString()
    answer = await send(gateways.here, user, body, **{"Content-Type": "application/x-protobuf"})
    assert answer.headers["content-type"] == "application/x-protobuf"
    told = ExportTraceServiceResponse.FromString(answer.content)
    assert told.partial_success.rejected_spans == 1
    assert "input_tokens" in told.partial_success.error_message


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"\xff\xff\xff", {"Content-Type": "application/x-protobuf"}, 400),
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b'{"resourceSpans": 5}', {}, 400),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": 5}]}]}]}', {}, 400),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "x"}]}]}]}', {}, 400),
        (b"no gzip", {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(b"{}", mtime=0)[:-4], {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(b" " * (MOST_INFLATED + 1), mtime=0), {"Content-Encoding": "gzip"}, 413),
        (b"{}", {"Content-Encoding": "br"}, 415),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{}", {}, 200),
        (gzip.compress(b"{}", mtime=0), {"Content-Encoding": "gzip"}, 200),
        (b"", {"Content-Type": "application/x-protobuf"}, 200),
    ],
)
async def test_what_is_no_request_is_refused(
    gateways: Two, user: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await send(gateways.here, user, body, **headers)
    assert answer.status_code == status, answer.text
    assert (await gateways.here.get("/api/analytics/traces", user)).json()["traces"] == []


async def test_nobody_sends_without_a_token(gateways: Two, address: str, user: str) -> None:
    assert await export(address, {}, spans_of(GENAI)) is SpanExportResult.FAILURE
    wrong = token_for(gateways.here.settings, user, expires_in_s=-10)
    assert await export(address, {"Authorization": f"Bearer {wrong}"}, spans_of(GENAI)) is SpanExportResult.FAILURE


async def test_a_failed_call_tells_of_its_exception(gateways: Two, address: str, user: str) -> None:
    with tracing() as (provider, kept):
        failed = provider.get_tracer("test").start_span("call", attributes=GENAI)
        failed.record_exception(TimeoutError("too late"))
        failed.set_status(StatusCode.ERROR)
        failed.end()
        spans = list(kept.get_finished_spans())
    assert await export(address, gateways.here.as_user(user), spans) is SpanExportResult.SUCCESS
    (trace,) = await shown(gateways.there, user, 1)
    assert (trace["status"], trace["error"], trace["error_class"]) == ("error", "too late", "TimeoutError")
