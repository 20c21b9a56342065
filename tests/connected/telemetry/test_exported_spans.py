"""What a collector is sent of one chat, by real processes; and what one that hangs costs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import asyncpg

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from deploy.supervisor.machine.ports import free_port
from shared.settings import Settings
from tests.processes import Process, running
from tests.stand_ins.collector import collecting
from tests.tokens import token_for
from tests.waiting import until

TRACE_ID, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ENDS_WITHIN_S = 10.0  # two for the collector, the rest for what a loaded machine takes to end a process


@asynccontextmanager
async def traced(settings: Settings, endpoint: str, directory: Path) -> AsyncIterator[dict[str, Process]]:
    """Run a gateway and a logger that export their spans there."""
    async with serving(SandboxSettings(llm_port=0, avinode_port=0)) as sandbox:
        update = {
            "http_port": free_port(),
            "openai_base_url": f"{sandbox.model}/v1",
            "otel_exporter_otlp_endpoint": endpoint,
        }
        async with running(settings.model_copy(update=update), directory, "gateway", "logger") as processes:
            yield processes


async def chat(settings: Settings, **body: object) -> int:
    headers = {
        "Authorization": f"Bearer {token_for(settings, 'ann')}",
        "traceparent": f"00-{TRACE_ID}-{CALLER}-01",
    }
    url = f"http://127.0.0.1:{settings.http_port}/api/chat"
    async with (
        aiohttp.ClientSession() as http,
        http.post(url, json={"session_id": "s1", **body}, headers=headers) as response,
    ):
        await response.read()
        return response.status


async def test_a_chat_is_one_trace_with_the_conventions_names_and_kinds(
    settings: Settings, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    async with collecting() as collector:
        async with traced(settings, collector.endpoint, tmp_path) as processes:
            assert await chat(processes["gateway"].settings, message="[echo hi]") == 200
            await until(lambda: owner.fetchval("SELECT count(*) = 2 FROM chat.messages"), "what was said to be stored")
        spans = [span for span in collector.spans if span.trace_id == TRACE_ID]
        (request,) = [span for span in collector.spans if span.kind == "server"]
        assert (request.name, request.origins) == ("POST /api/chat", frozenset({CALLER}))
        assert request.attributes["http.route"] == "/api/chat"
        assert request.attributes["http.response.status_code"] == 200
        (inference,) = collector.named("chat sandbox-small")
        assert (inference.kind, inference.origins) == ("client", frozenset({request.span_id}))
        assert inference.attributes["gen_ai.provider.name"] == "openai"
        assert inference.attributes["gen_ai.usage.output_tokens"]
        sent = {span.name: span for span in spans if span.kind == "producer"}
        assert sent.keys() >= {"send events:message.posted", "send events:message.answered"}
        processed = collector.named("process logger.chat")
        assert {span.kind for span in processed} == {"consumer"}
        assert {span.service for span in processed} == {"tripthread-logger"}
        assert {origin for span in processed for origin in span.origins} >= {
            sent["send events:message.posted"].span_id,
            sent["send events:message.answered"].span_id,
        }
        assert {origin for span in collector.named("store") for origin in span.origins} <= {
            span.span_id for span in processed
        }
        known = {span.span_id for span in collector.spans} | {CALLER}
        assert [span for span in collector.spans if not span.origins <= known] == []


async def test_a_model_that_refuses_is_a_failed_span_of_a_request_that_is_none(
    settings: Settings, tmp_path: Path
) -> None:
    async with collecting() as collector:
        async with traced(settings, collector.endpoint, tmp_path) as processes:
            assert await chat(processes["gateway"].settings, message="[error 418]") == 200
            assert await chat(processes["gateway"].settings, message="[error 418]", stream=False) == 503
        assert [(span.failed, span.attributes["error.type"]) for span in collector.named("chat sandbox-small")] == [
            (True, "418")
        ] * 2
        assert sorted(span.failed for span in collector.named("POST /api/chat")) == [False, True]


async def test_a_collector_that_hangs_delays_no_answer_and_no_end(settings: Settings, tmp_path: Path) -> None:
    async with collecting(hangs=True) as collector, traced(settings, collector.endpoint, tmp_path) as processes:
        assert await chat(processes["gateway"].settings, message="[echo hi]") == 200
        await collector.asked.wait()
        assert await chat(processes["gateway"].settings, message="[echo still here]") == 200
        async with asyncio.timeout(ENDS_WITHIN_S):
            assert await asyncio.gather(*(process.stop() for process in processes.values())) == [0, 0]
