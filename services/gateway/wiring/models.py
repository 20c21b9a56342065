"""Models, their tags, and what they do in numbers."""

from services.gateway.analytics.comparing.queries import ComparisonQueries
from services.gateway.analytics.comparing.routes import Comparing
from services.gateway.analytics.reporting.accepting import Reporting
from services.gateway.analytics.traces.queries import TraceQueries
from services.gateway.analytics.traces.routes import Traces
from services.gateway.models.queries import ReservedQueries
from services.gateway.models.reserving import Reserving
from services.gateway.models.routes import Models
from services.gateway.wiring.parts import Parts


def models(parts: Parts) -> tuple[object, ...]:
    reader, admin = parts.pools.reader, parts.pools.admin
    traces = TraceQueries(reader, admin)
    return (
        Models(parts.catalog, parts.models, parts.accepting),
        Reserving(parts.catalog, parts.models, ReservedQueries(reader), parts.accepting, parts.buckets),
        Traces(traces, parts.lanes, parts.recording),
        Reporting(traces, parts.publisher, parts.accepting),
        Comparing(ComparisonQueries(reader, admin), parts.lanes),
    )
