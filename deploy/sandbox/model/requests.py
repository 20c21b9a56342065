"""A chat completion request, read and checked the way OpenAI does."""

from typing import Any, Literal

import msgspec

from deploy.sandbox.model.errors import BadModelRequestError


class Part(msgspec.Struct, frozen=True):
    """One part of a message's content. Other kinds than text are kept out of the answer."""

    type: str
    text: str = ""


class CalledFunction(msgspec.Struct, frozen=True):
    """The function a tool call names, with its arguments as JSON text."""

    name: str
    arguments: str


class ToolCall(msgspec.Struct, frozen=True):
    """A tool call the assistant made earlier."""

    id: str
    function: CalledFunction


class Message(msgspec.Struct, frozen=True):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """Join the text of all parts."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content if part.type == "text")
        return self.content or ""


class Function(msgspec.Struct, frozen=True):
    """A function the model may call."""

    name: str
    parameters: dict[str, Any] | None = None


class Tool(msgspec.Struct, frozen=True):
    """A tool the model may call; only functions are."""

    function: Function | None = None


class StreamOptions(msgspec.Struct, frozen=True):
    """What a stream carries besides the answer."""

    include_usage: bool = False


class ChatRequest(msgspec.Struct, frozen=True):
    """The fields of a chat completion request that the stand-in minds. Others are allowed and ignored."""

    model: str
    messages: list[Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    n: int | None = None


_decoder = msgspec.json.Decoder(ChatRequest)


def read_chat_request(body: bytes) -> ChatRequest:
    """Read and check a request body.

    Raises:
        BadModelRequestError: what is wrong, naming the field where there is one.
    """
    try:
        asked = _decoder.decode(body)
    except (ValueError, RecursionError) as error:
        reason, _, path = str(error).partition(" - at `$.")
        raise BadModelRequestError(reason + ".", path.rstrip("`") or None) from error
    _check_fields(asked)
    _check_tool_order(asked.messages)
    return asked


def _check_fields(asked: ChatRequest) -> None:
    if not asked.model.strip():
        raise BadModelRequestError("You must provide a model parameter.", "model")
    if not asked.messages:
        raise BadModelRequestError("The messages array is empty.", "messages")
    if asked.stream_options is not None and not asked.stream:
        reason = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise BadModelRequestError(reason, "stream_options")
    if asked.n not in {None, 1}:
        raise BadModelRequestError("The sandbox gives one choice: 'n' must be 1.", "n")


def _check_tool_order(messages: list[Message]) -> None:
    """Insist, as OpenAI does, that every tool call is followed by its result and no result comes without one."""
    waiting: set[str] = set()
    for index, message in enumerate(messages):
        if message.role == "tool":
            if message.tool_call_id not in waiting:
                reason = "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
                raise BadModelRequestError(reason, f"messages[{index}].role")
            waiting.discard(message.tool_call_id)
        elif waiting:
            raise _unanswered(waiting, index)
        elif message.tool_calls:
            waiting = {call.id for call in message.tool_calls}
    if waiting:
        raise _unanswered(waiting, len(messages))


def _unanswered(waiting: set[str], index: int) -> BadModelRequestError:
    reason = (
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        f"'tool_call_id'. These have no response: {', '.join(sorted(waiting))}."
    )
    return BadModelRequestError(reason, f"messages[{index}].role")
