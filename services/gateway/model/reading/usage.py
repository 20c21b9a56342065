"""Read how many tokens a service counted, under any of the names that services give them."""

from typing import Any

from services.gateway.model.chunks import Usage

MOST_TOKENS = 2**31 - 1  # what the column holds; services have been seen to report others
COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")  # as OpenAI spells them
# OpenAI's names, those of Anthropic and of OpenAI's newer endpoint, Google's, and Ollama's.
PROMPT = ("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_eval_count")
COMPLETION = ("completion_tokens", "output_tokens", "candidatesTokenCount", "eval_count")
# What is counted of these besides: OpenAI's names, those of its newer endpoint, and DeepSeek's.
PROMPT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
COMPLETION_DETAILS = ("completion_tokens_details", "output_tokens_details")
CACHED = ("cached_tokens", "prompt_cache_hit_tokens")


def usage_in(value: Any) -> Usage | None:
    """Read a usage; None where it counts nothing, as the zeros do that some services end with."""
    if not isinstance(value, dict):
        return None
    cached = _first(_details(value, PROMPT_DETAILS) or value, CACHED)
    reasoning = _first(_details(value, COMPLETION_DETAILS), ("reasoning_tokens",))
    usage = Usage(_first(value, PROMPT), _first(value, COMPLETION), cached, reasoning)
    return usage if usage.prompt_tokens or usage.completion_tokens else None


def spelled(usage: Usage) -> dict[str, int]:
    """Spell tokens as OpenAI's clients read them."""
    asked, said = usage.prompt_tokens or 0, usage.completion_tokens or 0
    return dict(zip(COUNTS, (asked, said, asked + said), strict=True))


def newest(before: Usage | None, after: Usage | None) -> Usage | None:
    """Unite two reports of one answer: the later one counts, where it counts anything."""
    if before is None or after is None:
        return after or before
    return Usage(
        after.prompt_tokens or before.prompt_tokens,
        after.completion_tokens or before.completion_tokens,
        after.cached_tokens or before.cached_tokens,
        after.reasoning_tokens or before.reasoning_tokens,
    )


def _details(value: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    for name in names:
        if isinstance(details := value.get(name), dict):
            return details
    return {}


def _first(value: dict[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        if name in value and (count := _count(value[name])) is not None:
            return count
    return None


def _count(value: Any) -> int | None:
    try:
        count = int(float(value)) if not isinstance(value, bool) else -1
    except (TypeError, ValueError, OverflowError):
        return None
    return count if 0 <= count <= MOST_TOKENS else None
