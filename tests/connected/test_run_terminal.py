"""`./run` on a terminal: one that closes, one that reads no more, one that strangers' text must not steer."""

import fcntl
import os
import pty
import signal
import subprocess
import termios
import time
from pathlib import Path

from tests.connected.run_project import Project, wait_until


class Terminal:
    """A terminal with a shell in it, as a person has one."""

    def __init__(self, directory: Path) -> None:
        self._master, terminal = pty.openpty()
        self.shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            cwd=directory,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509 - two system calls
        )
        os.close(terminal)
        os.set_blocking(self._master, False)
        self.shown = b""

    def type(self, line: str) -> None:
        os.write(self._master, line.encode() + b"\n")

    def wait_for(self, text: bytes, timeout_s: float = 60.0) -> None:
        """Read until it has been shown."""
        deadline = time.monotonic() + timeout_s
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown.decode(errors="replace")
            try:
                self.shown += os.read(self._master, 65536)
            except BlockingIOError:
                time.sleep(0.05)

    def close(self) -> None:
        """Close the window: the kernel hangs up on whoever has it, and the shell on its jobs."""
        os.close(self._master)
        self.shell.wait(60)


def _take_terminal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def log(project: Project, name: str) -> str:
    return (project.root / ".run" / "log" / f"{name}.log").read_text()


def foreground(project: Project) -> str:
    path = project.root / "foreground.log"
    return path.read_text() if path.exists() else ""


def test_closed_terminal_ends_it_as_ctrl_c_does(lying_still: Project) -> None:
    terminal = Terminal(lying_still.root)
    terminal.type("./run up --native")
    terminal.wait_for(b"Tripthread is up")

    terminal.close()

    wait_until(lambda: lying_still.processes() == [], timeout_s=60)
    assert log(lying_still, "gateway").endswith("drained\n")
    assert "database system is shut down" in log(lying_still, "postgres").splitlines()[-1]
    assert not lying_still.env_file.exists()


def test_nohup_is_meant_to_outlive_the_terminal(lying_still: Project) -> None:
    terminal = Terminal(lying_still.root)
    terminal.type("nohup ./run up --native > foreground.log 2>&1 &")
    wait_until(lambda: "Tripthread is up" in foreground(lying_still), timeout_s=60)

    terminal.close()

    assert lying_still.run("status").returncode == 0
    assert lying_still.run("down").returncode == 0
    assert "told to stop (SIGTERM)" in foreground(lying_still)
