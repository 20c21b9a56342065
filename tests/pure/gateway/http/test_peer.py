"""Whose address a request comes from: only a proxy that is ours is believed, and only what it says itself."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Scope

from services.gateway.http.callers.peer import MOST_KEPT_BYTES, TrustedProxies, caller_behind, hops_of
from shared.settings import Network, ProxyHeader

FOR: ProxyHeader = "x-forwarded-for"
TRUSTED = tuple(map(ip_network, ("10.0.0.0/8", "127.0.0.1", "fd00::/8")))
ADDRESSES = st.ip_addresses().filter(
    lambda address: not any(address in network for network in TRUSTED) and getattr(address, "ipv4_mapped", None) is None
)
PROXIES = st.sampled_from(["10.0.0.1", "10.9.8.7", "127.0.0.1", "fd00::1", "::ffff:10.0.0.1"])


def behind(peer: str, forwarded: list[bytes], trusted: Sequence[Network] = TRUSTED, header: ProxyHeader = FOR) -> str:
    caller, _ = caller_behind(peer, hops_of(header, forwarded), trusted)
    return caller


def spelled(address: IPv4Address | IPv6Address) -> st.SearchStrategy[str]:
    bracketed = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
    return st.sampled_from([str(address), bracketed, f"{bracketed}:4711"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        ("203.0.113.9", [b"198.51.100.1"], "203.0.113.9"),  # nobody's proxy
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b""], "10.0.0.1"),
        ("10.0.0.1", [b"198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [b"6.6.6.6, 198.51.100.1"], "198.51.100.1"),  # the first one is the caller's own invention
        ("10.0.0.1", [b"6.6.6.6", b"198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [b"198.51.100.1, 10.0.0.2", b"127.0.0.1"], "198.51.100.1"),
        ("10.0.0.1", [b"6.6.6.6, 10.0.0.9, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # a call from within
        ("10.0.0.1", [b"198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", [b"198.51.100.1, _hidden, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [b"198.51.100.1 ,, "], "198.51.100.1"),
        ("10.0.0.1", [b"198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", [b"198.51.100.1:no"], "10.0.0.1"),
        ("10.0.0.1", [b"198.51.100.01"], "10.0.0.1"),
        ("10.0.0.1", [b"2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", [b"[2001:DB8::1]"], "2001:db8::1"),
        ("10.0.0.1", [b"[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", [b"[2001:db8::1"], "10.0.0.1"),
        ("10.0.0.1", [b"[2001:db8::1]x"], "10.0.0.1"),
        ("10.0.0.1", [b"fe80::1%eth0"], "10.0.0.1"),
        ("10.0.0.1", [b"::ffff:198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [b"\xff\xfe, \x00"], "10.0.0.1"),
        ("::ffff:10.0.0.1", [b"198.51.100.1"], "198.51.100.1"),  # as a socket for both kinds of address has it
        ("fd00::1", [b"198.51.100.1"], "198.51.100.1"),
        ("fe80::1%eth0", [b"198.51.100.1"], "fe80::1%eth0"),
        ("testclient", [b"198.51.100.1"], "testclient"),
    ],
)
def test_the_caller_is_the_nearest_that_is_no_proxy_of_ours(peer: str, forwarded: list[bytes], caller: str) -> None:
    assert behind(peer, forwarded) == caller


@pytest.mark.parametrize(
    ("forwarded", "caller"),
    [
        ([b"for=198.51.100.1"], "198.51.100.1"),
        ([b"For=198.51.100.1;Proto=https;By=10.0.0.1"], "198.51.100.1"),
        ([b'proto=https ; for="198.51.100.1:4711"'], "198.51.100.1"),
        ([b'for="[2001:DB8::1]"'], "2001:db8::1"),
        ([b'for="[2001:db8::1]:4711";proto=http'], "2001:db8::1"),
        ([b'for="198.51\\.100.1"'], "198.51.100.1"),  # a quoted pair
        ([b"for=198.51.100.1:4711"], "198.51.100.1"),  # without the quotes that it should have
        ([b"for=6.6.6.6, for=198.51.100.1"], "198.51.100.1"),
        ([b"for=6.6.6.6", b"for=198.51.100.1"], "198.51.100.1"),
        ([b"for=198.51.100.1, for=10.0.0.2", b'for="[fd00::1]"'], "198.51.100.1"),
        ([b"for=198.51.100.1, for=unknown"], "10.0.0.1"),
        ([b"for=198.51.100.1, for=_gazonk, for=10.0.0.2"], "10.0.0.2"),
        ([b"for=198.51.100.1, proto=https"], "10.0.0.1"),
        ([b"for=198.51.100.1;for=6.6.6.6"], "10.0.0.1"),  # two of one element
        ([b"198.51.100.1"], "10.0.0.1"),
        ([b"for = 198.51.100.1"], "10.0.0.1"),
        ([b'for="198.51.100.1'], "10.0.0.1"),
        # What the caller wrote before the proxy added to it:
        ([b'for=", for=198.51.100.1'], "198.51.100.1"),
        ([b'for=6.6.6.6;x=", for="[2001:db8::1]"'], "2001:db8::1"),
        ([b'for=6.6.6.6;x="\\, for="198.51.100.1";proto=https'], "198.51.100.1"),
        ([b'for="6.6.6.6, for=6.6.6.7", for=198.51.100.1'], "198.51.100.1"),
        ([b",;,=, for=198.51.100.1, "], "198.51.100.1"),
    ],
)
def test_forwarded_is_read_as_its_rfc_has_it_from_its_end(forwarded: list[bytes], caller: str) -> None:
    assert behind("10.0.0.1", forwarded, header="forwarded") == caller
    assert behind("203.0.113.9", forwarded, header="forwarded") == "203.0.113.9"


@given(st.text(), ADDRESSES, st.lists(PROXIES, max_size=3), PROXIES)
def test_nothing_that_a_caller_writes_of_itself_moves_it(
    written: str, caller: IPv4Address | IPv6Address, proxies: list[str], peer: str
) -> None:
    def element(host: str) -> str:
        return f'for="[{host}]"' if ":" in host else f"for={host}"

    hops = ", ".join([written, element(str(caller)), *map(element, proxies)])
    assert behind(peer, [hops.encode()], header="forwarded") == str(caller)


@given(st.data(), st.text(), ADDRESSES, st.lists(PROXIES, max_size=3), PROXIES)
def test_nothing_that_a_caller_writes_moves_it(
    data: st.DataObject, written: str, caller: IPv4Address | IPv6Address, proxies: list[str], peer: str
) -> None:
    hops = ", ".join([data.draw(spelled(caller)), *proxies]).encode()
    assert behind(peer, [written.encode(), hops]) == str(caller)


@given(st.text(min_size=1), st.lists(st.binary(), max_size=3))
def test_any_peer_and_any_header_name_somebody(peer: str, forwarded: list[bytes]) -> None:
    assert behind(peer, forwarded)
    assert behind(peer, forwarded, (), "forwarded") == behind(peer, forwarded, ()) == peer
    assert behind(peer, forwarded, header="forwarded")


def scope(*headers: tuple[bytes, bytes], peer: str = "10.0.0.1") -> Scope:
    return {"type": "http", "scheme": "http", "client": (peer, 1234), "headers": list(headers)}


@pytest.mark.parametrize(
    ("peer", "said", "scheme"),
    [
        ("10.0.0.1", [b"https"], "https"),
        ("10.0.0.1", [b"HTTPS "], "https"),
        ("10.0.0.1", [b"http"], "http"),
        ("10.0.0.1", [b"https, http"], "http"),  # what the nearest proxy adds comes last
        ("10.0.0.1", [b"http", b"https"], "https"),
        ("10.0.0.1", [b"javascript"], "http"),
        ("10.0.0.1", [], "http"),
        ("203.0.113.9", [b"https"], "http"),
    ],
)
def test_the_scheme_is_what_a_proxy_of_ours_says(peer: str, said: list[bytes], scheme: str) -> None:
    asked = scope(*((b"x-forwarded-proto", value) for value in said), peer=peer)
    TrustedProxies(TRUSTED).settle(asked)
    assert (asked["scheme"], asked["client"]) == (scheme, (peer, 1234))


def test_a_caller_behind_a_proxy_has_its_own_address_and_no_port() -> None:
    asked = scope((b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-for", b"198.51.100.1"))
    TrustedProxies(TRUSTED).settle(asked)
    assert asked["client"] == ("198.51.100.1", 0)


def test_a_socket_without_addresses_is_left_alone() -> None:
    asked = {**scope((b"x-forwarded-for", b"6.6.6.6")), "client": None}
    TrustedProxies(TRUSTED).settle(asked)
    assert asked["client"] is None


def test_only_the_header_that_our_proxies_write_counts() -> None:
    headers = (b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-proto", b"http"), (b"forwarded", b"for=198.51.100.1")
    asked = scope(*headers, (b"forwarded", b"for=10.0.0.2;proto=https"))
    TrustedProxies(TRUSTED, "forwarded").settle(asked)
    assert (asked["client"], asked["scheme"]) == (("198.51.100.1", 0), "https")
    asked = scope(*headers)
    TrustedProxies(TRUSTED).settle(asked)
    assert (asked["client"], asked["scheme"]) == (("6.6.6.6", 0), "http")


def test_long_headers_are_read_and_not_remembered() -> None:
    proxies = TrustedProxies(TRUSTED)
    for number in range(100):
        asked = scope((b"x-forwarded-for", b"6.6.6.6, " * MOST_KEPT_BYTES + b"198.51.100.%d" % number))
        proxies.settle(asked)
        assert asked["client"] == (f"198.51.100.{number}", 0)
    assert proxies._behind.cache_info().currsize == 0
