"""The fields of a request of OpenAI's Responses beside its input, in the words of chat completions. Pure.

What only OpenAI itself can do is refused by name; what asks for something that there never is here, or bounds it, is
taken. A field that nobody knows is the model's service's to take or to refuse, as those are that many services have
beside OpenAI's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from services.gateway.http.requests.refused_field import refused_field
from services.gateway.v1.reading.asked import typed
from services.gateway.v1.reading.conversation import shown
from services.gateway.v1.reading.tool_fields import with_tools_alone

UNSUPPORTED = {  # by name, with what is there instead
    "access_programs": "only OpenAI has them",
    "background": "the answer is waited for, or streamed",
    "context_management": "nothing is compacted",
    "conversation": "send previous_response_id, or X-Session-Id",
    "image": "only text is answered",
    "moderation": "nothing is moderated here",
    "prompt": "send instructions",
    "prompt_cache_options": "the model's service chooses what it caches",
    "top_logprobs": "ask for them by chat completions",
}
HARMLESS = {"background": False, "top_logprobs": 0}  # what is meant where nothing is said
# Read here, and sent as chat completions have it; nothing but what is not among these is sent as it is.
OURS = frozenset(
    (
        *("model", "input", "instructions", "previous_response_id", "store", "stream", "stream_options", "metadata"),
        *("include", "truncation", "max_output_tokens", "max_tool_calls", "reasoning", "text", "tools", "tool_choice"),
        "client_metadata",  # of Codex, for its own service: others refuse it (https://github.com/BerriAI/litellm/pull/36268)
        *UNSUPPORTED,
    )
)
# Of these there is never anything here: no tool is built in, no image is taken, and all thoughts are told.
INCLUDABLE = frozenset(
    (
        *("file_search_call.results", "web_search_call.results", "web_search_call.action.sources"),
        *("message.input_image.image_url", "computer_call_output.output.image_url", "code_interpreter_call.outputs"),
        "reasoning.encrypted_content",
    )
)
# As it is in any case: what was thought in earlier turns no model is told.
REASONING = {"context": ("auto", "current_turn"), "mode": ("standard",)}
LIMIT = "max_completion_tokens"  # as OpenAI calls it; others know it by an older name


def refuse_unsupported(said: Mapping[str, Any]) -> None:
    """Refuse what cannot be done here.

    Raises:
        Invalid: It asks for some of that; the field is named as OpenAI names it.
    """
    for name, instead in UNSUPPORTED.items():
        if said.get(name) is not None and said[name] != HARMLESS.get(name, ...):
            raise refused_field(name, f"is not supported: {instead}")
    check_included(typed(said, "include", list) or ())
    if said.get("truncation") not in (None, "disabled"):
        raise refused_field("truncation", 'must be "disabled": nothing of the input is left out')
    if said.get("max_tool_calls") is not None and type(said["max_tool_calls"]) is not int:
        raise refused_field("max_tool_calls", "must be a whole number")  # of calls of tools that are built in: none is
    typed(said, "stream_options", dict)


def check_included(wanted: Iterable[Any]) -> None:
    """Refuse to include in an answer what is not there to be had.

    Raises:
        Invalid: Some of that is wanted.
    """
    for name in wanted:
        if not isinstance(name, str) or name not in INCLUDABLE:
            raise refused_field("include", f"{shown(name)} is not supported")


def sent_fields(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the model's service is sent beside the messages.

    Raises:
        Invalid: Some of it can't be so; the field is named as OpenAI names it.
    """
    fields = {name: value for name, value in said.items() if name not in OURS and value is not None}
    translated = {
        LIMIT: _limit(said),
        "reasoning_effort": _of_reasoning(said),
        **_of_text(said),
        **_of_tools(said),
    }
    return with_tools_alone(fields | {name: value for name, value in translated.items() if value is not None})


def _limit(said: Mapping[str, Any]) -> int | None:
    limit: int | None = said.get("max_output_tokens")
    if limit is None or type(limit) is int:
        return limit
    raise refused_field("max_output_tokens", "must be a whole number")


def _of_reasoning(said: Mapping[str, Any]) -> Any:
    """Return how much is to be thought; summaries of it there are none, since all of it is told."""
    wanted = typed(said, "reasoning", dict) or {}
    for name, value in wanted.items():
        if value in (None, *REASONING.get(name, ())) or name in ("effort", "summary", "generate_summary"):
            continue
        raise refused_field(f"reasoning.{shown(name)}", "is not supported")
    return wanted.get("effort")


def _of_text(said: Mapping[str, Any]) -> dict[str, Any]:
    text = typed(said, "text", dict) or {}
    form = text.get("format")
    if form is not None and not isinstance(form, dict):
        raise refused_field("text.format", "must be an object")
    return {"verbosity": text.get("verbosity"), "response_format": _format(form) if form else None}


def _format(form: Mapping[str, Any]) -> dict[str, Any] | None:
    kind = form.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": kind}
    if kind == "json_schema":
        return {"type": kind, kind: {name: value for name, value in form.items() if name != "type"}}
    raise refused_field("text.format.type", f"{shown(kind)} is not supported: text, json_object and json_schema are")


def _listed(said: Mapping[str, Any], name: str, read: Callable[[Any, str], Any]) -> Sequence[Any]:
    return [read(each, f"{name}[{number}]") for number, each in enumerate(typed(said, name, list) or ())]


def _tool(tool: Any, place: str) -> dict[str, Any]:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if kind != "function":
        raise refused_field(f"{place}.type", f"{shown(kind)} is not supported: only functions are")
    if not isinstance(tool.get("name"), str):
        raise refused_field(f"{place}.name", "must be a string")
    told = ("name", "description", "parameters", "strict")
    return {"type": kind, kind: {name: tool[name] for name in told if tool.get(name) is not None}}


def _of_tools(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return which tools may be called, and how: those alone that are allowed, which every service understands."""
    tools, choice = _listed(said, "tools", _tool), said.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        allowed = _listed(choice, "tools", _allowed)
        tools, choice = [tool for tool in tools if tool["function"]["name"] in allowed], choice.get("mode")
    return {"tools": tools or None, "tool_choice": _choice(choice)}


def _allowed(tool: Any, place: str) -> str:
    name = tool.get("name") if isinstance(tool, dict) and tool.get("type") == "function" else None
    if not isinstance(name, str):
        raise refused_field(f"tool_choice.{place}", "must name a function")
    return name


def _choice(choice: Any) -> Any:
    if choice is None or choice in ("none", "auto", "required"):
        return choice
    kind = choice.get("type") if isinstance(choice, dict) else choice
    if kind != "function":
        raise refused_field("tool_choice", f"{shown(kind)} is not supported: none, auto, required and a function are")
    return {"type": kind, kind: {"name": choice.get("name")}}
