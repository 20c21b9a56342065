"""The rate limit: bursts are allowed, and so many calls a second in the long run."""

from collections.abc import Callable
from math import ceil
from time import monotonic


class TokenBucket:
    """Allow bursts, and so many calls a second in the long run."""

    def __init__(self, per_s: float, burst: int, now: Callable[[], float] = monotonic) -> None:
        self.burst = burst
        self._per_s = per_s
        self._now = now
        self._tokens = float(burst)
        self._filled_at = now()

    def take(self) -> bool:
        """Take a token, if there is one."""
        now = self._now()
        self._tokens = min(float(self.burst), self._tokens + (now - self._filled_at) * self._per_s)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def headers(self) -> dict[str, str]:
        """Tell the caller where it stands, in Avinode's headers. The reset is in seconds."""
        return {
            "X-Rate-Limit-Limit": str(self.burst),
            "X-Rate-Limit-Remaining": str(int(self._tokens)),
            "X-Rate-Limit-Reset": str(ceil((self.burst - self._tokens) / self._per_s)),
        }
