"""A child process that never outlives its parent, not even one that is killed with -9."""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.supervisor.machine.spool import Spool, open_log
from deploy.supervisor.machine.unprivileged import Account
from deploy.supervisor.trouble import Trouble

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_POLL_S = 0.05

# The kernel sends PDEATHSIG when the *thread* that forked ends, so every fork happens on one thread that
# lives as long as the process does: a server started from a short-lived thread would otherwise die with it.
_FORKER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="forker")


class Child:
    """One program, in a session of its own: a terminal's Ctrl-C passes it by."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path | None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        account: Account | None = None,
        outlives_us: bool = False,
    ) -> None:
        """Describe the child; nothing starts yet.

        Args:
            log: what the program prints is added here; None leaves it on our own output.
            env: the whole environment; None is a copy of ours.
            account: who to become first (we are root then); None stays who we are.
            outlives_us: the exception to the rule: it goes on when we end.
        """
        self.name = name
        self.log = log
        self._argv = list(argv)
        self._env = None if env is None else dict(env)
        self._cwd = cwd
        self._account = account or Account()
        self._outlives_us = outlives_us
        self._popen: subprocess.Popen[bytes] | None = None
        self._spool: Spool | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The process id of the latest launch; None before the first."""
        return None if self._popen is None else self._popen.pid

    @property
    def running(self) -> bool:
        """Whether the process lives. Asking also reaps a dead one, whose log is complete then."""
        if self._popen is None or self._popen.poll() is not None:
            self._spool_out()
            return False
        return True

    @property
    def returncode(self) -> int | None:
        """How the latest launch ended; None while it runs."""
        return None if self._popen is None else self._popen.poll()

    def launch(self) -> None:
        """Start the process unless it runs already, and return at once."""
        if self.running:
            return
        if self.log is None:
            self._popen = _FORKER.submit(self._spawn, None).result()
            return
        with open_log(self.log) as file:
            self._log_start = file.tell()
            if self._outlives_us:
                self._popen = _FORKER.submit(self._spawn, file.fileno()).result()
                return
        self._spool = Spool(self.log)
        try:
            self._popen = _FORKER.submit(self._spawn, self._spool.output).result()
        finally:
            self._spool.start()

    def _spawn(self, output: int | None) -> "subprocess.Popen[bytes]":
        try:
            return subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                user=self._account.user,
                group=self._account.group,
                extra_groups=None if self._account.user is None else [],
                start_new_session=True,
                preexec_fn=None if self._outlives_us else _die_with(os.getpid()),  # noqa: PLW1509 - one system call, no lock taken
            )
        except OSError as error:
            message = f"{self.name} could not be started ({self._argv[0]}): {error}"
            raise Trouble(message) from error

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it lives."""
        if self._popen is not None:
            self._popen.send_signal(number)

    def ask_to_stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send the stop signal, and wake the process if it is paused, so that it can hear it."""
        self.send(number)
        self.send(signal.SIGCONT)

    def stop(self, *, timeout_s: float = 25.0, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask the process to stop, wait for it, and kill it when it has not ended in time."""
        if self._popen is None:
            return
        self.ask_to_stop(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """Kill the process and whatever is left of its session's first group, and wait until it is gone."""
        if self._popen is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        self._spool_out()

    def wait_ready(self, is_ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Poll until `is_ready` says so.

        Raises:
            Trouble: the process ended or the time ran out; the end of its log is in the message.
        """
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            if not self.running:
                self._fail(f"{self.name} ended with exit code {self.returncode} before it was ready")
            if time.monotonic() > deadline:
                self._fail(f"{self.name} was not ready within {timeout_s:.0f} s")
            time.sleep(_POLL_S)

    def wait_end(self, timeout_s: float) -> None:
        """Wait until the process has done its work.

        Raises:
            Trouble: it failed or took longer; the end of its log is in the message.
        """
        if self._popen is None:
            return
        try:
            if self._popen.wait(timeout_s) != 0:
                self._spool_out()
                self._fail(f"{self.name} ended with exit code {self.returncode}")
        except subprocess.TimeoutExpired:
            self.kill()
            self._fail(f"{self.name} had not ended after {timeout_s:.0f} s")

    def tail(self, lines: int = 20) -> str:
        """The last lines the latest launch wrote to its log."""
        if self.log is None or not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._log_start if self._log_start <= self.log.stat().st_size else 0)  # It was turned over.
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _spool_out(self) -> None:
        """Have all that a dead process has printed in its log."""
        if self._spool is not None:
            self._spool.wait()
            self._spool = None

    def _fail(self, what: str) -> None:
        message = what if self.log is None else f"{what}. The end of {self.log}:\n{self.tail()}"
        raise Trouble(message)


def _die_with(parent: int) -> Callable[[], None]:
    """Make the function the new process runs before its program: be killed when `parent` dies."""

    def in_child() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:  # It died before the call above.
            os._exit(1)

    return in_child
