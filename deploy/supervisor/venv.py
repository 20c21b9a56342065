"""The project's virtual environment: `.venv`, holding what the pinned requirements say."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from deploy.supervisor.layout import Layout
from deploy.supervisor.machine.lock import held
from deploy.supervisor.machine.packages import require
from deploy.supervisor.machine.programs import succeeds
from deploy.supervisor.machine.spool import open_log
from deploy.supervisor.trouble import Trouble

# Byte code is compiled here, once: the commands run with PYTHONDONTWRITEBYTECODE, to leave no file in the tree.
_UV_ENVIRONMENT = {"UV_PYTHON_DOWNLOADS": "never", "UV_LINK_MODE": "copy", "UV_COMPILE_BYTECODE": "1"}


def prepare_venv(layout: Layout) -> None:
    """Make the venv, or bring it up to date; at once when nothing has changed.

    Raises:
        Trouble: it cannot be made here; the message says what to do.
    """
    if _is_current(layout):
        return
    with held(layout.run / "venv.lock", wait=True):
        if _is_current(layout):  # Somebody else did it while we waited.
            return
        if not succeeds(layout.python, "-c", "import pip"):  # None yet, or its making was interrupted.
            _create(layout)
        _install(layout)
        _stamp(layout).write_text(fingerprint(layout.requirements))


def fingerprint(requirements: Path) -> str:
    """What the venv's stamp says when it holds these requirements."""
    return hashlib.sha256(requirements.read_bytes()).hexdigest()


def _is_current(layout: Layout) -> bool:
    stamp = _stamp(layout)
    is_filled = stamp.exists() and stamp.read_text() == fingerprint(layout.requirements)
    return is_filled and succeeds(layout.python, "-c", "")  # Its base may have been removed or upgraded.


def _stamp(layout: Layout) -> Path:
    return layout.venv / ".requirements.sha256"


def _create(layout: Layout) -> None:
    log = layout.log("venv")
    require("Python's venv module", ("python3-venv",), _has_venv_module, log=layout.log("apt"))
    print("Making .venv", flush=True)
    _run([sys.executable, "-m", "venv", "--clear", str(layout.venv)], log)


def _install(layout: Layout) -> None:
    """Install the requirements by uv where it can be had (a second or two), else by pip (some ten).

    All of them are known by their hashes, uv too: what a registry has in their place is not installed.
    """
    log = layout.log("venv")
    print(f"Installing {layout.requirements.name} into .venv (output in {log})", flush=True)
    requirements = ["--require-hashes", "-r", str(layout.requirements)]
    pip = [str(layout.python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    try:
        _run([*pip, "--require-hashes", "-r", str(layout.tools)], log)
        uv = str(layout.python.with_name("uv"))
        _run([uv, "pip", "install", "-q", "--python", str(layout.python), *requirements], log)
    except Trouble:  # uv knows the default index only; pip also knows what pip.conf says.
        _run([*pip, *requirements], log)


def _run(argv: list[str], log: Path) -> None:
    env = {**os.environ, **_UV_ENVIRONMENT}
    with open_log(log) as output:
        start = output.tell()
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, check=False)
    if done.returncode != 0:
        said = log.read_bytes()[start:].decode(errors="replace")
        message = f"{' '.join(argv)} failed:\n{said}"
        raise Trouble(message)


def _has_venv_module() -> bool:
    return succeeds(sys.executable, "-c", "import ensurepip, venv")
