"""Traces, and what is compared."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.gateway.account.projects import Projects
from services.gateway.analytics.comparing.answers import MEASURES, Arm
from services.gateway.analytics.comparing.intervals import Difference, paired_difference
from services.gateway.analytics.comparing.statements import Which
from services.gateway.analytics.traces.filters import Whose
from services.gateway.analytics.traces.known import Known, KnownTrace
from services.gateway.analytics.traces.record import WholeTrace
from shared.events import ReportedTrace
from tests.pure.gateway.samples import NOON
from tests.service.gateway.fakes.stored import Stored


class FakeTraces:
    def __init__(self, world: Stored) -> None:
        self._world = world

    async def known(self, user_id: str, told: Sequence[ReportedTrace]) -> Known:
        stored = {trace_id: KnownTrace("api", 1, NOON) for owner, trace_id in self._world.reported if owner == user_id}
        return Known(NOON, stored, self._world.known_sessions)

    async def page(self, *_: Any, **__: Any) -> list[tuple[tuple[datetime, str], WholeTrace]]:
        return [((each.started_at, f"over/{each.trace_id}"), each) for each in self._world.traces]

    async def find(self, whose: Whose, trace_id: str, _projects: Projects = None) -> WholeTrace | None:
        found = (each for each in self._world.traces if each.user_id in whose.user_ids and each.trace_id == trace_id)
        return next(found, None)


class FakeComparisons:
    async def arms(self, _which: Which, *, as_admin: bool) -> list[tuple[Arm, bool]]:
        return []

    async def pairs(self, _which: Which) -> tuple[int, dict[str, Difference]]:
        return 0, {name: paired_difference(None, None, 0) for name in MEASURES}
