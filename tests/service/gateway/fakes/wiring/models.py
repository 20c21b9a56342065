"""Models, their tags, and what they do in numbers."""

from typing import cast

from services.gateway.analytics.comparing.queries import ComparisonQueries
from services.gateway.analytics.comparing.routes import Comparing
from services.gateway.analytics.reporting.accepting import Reporting
from services.gateway.analytics.traces.queries import TraceQueries
from services.gateway.analytics.traces.routes import Traces
from services.gateway.models.queries import ReservedQueries
from services.gateway.models.reserving import Reserving
from services.gateway.models.routes import Models
from tests.service.gateway.fakes.analytics import FakeComparisons, FakeTraces
from tests.service.gateway.fakes.models import FakeReserved
from tests.service.gateway.fakes.wiring.parts import Parts


def models(parts: Parts) -> tuple[object, ...]:
    reserved = cast(ReservedQueries, FakeReserved(parts.world))
    traces = cast(TraceQueries, FakeTraces(parts.world))
    return (
        Models(parts.catalog, parts.models, parts.accepting),
        Reserving(parts.catalog, parts.models, reserved, parts.accepting, parts.buckets),
        Traces(traces, parts.lanes, parts.recording),
        Reporting(traces, parts.publisher, parts.accepting),
        Comparing(cast(ComparisonQueries, FakeComparisons()), parts.lanes),
    )
