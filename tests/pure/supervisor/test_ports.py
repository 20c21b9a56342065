"""The choice of ports."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from threading import Timer

from deploy.supervisor.layout import PROJECT
from deploy.supervisor.machine.ports import answers, free_port, is_free, listens, port_again


def listening() -> socket.socket:
    """Listen on a port that `free_port` gave."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", free_port()))
    listener.listen()
    return listener


def test_chosen_port_is_below_those_of_outgoing_connections() -> None:
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    assert all(10_000 <= free_port() < first_outgoing for _ in range(20))


def test_port_in_use_is_not_free() -> None:
    with listening() as listener:
        port = listener.getsockname()[1]
        assert (is_free(port), answers(port)) == (False, True)

    assert (is_free(port), answers(port)) == (True, False)


def test_next_port_is_taken_where_the_preferred_one_is_in_use() -> None:
    with listening() as listener:
        port = listener.getsockname()[1]

        assert free_port(port) > port


def test_promised_port_is_not_given_twice() -> None:
    first = free_port()

    assert free_port(first, taken=frozenset({first})) != first


def test_port_is_promised_to_one_process_until_that_ends() -> None:
    chooses = "import sys; from deploy.supervisor.machine.ports import free_port; print(free_port(int(sys.argv[1])))"
    mine = free_port()
    waits = [sys.executable, "-uc", f"{chooses}; sys.stdin.read()", str(mine)]

    with subprocess.Popen(waits, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT.root, text=True) as other:
        assert other.stdout
        theirs = int(other.stdout.readline())
        assert theirs != mine
        assert free_port(theirs) != theirs
        other.kill()

    assert free_port(theirs) == theirs


def test_port_of_last_time_is_taken_again() -> None:
    port = free_port()

    assert port_again(port) == port


def test_port_that_is_given_back_in_a_moment_is_waited_for() -> None:
    listener = listening()
    port = listener.getsockname()[1]
    Timer(0.2, listener.close).start()

    assert port_again(port) == port


def test_port_that_somebody_else_keeps_is_given_up() -> None:
    with listening() as listener:
        port = listener.getsockname()[1]

        assert port_again(port) != port


def test_only_who_listens_itself_listens() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as sixth,
    ):
        ports = server.getsockname()[1], sixth.getsockname()[1]
        other = subprocess.Popen(["/bin/sleep", "60"])
        try:
            assert listens(os.getpid(), ports)
            assert not listens(other.pid, ports)
            assert not listens(None, ports)
        finally:
            other.kill()
            other.wait()
    assert not listens(os.getpid(), ports)
