"""How services of models really answer, and what is kept of each: one row a kind, all against a bare socket.

`docs/models.md` says whose each of them is, and where it was reported.
"""

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.gateway.turns.turn import Answer
from tests.service.gateway.model.stand_in import DONE, HI, STOP, Reply, answered, chunk, event, standing_in

DEEP = b"[" * 100_000 + b"]" * 100_000
EMOJI = "\U0001f600"
ALL = Reply((HI, STOP, DONE))


@dataclass(frozen=True)
class Kind:
    """A way to answer, and what must become of it. The answer's text is "hi" unless the row says otherwise."""

    name: str
    sent: bytes
    status: str = "complete"
    text: str = "hi"
    reason: str = "stop"
    error: str | None = None  # how it ends
    reasoning: str = ""
    tokens: tuple[int | None, int | None] | None = None
    http_status: int = 200
    cut: bool = False
    quirks: str | None = None  # of the service, as the file of models names it


def delta_of(value: Any) -> bytes:
    return event({"choices": [{"delta": value}]})


def beside(**fields: Any) -> bytes:
    """Say hi in a chunk that has these fields too."""
    return event({"choices": [{"index": 0, "delta": {"content": "hi"}}], **fields})


def with_usage(usage: Any, **fields: Any) -> bytes:
    return HI + STOP + event({"choices": [], "usage": usage, **fields}) + DONE


def whole(finish_reason: str | None = "stop", **message: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    completion = {"object": "chat.completion", "choices": [choice]}
    return json.dumps(completion | {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}).encode()


def choice(**fields: Any) -> bytes:
    return event({"choices": [{"index": 0, **fields}]})


def message(text: str) -> bytes:
    return event({"choices": [{"index": 0, "message": {"content": text}}]})


def ollama(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "done": False, **fields}).encode() + b"\n"


