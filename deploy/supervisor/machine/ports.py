"""Free loopback ports.

Always below the kernel's range for outgoing connections: a port from that range (what binding port 0 gives)
can be taken by somebody's outgoing connection before the child that is meant to listen there gets to it.

A port that was chosen stays promised to the process that chose it until that ends: seconds go by before its child
listens there, and a child that starts again wants its port again, while another stack of this machine may be choosing.
"""

import errno
import random
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from deploy.supervisor.trouble import Trouble

_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TCP_TABLES = Path("/proc/net/tcp"), Path("/proc/net/tcp6")
_LISTEN = "0A"
LOWEST = 10_000
_PATIENCE_S = 2.0
_promises: dict[int, socket.socket] = {}  # What was promised to this process.


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether something accepts connections on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def listens(pid: int | None, ports: Iterable[int]) -> bool:
    """Whether this very process listens on all of these ports: an answer may come from somebody else's.

    Read from the kernel's tables of TCP sockets, and from the process's open files.
    """
    if pid is None:
        return False
    own = _sockets(pid)
    return set(ports) <= {port for socket, port in _listeners() if socket in own}


def free_port(preferred: int | None = None, *, taken: frozenset[int] = frozenset()) -> int:
    """Choose a free port: `preferred` or the next above it; without a preference a random one.

    Nobody else who chooses by this function on this machine is given it while this process lives.
    Ports in `taken` are promised to somebody who has not started yet.
    """
    highest = first_ephemeral_port()
    start = preferred if preferred is not None else random.randrange(LOWEST, highest)  # noqa: S311 - no secret
    for port in chain(range(start, highest), range(LOWEST, highest)):
        if port not in taken and port not in _promises and is_free(port) and _promise(port):
            return port
    message = f"no free port on 127.0.0.1 between {LOWEST} and {highest}: stop something that listens there"
    raise Trouble(message)


def port_again(port: int | None, *, taken: frozenset[int] = frozenset()) -> int:
    """Take the port of last time, or another where there was none or somebody else has it.

    A moment of patience: what is left of a killed server may hold its port a little longer.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while port is not None and time.monotonic() < deadline:
        if is_free(port) and (port in _promises or _promise(port)):
            return port
        time.sleep(0.05)
    return free_port(taken=taken)


def first_ephemeral_port() -> int:
    """Return where the kernel's range for outgoing connections begins."""
    try:
        return int(_EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768


def _promise(port: int) -> bool:
    """Promise a port to this process, unless it is another's: by a name that lives as long as we do.

    A name of Linux's abstract sockets (unix(7)): it is no file that could be left behind, and belongs to the same
    network as the port itself, whichever directories or user a stack has.
    """
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(f"\0tripthread-port-{port}")
    except OSError as refused:
        name.close()
        return refused.errno != errno.EADDRINUSE  # A machine that knows no such names has nobody to agree with.
    _promises[port] = name
    return True


def _listeners() -> Iterator[tuple[str, int]]:
    """Every listening TCP socket of this machine, as `/proc/<pid>/fd` names it, and its port."""
    for table in _TCP_TABLES:
        with suppress(OSError):  # A kernel without IPv6.
            for line in table.read_text().splitlines()[1:]:
                _, local, _, state, *_, inode = line.split()[:10]
                if state == _LISTEN:
                    yield f"socket:[{inode}]", int(local.rpartition(":")[2], 16)


def _sockets(pid: int) -> set[str]:
    """The open files of a process; none where it has ended, or is somebody else's."""
    found = set()
    with suppress(OSError):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # It was closed meanwhile.
                found.add(str(file.readlink()))
    return found
