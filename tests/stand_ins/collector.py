"""A stand-in for an OpenTelemetry collector: OTLP over HTTP, as its exporters speak it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

KINDS = {number: name.removeprefix("SPAN_KIND_").lower() for name, number in Span.SpanKind.items()}


@dataclass(frozen=True)
class Seen:
    """A span as it was exported; ids in hex, `origins` are its parent and what it links to."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    origins: frozenset[str]
    attributes: dict[str, object]
    failed: bool


@dataclass
class Collector:
    """What has come."""

    endpoint: str
    hangs: bool
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    is_over: asyncio.Event = field(default_factory=asyncio.Event)  # the test
    spans: list[Seen] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)  # as they came

    def named(self, name: str) -> list[Seen]:
        return [span for span in self.spans if span.name == name]

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked.set()
        if self.hangs:
            await self.is_over.wait()
        self.bodies.append(body)
        self.spans += _read(ExportTraceServiceRequest.FromString(body))
        return web.Response(content_type="application/x-protobuf")


def _read(request: ExportTraceServiceRequest) -> Iterator[Seen]:
    for resource in request.resource_spans:
        about = {each.key: each.value.string_value for each in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Seen(
                    service=about["service.name"],
                    name=span.name,
                    kind=KINDS[span.kind],
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    origins=frozenset({span.parent_span_id.hex(), *(link.span_id.hex() for link in span.links)} - {""}),
                    attributes={
                        each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value")
                        for each in span.attributes
                    },
                    failed=span.status.code == span.status.STATUS_CODE_ERROR,
                )


@asynccontextmanager
async def collecting(*, hangs: bool = False) -> AsyncIterator[Collector]:
    """Run a collector; one that hangs reads what it is sent, and never answers."""
    collector = Collector("", hangs)
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    collector.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield collector
    finally:
        collector.is_over.set()
        await runner.cleanup()