OVER = {"done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2}
OLLAMA_END = ollama(message={"content": ""}, **OVER)

FRAMES = [
    Kind("lines end with LF", HI + STOP + DONE),
    Kind("lines end with CRLF", (HI + STOP + DONE).replace(b"\n", b"\r\n")),
    Kind("lines end with CR", (HI + STOP + DONE).replace(b"\n", b"\r")),
    Kind("a byte order mark", b"\xef\xbb\xbf" + HI + STOP + DONE),
    Kind("no space after the colon", (HI + STOP + DONE).replace(b"data: ", b"data:")),
    Kind("JSON in several data lines", HI.replace(b'{"choices"', b'{\ndata: "choices"') + STOP + DONE),
    Kind(
        "a comment before, between and after",
        b": OPENROUTER PROCESSING\n\n" + HI + b": ping\n\n" + STOP + b":\n\n" + DONE,
    ),
    Kind("an empty data line", b"data:\n\n" + HI + b"data: \n\n" + STOP + DONE),
    Kind("events with names and ids", b"id: 1\nevent: message\nretry: 3\n" + HI + STOP + DONE),
    Kind("[DONE] without its line's end", HI + STOP + b"data: [DONE]"),
    Kind("the last chunk without its line's end", HI + STOP.strip()),
    Kind("no blank line between two chunks", (HI + STOP + DONE).replace(b"\n\n", b"\n")),
    Kind("blank lines too many", b"\n\n" + HI + b"\n\n\n" + STOP + b"\n" + DONE),
    Kind("a bare [DONE]", HI + b"[DONE]\n\n"),
    Kind("a comment as data", b"data: : OPENROUTER PROCESSING\n\n" + HI + STOP + DONE),
    Kind("blanks behind the data", (HI + STOP + DONE).replace(b"\n\n", b"  \n\n")),
    Kind(
        "Ollama's own protocol",
        ollama(message={"content": "h"}) + ollama(message={"content": "i"}) + OLLAMA_END,
        tokens=(3, 2),
    ),
    Kind(
        "the same, as events", b"data: " + ollama(message={"content": "hi"}) + b"\ndata: " + OLLAMA_END, tokens=(3, 2)
    ),
    Kind("its older protocol", ollama(response="h") + ollama(response="i") + OLLAMA_END, tokens=(3, 2)),
    Kind("the same piece twice", ollama(response="ha") * 2 + OLLAMA_END, text="haha", tokens=(3, 2)),
    Kind("all of it at once", ollama(message={"content": "hi"}, **OVER), tokens=(3, 2)),
    Kind(
        "its thoughts",
        ollama(message={"content": "", "thinking": "so"}) + ollama(message={"content": "hi"}) + OLLAMA_END,
        reasoning="so",
        tokens=(3, 2),
    ),
    Kind("its limit", ollama(response="hi") + ollama(response="", done=True, done_reason="length"), reason="length"),
    Kind("JSON lines without data:", (HI + STOP).replace(b"data: ", b"").replace(b"\n\n", b"\n")),
]

FIELDS = [
    Kind("choices null", event({"choices": None}) + HI + STOP + DONE),
    Kind("choices empty", event({"choices": []}) + HI + STOP + DONE),
    Kind("choices missing", event({"id": "x"}) + HI + STOP + DONE),
    Kind("choices an object", event({"choices": {"delta": {"content": "hi"}}}) + STOP + DONE),
    Kind("delta null", delta_of(None) + HI + STOP + DONE),
    Kind("delta null with the reason", HI + event({"choices": [{"delta": None, "finish_reason": "stop"}]}) + DONE),
    Kind("role null, and role empty", chunk(role=None, content="h") + chunk(role="", content="i") + STOP + DONE),
    Kind("delta missing", event({"choices": [{"index": 0}]}) + HI + STOP + DONE),
    Kind("delta a text", delta_of("hi") + STOP + DONE),
    Kind("content null", delta_of({"content": None}) + HI + STOP + DONE),
    Kind("content a list of parts", delta_of({"content": [{"type": "text", "text": "hi"}]}) + STOP + DONE),
    Kind("content a list of texts", delta_of({"content": ["h", "i"]}) + STOP + DONE),
    Kind("content a number", delta_of({"content": 42}) + STOP + DONE, text="42"),
    Kind("content false", delta_of({"content": False}) + HI + STOP + DONE),
    Kind("what is spoken", chunk(content=None, audio={"transcript": "h"}) + chunk(audio={"transcript": "i"}) + STOP),
    Kind("what is spoken, beside the text", chunk(content="hi", audio={"transcript": "hi"}) + STOP + DONE),
    Kind("sound without words", HI + chunk(audio={"data": "UklGRg=="}) + chunk(audio={"expires_at": 1}) + STOP + DONE),
    Kind("the text of an older completion", event({"choices": [{"text": "hi"}]}) + STOP + DONE),
    Kind("tool_calls null", delta_of({"content": "hi", "tool_calls": None}) + STOP + DONE),
    Kind("tool_calls with null", delta_of({"content": "hi", "tool_calls": [None]}) + STOP + DONE),
    Kind("tool_calls an object", delta_of({"content": "hi", "tool_calls": {}}) + STOP + DONE),
    Kind("tool_calls with nothing in it", delta_of({"content": "hi", "tool_calls": [{}]}) + STOP + DONE),
    Kind("a function without a name", delta_of({"content": "hi", "tool_calls": [{"function": None}]}) + STOP + DONE),
    Kind("role a number", delta_of({"role": 1, "content": "hi"}) + STOP + DONE),
    Kind("error an empty text", beside(error="") + STOP + DONE),
    Kind("error an empty object", beside(error={}) + STOP + DONE),
    Kind("error false", beside(error=False) + STOP + DONE),
    Kind("error null", beside(error=None) + STOP + DONE),
    Kind("error with nothing in it", beside(error={"code": None, "message": ""}) + STOP + DONE),
    Kind("how far it is", event({"status": "processing", "message": "queue 3"}) + HI + STOP + DONE),
    Kind("a code that says all is well", event({"code": 200, "message": "success"}) + HI + STOP + DONE),
    Kind("MiniMax's status in every chunk", beside(base_resp={"status_code": 0, "status_msg": ""}) + STOP + DONE),
    Kind("citations beside the text", beside(citations=["x"], search_results=[{"url": "x"}]) + STOP + DONE),
    Kind("messages instead of deltas", message("h") + message("i") + STOP + DONE),
    Kind("messages that grow", message("h") + message("hi") + message("hi") + STOP + DONE),
    Kind(
        "a message that grows beside the deltas",
        event({"choices": [{"delta": {"content": "h"}, "message": {"content": "h"}}]})
        + event({"choices": [{"delta": {"content": "i"}, "message": {"content": "hi"}, "finish_reason": "stop"}]}),
    ),
    Kind("data: null", b"data: null\n\n" + HI + STOP + DONE),
    Kind("data: []", b"data: []\n\n" + HI + STOP + DONE),
    Kind("data: ping", b"data: ping\n\n" + HI + STOP + DONE),
    Kind("data: [done]", HI + STOP + b"data: [done]\n\n"),
    Kind("an event called ping", b'event: ping\ndata: {"type": "ping"}\n\n' + HI + STOP + DONE),
    Kind("broken JSON between", b'data: {"choices": [{"del\n\n' + HI + STOP + DONE),
    Kind("invalid UTF-8", HI.replace(b"hi", b"h\xff") + STOP + DONE, text="h\ufffd"),
    Kind("invalid UTF-8 beside the text", HI.replace(b"{", b'{"x": "\xff", ', 1) + STOP + DONE),
    Kind("NaN beside the text", HI.replace(b"{", b'{"x": NaN, ', 1) + STOP + DONE),
    Kind("a very long number", HI.replace(b"{", b'{"x": ' + b"9" * 6000 + b", ", 1) + STOP + DONE),
    Kind("deep nesting beside the text", HI.replace(b"{", b'{"x": ' + DEEP + b", ", 1) + STOP + DONE),
    Kind("a control character in a text", HI.replace(b"hi", b"h\x01") + STOP + DONE, text="h\x01"),
    Kind("NUL in the text", HI.replace(b"hi", b"h\\u0000i") + STOP + DONE),
    Kind("half a character alone", HI.replace(b"hi", b"h\\ud83d") + STOP + DONE, text="h\ufffd"),
    Kind("two halves in two deltas", chunk(content="\ud83d") + chunk(content="\ude00") + STOP + DONE, text=EMOJI),
    Kind("a half at the end", HI + chunk(content="\ud83d"), status="interrupted", text="hi\ufffd", reason="error"),
    Kind(
        "another choice",
        event({"choices": [{"index": 1, "delta": {"content": "no"}}, {"index": 0, "delta": {"content": "hi"}}]})
        + STOP
        + DONE,
    ),
    Kind(
        "finish_reason an empty text",
        event({"choices": [{"delta": {"content": "hi"}, "finish_reason": ""}]}) + STOP + DONE,
    ),
    Kind(
        "finish_reason a number", event({"choices": [{"delta": {"content": "hi"}, "finish_reason": 0}]}) + STOP + DONE
    ),
    Kind("a list of chunks", event([{"choices": [{"delta": {"content": "hi"}}]}]) + STOP + DONE),
]

USAGE = [
    Kind("usage without tokens", beside(usage={"total_tokens": 0, "total_characters": 0}) + STOP + DONE),
    Kind("usage", with_usage({"prompt_tokens": 3, "completion_tokens": 2}), tokens=(3, 2)),
    Kind("usage with nulls", with_usage({"prompt_tokens": None, "completion_tokens": 2}), tokens=(None, 2)),
    Kind("usage in floats", with_usage({"prompt_tokens": 3.0, "completion_tokens": 2.0}), tokens=(3, 2)),
    Kind("usage in texts", with_usage({"prompt_tokens": "3", "completion_tokens": "2"}), tokens=(3, 2)),
    Kind("usage under other names", with_usage({"input_tokens": 3, "output_tokens": 2}), tokens=(3, 2)),
    Kind("usage below zero", with_usage({"prompt_tokens": -1, "completion_tokens": 2}), tokens=(None, 2)),
    Kind("usage a text", with_usage("none")),
    Kind(
        "usage at Groq's place",
        with_usage(None, x_groq={"usage": {"prompt_tokens": 3, "completion_tokens": 2}}),
        tokens=(3, 2),
    ),
    Kind(
        "usage in the choice",
        HI
        + event(
            {"choices": [{"delta": {}, "finish_reason": "stop", "usage": {"prompt_tokens": 3, "completion_tokens": 2}}]}
        )
        + DONE,
        tokens=(3, 2),
    ),
    Kind(
        "usage in every chunk, and zeros at the end",
        beside(usage={"prompt_tokens": 3, "completion_tokens": 2})
        + STOP
        + event({"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}})
        + DONE,
        tokens=(3, 2),
    ),
]

REASONING = [
    Kind("reasoning_content", chunk(reasoning_content="so") + HI + STOP + DONE, reasoning="so"),
    Kind("reasoning", chunk(reasoning="so") + HI + STOP + DONE, reasoning="so"),
    Kind("both at once", chunk(reasoning="so", reasoning_content="so") + HI + STOP + DONE, reasoning="so"),
    Kind("reasoning an object", chunk(reasoning={"content": "so"}) + HI + STOP + DONE, reasoning="so"),
    Kind(
        "reasoning as a part of the content",
        chunk(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "so"}]}]) + HI + STOP + DONE,
        reasoning="so",
    ),
    Kind(
        "nothing but its details",
        chunk(reasoning_details=[{"type": "reasoning.text", "text": "s"}])
        + chunk(reasoning_details=[{"type": "reasoning.summary", "summary": "o"}])
        + chunk(reasoning_details=[{"type": "reasoning.encrypted", "data": "x"}])
        + HI
        + STOP
        + DONE,
        reasoning="so",
    ),
    Kind(
        "its details beside it",
        chunk(reasoning="so", reasoning_details=[{"type": "reasoning.text", "text": "so"}]) + HI + STOP + DONE,
        reasoning="so",
    ),
    Kind("its end without its beginning", chunk(content="so</think>hi") + STOP + DONE, text="so</think>hi"),
    Kind("content empty beside it", chunk(content="", reasoning_content="so") + HI + STOP + DONE, reasoning="so"),
    Kind(
        "two halves in two deltas of reasoning",
        chunk(reasoning="\ud83d") + chunk(reasoning="\ude00") + HI + STOP + DONE,
        reasoning=EMOJI,
    ),
    Kind("reasoning in tags", chunk(content="<think>so</think>\n\nhi") + STOP + DONE, reasoning="so"),
    Kind(
        "reasoning in tags that are cut",
        b"".join(chunk(content=each) for each in ("\n<th", "ink>s", "o</thi", "nk>", "\n\n", "hi")) + STOP + DONE,
        reasoning="so",
    ),
    Kind("reasoning in Gemini's tags", chunk(content="<thought>so</thought>hi") + STOP + DONE, reasoning="so"),
    Kind("reasoning in tags, whole", whole(content="<think>so</think>hi"), reasoning="so", tokens=(3, 2)),
    Kind(
        "reasoning in gpt-oss's own format",
        chunk(content="<|channel|>analysis<|mess")
        + chunk(content="age|>so<|end|><|start|>assistant<|chan")
        + chunk(content="nel|>final<|message|>hi")
        + STOP
        + DONE,
        reasoning="so",
    ),
    Kind(
        "reasoning in Gemma's own format",
        chunk(content="<|chan") + chunk(content="nel>thought\nso\n<chan") + chunk(content="nel|>hi") + STOP + DONE,
        reasoning="\nso\n",
    ),
    Kind("tags that are empty", chunk(content="<think>\n\n</think>\n\nhi") + STOP + DONE, reasoning="\n\n"),
    Kind("what only begins like a tag", chunk(content="<thi") + STOP + DONE, text="<thi"),
    Kind("what only begins like a tag, and no [DONE]", chunk("stop", content="<thi"), text="<thi"),
    Kind("a tag further on", HI + chunk(content="<think>") + STOP + DONE, text="hi<think>"),
    Kind("nothing but reasoning", chunk(reasoning="so") + STOP + DONE, "failed", "", "error", "said nothing", "so"),
    Kind("a refusal", chunk(refusal="hi") + STOP + DONE),
    Kind("a refusal beside an empty text", chunk(content="", refusal="hi") + STOP + DONE),
]

