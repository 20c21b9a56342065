"""Whether an upstream is worth asking, by what became of the last calls. Pure: the clock is handed in.

After so many failures in a row it is left alone for a while, then one call finds out whether it is back. An open
circuit refuses nobody: it puts the upstream behind the others of its model, and where there is no other, it is asked
all the same, once.
"""

from shared.backoff import Backoff

OPENS_AFTER = 5  # failures in a row
ALONE = Backoff(first_s=5.0, longest_s=60.0)
PROBE_S = 30.0  # how long others leave it alone while one call finds out


class Circuit:
    """The circuit of one upstream; moments are seconds of one clock."""

    def __init__(self) -> None:
        self._failures = 0
        self._is_probed = False
        self.alone_until = 0.0

    @property
    def is_open(self) -> bool:
        return self._failures >= OPENS_AFTER

    def admits(self, now: float) -> bool:
        """Tell whether it is to be asked although there are others."""
        return now >= self.alone_until

    def call_begins(self, now: float) -> None:
        if self.is_open:
            self._is_probed = True
            self.alone_until = max(self.alone_until, now + PROBE_S)

    def succeeded(self) -> None:
        """Note a first piece of an answer."""
        if self._failures:
            self._failures, self._is_probed, self.alone_until = 0, False, 0.0

    def failed(self, now: float) -> None:
        if self.is_open and not self._is_probed:
            return  # of a call that began before it was opened
        self._failures += 1
        self._is_probed = False
        if self.is_open:
            self.alone_until = now + ALONE.wait_s(self._failures - OPENS_AFTER + 1)

    def leave_alone(self, until: float) -> None:
        """Do as it asks: it is well, and busy."""
        self.alone_until = max(self.alone_until, until)
