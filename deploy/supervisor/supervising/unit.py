"""One supervised process and the state it is in.

start()          it ends by itself           2 s later
------> RUNNING ------------------> WAITING ----------> RUNNING
          | stop()                    | stop()
          v                           v
       STOPPING --(it has ended, or was killed after `drain_s`)--> STOPPED --start()--> RUNNING
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from deploy.supervisor.trouble import Trouble

RESTART_AFTER_S = 2.0


class Process(Protocol):
    """What a unit keeps alive: a Child, a Postgres, a RabbitMQ."""

    @property
    def name(self) -> str: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def running(self) -> bool: ...
    def launch(self) -> object: ...
    def ask_to_stop(self) -> None: ...
    def kill(self) -> None: ...


class State(StrEnum):
    RUNNING = "running"
    WAITING = "waiting"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass
class Unit:
    """A process, what to do when it ends, and when it counts as ready."""

    process: Process
    order: int  # Units of the highest order are stopped first, together; then the next.
    say: Callable[[str], None]  # Told what happens, in words for a person.
    drain_s: float = 25.0  # How long it may take to stop before it is killed.
    ready_urls: tuple[str, ...] = ()  # Each answers 200 when the unit is ready.
    is_ready: Callable[[], bool] | None = None  # Asked first: whether it takes connections itself.
    ports: tuple[int, ...] = ()  # Where it listens, for a person to know.
    state: State = field(default=State.STOPPED, init=False)
    restarts: int = field(default=0, init=False)
    _due: float = field(default=0.0, init=False)  # When to act: in WAITING to start it, in STOPPING to kill it.

    @property
    def name(self) -> str:
        return self.process.name

    @property
    def pid(self) -> int | None:
        """Its process id, also of one that ended and starts again soon; None when it is stopped."""
        return None if self.state is State.STOPPED else self.process.pid

    def start(self) -> None:
        """Start it now, unless it runs."""
        if self.state in {State.STOPPED, State.WAITING}:
            self.process.launch()
            self.state = State.RUNNING

    def stop(self, now: float) -> None:
        """Ask it to end, for good."""
        if self.state is State.WAITING:
            self.state = State.STOPPED
        elif self.state is State.RUNNING:
            self.process.ask_to_stop()
            self.state, self._due = State.STOPPING, now + self.drain_s

    def tick(self, now: float) -> None:
        """Look at the process and do what is due."""
        if self.state is State.RUNNING and not self.process.running:
            self.say(f"{self.name} ended; it starts again in {RESTART_AFTER_S:g} s")
            self.state, self._due = State.WAITING, now + RESTART_AFTER_S
        elif self.state is State.WAITING and now >= self._due:
            self._start_again(now)
        elif self.state is State.STOPPING and not self.process.running:
            self.state = State.STOPPED
        elif self.state is State.STOPPING and now >= self._due:
            self.say(f"{self.name} did not stop within {self.drain_s:g} s and is killed")
            self.process.kill()

    def status(self) -> dict[str, Any]:
        """What the commands want to know of it."""
        return {
            "name": self.name,
            "pid": self.pid,
            "state": self.state,
            "restarts": self.restarts,
            "ports": self.ports,
            "ready_urls": list(self.ready_urls),
            "ready": self.state is State.RUNNING and (self.is_ready is None or self.is_ready()),
        }

    def _start_again(self, now: float) -> None:
        self.restarts += 1
        try:
            self.start()
        except (Trouble, OSError) as trouble:  # A full disk is no reason to end the others.
            self.say(f"{self.name} did not start: {trouble}")
            self._due = now + RESTART_AFTER_S
        else:
            self.say(f"{self.name} runs again (pid {self.pid})")
