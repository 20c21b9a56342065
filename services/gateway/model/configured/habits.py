"""What a service does not take of a request, and how to ask it all the same: configured, or learnt from its refusals.

Only what a service must know is sent for certain: the model, the messages, and that the answer is to be streamed. Each
other field is refused by somebody (Mistral refuses all that it does not know:
https://github.com/mistralai/platform-docs-public/issues/7). Templates of models want user and assistant by turns
(https://github.com/vllm-project/vllm/issues/16774), and llama.cpp says so with a 500
(https://github.com/anomalyco/opencode/issues/19840).
"""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Self

from services.gateway.model.configured.plain import (
    beside_what_is_known,
    made_plain,
    names_it,
    refuses_developer,
    refuses_field,
    wants_back,
    without_developer,
)
from services.gateway.model.relayed import Relayed

LEARNS_FIELDS = frozenset((400, 422))
LEARNS_ROLES = frozenset((400, 422, 500))
ALTERNATION = re.compile(
    r"roles? must alternate|roles? (?:should|must) be alternating|alternate (?:between|with)|alternat\w* user"
    r"|(?:consecutive|successive) (?:user|assistant|messages|roles)|expected last role",
    re.IGNORECASE,
)
NO_SYSTEM = re.compile(
    r"system (?:role|messages?|prompts?) (?:is |are )?(?:not|un)\s?(?:supported|allowed)"
    r"|n[o']t support (?:the )?'?system"
    r"|developer instruction is not enabled|only user(?:,| and) (?:assistant|model)[\w ]* roles? (?:is|are) supported",
    re.IGNORECASE,
)
UNKNOWN_FIELD = re.compile(
    r"extra (?:inputs|fields|parameters)|(?:unknown|unrecognized|unexpected|unsupported|additional) "
    r"(?:request )?(?:argument|parameter|field|propert|key|name)|not permitted",
    re.IGNORECASE,
)
# The field is known, and what was sent in it is not taken: whoever chose it must hear that.
BAD_VALUE = re.compile(
    r"\btoo (?:large|small|big|high|low|long|short)\b|out of range|\brange\b|(?:less|greater) than|at (?:most|least)"
    r"|must be (?:in|between|within|an?)\b|maximum|minimum|exceed",
    re.IGNORECASE,
)
# OpenAI's first models that think, and those that an account has not been let stream.
NO_STREAM = re.compile(
    r"['\"`]?stream['\"`]? does(?:n't| not) support|verified to stream|(?:does not|n't) support stream(?:ing)?\b"
    r"|streaming is (?:not|un)\s?(?:supported|allowed|available|enabled)",
    re.IGNORECASE,
)
INSTRUCTIONS = ("system", "developer")  # roles
# Models without tools, and services that do not know how theirs calls them: Ollama, OpenRouter (with a 404), vLLM
# (https://github.com/langchain4j/langchain4j/issues/3475), llama.cpp (with a 500).
NO_TOOLS = re.compile(
    r"(?:does(?:n't| not)|not) support (?:tool|function)|(?:tool|function)[ _-]?(?:use|call\w*|choice)?s?['\"`]* "
    r"(?:is |are )?(?:not|un)\s?(?:supported|available|enabled)|support tool use|enable-auto-tool-choice"
    r"|tools? param\w* requires",
    re.IGNORECASE,
)
LEARNS_TOOLS = frozenset((400, 404, 422, 500, 501))
OF_TOOLS = frozenset(("tools", "tool_choice"))
OF_STREAMS = "stream_options"  # refused without one
MUST_KNOW = frozenset(("model", "messages", "stream"))
INNER = {"include_usage": "stream_options"}  # a field that is refused by the name of what is in it
LIMITS = ("max_tokens", "max_completion_tokens")  # one name each, of different ages
MOST_LESSONS = 6  # of one question; each costs a request
OPENING = "(The assistant opened the conversation.)"

Message = dict[str, Any]


