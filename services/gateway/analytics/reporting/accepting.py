"""Accept what applications outside tell of their calls: the good ones are stored though others are bad."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from services.gateway.account.identity import Caller
from services.gateway.account.projects import admit_writer
from services.gateway.analytics.reporting.new_trace import Judged, not_from_the_future
from services.gateway.analytics.traces.known import Known, KnownSession
from services.gateway.analytics.traces.queries import TraceQueries
from services.gateway.http.write_headers import Write
from services.gateway.writes.accept import Accepting
from services.gateway.writes.broker_gate import require_broker
from shared.errors import Invalid, NotFound, TripthreadError
from shared.events import ReportedTrace, TracesReported
from shared.publishing.publisher import Publisher


class RefusedTrace(BaseModel):
    code: str
    detail: str


class TraceResult(BaseModel):
    """What became of one trace: either it was accepted, or it says why not."""

    index: int
    trace_id: str | None = None
    error: RefusedTrace | None = None


class ReportAnswer(BaseModel):
    results: list[TraceResult]
    stored: bool


class AnalyticsOff(Invalid):
    """The analytics of this session are off, so none of its traces is kept."""

    code = "analytics_off"


class TurnsTrace(Invalid):
    """This is the trace of a turn, which nobody else tells of."""

    code = "trace_of_turn"


@dataclass(frozen=True)
class Report:
    """What became of a report: each trace, and how far the good ones are."""

    judged: Sequence[Judged | TripthreadError]
    outcome: Literal["none", "new", "known", "accepted"]


@dataclass(frozen=True)
class Reporting:
    """What the routes work with."""

    queries: TraceQueries
    publisher: Publisher
    accepting: Accepting

    async def report(self, caller: Caller, judged: Sequence[Judged], write: Write) -> Report:
        """Accept those traces that are good, in one event.

        Raises:
            BrokerAway: Nothing can be accepted.
            Forbidden: The caller's token is limited to no project at all.
        """
        require_broker(self.publisher)
        admit_writer(caller.projects, None)
        told = [each for each in judged if isinstance(each, ReportedTrace)]
        known = await self.queries.known(caller.user_id, told)
        settled = [_admitted(each, known, caller) for each in not_from_the_future(judged, known.at)]
        good = tuple([each for each in settled if isinstance(each, ReportedTrace)])
        if not good:
            return Report(settled, "none")
        event = TracesReported(
            correlation_id=write.correlation_id, user_id=caller.user_id, accepted_at=known.at, traces=good
        )
        stored = await self.accepting.accept([event], self._look(event), write.wait_s)
        if stored is None:
            return Report(settled, "accepted")
        return Report(settled, "known" if all(each.trace_id in known.traces for each in good) else "new")

    def _look(self, event: TracesReported) -> Callable[[], Awaitable[bool | None]]:
        async def look() -> bool | None:
            known = await self.queries.known(event.user_id, event.traces)
            return all(known.has(each, event.accepted_at) for each in event.traces) or None

        return look


def _admitted(each: Judged, known: Known, caller: Caller) -> Judged | TripthreadError:
    """Refuse what would not be kept, or is of no session that the caller sees."""
    if not isinstance(each, ReportedTrace):
        return each
    if each.trace_id in known.traces and known.traces[each.trace_id].source == "turn":
        return TurnsTrace()
    return _refusal(each.session_id, known.sessions, caller) or each


def _refusal(session_id: str | None, sessions: Mapping[str, KnownSession], caller: Caller) -> TripthreadError | None:
    session = sessions.get(session_id or "")
    if session is not None and session.deleted:
        return NotFound("This session was deleted.")
    if not caller.sees(session.project_id if session else None):
        return NotFound("There is no such session.")
    return AnalyticsOff() if session is not None and not session.analytics else None


def results_of(report: Report) -> list[TraceResult]:
    """Say of each trace, by its place in the list, what became of it."""
    return [
        TraceResult(index=index, trace_id=each.trace_id)
        if isinstance(each, ReportedTrace)
        else TraceResult(index=index, error=RefusedTrace(code=each.code, detail=each.detail))
        for index, each in enumerate(report.judged)
    ]