SERVER_ERROR = {"error": {"message": "at 10.0.0.7", "code": "overloaded"}}
RAW = json.dumps({"error": {"message": "too long"}})
ABOUT_US = {"error": {"message": "too long for org-1a", "code": 400}}

ENDS = [
    Kind("length", HI + chunk("length") + DONE, reason="length"),
    Kind("MAX_TOKENS", HI + chunk("MAX_TOKENS") + DONE, reason="length"),
    Kind("content_filter", HI + chunk("content_filter") + DONE, reason="content_filter"),
    Kind("SAFETY", HI + chunk("SAFETY"), reason="content_filter"),
    Kind("a reason with a remark", HI + chunk("content_filter: PROHIBITED_CONTENT"), reason="content_filter"),
    Kind("finishReason", HI + choice(delta={}, finish_reason=None, finishReason="MAX_TOKENS"), reason="length"),
    Kind(
        "UNEXPECTED_TOOL_CALL",
        HI + chunk("UNEXPECTED_TOOL_CALL"),
        "interrupted",
        reason="error",
        error="with an error",
    ),
    Kind("end_turn", HI + chunk("end_turn"), reason="stop"),
    Kind("content-filter", HI + chunk("content-filter"), reason="content_filter"),
    Kind("FinishReason.MAX_TOKENS", HI + chunk("FinishReason.MAX_TOKENS"), reason="length"),
    *(Kind(word, HI + chunk(word)) for word in ("eos", "eos_token", "stop_sequence", "COMPLETE", "STOP")),
    Kind("a reason that nobody knows", HI + chunk("eos_found"), reason="stop"),
    Kind("a reason and no [DONE]", HI + STOP),
    Kind("[DONE] and no reason", HI + DONE),
    Kind("a reason with the last text", chunk("stop", content="hi") + DONE),
    Kind("a reason with every text", chunk("stop", content="h") + chunk("stop", content="i") + DONE),
    Kind("a reason and then null", HI + STOP + chunk(None) + DONE),
    Kind(
        "a reason and then a filter's result",
        HI + STOP + event({"choices": [{"content_filter_offsets": {}, "finish_reason": None}]}) + DONE,
    ),
    Kind("a reason and then an error", HI + STOP + event(SERVER_ERROR)),
    Kind("a reason and then the reason error", HI + STOP + chunk("error") + DONE),
    Kind("a half at the end, and [DONE]", HI + chunk(content="\ud83d") + DONE, text="hi\ufffd"),
    Kind("a reason and then a cut", HI + STOP, cut=True),
    Kind("tool_calls without a call", HI + chunk("tool_calls") + DONE),
    Kind("neither", HI, "interrupted", reason="error", error="broke off"),
    Kind("a cut", HI, "interrupted", reason="error", error="ClientPayloadError", cut=True),
    Kind(
        "a cut in the middle of a chunk",
        HI + STOP[:20],
        "interrupted",
        reason="error",
        error="ClientPayloadError",
        cut=True,
    ),
    Kind(
        "another's error called stop",
        HI + choice(delta={}, finish_reason="stop", native_finish_reason="network_error") + DONE,
        "interrupted",
        reason="error",
        error="with an error",
    ),
    Kind(
        "another's error called stop, in an odd chunk",
        HI + choice(delta=None, finish_reason="stop", native_finish_reason="error") + DONE,
        "interrupted",
        reason="error",
        error="with an error",
    ),
    Kind("another's word for it", HI + choice(delta={}, finish_reason="stop", native_finish_reason="STOP") + DONE),
    Kind("the reason error", HI + chunk("error") + DONE, "interrupted", reason="error", error="with an error"),
    Kind(
        "insufficient_system_resource",
        HI + chunk("insufficient_system_resource") + DONE,
        "interrupted",
        reason="error",
        error="with an error",
    ),
    Kind(
        "an error in the middle",
        HI + event(SERVER_ERROR) + DONE,
        "interrupted",
        reason="error",
        error="reported an error (overloaded)",
    ),
    Kind(
        "an error beside the text",
        beside(error=SERVER_ERROR["error"]) + DONE,
        "interrupted",
        reason="error",
        error="(overloaded)",
    ),
    Kind(
        "an error in the choice",
        HI + event({"choices": [{"delta": {}, "error": SERVER_ERROR["error"]}]}),
        "interrupted",
        reason="error",
        error="(overloaded)",
    ),
    Kind(
        "an error about the request",
        event(ABOUT_US) + DONE,
        "failed",
        "",
        "error",
        "reported an error: too long for ***",
    ),
    Kind(
        "an error as a text",
        event({"error": "overloaded", "error_type": "overloaded"}),
        "failed",
        "",
        "error",
        "(overloaded)",
    ),
    Kind(
        "an event called error",
        b'event: error\ndata: {"message": "x", "code": "overloaded"}\n\n',
        "failed",
        "",
        "error",
        "(overloaded)",
    ),
    Kind(
        "an event called error, with details",
        b'event: error\ndata: {"code": 400, "details": "too many"}\n\n' + DONE,
        "failed",
        "",
        "error",
        "reported an error: too many",
    ),
    Kind(
        "llama.cpp's word for too long, under status 200",
        json.dumps({"error": {"code": 500, "message": "too long", "type": "exceed_context_size_error"}}).encode(),
        "failed",
        "",
        "error",
        "reported an error: too long",
    ),
    Kind(
        "a line called error",
        b'error: {"code": 400, "message": "too long"}\n\n' + DONE,
        "failed",
        "",
        "error",
        ": too long",
    ),
    Kind(
        "an error as a bare line",
        HI + b'{"error": {"message": "too long", "code": 400}}\n',
        "interrupted",
        reason="error",
        error="reported an error: too long",
    ),
    Kind(
        "a list of errors",
        event({"success": False, "errors": [{"code": 400, "message": "too long"}]}),
        "failed",
        "",
        "error",
        "reported an error: too long",
    ),
    Kind(
        "MiniMax's error",
        event({"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
        "failed",
        "",
        "error",
        "reported an error",
    ),
    Kind(
        "an error's status in statusCode",
        event({"statusCode": 413, "message": "too long"}),
        "failed",
        "",
        "error",
        "reported an error: too long",
    ),
    Kind(
        "OpenRouter's word for another's error",
        event({"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": RAW}}}),
        "failed",
        "",
        "error",
        "reported an error: too long",
    ),
    Kind(
        "an error about the request with the reason error",
        event({"choices": [{"delta": {}, "finish_reason": "error"}], **ABOUT_US}),
        "failed",
        "",
        "error",
        "reported an error: too long for ***",
    ),
    Kind(
        "an error with the reason error",
        HI + event({"choices": [{"delta": {"content": ""}, "finish_reason": "error"}], **SERVER_ERROR}),
        "interrupted",
        reason="error",
        error="reported an error (overloaded)",
    ),
    Kind(
        "object: error",
        event({"object": "error", "message": "too long", "code": 400}),
        "failed",
        "",
        "error",
        ": too long",
    ),
    Kind(
        "an error with its status in status_code",
        event({"error": {"message": "no tool f", "code": "tool_use_failed", "status_code": 400}}),
        "failed",
        "",
        "error",
        "reported an error: no tool f",
    ),
    Kind("FastAPI's detail", event({"detail": "no"}), "failed", "", "error", "reported an error"),
    Kind("[DONE] only", DONE, "failed", "", "error", "said nothing"),
    Kind("an end only", STOP + DONE, "failed", "", "error", "said nothing"),
    Kind(
        "length before any text",
        chunk("length") + DONE,
        "failed",
        "",
        "length",
        "limit of tokens before it said anything",
    ),
    Kind(
        "content_filter before any text",
        chunk("content_filter") + DONE,
        "failed",
        "",
        "content_filter",
        "content filter of the model's service",
    ),
    Kind("an empty body", b"", "failed", "", "error", "answered with nothing"),
    Kind("comments only", b": ping\n\n: ping\n\n", "failed", "", "error", "answered with nothing"),
    Kind(
        "a web page",
        b"<!doctype html><p>502 at 10.0.0.7",
        "failed",
        "",
        "error",
        "sent a web page instead of an answer",
    ),
    Kind("JSON of something else", b'{"status": "up"}', "failed", "", "error", "something that is no answer"),
    Kind("an error that is no stream", json.dumps(SERVER_ERROR).encode(), "failed", "", "error", "(overloaded)"),
    Kind("a list with an error", json.dumps([ABOUT_US]).encode(), "failed", "", "error", ": too long for ***"),
    Kind("a whole completion", whole(content="hi"), tokens=(3, 2)),
    Kind("a whole completion, pretty", json.dumps(json.loads(whole(content="hi")), indent=2).encode(), tokens=(3, 2)),
    Kind("a whole completion that was cut short", whole("length", content="hi"), reason="length", tokens=(3, 2)),
    Kind("a whole completion without a reason", whole(None, content="hi"), tokens=(3, 2)),
    Kind("a whole completion with [DONE] behind it", whole(content="hi") + b"\n\ndata: [DONE]\n\n", tokens=(3, 2)),
    Kind("a whole completion as an event", b"data: " + whole(content="hi") + b"\n\n" + DONE, tokens=(3, 2)),
    Kind("the whole message after its pieces", HI + b"data: " + whole(content="hi") + b"\n\n" + DONE, tokens=(3, 2)),
    Kind(
        "a whole completion with reasoning", whole(content="hi", reasoning_content="so"), reasoning="so", tokens=(3, 2)
    ),
    Kind(
        "a tool",
        chunk("tool_calls", tool_calls=[{"index": 0, "function": {"name": "f", "arguments": ""}}]) + DONE,
        "failed",
        "",
        "tool_calls",
        "asked for the tool 'f'; this version offers it none",
    ),
    Kind(
        "a tool after text, and stop",
        HI + chunk("stop", tool_calls=[{"function": {"name": "f"}}]) + DONE,
        "interrupted",
        reason="tool_calls",
        error="the tool 'f'; this version offers it none",
    ),
    Kind(
        "a tool beside text, and stop",
        chunk(content="hi", tool_calls=[{"function": {"name": "f"}}]) + STOP + DONE,
        "interrupted",
        reason="tool_calls",
        error="the tool 'f'; this version offers it none",
    ),
    Kind(
        "a function, the older way",
        chunk("function_call", function_call={"name": "f"}) + DONE,
        "failed",
        "",
        "tool_calls",
        "the tool 'f'; this version offers it none",
    ),
]


