"""What the model is told by whoever answers in a session, beside what was said there."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.gateway.turns.offered import Tools
from services.gateway.turns.turn import Turn
from shared.texts.flat_text import flat

NAMES = ("today", "user", "trip")  # what instructions may name
NAMED = re.compile(r"(?<!\{)\{([A-Za-z_][A-Za-z0-9_]*)\}(?!\})")
LONGEST_NAME = 200  # characters


@dataclass(frozen=True)
class Instructed:
    """Instructions, and parameters as the model's service takes them."""

    instructions: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)  # over those of the model
    tools: Sequence[str] = ()  # names of those that it may call


NOTHING_SAID = Instructed()
Instructing = Callable[[str | None], Instructed]  # by the name that a session has for its helper


def nobody(_helper: str | None) -> Instructed:
    """Know no helper."""
    return NOTHING_SAID


def filled(instructions: str, turn: Turn, tools: Tools | None = None) -> str:
    """Put into instructions what they name of a turn: `{today}`, `{user}` and `{trip}`.

    Other braces stay, as those of JSON or around `{{name}}`, and so do those of what is put in.
    """
    if "{" not in instructions:
        return instructions
    known = {
        "today": turn.asked_at.date().isoformat(),
        "user": flat(turn.user_id, LONGEST_NAME),
        "trip": (tools and tools.trip) or "none that is known",
    }
    return NAMED.sub(lambda found: known.get(found[1], found[0]), instructions)


def unknown_names(instructions: str) -> list[str]:
    """Return what instructions name that nobody will put in."""
    return [name for name in dict.fromkeys(NAMED.findall(instructions)) if name not in NAMES]


def prompt(system_prompt: str, instructions: str) -> str:
    """Put the instructions of a helper behind what holds for every conversation; of both what is not blank."""
    return "\n\n".join(part for part in (system_prompt, instructions) if part.strip())
