"""The span of one call of the model. The GenAI conventions of OpenTelemetry still move: their names are here only.

https://github.com/open-telemetry/semantic-conventions-genai of version 0.1.0, "client inference".
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from opentelemetry import trace
from opentelemetry.util.types import AttributeValue

from shared.telemetry import spanning

_tracer = trace.get_tracer("tripthread.model")


def inference_span(*, model: str, provider: str, session_id: str) -> AbstractContextManager[trace.Span]:
    """Span the call, from its beginning to the last piece; nothing that was said is in it."""
    attributes: dict[str, AttributeValue] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "gen_ai.request.stream": True,
        "gen_ai.conversation.id": session_id,
    }
    return spanning(_tracer, f"chat {model}", trace.SpanKind.CLIENT, attributes)


def describe_inference(span: trace.Span, measured: Mapping[str, Any]) -> None:
    """Say what came of the call.

    Args:
        span: Of the call.
        measured: The trace that the answer carries, as `Meter` makes it.
    """
    if not span.is_recording():
        return
    if measured["ttft_ms"] is not None:
        span.set_attribute("gen_ai.response.time_to_first_chunk", measured["ttft_ms"] / 1000)
    if measured["finish_reason"]:
        span.set_attribute("gen_ai.response.finish_reasons", [measured["finish_reason"]])
    if measured["usage_source"] == "reported":  # an estimate is ours
        span.set_attribute("gen_ai.usage.input_tokens", measured["input_tokens"])
        span.set_attribute("gen_ai.usage.output_tokens", measured["output_tokens"])
    if measured["status"] not in ("ok", "stopped"):
        span.set_attribute("error.type", measured["error_class"])
        span.set_status(trace.StatusCode.ERROR)
