"""How an answer ended: one pure function of what was seen of it, which everybody who tells of it reads."""

from dataclasses import dataclass

from shared.events import AnswerStatus

TOOL_NAME_LENGTH = 64
STOP, LENGTH, FILTERED, TOOLS, ERROR = "stop", "length", "content_filter", "tool_calls", "error"

# The words that services have for it, in lower case and up to a colon; `docs/models.md` says whose they are.
REASONS = {
    LENGTH: ("length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"),
    FILTERED: (
        *("content_filter", "content_filtered", "sensitive", "refusal", "error_toxic", "guardrail_intervened"),
        *("safety", "recitation", "blocklist", "prohibited_content", "spii", "image_safety"),
    ),
    TOOLS: ("tool_calls", "tool_call", "tool_use", "function_call"),
    ERROR: (
        *("error", "abort", "aborted", "cancelled", "network_error", "insufficient_system_resource"),
        *("malformed_function_call", "malformed_response", "unexpected_tool_call", "error_limit"),
    ),
}
REASON_OF = {word: reason for reason, words in REASONS.items() for word in words}
ENDED_WITH_ERROR = "the model's service ended the answer with an error"
WITHOUT_TEXT = {
    STOP: "the model said nothing",
    LENGTH: "the model reached its limit of tokens before it said anything",
    FILTERED: "the answer was withheld by the content filter of the model's service",
}


@dataclass(frozen=True)
class Seen:
    """What came of an answer."""

    said: bool = False  # there is text
    calls_tool: bool = False
    tool: str | None = None  # the name of the first one that it calls
    finish_reason: str | None = None  # in the service's words
    is_done: bool = False  # the service said that nothing more comes
    problem: str | None = None  # why no more came, in words that the caller may read
    gives_results: bool = False  # the caller has offered the tools, and will give their results


@dataclass(frozen=True)
class Ending:
    """How it ended, as it is kept and told."""

    status: AnswerStatus
    finish_reason: str
    problem: str | None = None


def reason_of(word: str) -> str:
    """Return our word for a service's finish reason; one that nobody knows is an end like any other."""
    plain = word.lower().partition(":")[0].strip().removeprefix("finishreason.").replace("-", "_")
    return REASON_OF.get(plain, STOP)


def ending_of(seen: Seen) -> Ending:
    """Say how an answer ended; what comes after its finish reason changes nothing any more.

    - complete: it has text and an end, be that a finish reason or `[DONE]`; or the caller's tools are called;
    - interrupted: it has text and no end, or the model waits for a tool, or failed in the middle;
    - failed: there is no text.
    """
    reason = reason_of(seen.finish_reason) if seen.finish_reason else None
    is_over = reason is not None or seen.is_done
    if (calling := _calling(seen, reason, is_over=is_over)) is not None:
        return calling
    if reason == ERROR:
        return _broken(seen, seen.problem or ENDED_WITH_ERROR)
    if reason is None and seen.problem:
        return _broken(seen, seen.problem)
    if reason is None and not seen.is_done:
        return _broken(seen, "the answer broke off" if seen.said else "the model's service answered with nothing")
    if not seen.said:
        return _broken(seen, seen.problem or WITHOUT_TEXT[reason or STOP], reason or STOP)
    return Ending("complete", STOP if reason in (None, TOOLS) else reason)


def _calling(seen: Seen, reason: str | None, *, is_over: bool) -> Ending | None:
    """Say how an answer ended that calls tools; None where none is called."""
    if seen.calls_tool and is_over and seen.gives_results and reason != ERROR:
        return Ending("complete", TOOLS if reason in (None, STOP) else reason)
    if (seen.calls_tool and is_over) or (reason == TOOLS and not seen.said):
        return _broken(seen, _wants_tool(seen.tool), TOOLS)
    return None


def _broken(seen: Seen, problem: str, reason: str = ERROR) -> Ending:
    return Ending("interrupted" if seen.said else "failed", ERROR if reason == STOP else reason, problem)


def _wants_tool(name: str | None) -> str:
    """Nobody will give it the tool's result, since it was offered none."""
    called = f"the tool {name[:TOOL_NAME_LENGTH]!r}" if name else "a tool"
    return f"the model asked for {called}; this version offers it none"
