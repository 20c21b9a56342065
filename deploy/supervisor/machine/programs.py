"""Programs that are run to their end."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from deploy.supervisor.trouble import Trouble


def succeeds(*argv: str | Path, timeout_s: float | None = None) -> bool:
    """Whether there is such a program and it ends well, in time; what it says is not shown."""
    try:
        done = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout_s, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def output_of(what: str, *argv: str | Path, env: Mapping[str, str], cwd: Path | None = None) -> str:
    """Run a program, and return what it printed.

    Raises:
        Trouble: it failed; all that it said is in the message.
    """
    done = subprocess.run(argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = f"{what} failed:\n{done.stdout}{done.stderr}"
        raise Trouble(message)
    return done.stdout.strip()
