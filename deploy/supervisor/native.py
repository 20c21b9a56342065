"""`up`, `down`, `start`, `stop` and `status` for the native stack: the commands' end of the supervisor."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from deploy.disk import little_disk
from deploy.supervisor.directions import LOGIN_LINK, print_directions
from deploy.supervisor.ending import end_calmly
from deploy.supervisor.layout import Layout
from deploy.supervisor.machine.child import Child
from deploy.supervisor.machine.env_file import read_env
from deploy.supervisor.machine.lock import holder
from deploy.supervisor.machine.programs import output_of
from deploy.supervisor.readiness import wait_until_ready, why_not_ready
from deploy.supervisor.supervising.control import NotRunningError, ask
from deploy.supervisor.trouble import Trouble
from deploy.terminal import plain, say

START_S = 240.0  # Two servers, the migration, and on a slow machine the services.
_READY_S = 90.0
_DOWN_S = 100.0  # More than all units' own times to stop.
_NOTHING_RUNS = "nothing is running here: ./run up starts it"


def up(layout: Layout, counts: Mapping[str, int], *, detach: bool) -> None:
    """Start the stack, or extend the one that runs; in the foreground stay until it ends.

    Raises:
        Trouble: it did not become ready; what was started is stopped again.
    """
    if holder(layout.lock_file) is not None:
        _wait_answer(layout, lambda: holder(layout.lock_file) is not None)
        ask(layout.run, "extend", counts=counts)
        _wait_ready(layout)
        print_directions(layout, "It was running already.", _login_link(layout))
        return
    if little := little_disk(layout.run):
        say(little)  # Now already, for it may be why nothing starts.
    stack = _launch(layout, counts, detach=detach)
    try:
        _wait_start(layout, stack)
        if detach:
            print_directions(layout, "End it with ./run down.", _login_link(layout))
            return
        print_directions(layout, "End it with Ctrl-C.", _login_link(layout))
        while stack.running:
            time.sleep(0.2)
        if stack.returncode != 0:  # Not by ./run down.
            message = f"the supervisor ended with exit code {stack.returncode}, and with it all that it ran"
            raise Trouble(message)
    except BaseException as reason:
        _end(stack)
        if not isinstance(reason, KeyboardInterrupt):
            raise


def _login_link(layout: Layout) -> str:
    """Have a link made that signs a browser in as the administrator, once."""
    command = (layout.python, "-m", "deploy.cli", *LOGIN_LINK)
    env = {**os.environ, **read_env(layout.env_file)}
    return output_of("tripthread token", *command, env=env, cwd=layout.root)


def down(layout: Layout) -> None:
    """Stop the stack and wait until nothing of it is left."""
    pid = holder(layout.lock_file)
    if pid is None:
        layout.env_file.unlink(missing_ok=True)  # Left by a supervisor that was killed.
        print("Nothing is running.")
        return
    print("Stopping (services get up to 25 s to finish their work)", flush=True)
    os.kill(pid, signal.SIGTERM)
    if not _until(lambda: holder(layout.lock_file) is None, _DOWN_S):
        os.kill(pid, signal.SIGKILL)  # Its children die with it.
        layout.env_file.unlink(missing_ok=True)
    _until(lambda: not _lives(pid), 2.0)
    print("Stopped.")


def start(layout: Layout, name: str) -> None:
    """Start one service or server now, and wait until it is ready."""
    unit = _ask(layout, "start", name=name)
    wait_until_ready(layout, lambda: [u for u in _status(layout) if u["name"] == name], timeout_s=_READY_S)
    print(f"{name} runs (pid {unit['pid']})")


def stop(layout: Layout, name: str) -> None:
    """Stop one service or server; it stays away until `start`."""
    _ask(layout, "stop", name=name)
    _until(lambda: all(u["state"] == "stopped" for u in _status(layout) if u["name"] == name), _DOWN_S)
    print(f"{name} is stopped; ./run start {name} brings it back")


def status(layout: Layout) -> None:
    """Show every process, and why it is not ready."""
    units = _status(layout)
    line = "{:<12} {:<9} {:>8} {:>9}  {:<14} {}"
    print(line.format("name", "state", "pid", "restarts", "ports", "").rstrip())
    for unit in units:
        ports = " ".join(map(str, unit["ports"]))
        why = why_not_ready(unit) if unit["state"] == "running" else ""
        row = line.format(unit["name"], unit["state"], unit["pid"] or "-", unit["restarts"], ports, why)
        print(plain(row.rstrip()))
    if little := little_disk(layout.run):
        print(f"\n{little}")


def require_running(layout: Layout) -> None:
    """Raise Trouble where no stack runs."""
    if holder(layout.lock_file) is None:
        raise Trouble(_NOTHING_RUNS)


def _launch(layout: Layout, counts: Mapping[str, int], *, detach: bool) -> Child:
    log = layout.log("supervisor") if detach else None
    argv = [sys.executable, "-m", "deploy.supervisor", "_stack", json.dumps(counts)]
    stack = Child("the supervisor", argv, log=log, cwd=layout.root, outlives_us=detach)
    stack.launch()
    return stack


def _wait_start(layout: Layout, stack: Child) -> None:
    say("Starting PostgreSQL, RabbitMQ and the services")
    stack.wait_ready(lambda: _answers(layout), timeout_s=START_S)
    _wait_ready(layout)


def _wait_answer(layout: Layout, alive: Callable[[], bool]) -> None:
    if not _until(lambda: _answers(layout) or not alive(), START_S) or not alive():
        raise Trouble(_NOTHING_RUNS)


def _wait_ready(layout: Layout) -> None:
    wait_until_ready(layout, lambda: _status(layout), timeout_s=_READY_S)


def _end(stack: Child) -> None:
    """Stop what we started; a second Ctrl-C does not wait for it."""
    end_calmly()
    try:
        stack.stop(timeout_s=_DOWN_S)
    except KeyboardInterrupt:
        stack.kill()


def _answers(layout: Layout) -> bool:
    try:
        ask(layout.run, "status")
    except NotRunningError:
        return False
    return True


def _status(layout: Layout) -> list[Mapping[str, Any]]:
    units: list[Mapping[str, Any]] = _ask(layout, "status")["units"]
    return units


def _ask(layout: Layout, do: str, **details: str) -> dict[str, Any]:
    try:
        return ask(layout.run, do, **details)
    except NotRunningError:
        raise Trouble(_NOTHING_RUNS) from None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _until(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
