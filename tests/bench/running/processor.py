"""The processor time that processes have taken, as the kernel counts it: noise from others disturbs that least."""

import os
from collections.abc import Mapping
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Return the seconds that a process has taken, and all whom it has begun, those that have ended too."""
    # The name, which may have spaces, ends at the last parenthesis; see proc(5) for what follows.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(int(ticks) for ticks in fields[11:15]) / TICKS_PER_S  # utime, stime, cutime, cstime
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(_of_child(int(child)) for child in children)


def _of_child(pid: int) -> float:
    """Return the same of one that may have ended since it was listed: then its time is its parent's."""
    try:
        return cpu_s(pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def cpu_ms_each(before: Mapping[str, float], after: Mapping[str, float], turns: int) -> dict[str, float]:
    """Return what each process took for one turn, in milliseconds."""
    return {name: (after[name] - before[name]) * 1000 / turns for name in before}