DECLARED = [
    Kind(
        "each piece is all that came so far",
        chunk(content="h") + chunk(content="h") + chunk(content="hi") + STOP + DONE,
        quirks="repeats",
    ),
    Kind(
        "the same, and thoughts",
        chunk(reasoning="s") + chunk(reasoning="so") + chunk(reasoning="so", content="h") + chunk(content="hi") + STOP,
        reasoning="so",
        quirks="repeats",
    ),
    Kind(
        "the same, and all of it in the end",
        HI + b"data: " + whole(content="hi") + b"\n\n",
        tokens=(3, 2),
        quirks="repeats",
    ),
    Kind("the same word twice, where nothing is declared", HI + HI + STOP + DONE, text="hihi"),
    Kind(
        "the last piece is all of it",
        chunk(content="h") + chunk(content="i") + chunk("stop", content="hi") + DONE,
        quirks="ends_with_all",
    ),
    Kind(
        "the same, where pieces repeat each other",
        chunk(content="ha") * 2 + chunk("stop", content="haha") + DONE,
        text="haha",
        quirks="ends_with_all",
    ),
    Kind(
        "the same, where it is the only one",
        chunk("stop", content="hi") + DONE,
        quirks="ends_with_all",
    ),
    Kind(
        "a thought without its beginning",
        b"".join(chunk(content=each) for each in ("s", "o</th", "ink>", "\n", "hi")) + STOP + DONE,
        reasoning="so",
        quirks="thinks_first",
    ),
    Kind("the same, whole", whole(content="so</think>hi"), reasoning="so", tokens=(3, 2), quirks="thinks_first"),
    Kind(
        "the same, with its beginning",
        chunk(content="<thi") + chunk(content="nk>so</think>hi") + STOP + DONE,
        reasoning="so",
        quirks="thinks_first",
    ),
    Kind("the same, told apart", chunk(reasoning="so") + HI + STOP + DONE, reasoning="so", quirks="thinks_first"),
    Kind("no thought after all", HI + STOP + DONE, reasoning="hi", quirks="thinks_first"),
    Kind(
        "a thought that takes all there may be",
        chunk(content="so") + chunk("length") + DONE,
        "failed",
        "",
        "length",
        "limit of tokens before it said anything",
        "so",
        quirks="thinks_first",
    ),
]


