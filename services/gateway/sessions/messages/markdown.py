"""A conversation as Markdown, of which nothing that anybody wrote can be taken for its structure. Pure.

Headings say who speaks. What was said stands in fences, unescaped: the Markdown and HTML in it stay text, and no fence
can be closed from within, being longer than any in the text.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from services.gateway.sessions.answers import Session
from services.gateway.turns.past.history import HistoryMessage
from services.gateway.turns.pieces import STEP

SPEAKERS = {"user": "User", "assistant": "Assistant", "system": "System", "tool": "Tool"}


def opening_of(session: Session) -> str:
    """Begin a document."""
    lines = [f"# {_code(session.title or 'Untitled')}", "", f"- Session: {_code(session.id)}"]
    lines += [f"- Begun: {_time(session.created_at)}", f"- Last activity: {_time(session.last_activity_at)}"]
    return "\n".join([*lines, "", ""])


def section_of(shown: HistoryMessage) -> str:
    """Write one message, with whatever it has beside its text."""
    model = f" · {_code(shown.model)}" if shown.model and shown.role == "assistant" else ""
    broken = "" if shown.status == "complete" else f" · {shown.status}"
    blocks = [f"## {SPEAKERS.get(shown.role, 'Other')}", f"{_time(shown.created_at)}{model}{broken}"]
    if shown.content:
        blocks.append(_fenced(shown.content))
    for part in shown.parts:
        blocks += _beside(part)
    return "\n\n".join([*blocks, ""])


def _beside(part: dict[str, Any]) -> Iterator[str]:
    """Write a part that is no text: a tool's call, data, ..."""
    kind = part.get("type")
    if kind not in ("text", STEP):
        yield f"Part {_code(str(kind))}:"
        yield _fenced(orjson.dumps(part, option=orjson.OPT_INDENT_2).decode(), "json")


def _fenced(text: str, language: str = "") -> str:
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _code(text: str) -> str:
    """Write a text in one line, as code."""
    line = " ".join(text.split()) or "…"
    ticks = "`" * (_longest_run(line) + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{space}{line}{space}{ticks}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall(r"`+", text)), default=0)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
