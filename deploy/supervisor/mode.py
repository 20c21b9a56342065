"""The choice between docker compose and processes of this machine."""

import sys

from deploy.supervisor import docker
from deploy.supervisor.layout import Layout
from deploy.supervisor.lock import holder
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
    mode = running or options.mode or _best(layout, options)
    why_not = _why_not(mode, layout, options)
    if why_not:
        message = f"--{mode} cannot be had here: {why_not}"
        raise Trouble(message)
    return mode


def _best(layout: Layout, options: UpOptions) -> str:
    why_not_docker = _why_not("docker", layout, options)
    if why_not_docker:
        print(f"Running natively ({why_not_docker}); --docker overrides.", flush=True)
        return "native"
    print("Running by docker compose; --native overrides.", flush=True)
    return "docker"


def _why_not(mode: str, layout: Layout, options: UpOptions) -> str:
    """Why the stack cannot run this way; empty when it can."""
    if mode == "native":
        return "" if sys.platform.startswith("linux") else "it needs Linux"
    if any(count > 1 for count in options.counts.values()):
        return "several processes of a service are for the native mode"
    return "" if docker.is_ours(layout) else docker.why_not(layout)


def _running(layout: Layout) -> str | None:
    """How the stack of this project runs already."""
    if docker.is_ours(layout):
        return "docker"
    return "native" if holder(layout.lock_file) is not None else None
