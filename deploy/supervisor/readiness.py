"""Waiting until a running stack is ready, and saying why when it is not."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from deploy.supervisor.layout import Layout
from deploy.supervisor.trouble import Trouble

_POLL_S = 0.1
_RESTARTS_TOO_MANY = 3
# Our own addresses are never reached through a proxy the caller may have set.
_http = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait_until_ready(layout: Layout, status: Callable[[], list[Mapping[str, Any]]], *, timeout_s: float) -> None:
    """Wait until every unit that `status` reports is ready.

    Raises:
        Trouble: one keeps ending, or the time ran out; the end of its log is in the message.
    """
    deadline = time.monotonic() + timeout_s
    restarts_before = {unit["name"]: unit["restarts"] for unit in status()}
    while waiting := {unit["name"]: why for unit in status() if (why := why_not_ready(unit))}:
        name = next(iter(waiting))
        for unit in status():
            if unit["restarts"] - restarts_before.get(unit["name"], 0) >= _RESTARTS_TOO_MANY:
                raise Trouble(f"{unit['name']} keeps ending. {_end_of_log(layout, unit['name'])}")
        if time.monotonic() > deadline:
            reasons = "; ".join(f"{name}: {why}" for name, why in waiting.items())
            raise Trouble(f"not ready after {timeout_s:.0f} s: {reasons}. {_end_of_log(layout, name)}")
        time.sleep(_POLL_S)


def why_not_ready(unit: Mapping[str, Any]) -> str:
    """Why a unit is not ready; empty when it is, or is meant to stand still."""
    if unit["state"] == "stopped":
        return ""
    if not unit["ready"]:
        return "takes no connections yet" if unit["state"] == "running" else str(unit["state"])
    return next(filter(None, (_refusal(url) for url in unit["ready_urls"])), "")


def _refusal(url: str) -> str:
    """What a readiness address answers instead of 200; empty for 200."""
    try:
        with _http.open(url, timeout=2.0):
            return ""
    except urllib.error.HTTPError as answer:
        return f"{url} answers {answer.code} {answer.read(300).decode(errors='replace')}"
    except OSError as error:
        return f"{url} does not answer ({error})"


def _end_of_log(layout: Layout, name: str) -> str:
    log = layout.log(name)
    lines = log.read_text(errors="replace").splitlines()[-20:] if log.exists() else []
    return "\n".join([f"The end of {log}:", *lines])
