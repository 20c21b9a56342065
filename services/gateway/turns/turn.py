"""One turn: a question and its answer, and the events that tell of them.

A turn's row holds everything that its events say, so that whoever publishes them, its owner or the relay, publishes the
same, but for the order of an object's keys, which the row has not kept.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from services.gateway.http.requests.json_body import read_json
from services.gateway.model.ending import ERROR
from services.gateway.model.measuring.meter import CHARACTERS_PER_TOKEN
from services.gateway.model.reading.surrogates import storable
from services.gateway.model.reading.tool_calls import ToolCall
from services.gateway.turns.call_parts import sealed, waits
from services.gateway.turns.histories import continued
from services.gateway.turns.pieces import Whole, text_of
from shared.errors import Invalid
from shared.events import (
    POSTED_RANK,
    AnswerStatus,
    Client,
    MessageAnswered,
    MessageEvent,
    MessagePosted,
    Role,
    Trace,
    rank_of,
)
from shared.ids import answer_id, derived_id

RECORDED = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01")
FINAL = ("complete", "stopped", "failed")
POSTED = "posted"  # the state of a message that its client stores itself, and that nobody answers


NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Question:
    """What the user said, or another message that a client stores itself."""

    message_id: str
    content: str
    parts: list[dict[str, Any]] = field(default_factory=list)
    parent_id: str | None = None
    client_message_id: str | None = None  # where an edit was stored under an id of its own
    metadata: dict[str, Any] = field(default_factory=dict)
    is_known: bool = False  # it was said before, and keeps the place that it has in the session
    said_at: datetime | None = None  # that place; none: a new one, whose place is its turn's, or an older gateway's
    earlier: tuple["Question", ...] = ()  # messages just before it that came with it; only the last one is answered
    role: Role = "user"
    history: str | None = None  # hash of all that its client sent; none: by its session alone it is found again
    client: Mapping[str, str] | None = None  # the fields of the event's, as far as they are kept

    def said_by(self, client: Mapping[str, str] | None, metadata: Mapping[str, Any] = NOTHING) -> "Question":
        """Return it, and what came with it, as said from there; what was said before was said from elsewhere.

        Args:
            client: From where; none: that is not kept.
            metadata: Of its request, which is the question's where that has none of the same name.
        """
        if client is None and not metadata:
            return self
        return replace(
            self,
            earlier=tuple([each.said_by(client) for each in self.earlier]),
            client=self.client if client is None or self.is_known else client,
            metadata={**metadata, **self.metadata},
        )


REFUSAL = {"tripthread": {"refusal": True}}  # of a text part: why the model will not answer


def answer_parts(pieces: Sequence[str], *, is_refusal: bool) -> list[dict[str, Any]]:
    """Make the AI SDK's parts of an answer: text, reasoning, which is its own type of string, and what comes whole."""
    mark = {"providerMetadata": REFUSAL} if is_refusal else {}
    return [{"type": "text", "text": piece, **mark} if type(piece) is str else _other_part(piece) for piece in pieces]


def _other_part(piece: str) -> dict[str, Any]:
    return piece.part if isinstance(piece, Whole) else {"type": "reasoning", "text": str(piece)}


def call_part(call: ToolCall) -> dict[str, Any]:
    """Make the AI SDK's part of a call of a client's own tool; arguments that are no JSON stay a text."""
    arguments = storable(call.text)
    try:
        value = read_json(arguments.encode())
    except Invalid:
        value = arguments
    name = storable(call.name)
    return {"type": f"tool-{name}", "toolCallId": storable(call.id), "state": "input-available", "input": value}


def text_parts(text: str) -> list[dict[str, Any]]:
    """Make the parts of an answer that is nothing but text."""
    return [{"type": "text", "text": text}] if text else []


