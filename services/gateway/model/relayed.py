"""A request in OpenAI's words that is passed on as its client wrote it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Relayed:
    """What it has beside the model and the messages, and how its client wants to be answered."""

    fields: Mapping[str, Any] = field(default_factory=dict)  # not `model`, `messages` and `stream`
    streams: bool = True
    wants_usage: bool = False  # in the stream
    may_rename: frozenset[str] = frozenset()  # fields whose names are ours, so that a service may have them by another
