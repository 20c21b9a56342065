"""`./run logs`: what the processes of this machine have printed."""

import os
import sys
from collections.abc import Sequence

from deploy.supervisor.layout import Layout
from deploy.supervisor.trouble import Trouble


def show_logs(layout: Layout, names: Sequence[str], *, follow: bool) -> int:
    """Become `tail` on the logs of these, or of all there are.

    Raises:
        Trouble: one has no log.
    """
    there = sorted(path.stem for path in layout.log("any").parent.glob("*.log"))
    unknown = [name for name in names if name not in there]
    if unknown or not there:
        message = f"there is no log of {', '.join(unknown) or 'anything'}; there are: {', '.join(there) or 'none'}"
        raise Trouble(message)
    files = [str(layout.log(name)) for name in names or there]
    sys.stdout.flush()
    os.execvp("tail", ["tail", "-n", "100", *(["-F"] if follow else []), *files])  # noqa: S606 - no shell wanted
