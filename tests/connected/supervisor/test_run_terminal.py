"""`./run` on a terminal: one that closes, one that reads no more, one that strangers' text must not steer."""

import fcntl
import os
import pty
import signal
import subprocess
import termios
import time
from pathlib import Path

from tests.connected.supervisor.project import Project, wait_until
from tests.waiting import PATIENCE_S


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

    def wait_for(self, text: bytes, timeout_s: float = PATIENCE_S) -> None:
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


def unread(project: Project, *arguments: str) -> str:
    """Run a command whose reader has gone; return what it complains of."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as nobody:
        command = ["./run", *arguments]
        done = subprocess.run(command, cwd=project.root, stdout=nobody, stderr=subprocess.PIPE, text=True, check=False)
    return done.stderr


def foreground(project: Project) -> str:
    path = project.root / "foreground.log"
    return path.read_text() if path.exists() else ""


def test_closed_terminal_ends_it_as_ctrl_c_does(lying_still: Project) -> None:
    terminal = Terminal(lying_still.root)
    terminal.type("./run up --native")
    terminal.wait_for(b"Tripthread is up")

    terminal.close()

    wait_until(lambda: lying_still.processes() == [])
    assert lying_still.log("gateway").read_text().endswith("drained\n")
    assert "database system is shut down" in lying_still.log("postgres").read_text().splitlines()[-1]
    assert not lying_still.env_file.exists()


def test_nohup_is_meant_to_outlive_the_terminal(lying_still: Project) -> None:
    terminal = Terminal(lying_still.root)
    terminal.type("nohup ./run up --native > foreground.log 2>&1 &")
    wait_until(lambda: "Tripthread is up" in foreground(lying_still))

    terminal.close()

    assert lying_still.run("status").returncode == 0
    assert lying_still.run("down").returncode == 0
    assert "told to stop (SIGTERM)" in foreground(lying_still)


def test_reader_that_has_seen_enough_ends_a_command_in_silence(stack: Project) -> None:
    for command in ("status", "logs", "help"):
        assert unread(stack, command) == "", command


def test_detached_stack_stays_where_nobody_reads_that_it_is_up(lying_still: Project) -> None:
    assert unread(lying_still, "up", "--native", "--detach") == ""

    assert lying_still.run("status").returncode == 0


def test_what_a_stranger_wrote_does_not_steer_the_terminal(stack: Project) -> None:
    stack.log("gateway").write_text("\x1b[2Jall is well \u202egpj.exe\n")
    terminal = Terminal(stack.root)

    terminal.type("./run logs gateway; echo that was $((40 + 2))")
    terminal.wait_for(b"that was 42")

    assert b"\\x1b[2Jall is well \\u202egpj.exe" in terminal.shown
    assert b"\x1b[2Jall" not in terminal.shown
    assert b"\x1b[2Jall" in stack.run("logs", "gateway").stdout.encode()  # a file is given what there is


def test_containers_do_not_steer_the_terminal_either(lying_still: Project, tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nprintf '\\033[2Jall is well\\n'\n")
    docker.chmod(0o755)
    compose_runs_it = lying_still.root / ".run" / "compose.env"
    compose_runs_it.touch()
    terminal = Terminal(lying_still.root)

    terminal.type(f"PATH={tmp_path}:$PATH ./run logs; echo that was $((40 + 2))")
    terminal.wait_for(b"that was 42")

    compose_runs_it.unlink()
    assert b"\\x1b[2Jall is well" in terminal.shown


def test_end_of_a_log_does_not_steer_the_terminal(lying_still: Project) -> None:
    (lying_still.root / "broken").write_text("\x1b[2Jall is well")

    done = lying_still.run("up", "--native", "--detach")

    (lying_still.root / "broken").unlink()
    assert "\\x1b[2Jall is well" in done.stderr
