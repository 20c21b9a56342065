"""What each measurement must reach: ratios of two things measured in one run, never absolute numbers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Budget:
    number: int  # so that a line can be found again in the table of budgets
    name: str  # ours / theirs
    unit: str
    must: float
    aim: float
    more_is_better: bool

    def reached(self, ratio: float, goal: float) -> bool:
        return ratio >= goal if self.more_is_better else ratio <= goal

    def report(self, ours: Sequence[float], theirs: Sequence[float]) -> None:
        """Print the median ratio of the rounds, and what it is made of."""
        ratio = median(our / their for our, their in zip(ours, theirs, strict=True))
        line = {
            "budget": self.number,
            "name": self.name,
            "ratio": round(ratio, 3),
            "must": self.must,
            "aim": self.aim,
            "reached": "aim" if self.reached(ratio, self.aim) else "must" if self.reached(ratio, self.must) else "NOT",
            "unit": self.unit,
            "ours": [round(value, 2) for value in ours],
            "theirs": [round(value, 2) for value in theirs],
        }
        print(json.dumps(line), flush=True)

    def report_alone(self, ours: Sequence[float], hint: str) -> None:
        """Print our side, where nobody is there to compare with."""
        line = {"budget": self.number, "name": self.name, "ratio": None, "must": self.must, "aim": self.aim}
        print(json.dumps(line | {"unit": self.unit, "ours": [round(value, 2) for value in ours], "hint": hint}))


DRAIN_RAW = Budget(1, "logger drain / hand-written aio-pika and msgspec consumer", "messages/s", 0.55, 0.80, True)
DRAIN_INSERT = Budget(2, "logger drain / FastStream with one INSERT a message", "messages/s", 3, 5, True)
COMMIT_P50 = Budget(3, "publish to commit p50 / publisher confirm p50, 500 messages/s", "ms", 2.5, 1.9, False)
COMMIT_P99 = Budget(4, "publish to commit p99 / publisher confirm p99, 500 messages/s", "ms", 4, 2.5, False)
MEMORY = Budget(14, "resident memory of the logger / of an idle LiteLLM proxy", "MiB", 0.25, 0.15, False)
