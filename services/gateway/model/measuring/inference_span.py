"""The span of one call of the model."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from opentelemetry import trace
from opentelemetry.util.types import AttributeValue

from services.gateway.model.measuring import genai_names as names
from shared.process.telemetry import spanning

_tracer = trace.get_tracer("tripthread.model")


def inference_span(*, model: str, provider: str, session_id: str) -> AbstractContextManager[trace.Span]:
    """Span the call, from its beginning to the last piece; nothing that was said is in it."""
    attributes: dict[str, AttributeValue] = {
        names.OPERATION: names.CHAT,
        names.PROVIDER: provider,
        names.REQUEST_MODEL: model,
        names.REQUEST_STREAM: True,
        names.CONVERSATION: session_id,
    }
    return spanning(_tracer, f"{names.CHAT} {model}", trace.SpanKind.CLIENT, attributes)


def describe_inference(span: trace.Span, measured: Mapping[str, Any]) -> None:
    """Say what came of the call.

    Args:
        span: Of the call.
        measured: The trace that the answer carries, as `Meter` makes it.
    """
    if not span.is_recording():
        return
    if measured["ttft_ms"] is not None:
        span.set_attribute(names.FIRST_CHUNK_S, measured["ttft_ms"] / 1000)
    if measured["finish_reason"]:
        span.set_attribute(names.FINISH_REASONS, [measured["finish_reason"]])
    if measured["usage_source"] == "reported":  # an estimate is ours
        span.set_attribute(names.INPUT_TOKENS, measured["input_tokens"])
        span.set_attribute(names.OUTPUT_TOKENS, measured["output_tokens"])
    if measured["status"] not in ("ok", "stopped"):
        span.set_attribute(names.ERROR_TYPE, measured["error_class"])
        span.set_status(trace.StatusCode.ERROR)
