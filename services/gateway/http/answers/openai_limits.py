"""How much may still be asked for, in the headers that clients of OpenAI's know beside ours.

https://developers.openai.com/api/docs/guides/rate-limits: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`.
"""

import re
from collections.abc import Mapping
from typing import Literal

POLICY, LIMIT = "RateLimit-Policy", "RateLimit"  # of the draft, as `http/edge/rate_limit.py` spells them
SPELLED = re.compile(r'"(\w+)";q=(\d+);w=\d+ "\1";r=(\d+);t=(\d+)')


def openai_limits(
    amount: int, remaining: int, resets_s: int, what: Literal["requests", "tokens"] = "requests"
) -> dict[str, str]:
    """Spell what is left of so many, and how long it is until there is more: as Go spells a duration."""
    return {
        f"x-ratelimit-limit-{what}": str(amount),
        f"x-ratelimit-remaining-{what}": str(remaining),
        f"x-ratelimit-reset-{what}": f"{resets_s}s",
    }


def openai_limits_in(headers: Mapping[str, str]) -> dict[str, str]:
    """Say the same of a refusal that has the draft's headers; nothing where it has none."""
    told = SPELLED.fullmatch(f"{headers.get(POLICY, '')} {headers.get(LIMIT, '')}")
    if told is None:
        return {}
    amount, remaining, resets_s = map(int, told.groups()[1:])
    return openai_limits(amount, remaining, resets_s, "tokens" if "tokens" in told[1] else "requests")
