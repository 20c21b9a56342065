"""By which address other hosts reach this one."""

import socket
from collections.abc import Iterable
from contextlib import closing
from ipaddress import ip_address

# A documentation address (RFC 5737), which no packet is sent to: the kernel only says which way it would go.
ELSEWHERE = ("192.0.2.1", 9)


def own_address() -> str:
    """Return an address of this host's name that is no loopback one, else that of its way out, else a loopback one.

    Debian and others give a host's name 127.0.1.1 in /etc/hosts, which is another host to everybody else.
    """
    named = _named()
    return next(
        (each for each in [*named, *_on_the_way_out()] if not is_loopback(each)), next(iter(named), "127.0.0.1")
    )


def is_loopback(host: str) -> bool:
    """Tell whether only this host is reached there, by an address or by the name of one."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _named() -> list[str]:
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return _usable(str(address[0]) for _, _, _, _, address in found)


def _on_the_way_out() -> list[str]:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as way:
        try:
            way.connect(ELSEWHERE)
        except OSError:
            return []
        return _usable([way.getsockname()[0]])


def _usable(addresses: Iterable[str]) -> list[str]:
    """Leave out what is no address without its interface, and put IPv4 first, which everybody can be asked by."""
    usable = [each for each in addresses if "%" not in each and not ip_address(each).is_link_local]
    return sorted(usable, key=lambda each: ":" in each)