def described(answer: Answer) -> dict[str, Any]:
    trace = answer.trace or {}
    thoughts = [part["text"] for part in answer.parts if part["type"] == "reasoning"]
    reported = trace["usage_source"] == "reported"
    return {
        "status": answer.status,
        "text": answer.content,
        "parts": "".join(part["text"] for part in answer.parts if part["type"] == "text"),
        "reason": trace["finish_reason"],
        "reasoning": "".join(thoughts),
        "tokens": (trace["input_tokens"], trace["output_tokens"]) if reported else None,
    }


@pytest.mark.parametrize("pieces", ["whole", "byte by byte"])
@pytest.mark.parametrize("kind", [*FRAMES, *FIELDS, *USAGE, *REASONING, *ENDS, *DECLARED], ids=lambda kind: kind.name)
async def test_an_answer_is_read_as_services_really_send_it(kind: Kind, pieces: str, tmp_path: Path) -> None:
    is_long = len(kind.sent) > 10_000
    step = (
        1
        if pieces == "byte by byte" and not is_long
        else 1000
        if is_long and pieces != "whole"
        else len(kind.sent) or 1
    )
    body = tuple(kind.sent[at : at + step] for at in range(0, len(kind.sent), step))
    async with standing_in(Reply(body, kind.http_status, cut=kind.cut)) as service:
        file = tmp_path / "models.toml"
        if kind.quirks:
            quirks = f"quirks = {{ {kind.quirks} = true }}"
            file.write_text(
                f'[[upstreams]]\nname = "odd"\nbase_url = "{service.url}"\nmodels = ["sandbox-small"]\n{quirks}\n'
            )
        answer = await answered(service, models_file=str(file) if kind.quirks else "")
    assert described(answer) == {
        "status": kind.status,
        "text": kind.text,
        "parts": kind.text,
        "reason": kind.reason,
        "reasoning": kind.reasoning,
        "tokens": kind.tokens,
    }
    assert (answer.error or "").endswith(kind.error or "")
    assert (answer.error is None) == (kind.status == "complete")


