"""Measure one call of the model: times, tokens and how it ended, as the trace that its answer carries."""

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from prometheus_client import Histogram

from services.gateway.model.chunks import Usage
from services.gateway.model.configured.prices import Prices
from services.gateway.model.reading.usage import newest
from shared.events import AnswerStatus, Trace

NOBODY = "none"  # has the model
CHARACTERS_PER_TOKEN = 4  # a rule of thumb, for services that report no usage
BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)  # seconds
# By the upstream, never by the model: callers name those, and there is no end to them.
CALL_SECONDS = Histogram(
    "tripthread_model_call_seconds", "One call of the model, to its last piece", ["upstream", "status"], buckets=BUCKETS
)
FIRST_PIECE_SECONDS = Histogram(
    "tripthread_model_first_piece_seconds",
    "From the call of the model to its first piece",
    ["upstream"],
    buckets=BUCKETS,
)
_call_seconds, _first_piece_seconds = lru_cache(1024)(CALL_SECONDS.labels), lru_cache(256)(FIRST_PIECE_SECONDS.labels)
_STATUS = {"complete": "ok", "stopped": "stopped", "interrupted": "interrupted", "failed": "error"}


class Meter:
    """Begins to count when it is made."""

    def __init__(self) -> None:
        self._started_at = datetime.now(UTC)
        self._started = time.perf_counter()
        self._first: float | None = None
        self._usage: Usage | None = None

    def token_came(self) -> None:
        if self._first is None:
            self._first = time.perf_counter()

    def usage_came(self, usage: Usage | None) -> None:
        """Take what the service has counted so far; it may say so more than once."""
        self._usage = newest(self._usage, usage)

    def trace(
        self,
        *,
        trace_id: str,
        model: str,
        provider: str,
        upstream: str | None,
        status: AnswerStatus,
        finish_reason: str | None,
        error: str | None,
        error_class: str | None = None,
        w3c_trace_id: str | None = None,
        prices: Prices | None = None,
        asked: int,
        said: int,
    ) -> dict[str, Any]:
        """Return the trace; `asked` and `said` are characters, from which missing token counts are estimated."""
        self._count(upstream or NOBODY, _STATUS[status])
        cost = prices.cost_of(self._usage) if prices and self._usage else None  # an estimate is no cost
        usage = self._usage or Usage(asked // CHARACTERS_PER_TOKEN, said // CHARACTERS_PER_TOKEN)
        return Trace.model_validate(
            {
                "trace_id": trace_id,
                "model": model,
                "provider": provider,
                "upstream": upstream,
                "status": _STATUS[status],
                "started_at": self._started_at,
                "ttft_ms": self._ms(self._first),
                "duration_ms": self._ms(time.perf_counter()),
                "input_tokens": usage.prompt_tokens,
                "output_tokens": usage.completion_tokens,
                "usage_source": "reported" if self._usage else "estimated",
                "finish_reason": finish_reason,
                "error": error,
                "error_class": error_class or (_STATUS[status] if status in ("interrupted", "failed") else None),
                "w3c_trace_id": w3c_trace_id,
                "cost": cost and cost.amount,
                "currency": cost and cost.currency,
            }
        ).model_dump(mode="json")

    def _count(self, upstream: str, status: str) -> None:
        _call_seconds(upstream, status).observe(time.perf_counter() - self._started)
        if self._first is not None:
            _first_piece_seconds(upstream).observe(self._first - self._started)

    def _ms(self, at: float | None) -> float | None:
        return None if at is None else round((at - self._started) * 1000, 3)