@dataclass(frozen=True)
class Habits:
    """How one service wants to be asked."""

    refused: frozenset[str] = frozenset()  # fields that are not sent
    renamed: tuple[tuple[str, str], ...] = ()  # fields that have another name there
    alternates: bool = False  # user and assistant must take turns
    without_system: bool = False  # the prompt must stand in the first question
    whole: bool = False  # it answers all at once, or not at all
    plain: bool = False  # its messages have nothing beside what every service knows
    echoes: bool = False  # or all that they have: it has missed some of it
    without_developer: bool = False  # who is the system there

    def body(
        self, model: str, messages: Sequence[Message], fields: Mapping[str, Any], *, streams: bool = True
    ) -> Message:
        """Return the request; `fields` are those that it can do without."""
        sent, streams = fields, streams and not self.whole
        if self.renamed or self.refused:
            names = dict(self.renamed)
            wanted = {names.get(name, name): value for name, value in fields.items()}
            sent = {name: value for name, value in wanted.items() if name not in self.refused}
        if not streams:
            sent = {name: value for name, value in sent.items() if name != OF_STREAMS}
        return {"model": model, "messages": self.arranged(messages), "stream": streams, **sent}

    def arranged(self, messages: Sequence[Message]) -> list[Message]:
        """Put the messages as this service takes them; nothing that was said is left out."""
        arranged = list(messages)
        if self.without_system and arranged and arranged[0]["role"] in INSTRUCTIONS:
            prompt, *arranged = arranged
            first = next((at for at, message in enumerate(arranged) if message["role"] == "user"), 0)
            arranged[first : first + 1] = [_joined(prompt, message, "user") for message in arranged[first : first + 1]]
        if self.plain:
            arranged = [made_plain(message) for message in arranged]
        if self.without_developer:
            arranged = [without_developer(message) for message in arranged]
        if OF_TOOLS & self.refused:
            arranged = [_without_calls(message) for message in arranged]
        return _alternating(arranged) if self.alternates else arranged

    def taught(
        self, status: int, said: str, fields: Iterable[str], others: Iterable[str] = (), beside: Set[str] = frozenset()
    ) -> Self | None:
        """Return what a refusal teaches; None where it teaches nothing new.

        Args:
            status: Of the answer.
            said: All of it.
            fields: What was sent that need not be.
            others: What a client wrote, whose it is to hear of it.
            beside: What messages have beside what every service knows: fields, and the role `developer`.
        """
        wants_turns = ALTERNATION.search(said)
        if status in LEARNS_ROLES and wants_turns and not self.alternates:
            return replace(self, alternates=True)
        # What still wants turns counts the prompt as one: templates without a role for it say no more than that.
        if status in LEARNS_ROLES and (wants_turns or NO_SYSTEM.search(said)) and not self.without_system:
            return replace(self, without_system=True)
        if status in LEARNS_FIELDS and NO_STREAM.search(said) and not self.whole:
            return replace(self, whole=True)
        sent = set(fields)
        if status in LEARNS_TOOLS and "tools" in sent and NO_TOOLS.search(said):
            return replace(self, refused=self.refused | OF_TOOLS)
        if (taught := self._taught_messages(status, said, frozenset(beside))) is not None:
            return taught
        taught = self._taught_fields(said, sent, others) if status in LEARNS_FIELDS else None
        return replace(taught, refused=taught.refused | OF_TOOLS) if taught and "tools" in taught.refused else taught

    def _taught_messages(self, status: int, said: str, beside: frozenset[str]) -> Self | None:
        """Return what a refusal teaches of what messages have beside what every service knows."""
        if status in LEARNS_ROLES and not self.without_developer and refuses_developer(said, beside):
            return replace(self, without_developer=True)
        if status not in LEARNS_FIELDS:
            return None
        if self.plain:
            return replace(self, plain=False, echoes=True) if wants_back(said, beside) else None
        return replace(self, plain=True) if not self.echoes and refuses_field(said, beside) else None

    def _taught_fields(self, said: str, fields: set[str], others: Iterable[str]) -> Self | None:
        is_unknown = UNKNOWN_FIELD.search(said)
        if not is_unknown and BAD_VALUE.search(said):
            return None
        named = {name for name in fields if names_it(said, name)}
        named |= {outer for inner, outer in INNER.items() if outer in fields and names_it(said, inner)}
        for name, other in (LIMITS, LIMITS[::-1]):
            if name in named and name not in dict(self.renamed).values():
                return replace(self, renamed=(*self.renamed, (name, other)))
        if not named and is_unknown and not any(names_it(said, name) for name in others):
            named = fields
        return replace(self, refused=self.refused | named) if named else None


