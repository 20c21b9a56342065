"""What every request meets first and every answer last."""

from base64 import b64encode
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Message

from services.gateway.http.edge import middleware as edge
from services.gateway.http.edge import request_span
from tests.service.gateway.fakes import World

REQUEST_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture
def world() -> World:
    return World()


async def chunks(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * size


async def test_a_request_id_is_made_and_sent_back(world: World) -> None:
    async with world.client() as client:
        first, second = [(await client.get("/healthz")).headers["x-request-id"] for _ in range(2)]
    assert UUID(first) != UUID(second)


async def test_a_request_id_is_kept_and_becomes_the_correlation_id(world: World) -> None:
    async with world.client() as client:
        answer = await client.get("/healthz", headers={"X-Request-Id": REQUEST_ID})
        assert answer.headers["x-request-id"] == REQUEST_ID
        await client.post(
            "/api/webhooks/avinode", auth=("avinode", secret(world)), headers={"X-Request-Id": REQUEST_ID}
        )
    assert str(world.published[0].correlation_id) == REQUEST_ID


@pytest.mark.parametrize("given", ["x" * 129, "a b", "a\x7fb", "<script>"])
async def test_a_request_id_that_could_forge_a_log_line_is_replaced(world: World, given: str) -> None:
    async with world.client() as client:
        answer = await client.get("/healthz", headers={"X-Request-Id": given})
    assert UUID(answer.headers["x-request-id"])


async def test_answers_say_what_a_browser_may_do_with_them(world: World) -> None:
    async with world.client() as client:
        for path in ("/healthz", "/nowhere"):
            headers = (await client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["cache-control"] == "no-store"
            assert "strict-transport-security" not in headers
        page = await client.get("/docs")
    assert "script-src" in page.headers["content-security-policy"]


async def test_production_insists_on_https(world: World) -> None:
    world.settings = world.settings.model_copy(update={"environment": "production"})
    async with world.client() as client:
        assert "strict-transport-security" in (await client.get("/healthz")).headers


async def test_a_body_that_announces_too_much_is_refused_unread(world: World) -> None:
    async with world.client() as client:
        answer = await client.post("/api/webhooks/avinode", content=b"x" * (world.settings.max_body_bytes + 1))
    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/api/webhooks/avinode", "/api/models"])  # one reads bytes, one JSON
async def test_a_chunked_body_that_becomes_too_much_is_refused(world: World, path: str) -> None:
    headers = {"Content-Type": "application/json"}
    size = world.settings.max_body_bytes // 10
    async with world.client() as client:
        answer = await client.post(path, content=chunks(12, size), headers=headers, auth=("avinode", secret(world)))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert world.published == []


async def test_a_body_of_just_the_limit_is_taken(world: World) -> None:
    body = b"x" * world.settings.max_body_bytes
    async with world.client() as client:
        answer = await client.post("/api/webhooks/avinode", content=body, auth=("avinode", secret(world)))
    assert answer.status_code == 200


async def test_an_error_that_nobody_foresaw_is_a_problem_and_is_logged_once(world: World) -> None:
    app = world.api()

    async def broken(_request: Request) -> Response:
        raise LookupError("a secret of the inside")

    app.router.add_route("/broken", broken)
    with structlog.testing.capture_logs() as logs:
        async with world.client_of(app) as client:
            answer = await client.get("/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert [log["event"] for log in logs] == ["request failed"]


async def test_an_error_after_the_first_byte_breaks_the_connection_off(world: World) -> None:
    app = world.api()

    async def breaking(_request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"so far"
            raise LookupError("too late")

        return StreamingResponse(body())

    app.router.add_route("/breaking", breaking)
    async with world.client_of(app) as client:
        with pytest.raises(LookupError):
            await client.get("/breaking")


async def test_a_caller_that_goes_away_in_the_middle_is_no_error(world: World) -> None:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/webhooks/avinode",
        "query_string": b"",
        "headers": [(b"authorization", b"Basic " + b64encode(b"avinode:" + secret(world).encode()))],
    }
    events: list[Message] = [{"type": "http.disconnect"}, {"type": "http.request", "body": b"half", "more_body": True}]
    sent: list[Message] = []

    async def receive() -> Message:
        return events.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    with structlog.testing.capture_logs() as logs:
        await world.api()(scope, receive, send)
    assert (sent, world.published) == ([], [])
    assert [log["log_level"] for log in logs] == ["info"]


async def test_requests_are_counted_by_route_and_not_by_path(world: World) -> None:
    def count(route: str) -> float:
        return sum(
            sample.value
            for metric in edge.REQUEST_SECONDS.collect()
            for sample in metric.samples
            if sample.name.endswith("_count") and sample.labels.get("route") == route
        )

    async with world.client() as client:
        await client.get("/api/chat/sessions/one")
        before = count("/api/chat/sessions/{session_id}")
        await client.get("/api/chat/sessions/two")
        await client.get("/nowhere/three")
    assert count("/api/chat/sessions/{session_id}") == before + 1
    assert count("unknown") >= 1


async def test_a_requests_span_continues_its_callers_trace(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(request_span, "_tracer", provider.get_tracer("test"))
    async with world.client() as client:
        await client.get("/healthz", headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
    (span,) = exporter.get_finished_spans()
    assert span.name == "GET /healthz"
    assert span.kind is trace.SpanKind.SERVER
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": "00-" + "a" * 4000},
        {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=" + "b" * 9000},
    ],
)
async def test_a_trace_that_is_none_fills_nobody_s_log(
    world: World, caplog: pytest.LogCaptureFixture, headers: dict[str, str]
) -> None:
    async with world.client() as client:
        await client.get("/healthz", headers=headers)
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


async def test_logs_of_a_request_carry_its_ids(world: World) -> None:
    app = world.api()

    async def bound(_request: Request) -> Response:
        return PlainTextResponse(structlog.contextvars.get_contextvars()["request_id"])

    app.router.add_route("/bound", bound)
    async with world.client_of(app) as client:
        answer = await client.get("/bound", headers={"X-Request-Id": "abc"})
    assert answer.text == "abc"
    assert "request_id" not in structlog.contextvars.get_contextvars()


def secret(world: World) -> str:
    return world.settings.avinode_webhook_password.get_secret_value()
