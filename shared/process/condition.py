"""What a process can do at the moment, what it cannot, and when that changed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Condition:
    """What is wrong, by the name of what is asked: in words for operators, never for callers."""

    faults: Mapping[str, str] = field(default_factory=dict)  # they keep the process from its job
    degraded: Mapping[str, str] = field(default_factory=dict)  # it goes on without, having been ready with it

    @property
    def status(self) -> str:
        return "not ready" if self.faults else "ready"


class Outages:
    """Writes one line into the log where an outage begins, and one where it ends."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def note(self, condition: Condition) -> None:
        """Take note of what is wrong now, in whatever words: what goes at once is one line, what comes back too."""
        now, wrong = time.monotonic(), {**condition.faults, **condition.degraded}
        if begun := {name: why for name, why in wrong.items() if name not in self._since}:
            self._since |= dict.fromkeys(begun, now)
            log.warning("away", **begun)
        if ended := {name: since for name, since in self._since.items() if name not in wrong}:
            self._since = {name: since for name, since in self._since.items() if name in wrong}
            log.info("back", after_s=round(now - min(ended.values()), 1), what=sorted(ended))
