"""`./run logs`: what the processes of this machine have printed."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.supervisor.layout import Layout
from deploy.supervisor.trouble import Trouble
from deploy.terminal import plain


def show_logs(layout: Layout, names: Sequence[str], *, follow: bool) -> int:
    """Show the logs of these, or of all there are: a file gets them as they are, a terminal without what steers it.

    Raises:
        Trouble: one has no log.
    """
    there = sorted(path.stem for path in layout.log("any").parent.glob("*.log"))
    unknown = [name for name in names if name not in there]
    if unknown or not there:
        message = f"there is no log of {', '.join(unknown) or 'anything'}; there are: {', '.join(there) or 'none'}"
        raise Trouble(message)
    files = [str(layout.log(name)) for name in names or there]
    tail = ["tail", "-n", "100", *(["-F"] if follow else []), *files]
    sys.stdout.flush()
    if not sys.stdout.isatty():
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it; tail would complain of its reader.
        os.execvp(tail[0], tail)  # noqa: S606 - no shell wanted
    return show_plainly(tail, layout.root, os.environ)


def show_plainly(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> int:
    """Show what a program prints, without what would steer a terminal."""
    with subprocess.Popen(
        command, cwd=cwd, env=dict(env), stdout=subprocess.PIPE, text=True, errors="backslashreplace"
    ) as program:
        for line in program.stdout or ():
            print(plain(line), end="", flush=True)
    return program.returncode