class Asking:
    """A question, put to a service as that wants it: what a refusal teaches is for the next try.

    Args:
        known: How it wants to be asked, as far as that is known.
        model: As it is called there.
        messages: What was said.
        fields: What else it is sent, as far as it takes that.
        relayed: The request that this passes on. What its client wrote is sent as it is, and where it is refused, the
            client is to hear that.
    """

    def __init__(
        self,
        known: Habits,
        model: str,
        messages: Sequence[Message],
        fields: Mapping[str, Any],
        relayed: Relayed | None = None,
    ) -> None:
        self._relayed = relayed
        self.model = model
        self.habits = self.known = known
        self._messages = messages
        self._fields = fields
        self._lessons = 0
        self._sent: set[str] = set()

    def body(self) -> Message:
        """Return the request."""
        relayed, habits = self._relayed, self.habits
        if relayed is not None and "tools" in relayed.fields:  # its client is to hear that there are none
            habits = replace(habits, refused=habits.refused - OF_TOOLS)
        body = habits.body(self.model, self._messages, self._fields, streams=relayed is None or relayed.streams)
        self._sent = body.keys() - MUST_KNOW
        if relayed is not None:
            self._sent -= relayed.fields.keys() - {OF_STREAMS} - relayed.may_rename  # nobody misses the former much
        return body

    def learns(self, status: int, said: str) -> bool:
        """Tell whether a refusal teaches how to ask; then the next `body` is another one."""
        self._lessons += 1
        others = self._relayed.fields if self._relayed is not None else ()
        beside = beside_what_is_known(self._messages)
        has_more = self._lessons < MOST_LESSONS
        taught = self.habits.taught(status, said, self._sent, others, beside) if has_more else None
        self.habits = taught or self.habits
        return taught is not None


def _alternating(messages: Sequence[Message]) -> list[Message]:
    """Unite neighbours of one role: two questions in a row are what a failed turn leaves."""
    united: list[Message] = []
    for message in messages:
        if united and united[-1]["role"] == message["role"] and _is_text(united[-1]) and _is_text(message):
            united[-1] = _joined(united[-1], message, message["role"])
        else:
            united.append(message)
    first = next((at for at, message in enumerate(united) if message["role"] != "system"), len(united))
    opens = united[first : first + 1]
    if opens and opens[0]["role"] == "assistant":
        united.insert(first, {"role": "user", "content": OPENING})
    return united


def _without_calls(message: Message) -> Message:
    """Tell in words of calls that were made where they cannot be told otherwise."""
    if message["role"] == "tool":
        return {"role": "user", "content": text_of(message)}
    names = [call["function"]["name"] for call in message.get("tool_calls") or ()]
    if not names:
        return message
    return {"role": "assistant", "content": "\n\n".join(filter(None, (text_of(message), f"({', '.join(names)})")))}


def _is_text(message: Message) -> bool:
    """Tell a message that is nothing but text from one with calls, or of another shape."""
    return message.keys() == {"role", "content"} and isinstance(message["content"], str)


def _joined(message: Message, other: Message, role: str) -> Message:
    return {"role": role, "content": f"{text_of(message)}\n\n{text_of(other)}"}


def text_of(message: Message) -> str:
    """Return the text of a message, be it one, none, or in parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return "\n".join(str(part["text"]) for part in parts if isinstance(part, dict) and "text" in part)
