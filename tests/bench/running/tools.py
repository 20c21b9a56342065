"""Programs that a benchmark runs and the project does not need: each in a venv of its own below .run/."""

import subprocess
import sys
from pathlib import Path

from tests.processes import ROOT


def installed(name: str, requirement: str) -> Path:
    """Return the command of this name, installed where it is not.

    Raises:
        CalledProcessError: It cannot be.
    """
    venv = ROOT / ".run" / name
    command = venv / "bin" / name
    if not command.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
        subprocess.run([str(venv / "bin" / "pip"), "install", "-q", requirement], check=True)
    return command
