"""Environments of their own, for clients in Python that want other packages than ours."""

import sys
from contextlib import suppress
from pathlib import Path

from tests.installed.node import run

UV = Path(sys.executable).with_name("uv")


def venv_with(requirements: Path, directory: Path) -> Path:
    """Make one there, by uv where it can be had (a second or two), else by pip (up to fifty); return its Python."""
    venv = directory / "venv"
    python, wanted = venv / "bin/python", ("--require-hashes", "-r", requirements)
    if UV.exists():
        with suppress(AssertionError):  # uv knows the default index only; pip also knows what pip.conf says
            run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=directory)
            env = {"UV_PYTHON_DOWNLOADS": "never", "UV_LINK_MODE": "copy"}
            run(UV, "pip", "install", "-q", "--python", python, *wanted, cwd=directory, env=env)
            return python
    run(sys.executable, "-m", "venv", "--clear", venv, cwd=directory)
    run(python, "-m", "pip", "install", "-q", *wanted, cwd=directory)
    return python
