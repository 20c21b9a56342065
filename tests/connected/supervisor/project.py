"""A copy of the commands in a project of its own, for the tests of `./run` on real servers."""

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.supervisor.machine.env_file import read_env
from deploy.supervisor.private.servers import install_servers
from deploy.supervisor.venv import fingerprint
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[3]


class Project:
    """A copy of the commands in a directory of its own, whose venv counts as made."""

    def __init__(self, root: Path) -> None:
        self.root = root
        supervisor = root / "deploy" / "supervisor"
        shutil.copytree(ROOT / "deploy" / "supervisor", supervisor, ignore=shutil.ignore_patterns("__pycache__"))
        for module in ("__init__.py", "disk.py", "terminal.py"):
            shutil.copy(ROOT / "deploy" / module, root / "deploy")
        shutil.copy(ROOT / "run", root)
        for module in ("cli.py", "sandbox.py"):
            shutil.copy(Path(__file__).with_name("stand_in_cli.py"), root / "deploy" / module)
        (root / "requirements-dev.txt").touch()
        (root / ".venv" / "bin").mkdir(parents=True)
        (root / ".venv" / "bin" / "python").symlink_to(sys.executable)
        stamp = root / ".venv" / ".requirements.sha256"
        stamp.write_text(fingerprint(root / "requirements-dev.txt"))

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["./run", *arguments], cwd=self.root, capture_output=True, text=True, check=False, timeout=120
        )

    def log(self, name: str) -> Path:
        return self.root / ".run" / "log" / f"{name}.log"

    def ask(self, name: str, path: str) -> None:
        """Have a service asked for a path on its internal address."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(self.env[f"INTERNAL_URL_{name}"] + path, timeout=10) as answer:
            answer.read()

    def run_in_foreground(self) -> "subprocess.Popen[bytes]":
        """Begin `./run up`, and return when it has said that everything is up."""
        with (self.root / "foreground.log").open("wb") as output:
            command = ["./run", "up", "--native"]
            process = subprocess.Popen(command, cwd=self.root, stdout=output, stderr=output)
        wait_until(lambda: b"Tripthread is up" in (self.root / "foreground.log").read_bytes())
        return process

    @property
    def env_file(self) -> Path:
        return self.root / ".run" / "env"

    @property
    def env(self) -> dict[str, str]:
        return read_env(self.env_file)

    def pid(self, name: str) -> int:
        return int(self.env[f"PID_{name}"])

    def processes(self) -> list[int]:
        """Every living process that names this project, or runs in it."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._owns(pid)]

    def _owns(self, pid: int) -> bool:
        if pid == os.getpid() or not alive(pid):
            return False
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            return str(self.root).encode() in command or Path(f"/proc/{pid}/cwd").readlink().is_relative_to(self.root)
        except OSError:
            return False


def alive(pid: int) -> bool:
    """Whether the process runs: one that is dead and only not yet reaped by its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], *, timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@contextmanager
def own_project(root: Path) -> Iterator[Project]:
    """Make a project, and have it down at the end."""
    install_servers(log=root / "apt.log")
    project = Project(root)
    try:
        yield project
    finally:
        project.run("down")


def psql(project: Project, statement: str) -> str:
    """Run a statement as the superuser; give the last value."""
    binary = next(Path("/usr/lib/postgresql").glob("*/bin/psql"))
    command = [str(binary), project.env["DATABASE_URL"], "-qAt", "-c", statement]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
