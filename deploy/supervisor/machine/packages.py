"""Debian packages, installed where they are missing and this account may."""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.supervisor.machine.programs import succeeds
from deploy.supervisor.machine.spool import open_log
from deploy.supervisor.trouble import Trouble

# While the packages' own scripts run, a policy-rc.d that says "no" keeps them from starting their services on
# the standard ports. It is there for this call only, and not where the machine has a policy of its own.
_GUARD = Path("/usr/sbin/policy-rc.d")
_INSTALL = """
set -eu
guard=$1
shift
if [ ! -e "$guard" ]; then
    trap 'rm -f "$guard"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\\nexit 101\\n' >"$guard"
    chmod 755 "$guard"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q || echo 'apt-get update failed; going on with the package lists there are'
apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
"""


def require(what: str, packages: Sequence[str], is_there: Callable[[], bool], *, log: Path) -> None:
    """Install the packages unless `is_there` already.

    Args:
        what: what they bring, in words for a person.
        log: where apt's output goes.

    Raises:
        Trouble: it cannot be installed from here; the message says what to type.
    """
    if is_there():
        return
    command = ("apt-get", "install", *packages)
    print(f"Installing {what}: {' '.join(command)} (output in {log})", flush=True)
    if install(packages, log=log, prefix=_as_root(what, packages)) != 0 or not is_there():
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        message = f"{' '.join(command)} did not bring {what}. The end of {log}:\n{tail}"
        raise Trouble(message)


def install(packages: Sequence[str], *, log: Path, prefix: Sequence[str] = (), guard: Path = _GUARD) -> int:
    """Run apt to its end, and return its exit status.

    Whoever interrupts us waits for it too: killed half-way, it would leave the guard behind.
    """
    argv = [*prefix, "sh", "-c", _INSTALL, "sh", str(guard), *packages]
    # From here on we wait for whatever has begun. apt inherits this, and hears no Ctrl-C either.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        with open_log(log) as output:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return process.wait()
    except KeyboardInterrupt:
        print("Waiting for apt to end", flush=True)
        process.wait()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _as_root(what: str, packages: Sequence[str]) -> list[str]:
    """The prefix that makes a command run as root: nothing, or sudo where it asks no password."""
    manual = f"{what} is missing. Install it and try again: sudo apt-get install {' '.join(packages)}"
    if not succeeds("apt-get", "--version"):
        message = f"{what} is missing and there is no apt-get here: install it by your system's own means"
        raise Trouble(message)
    if os.geteuid() == 0:
        return []
    if succeeds("sudo", "-n", "true"):
        return ["sudo", "-n"]
    raise Trouble(manual)