@dataclass(frozen=True)
class Answer:
    """What the model said to it, as far as it came."""

    content: str
    parts: list[dict[str, Any]]
    status: AnswerStatus
    error: str | None = None
    trace: dict[str, Any] | None = None
    revision: int = 0
    history: str | None = None  # hash of what its client sent, and of this answer to it
    rounds: list[dict[str, Any]] = field(default_factory=list)  # traces of the model's calls before the last one

    @property
    def waits(self) -> bool:
        """Whether its user is asked something before it goes on."""
        return self.status == "complete" and any(map(waits, self.parts))

    @property
    def traces(self) -> list[dict[str, Any]]:
        """All calls of the model that it took, in order."""
        return [*self.rounds, *([self.trace] if self.trace else [])]

    @property
    def usage(self) -> dict[str, Any]:
        """Tokens of all these calls; estimated where one of them is."""
        tokens = {name: _sum(trace.get(name) for trace in self.traces) for name in ("input_tokens", "output_tokens")}
        sources = {trace.get("usage_source") for trace in self.traces}
        return {**tokens, "usage_source": "estimated" if "estimated" in sources else next(iter(sources), None)}

    @property
    def finish_reason(self) -> str | None:
        """Why it ended; none where the user ended it."""
        told = (self.trace or {}).get("finish_reason")
        return told or ("error" if self.status in ("interrupted", "failed") else None)

    @property
    def metadata(self) -> dict[str, Any]:
        """What its message says of how it ended."""
        refused = any(part.get("providerMetadata") == REFUSAL for part in self.parts)
        reason = {"finish_reason": self.finish_reason} if self.finish_reason else {}
        return {**reason, "refusal": True} if refused else reason


def round_id(answer_id: str, number: int) -> str:
    """Name the trace of one call of the model: the first has the answer's own id."""
    return answer_id if number == 1 else f"{answer_id}-{number}"


class Version(NamedTuple):
    """A message, and which version of it; the logger keeps the one that is greater by (revision, rank)."""

    message_id: str
    revision: int
    rank: int


@dataclass(frozen=True)
class PastAttempt:
    """An attempt that ended, and that was not stored when the next one began."""

    attempt: int
    answer: Answer
    answered_at: datetime


