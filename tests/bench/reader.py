"""The reader of a model's answer against the one that it replaced, which read lines and knew one shape.

Both turn the bytes of an answer into its text and the facts beside it that a turn asks for. The old one lost an answer
to any odd field, and took quadratic time for a line that comes in pieces.
"""

import argparse
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from services.gateway.model.reading.answer_reader import AnswerReader
from tests.bench.measuring.budgets import Budget

CHUNKS = (1, 20, 2000)  # of an answer
SEGMENT = 1400  # bytes of a TCP segment
REPEATED = 40_000  # chunks that one measurement reads
LIMIT = 8 * 2**20
HUGE = 200 * 2**20
CHUNK = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":"fp",'
    b'"choices":[{"index":0,"delta":{"content":"word "},"logprobs":null,"finish_reason":null}],"usage":null}\n\n'
)
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
SPEED = [
    Budget(19, f"the reader / the old one, answers of {count} chunks", "us an answer", 1.0, 0.8, False)
    for count in CHUNKS
]
SEGMENTS = Budget(19, "the same, 2000 chunks cut into segments", "us an answer", 1.0, 0.8, False)
LONG_LINE = Budget(19, "a line of 200 MiB / a line of the limit, 8 MiB", "ms", 2.0, 1.2, False)


class OldFunction(msgspec.Struct):
    name: str | None = None


class OldToolCall(msgspec.Struct):
    function: OldFunction | None = None


class OldDelta(msgspec.Struct):
    content: str | None = None
    tool_calls: list[OldToolCall] | None = None


class OldChoice(msgspec.Struct):
    delta: OldDelta = msgspec.field(default_factory=OldDelta)
    finish_reason: str | None = None


class OldUsage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class OldChunk(msgspec.Struct):
    choices: list[OldChoice] = []
    usage: OldUsage | None = None
    error: object = None

    @property
    def text(self) -> str:
        return (self.choices[0].delta.content or "") if self.choices else ""

    @property
    def finish_reason(self) -> str | None:
        return self.choices[0].finish_reason if self.choices else None

    @property
    def tools(self) -> list[str]:
        calls = (self.choices[0].delta.tool_calls or []) if self.choices else []
        return [call.function.name for call in calls if call.function and call.function.name]


OLD = msgspec.json.Decoder(OldChunk)


def old(pieces: Iterable[bytes]) -> int:
    """Count the characters of an answer, as the old reader came to them."""
    rest, said = b"", 0
    facts: tuple[object, ...] = ()
    for data in pieces:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                body = line[5:].strip()
                if body == b"[DONE]":
                    assert facts
                    return said
                chunk = OLD.decode(body)
                if chunk.error is None:
                    said += len(chunk.text)
                    facts = (chunk.usage, chunk.finish_reason, chunk.tools)
    return said


def new(pieces: Iterable[bytes]) -> int:
    reader, said = AnswerReader(LIMIT), 0
    facts: tuple[object, ...] = ()
    for data in pieces:
        for chunk in reader.feed(data):
            if chunk.is_done:
                assert facts
                return said
            said += len(chunk.text)
            if not chunk.text or chunk.finish_reason or chunk.usage:
                facts = (chunk.usage, chunk.finish_reason, chunk.calls_tool)
    return said


def timed(read: Callable[[Iterable[bytes]], int], pieces: Sequence[bytes], times: int) -> float:
    """Return the microseconds of CPU that reading one answer takes."""
    began = time.process_time()
    for _ in range(times):
        read(pieces)
    return (time.process_time() - began) / times * 1e6


def flood(size: int) -> float:
    """Return the milliseconds that an endless line costs, which comes in pieces of 64 KiB."""
    piece, reader = b"x" * 65536, AnswerReader(LIMIT)
    began = time.process_time()
    reader.feed(b"data: ")
    for _ in range(size // len(piece)):
        reader.feed(piece)
        if reader.is_too_long:
            break
    return (time.process_time() - began) * 1e3


def compare(budget: Budget, pieces: Sequence[bytes], chunks: int, rounds: int) -> None:
    assert old(pieces) == new(pieces)
    times = max(REPEATED // chunks, 1)
    pairs = [(timed(new, pieces, times), timed(old, pieces, times)) for _ in range(rounds)]
    budget.report([ours for ours, _ in pairs], [theirs for _, theirs in pairs])


async def run(options: argparse.Namespace) -> None:
    """Print a line for each length of an answer, one for cut events, and one for a line without an end."""
    rounds = max(options.rounds, 5)
    for budget, count in zip(SPEED, CHUNKS, strict=True):
        compare(budget, [*[CHUNK] * count, END], count, rounds)
    whole = CHUNK * CHUNKS[-1] + END
    compare(SEGMENTS, [whole[at : at + SEGMENT] for at in range(0, len(whole), SEGMENT)], CHUNKS[-1], rounds)
    LONG_LINE.report([flood(HUGE) for _ in range(rounds)], [flood(LIMIT) for _ in range(rounds)])
