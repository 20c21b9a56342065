"""An answer in OpenAI's wire format: whole, or as the chunks of a stream."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from json.encoder import encode_basestring_ascii

from deploy.sandbox.model.assistant import Answer, CalledTool
from deploy.sandbox.model.requests import ChatRequest

_WORDS = re.compile(r"\s*\S+\s*$|\s*\S+")
_ARGUMENTS_PIECE = 24
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Usage:
    """Estimated tokens: four characters each, and three for each message's frame."""

    prompt: int
    completion: int

    @classmethod
    def of(cls, asked: ChatRequest, answered: Answer) -> "Usage":
        """Estimate what a request and its answer cost."""
        said = len(answered.thought + answered.text + answered.refusal) + sum(
            len(call.name) + len(call.arguments) for call in answered.tools
        )
        return cls(sum(3 + _tokens(len(message.text)) for message in asked.messages), _tokens(said))

    def as_json(self) -> dict[str, int]:
        """Return OpenAI's usage object."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
        }


def _tokens(characters: int) -> int:
    return -(-characters // _CHARACTERS_PER_TOKEN)


def text_pieces(text: str, chunks: int | None) -> list[str]:
    """Cut a text into that many pieces of like size, some empty if there are not enough characters; else words."""
    if chunks is None:
        return _WORDS.findall(text) or ([text] if text else [])
    cuts = [len(text) * i // chunks for i in range(chunks + 1)]
    return [text[start:end] for start, end in pairwise(cuts)]


def whole_completion(request_id: int, asked: ChatRequest, answered: Answer) -> dict[str, object]:
    """Return the body of an answer that isn't streamed; `[end N]` keeps N chunks and gives no finish_reason."""
    end = answered.pacing.end
    text = answered.text if end is None else "".join(text_pieces(answered.text, answered.pacing.chunks)[:end])
    message: dict[str, object] = {"role": "assistant", "content": text or None, "refusal": answered.refusal or None}
    if answered.thought:
        message["reasoning_content"] = answered.thought
    if answered.tools:
        calls = [_call_json(call) for call in answered.tools]
        message["tool_calls"] = calls
    elif not text and not answered.refusal:
        message["content"] = ""
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": answered.finish_reason if end is None else None,
    }
    return {
        "id": f"chatcmpl-sim-{request_id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": asked.model,
        "choices": [choice],
        **({"usage": Usage.of(asked, answered).as_json()} if answered.pacing.is_metered else {}),
        "system_fingerprint": "fp_sandbox",
    }


def _call_json(call: CalledTool) -> dict[str, object]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


class ChunkWriter:
    """Write the server-sent events of one streamed answer; what all of them share is encoded once."""

    def __init__(self, request_id: int, asked: ChatRequest, answered: Answer) -> None:
        self._asked = asked
        self._answered = answered
        wants_usage = bool(asked.stream_options and asked.stream_options.include_usage)
        self._with_usage = wants_usage and answered.pacing.is_metered
        self._head = (
            f'data: {{"id":"chatcmpl-sim-{request_id}","object":"chat.completion.chunk",'
            f'"created":{int(time.time())},"model":{encode_basestring_ascii(asked.model)},'
            '"system_fingerprint":"fp_sandbox",'
        )
        self._open_tail = ',"logprobs":null,"finish_reason":null}]' + self._tail()

    def _tail(self, usage: str = "null") -> str:
        return (f',"usage":{usage}' if self._with_usage else "") + "}\n\n"

    def opening(self) -> bytes:
        """Return the chunk that names the role."""
        return self._chunk('{"role":"assistant","content":"","refusal":null}')

    def before(self) -> Iterator[bytes]:
        """Yield what directives don't count: the thoughts, then the refusal."""
        for name, text in (("reasoning_content", self._answered.thought), ("refusal", self._answered.refusal)):
            for piece in text_pieces(text, None):
                yield self._chunk(f'{{"{name}":{encode_basestring_ascii(piece)}}}')

    def content(self) -> Iterator[bytes]:
        """Yield the chunks that directives count: text, then tool calls."""
        for piece in text_pieces(self._answered.text, self._answered.pacing.chunks):
            yield self._chunk(f'{{"content":{encode_basestring_ascii(piece)}}}')
        for index, call in enumerate(self._answered.tools):
            yield from map(self._chunk, _call_deltas(index, call))

    def closing(self) -> Iterator[bytes]:
        """Yield the finish reason, the usage where it was asked for, and the end mark."""
        reason = self._answered.finish_reason
        choice = f'{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"{reason}"}}'
        yield f'{self._head}"choices":[{choice}]{self._tail()}'.encode()
        if self._with_usage:
            counted = Usage.of(self._asked, self._answered).as_json()
            usage = str(counted).replace("'", '"')
            yield f'{self._head}"choices":[]{self._tail(usage)}'.encode()
        yield b"data: [DONE]\n\n"

    def _chunk(self, delta: str) -> bytes:
        return f'{self._head}"choices":[{{"index":0,"delta":{delta}{self._open_tail}'.encode()


def _call_deltas(index: int, call: CalledTool) -> Iterator[str]:
    """Yield a tool call as OpenAI streams it: id and name first, then the arguments piece by piece."""
    name = encode_basestring_ascii(call.name)
    function = f'{{"name":{name},"arguments":""}}'
    yield f'{{"tool_calls":[{{"index":{index},"id":"{call.id}","type":"function","function":{function}}}]}}'
    for start in range(0, len(call.arguments), _ARGUMENTS_PIECE):
        piece = encode_basestring_ascii(call.arguments[start : start + _ARGUMENTS_PIECE])
        yield f'{{"tool_calls":[{{"index":{index},"function":{{"arguments":{piece}}}}}]}}'
