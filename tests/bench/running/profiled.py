"""Where a process spends its time: py-spy's samples, condensed to the lines of our own modules."""

import os
import signal
import subprocess
import sysconfig
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.bench.running.tools import installed
from tests.processes import ROOT

PROFILER = ("py-spy", "py-spy")
PER_S = 200
OURS = ("services/", "shared/")  # what starts them is below every stack
ROWS = 45
FOLDED = ROOT / ".run" / "profile.{name}.folded"


@dataclass
class Profile:
    """Samples of stacks; a frame is `function (file:line)`, the outermost first."""

    stacks: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def read(self, folded: str) -> None:
        """Read py-spy's raw format: `outermost;...;innermost count`."""
        for line in folded.splitlines():
            frames, _, samples = line.rpartition(" ")
            self.stacks[tuple(_function(frame) for frame in frames.split(";"))] += int(samples)

    def table(self, ms: float) -> str:
        """Spell three tables of milliseconds a turn, of which there are `ms` in all.

        The first has what a function of ours takes with the libraries that it calls, but without other functions of
        ours, and what a library does in tasks of its own; the second with these, too; the third what each takes itself.
        """
        innermost, with_callees, alone = Counter[str](), Counter[str](), Counter[str]()
        for frames, samples in self.stacks.items():
            ours = [frame for frame in frames if _is_ours(frame)]
            innermost[ours[-1] if ours else f"none: {_begun_by(frames)}"] += samples
            alone[frames[-1]] += samples
            for frame in set(ours):
                with_callees[frame] += samples
        share = ms / max(sum(self.stacks.values()), 1)
        tables = {"by the innermost function of ours": innermost, "with all it calls": with_callees, "alone": alone}
        return "".join(_table(title, counted, share) for title, counted in tables.items())


@contextmanager
def profiling(pid: int, name: str) -> Iterator[Profile]:
    """Sample a process for the length of the block; the samples stay in `FOLDED`, for whoever draws flame graphs."""
    command, profile, folded = installed(*PROFILER), Profile(), FOLDED.with_name(FOLDED.name.format(name=name))
    options = ("--format", "raw", "--rate", str(PER_S), "--function", "--full-filenames")
    recorder = subprocess.Popen(
        [str(command), "record", *options, "--pid", str(pid), "--output", str(folded), "--duration", "unlimited"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield profile
    finally:
        recorder.send_signal(signal.SIGINT)  # it writes what it has
        recorder.wait(30)
    profile.read(folded.read_text())


def _function(frame: str) -> str:
    """Shorten a file's place: ours from the tree's top, a library's from where packages are."""
    name, _, place = frame.rpartition(" (")
    for top in (
        f"{sysconfig.get_path('purelib')}{os.sep}",
        f"{ROOT}{os.sep}",
        f"{sysconfig.get_path('stdlib')}{os.sep}",
    ):
        place = place.removeprefix(top)
    return f"{name} ({place}"


def _is_ours(frame: str) -> bool:
    return frame.rpartition(" (")[2].startswith(OURS)


def _begun_by(frames: Sequence[str]) -> str:
    """Name the function of a library that a task or a callback of the event loop begins with."""
    runners = [at for at, frame in enumerate(frames) if "(asyncio/runners." in frame or "(uvloop/" in frame]
    begun = frames[runners[-1] + 1 :] if runners else frames
    return begun[0] if begun else "the event loop and what is written in C for it"


def _table(title: str, counted: Counter[str], share: float) -> str:
    rows = "".join(f"{samples * share:8.3f}  {name}\n" for name, samples in counted.most_common(ROWS))
    return f"\nms a turn, {title}:\n{rows}"
