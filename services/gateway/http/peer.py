"""Whose address a request comes from, and by which scheme: the socket's, or what a proxy of ours says of it.

Anybody can write `X-Forwarded-For`, so it is read from its end, where the nearest proxy has added whom it heard, and no
further than proxies of ours have written it.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

from shared.settings import Network

Address = IPv4Address | IPv6Address
SCHEMES = ("http", "https")


class TrustedProxies:
    """The networks where our proxies are; false where there are none, and nobody is to be asked."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        # Kept, since the same callers come by the same proxies, and reading addresses takes twice what all else does.
        self._is_ours = lru_cache(maxsize=1024)(lambda host: _is_within(_read(host), networks))
        self._caller_behind = lru_cache(maxsize=1024)(lambda peer, said: caller_behind(peer, said, networks))

    def __bool__(self) -> bool:
        return bool(self._networks)

    def settle(self, scope: Scope) -> None:
        """Write the caller's address and scheme to a request's scope, where one of our proxies is its peer."""
        peer, port = scope.get("client") or ("", 0)  # a Unix socket has no address
        if not self._is_ours(peer):
            return
        if forwarded := _values(scope, b"x-forwarded-for"):
            caller = self._caller_behind(peer, forwarded)
            scope["client"] = (caller, port if caller == peer else 0)
        said = b",".join(_values(scope, b"x-forwarded-proto")).rpartition(b",")[2]
        scheme = said.decode("latin-1").strip().lower()
        if scheme in SCHEMES:
            scope["scheme"] = scheme


def caller_behind(peer: str, forwarded: Sequence[bytes], trusted: Sequence[Network]) -> str:
    """Return the address nearest to us that is no proxy of ours; what can't be read hides whoever is behind it.

    Args:
        peer: The other end of the socket.
        forwarded: Every `X-Forwarded-For` header, in order.
        trusted: Where our proxies are.
    """
    nearest, address = peer, _read(peer)
    for hop in _from_the_end(forwarded):
        named = _read(_without_port(hop)) if _is_within(address, trusted) else None
        if named is None:
            break
        nearest, address = str(named), named
    return nearest


def peer_of(scope: Scope) -> str:
    """Name whom a request comes from, as far as its address tells."""
    client = scope.get("client")
    return neighbourhood(client[0]) if client else ""  # a Unix socket has no address


@lru_cache(maxsize=1024)
def truncated(host: str) -> str | None:
    """Return the network of an address that is kept of it: an IPv4 address' /24, an IPv6 address' /48; else None."""
    address = _read(host)
    if address is None:
        return None
    return str(ip_network((address, 48 if isinstance(address, IPv6Address) else 24), strict=False))


@lru_cache(maxsize=1024)
def neighbourhood(host: str) -> str:
    """Name the addresses that one caller has at least: an IPv4 address, or the /64 of an IPv6 address."""
    address = _read(host)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address) >> 64 << 64, 64)))
    return host if address is None else str(address)


def _from_the_end(forwarded: Sequence[bytes]) -> Iterator[str]:
    for value in reversed(forwarded):
        hops = (hop.strip() for hop in reversed(value.decode("latin-1").split(",")))
        yield from (hop for hop in hops if hop)


def _without_port(hop: str) -> str:
    """Take off what may follow an address: `1.2.3.4:5`, `[::1]:5`, `[::1]`; a lone IPv6 address has none."""
    if hop.startswith("["):
        host, closed, port = hop[1:].partition("]")
        return host if closed and (not port or _is_port(port)) else ""
    host, colon, port = hop.partition(":")
    return host if colon and _is_port(colon + port) else hop


def _is_port(text: str) -> bool:
    return text[0] == ":" and text[1:].isdecimal()


def _read(host: str) -> Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id:
            return None  # of one machine's own interfaces: nobody else's proxy can mean it
        return address.ipv4_mapped or address  # as a socket for both kinds of address spells the other kind
    return address


def _is_within(address: Address | None, networks: Iterable[Network]) -> bool:
    return address is not None and any(address in network for network in networks)


def _values(scope: Scope, name: bytes) -> tuple[bytes, ...]:
    return tuple(value for key, value in scope["headers"] if key == name)
