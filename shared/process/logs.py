"""Logs: JSON lines in production, a readable console elsewhere; whatever is bound to the context is in every line."""

import logging
import sys
from typing import Any

import structlog
import structlog.tracebacks
from structlog.typing import EventDict, Processor

from shared.process.telemetry import inject
from shared.settings import Settings

# Not structlog's own dict_tracebacks, which puts the local variables, and so secrets, into the log.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def configure_logs(settings: Settings, service: str) -> None:
    """Send every logger of this process, ours and the libraries', to standard error in one format."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _add_trace,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(settings)],
        )
    )
    logging.basicConfig(handlers=[handler], level=settings.log_level, force=True)
    # A connection that is lost is logged once by whoever lost it; the libraries add a traceback for each retry.
    for noisy in ("aio_pika", "aiormq", "faststream", "uvicorn.access", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL if noisy.startswith("aio") else logging.WARNING)
    structlog.contextvars.bind_contextvars(service=service, instance=settings.instance)


def _renderers(settings: Settings) -> list[Processor]:
    if settings.environment == "production":
        return [_TRACEBACKS, structlog.processors.JSONRenderer()]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # the rich one prints locals, and so secrets
        )
    ]


def _add_trace(_logger: Any, _method: str, event: EventDict) -> EventDict:
    if carried := inject().get("traceparent"):
        event["trace_id"] = carried[3:35]
    return event
