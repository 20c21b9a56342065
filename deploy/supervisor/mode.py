"""The choice between docker compose and processes of this machine."""

import sys

from deploy.supervisor import docker
from deploy.supervisor.layout import Layout
from deploy.supervisor.machine.lock import holder
from deploy.supervisor.trouble import Trouble
from deploy.supervisor.up_options import UpOptions


def choose_mode(layout: Layout, options: UpOptions) -> str:
    """Choose "docker" or "native", and say which and why.

    Raises:
        Trouble: what was asked for cannot be had here.
    """
    running = _running(layout)
    if running is not None and options.mode not in {None, running}:
        message = f"the stack runs already, in the {running} mode: ./run down first"
        raise Trouble(message)
    wanted = options.mode or running
    if wanted == "native":
        return _native()
    why_not = _why_not_docker(layout, options)
    if wanted == "docker" and why_not:
        message = f"it cannot be run by docker compose: {why_not}"
        raise Trouble(message)
    if why_not:
        print(f"Running natively: {why_not}.", flush=True)
        return _native()
    print("Running by docker compose; --native overrides.", flush=True)
    return "docker"


def _running(layout: Layout) -> str | None:
    """How the stack of this project runs already."""
    if docker.is_ours(layout):
        return "docker"
    return "native" if holder(layout.lock_file) is not None else None


def _why_not_docker(layout: Layout, options: UpOptions) -> str:
    if any(count > 1 for count in options.counts.values()):
        return "several processes of a service are for the native mode"
    return "" if docker.is_ours(layout) else docker.why_not(layout)


def _native() -> str:
    if not sys.platform.startswith("linux"):
        message = "running natively needs Linux; with Docker started, ./run up works here too"
        raise Trouble(message)
    return "native"
