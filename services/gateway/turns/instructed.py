"""What the model is told by whoever answers in a session, beside what was said there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Instructed:
    """Instructions, and parameters as the model's service takes them."""

    instructions: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)  # over those of the model


NOTHING_SAID = Instructed()
Instructing = Callable[[str | None], Instructed]  # by the name that a session has for its helper


def nobody(_helper: str | None) -> Instructed:
    """Know no helper."""
    return NOTHING_SAID


def prompt(system_prompt: str, instructions: str) -> str:
    """Put the instructions of a helper behind what holds for every conversation; of both what is not blank."""
    return "\n\n".join(part for part in (system_prompt, instructions) if part.strip())