@dataclass(frozen=True)
class Turn:
    """A row of `gateway.turns`."""

    turn_id: UUID
    user_id: str
    session_id: str
    body_hash: bytes
    owner: str
    attempt: int
    state: str  # running, posted, or the answer's status
    correlation_id: UUID
    model: str
    provider: str
    project_id: str | None
    helper: str | None
    question: Question
    asked_at: datetime
    traceparent: str | None = None  # of the request
    nonce: UUID | None = None  # of the claim that it began with; none: an older gateway's
    answer: Answer | None = None
    answered_at: datetime | None = None
    partial_parts: list[dict[str, Any]] | None = None  # of the answer, while it runs: the last checkpoint
    rounds: tuple[dict[str, Any], ...] = ()  # likewise: traces of the model's calls that are over
    revision: int = 0  # of the answer, while it runs; it goes on from an earlier one where it is not 0
    carried: int = 0  # parts that it has of that
    past: tuple[PastAttempt, ...] = ()
    told: bool = False  # all its events are known to be with the broker
    counted: dict[str, Any] | None = None  # where it counts as used; none: nowhere in the database
    expired: bool = False  # running, but past its lease: its owner is taken for dead

    @cached_property
    def answer_id(self) -> str:
        return str(answer_id(self.turn_id, self.attempt))

    @property
    def w3c_trace_id(self) -> str | None:
        """The trace of its request, where somebody records it."""
        return recorded_trace_id(self.traceparent)

    @property
    def place(self) -> datetime:
        """When the newest of its messages was said."""
        return self.answered_at or self.asked_at

    @property
    def parts_so_far(self) -> list[dict[str, Any]]:
        """The parts of its answer, or of the last checkpoint while it runs."""
        if self.answer is None:
            return self.partial_parts or []
        return self.answer.parts or text_parts(self.answer.content)

    def so_far(self, status: AnswerStatus, error: str | None = None) -> Answer:
        """Make an answer of the last checkpoint, in the stead of an owner who knew more of the call."""
        parts = sealed(self.parts_so_far) if status == "stopped" else self.parts_so_far
        text = text_of(parts)
        trace = Trace(
            trace_id=round_id(self.answer_id, len(self.rounds) + 1),
            model=self.model,
            provider=self.provider,
            status="stopped" if status == "stopped" else "interrupted",
            started_at=self.asked_at,
            output_tokens=len(text) // CHARACTERS_PER_TOKEN,
            usage_source="estimated",
            finish_reason=ERROR if error else None,
            error=error,
            error_class="interrupted" if error else None,
            w3c_trace_id=self.w3c_trace_id,
        )
        told = trace.model_dump(mode="json")
        history = continued(self.question.history, text, parts)
        return Answer(text, parts, status, error, told, self.revision, history, list(self.rounds))

    def earlier(self) -> list["Turn"]:
        """Return this turn as it would be for each of the messages that come just before its question."""
        count = len(self.question.earlier)
        return [
            replace(
                self, question=question, asked_at=self.asked_at - timedelta(microseconds=count - index), answer=None
            )
            for index, question in enumerate(self.question.earlier)
        ]

    def events(self) -> Iterator[MessageEvent]:
        """Tell all that there is to tell so far, in order."""
        yield from self.asked()
        yield from self.answers()

    def answers(self) -> Iterator[MessageAnswered]:
        """Tell of the attempts that are not stored, and of the answer, if there is one."""
        for before in self.past:
            yield replace(self, attempt=before.attempt, answer=before.answer, answered_at=before.answered_at).answered()
        if self.answer is not None:
            yield self.answered()

    def versions(self) -> list["Version"]:
        """Name the messages that `events` tells of."""
        asked = [Version(each.message_id, 0, POSTED_RANK) for each in (*self.question.earlier, self.question)]
        past = [_version(str(answer_id(self.turn_id, each.attempt)), each.answer) for each in self.past]
        return [*asked, *past, *([_version(self.answer_id, self.answer)] if self.answer else [])]

    def asked(self) -> Iterator[MessagePosted]:
        """Tell of the question, after what came with it."""
        for each in self.earlier():
            # Accepted with the question, whose place is a little later; a copy was with its first.
            yield each.posted(accepted_at=None if each.question.said_at else self.asked_at)
        yield self.posted()

    def posted(self, accepted_at: datetime | None = None) -> MessagePosted:
        """Tell that the question was asked, and accepted: by default, at its place.

        Of one that was asked before this is a copy, and may be stored before the first: it names the first's place.
        """
        question = self.question
        return MessagePosted(
            event_id=derived_id(self.turn_id, f"{MessagePosted.__name__}/{self.question.message_id}"),
            correlation_id=self.correlation_id,
            occurred_at=self.asked_at,
            user_id=self.user_id,
            session_id=self.session_id,
            accepted_at=accepted_at,
            message_id=question.message_id,
            role=question.role,
            content=question.content,
            parts=tuple(question.parts),
            parent_id=question.parent_id,
            client_message_id=question.client_message_id,
            turn_id=None if self.state == POSTED else self.turn_id,
            created_at=question.said_at or self.asked_at,
            model=self.model or None,
            provider=self.provider,
            project_id=self.project_id,
            helper=self.helper,
            metadata=question.metadata,
            client=Client(**question.client) if question.client else None,
        )

    def answered(self) -> MessageAnswered:
        """Tell what the answer was.

        Raises:
            ValueError: It has none yet.
        """
        if self.answer is None or self.answered_at is None:
            raise ValueError(f"turn {self.turn_id} has no answer yet")
        return MessageAnswered(
            event_id=derived_id(self.turn_id, f"{MessageAnswered.__name__}/{self.attempt}/{self.answer.revision}"),
            correlation_id=self.correlation_id,
            occurred_at=self.answered_at,
            user_id=self.user_id,
            session_id=self.session_id,
            accepted_at=self.asked_at,
            message_id=self.answer_id,
            content=self.answer.content,
            parts=tuple(self.answer.parts),
            parent_id=self.question.message_id,
            turn_id=self.turn_id,
            created_at=self.answered_at,
            model=self.model,
            provider=self.provider,
            project_id=self.project_id,
            helper=self.helper,
            attempt=self.attempt,
            revision=self.answer.revision,
            metadata=self.answer.metadata,
            status=self.answer.status,
            error=self.answer.error,
            conversation=self.answer.history,
            trace=self.answer.trace or None,  # read as all the rest is
            rounds=tuple(self.answer.rounds),
        )


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def recorded_trace_id(traceparent: str | None) -> str | None:
    """Read the id of a trace that is recorded: of others there is nothing to be found under it."""
    if traceparent is None or not RECORDED.fullmatch(traceparent):
        return None
    return traceparent[3:35]


def _version(message_id: str, answer: Answer) -> Version:
    return Version(message_id, answer.revision, rank_of(answer.status))
