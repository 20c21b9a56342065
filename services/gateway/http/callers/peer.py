"""Whose address a request comes from, and by which scheme: the socket's, or what a proxy of ours says of it.

Anybody can write `X-Forwarded-For` and `Forwarded`, so the one that our proxies write is read from its end, where the
nearest proxy has added whom it heard, and no further than proxies of ours have written it; the other one not at all.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

from services.gateway.http.callers.forwarded import Hop, forwarded, forwarded_for
from shared.settings import Network, ProxyHeader

Address = IPv4Address | IPv6Address
SCHEMES = ("http", "https")
MOST_KEPT_BYTES = 256  # of a header that is remembered: whoever sends longer ones must not fill the memory with them


class TrustedProxies:
    """The networks where our proxies are; false where there are none, and nobody is to be asked."""

    def __init__(self, networks: Sequence[Network], header: ProxyHeader = "x-forwarded-for") -> None:
        self._networks = networks
        self._header = header.encode()
        self._reads_scheme = header == "forwarded"
        # Kept, since the same callers come by the same proxies, and reading addresses takes twice what all else does.
        self._is_ours = lru_cache(maxsize=1024)(lambda host: _is_within(_read(host), networks))
        self._behind = lru_cache(maxsize=1024)(lambda peer, said: caller_behind(peer, hops_of(header, said), networks))
        self._read_behind = self._behind.__wrapped__

    def __bool__(self) -> bool:
        return bool(self._networks)

    def settle(self, scope: Scope) -> None:
        """Write the caller's address and scheme to a request's scope, where one of our proxies is its peer."""
        peer, port = scope.get("client") or ("", 0)  # a Unix socket has no address
        if not self._is_ours(peer):
            return
        said: str | None = None
        if values := _values(scope, self._header):
            behind = self._behind if sum(map(len, values)) <= MOST_KEPT_BYTES else self._read_behind
            caller, said = behind(peer, values)
            scope["client"] = (caller, port if caller == peer else 0)
        if not self._reads_scheme:
            said = b",".join(_values(scope, b"x-forwarded-proto")).rpartition(b",")[2].decode("latin-1")
        scheme = (said or "").strip().lower()
        if scheme in SCHEMES:
            scope["scheme"] = scheme


def hops_of(header: ProxyHeader, values: Sequence[bytes]) -> Iterator[Hop]:
    """Read every header of this name, in order, the nearest proxy's word first."""
    return forwarded(values) if header == "forwarded" else forwarded_for(values)


def caller_behind(peer: str, hops: Iterable[Hop], trusted: Sequence[Network]) -> tuple[str, str | None]:
    """Return the address nearest to us that is no proxy of ours; what can't be read hides whoever is behind it.

    Args:
        peer: The other end of the socket.
        hops: What was said by whoever comes before it, the nearest first.
        trusted: Where our proxies are.

    Returns:
        The address, and the scheme that the nearest proxy names, as it does.
    """
    nearest, address, scheme = peer, _read(peer), None
    for number, hop in enumerate(hops):
        if not _is_within(address, trusted):
            break
        scheme = hop.scheme if number == 0 else scheme
        named = _read(_without_port(hop.heard))
        if named is None:
            break
        nearest, address = str(named), named
    return nearest, scheme


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
