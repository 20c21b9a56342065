"""Directives: what a user message may order the simulated model to do, e.g. `[echo hello] [chunks 3] [cut 2]`."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from deploy.sandbox.model.errors import UnreadableDirectiveError

DIRECTIVES = (
    "echo",
    "raw",
    "recall",
    "tool",
    "rounds",
    "chunks",
    "first",
    "slow",
    "cut",
    "end",
    "stall",
    "comments",
    "fail",
    "error",
    "think",
    "refuse",
    "finish",
    "unmetered",
)
_START = re.compile(rf"\[({'|'.join(DIRECTIVES)})(?=[\s\]])")
_SPACE = re.compile(r"\s*")
_CLOSE = re.compile(r"\s*\]")
_NUMBER = re.compile(r"\s+([0-9]{1,9})\s*\]")
_WORD = re.compile(r"\s+([A-Za-z_-]{1,64})\s*\]")
_NAME = re.compile(r"\s*([A-Za-z0-9_-]{1,64})\s*")
_JSON = json.JSONDecoder(strict=False)

_PACES = {
    "chunks": ("chunks", 1, 10_000),
    "slow": ("slow_ms", 0, 600_000),
    "first": ("first_ms", 0, 600_000),
    "cut": ("cut", 0, 10_000),
    "end": ("end", 0, 10_000),
    "stall": ("stall", 0, 10_000),
    "comments": ("comments", 0, 10_000),
    "fail": ("fail", 0, 10_000),
    "error": ("error", 400, 599),
}


@dataclass(frozen=True, slots=True)
class CallTool:
    """Call a tool. `arguments` is the text the model sends, valid JSON or not."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Say:
    """Say a text; `None` recites every user text of the conversation."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Pacing:
    """How an answer is cut up and sent. Counts are of content chunks; None means: not ordered."""

    chunks: int | None = None
    slow_ms: int = 0
    first_ms: int = 0
    cut: int | None = None
    end: int | None = None
    stall: int | None = None
    comments: int | None = None
    fail: int | None = None
    error: int | None = None
    finish: str | None = None
    is_metered: bool = True


@dataclass(frozen=True, slots=True)
class Orders:
    """Everything one user message orders. `rest` is its text without the directives."""

    steps: tuple[Say | CallTool, ...] = ()
    rounds: int = 1
    pacing: Pacing = field(default_factory=Pacing)
    thought: str = ""
    refusal: str = ""
    rest: str = ""


def read_orders(text: str) -> Orders:
    """Read the directives in a text.

    Raises:
        UnreadableDirectiveError: a known directive has an argument of the wrong form.
    """
    scan, orders, rest = _Scan(text), Orders(), []
    while found := scan.find(_START):
        rest.append(text[scan.position : found.start()])
        scan.position = found.end()
        orders = _obey(found[1], scan, orders)
    rest.append(text[scan.position :])
    return replace(orders, rest=" ".join("".join(rest).split()))


@dataclass(slots=True)
class _Scan:
    """Walk over a text, directive by directive."""

    text: str
    position: int = 0

    def find(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Find the pattern from here on, without moving."""
        return pattern.search(self.text, self.position)

    def take(self, pattern: re.Pattern[str], complaint: str) -> re.Match[str]:
        """Move over the pattern, which must be next."""
        found = pattern.match(self.text, self.position)
        if found is None:
            raise UnreadableDirectiveError(complaint)
        self.position = found.end()
        return found

    def take_json(self, complaint: str) -> tuple[object, str]:
        """Move over a JSON value; return it and how it was written."""
        start = self.take(_SPACE, complaint).end()
        try:
            value, self.position = _JSON.raw_decode(self.text, start)
        except (ValueError, RecursionError) as error:
            msg = f"{complaint}: {error}"
            raise UnreadableDirectiveError(msg) from error
        return value, self.text[start : self.position]


