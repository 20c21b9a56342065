"""What applications outside tell of their calls, reduced to one row a trace. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.logger.reducing.reduction import TraceKey
from shared.events import Json, ReportedTrace, TracesReported

Version = tuple[int, datetime, UUID]  # rank, and which report said so
OUTSIDE = -1  # the revision of what is no turn's, which is less than that of any


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of one trace."""

    version: Version
    trace: ReportedTrace


def rank_of_status(status: str) -> int:
    """Rank what is told of a trace: no start undoes an end."""
    return 0 if status == "running" else 1


def merge(one: Report, other: Report) -> Report:
    """Unite two reports of one trace: the greater says what is so, and the lesser what that leaves out.

    Of two of one version the second one is greater.
    """
    lesser, greater = (one, other) if one.version <= other.version else (other, one)
    filled = {name: value for name, value in lesser.trace if getattr(greater.trace, name) is None}
    filled["attributes"] = {**lesser.trace.attributes, **greater.trace.attributes}
    filled["streaming"] = lesser.trace.streaming or greater.trace.streaming
    return Report(greater.version, greater.trace.model_copy(update=filled))


def reports_of(events: Iterable[TracesReported]) -> dict[TraceKey, Report]:
    """Return one report for each trace, by user and id, in the order in which every logger locks them."""
    kept: dict[TraceKey, Report] = {}
    for event in events:
        for trace in event.traces:
            key = event.user_id, trace.trace_id
            report = Report((rank_of_status(trace.status), event.accepted_at, event.event_id), trace)
            kept[key] = merge(kept[key], report) if key in kept else report
    return dict(sorted(kept.items()))


def report_row(key: TraceKey, report: Report) -> Json:
    rank, accepted_at, event_id = report.version
    return {
        **dict(report.trace),  # its fields are named like the columns
        "cost": None if report.trace.cost is None else str(report.trace.cost),  # exactly
        "user_id": key[0],
        "revision": OUTSIDE,
        "rank": rank,
        "accepted_at": accepted_at,
        "event_id": event_id,
    }