async def test_a_refusal_is_marked_as_one() -> None:
    async with standing_in(Reply((chunk(refusal="I will not."), STOP, DONE))) as service:
        answer = await answered(service)
    assert answer.metadata == {"finish_reason": "stop", "refusal": True}


async def test_a_line_that_is_too_long_ends_the_answer_with_its_text() -> None:
    flood = b"data: " + b"x" * 3000
    async with standing_in(Reply((HI, *[flood] * 5, b"\n\n", HI, STOP, DONE))) as service:
        answer = await answered(service, model_event_bytes=10_000)
    assert (answer.status, answer.content) == ("interrupted", "hi")
    assert answer.error == "the model's service sent an event of more than 10000 bytes"


ZIPPED = ("Content-Type: text/event-stream", "Content-Encoding: gzip")


def zipped(*pieces: bytes) -> list[bytes]:
    """Compress a stream so that each piece can be read when it comes."""
    packer = zlib.compressobj(wbits=31)
    return [packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for piece in pieces] + [packer.flush()]


async def test_nobody_is_asked_to_compress_a_stream() -> None:
    async with standing_in(Reply((HI, STOP, DONE))) as service:
        await answered(service)
    assert "\r\nAccept-Encoding: identity\r\n" in service.heads[0]


async def test_a_stream_that_is_compressed_all_the_same_is_read_as_it_comes() -> None:
    hi, *_ = zipped(HI, STOP, DONE)
    async with standing_in(Reply((hi,), headers=ZIPPED, forever=b"")) as service:
        answer = await answered(service, model_silence_s=0.1)
    assert (answer.status, answer.content) == ("interrupted", "hi")  # while more of it might have come


async def test_a_compressed_stream_is_read_to_its_end() -> None:
    async with standing_in(Reply(zipped(HI, STOP, DONE), headers=ZIPPED)) as service:
        answer = await answered(service)
    assert (answer.status, answer.content) == ("complete", "hi")


async def test_what_only_says_that_it_is_compressed_ends_the_call() -> None:
    async with standing_in(Reply((HI, STOP, DONE), headers=ZIPPED)) as service:
        answer = await answered(service)
    assert answer.status == "failed"
    assert (answer.error or "").startswith("the connection to the model's service broke")


async def test_lines_of_json_are_read_as_they_come() -> None:
    async with standing_in(Reply((ollama(message={"content": "hi"}),), forever=b"")) as service:
        answer = await answered(service, model_silence_s=0.1)
    assert (answer.status, answer.content) == ("interrupted", "hi")