def _obey(name: str, scan: _Scan, orders: Orders) -> Orders:
    """Add one directive, whose argument is next, to the orders."""
    if name in _PACES:
        field_name, lowest, highest = _PACES[name]
        number = _take_number(scan, name, lowest, highest)
        paced: dict[str, Any] = {field_name: number}
        return replace(orders, pacing=replace(orders.pacing, **paced))
    if name in _ORDERS:
        return _ORDERS[name](scan, orders)
    if name == "rounds":
        return replace(orders, rounds=_take_number(scan, name, 1, 1000))
    return replace(orders, steps=(*orders.steps, _STEPS[name](scan)))


def _take_number(scan: _Scan, name: str, lowest: int, highest: int) -> int:
    complaint = f"[{name} N] needs a whole number from {lowest} to {highest}"
    number = int(scan.take(_NUMBER, complaint)[1])
    if not lowest <= number <= highest:
        raise UnreadableDirectiveError(complaint)
    return number


def _take_echo(scan: _Scan) -> Say:
    return Say(_take_text(scan, "echo"))


def _take_text(scan: _Scan, name: str) -> str:
    """Take the text up to the matching bracket, or to the first closing one where they don't match."""
    end = _matching_bracket(scan.text, scan.position)
    if end < 0:
        msg = f"[{name} TEXT] has no closing bracket"
        raise UnreadableDirectiveError(msg)
    said = scan.text[scan.position : end].removeprefix(" ")
    scan.position = end + 1
    return said


def _obey_think(scan: _Scan, orders: Orders) -> Orders:
    return replace(orders, thought=orders.thought + _take_text(scan, "think"))


def _obey_refuse(scan: _Scan, orders: Orders) -> Orders:
    return replace(orders, refusal=orders.refusal + _take_text(scan, "refuse"))


def _obey_finish(scan: _Scan, orders: Orders) -> Orders:
    word = scan.take(_WORD, "[finish REASON] needs a word")[1]
    return replace(orders, pacing=replace(orders.pacing, finish=word))


def _obey_unmetered(scan: _Scan, orders: Orders) -> Orders:
    scan.take(_CLOSE, "[unmetered] takes no argument")
    return replace(orders, pacing=replace(orders.pacing, is_metered=False))


def _matching_bracket(text: str, position: int) -> int:
    depth = 1
    for bracket in re.finditer(r"[\[\]]", text[position:]):
        depth += 1 if bracket[0] == "[" else -1
        if depth == 0:
            return position + bracket.start()
    return text.find("]", position)


def _take_recall(scan: _Scan) -> Say:
    scan.take(_CLOSE, "[recall] takes no argument")
    return Say(None)


def _take_raw(scan: _Scan) -> Say:
    complaint = "[raw STRING] needs a JSON string"
    said, _ = scan.take_json(complaint)
    scan.take(_CLOSE, complaint)
    if not isinstance(said, str):
        raise UnreadableDirectiveError(complaint)
    return Say(said)


def _take_tool(scan: _Scan) -> CallTool:
    """Take the arguments as written; a JSON string gives its content, so that broken JSON can be sent."""
    complaint = "[tool NAME JSON] needs a name and JSON"
    name = scan.take(_NAME, complaint)[1]
    if _CLOSE.match(scan.text, scan.position):
        arguments = "{}"
    else:
        value, written = scan.take_json(complaint)
        arguments = value if isinstance(value, str) else written
    scan.take(_CLOSE, complaint)
    return CallTool(name, arguments)


_STEPS: dict[str, Callable[[_Scan], Say | CallTool]] = {
    "echo": _take_echo,
    "recall": _take_recall,
    "raw": _take_raw,
    "tool": _take_tool,
}
_ORDERS: dict[str, Callable[[_Scan, Orders], Orders]] = {
    "think": _obey_think,
    "refuse": _obey_refuse,
    "finish": _obey_finish,
    "unmetered": _obey_unmetered,
}
