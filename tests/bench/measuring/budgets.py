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

    def report(self, ours: Sequence[float], theirs: Sequence[float], **beside: object) -> None:
        """Print the median ratio of the rounds, what it is made of, and what is to be seen beside it."""
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
        print(json.dumps(line | beside), flush=True)

    def report_alone(self, ours: Sequence[float], hint: str, **beside: object) -> None:
        """Print our side, where nobody is there to compare with."""
        line = {"budget": self.number, "name": self.name, "ratio": None, "must": self.must, "aim": self.aim}
        line |= {"unit": self.unit, "ours": [round(value, 2) for value in ours], "hint": hint}
        print(json.dumps(line | beside), flush=True)


DRAIN_RAW = Budget(1, "logger drain / hand-written aio-pika and msgspec consumer", "messages/s", 0.55, 0.80, True)
DRAIN_INSERT = Budget(2, "logger drain / FastStream with one INSERT a message", "messages/s", 3, 5, True)
COMMIT_P50 = Budget(3, "publish to commit p50 / publisher confirm p50, 500 messages/s", "ms", 2.5, 1.9, False)
COMMIT_P99 = Budget(4, "publish to commit p99 / publisher confirm p99, 500 messages/s", "ms", 4, 2.5, False)
DRAIN_TAGS = Budget(11, "tagger drain / logger drain, the same conversations", "messages/s", 0.9, 1.0, True)
TAGS = {
    place: Budget(
        12, f"first messages tagged / by one transaction each on 10 connections, {keys}", "tags/s", 4, 8, True
    )
    for place, keys in (("spread", "200 users"), ("hot", "one user and model"))
}
ACCEPT = Budget(
    5, "messages accepted (202) / FastAPI with one INSERT each (201), 32 connections", "1/s", 1.2, 1.6, True
)
FIRST_PIECE = {
    1: Budget(8, "time added to the first piece, p50 / LiteLLM's, 1 connection", "ms", 0.25, 0.15, False),
    10: Budget(8, "time added to the first piece, p50 / LiteLLM's, 10 connections", "ms", 0.1, 0.05, False),
}
COMPLETIONS = {
    False: Budget(6, "/v1 answers, whole / LiteLLM's, 50 connections, consumers stopped", "turns/s", 10, 15, True),
    True: Budget(7, "/v1 answers of 20 chunks / LiteLLM's, 50 connections, consumers stopped", "turns/s", 15, 25, True),
}
COMPLETIONS_OF_ALL = {
    False: Budget(6, "the same whole, all services running", "turns/s", 0, 0, True),
    True: Budget(7, "the same in chunks, all services running", "turns/s", 0, 0, True),
}
PORTKEY = Budget(
    9, "/v1 answers, whole / Portkey's gateway, 10 connections, consumers stopped", "turns/s", 1.0, 1.6, True
)
CHAT_RATE = Budget(10, "streamed turns of 20 chunks / LiteLLM's, 50 connections", "turns/s", 8, 15, True)
STACK_CPU = Budget(
    18, "processor time of all our processes a turn / LiteLLM's, 50 connections", "ms", 0.15, 0.08, False
)
GATEWAY_CPU = Budget(19, "processor time of the gateway a turn / LiteLLM's, 50 connections", "ms", 0.06, 0.03, False)
GATEWAY_MEMORY = Budget(14, "resident memory of the gateway / LiteLLM's, after the load", "MiB", 0.3, 0.2, False)
MEMORY = Budget(14, "resident memory of the logger / of an idle LiteLLM proxy", "MiB", 0.25, 0.15, False)
# There is no must: two cores, where the servers and those who ask run as well, may bring nothing.
TWO_OF_EACH = Budget(17, "turns of two gateways and two loggers / of one each, 50 connections", "turns/s", 0, 1.8, True)
WEBHOOK = Budget(
    16, "webhook acknowledged while Avinode hangs / while it answers, p99, 50 a second", "ms", 1.2, 1.0, False
)
SESSION_READS = Budget(15, "a reading with many messages stored / with 10,000, p50", "ms", 2, 1.3, False)
TRACE_INGEST = Budget(15, "traces from outside that the logger stores / messages", "1/s", 0.5, 1.0, True)
# What is found grows with what is stored, so it may take longer, though not as much.
SMOOTH = Budget(15, "a reading that finds more with many messages stored / with 10,000, p50", "ms", 20, 5, False)
