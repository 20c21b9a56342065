"""The address that other gateways are told, on hosts whose name has a loopback one."""

import socket
from typing import Any

import pytest

from shared.configured import own_address
from shared.configured.own_address import is_loopback
from shared.settings import Settings

EVERYWHERE = "0.0.0.0"  # noqa: S104 - to be told from an address


def host_named(monkeypatch: pytest.MonkeyPatch, *addresses: str, way_out: str | None) -> None:
    """Let this host's name have these addresses."""

    def look_up(*_args: Any, **_more: Any) -> list[Any]:
        if not addresses:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(own_address, "_on_the_way_out", lambda: [way_out] if way_out else [])


@pytest.mark.parametrize(
    ("named", "way_out", "url"),
    [
        (["127.0.1.1"], "10.0.0.5", "http://10.0.0.5:9080"),  # Debian
        (["127.0.1.1", "10.0.0.7"], "10.0.0.5", "http://10.0.0.7:9080"),
        (["172.17.0.2"], "10.0.0.5", "http://172.17.0.2:9080"),  # a container
        (["::1", "fd00::7"], None, "http://[fd00::7]:9080"),
        (["fe80::1%eth0", "fe80::1", "fd00::7"], None, "http://[fd00::7]:9080"),
        (["fd00::7", "10.0.0.7"], None, "http://10.0.0.7:9080"),
        (["127.0.1.1"], None, "http://127.0.1.1:9080"),  # it has no other
        ([], "10.0.0.5", "http://10.0.0.5:9080"),
        ([], None, "http://127.0.0.1:9080"),
    ],
)
def test_an_address_that_others_reach_is_preferred(
    monkeypatch: pytest.MonkeyPatch, named: list[str], way_out: str | None, url: str
) -> None:
    host_named(monkeypatch, *named, way_out=way_out)
    assert Settings(_env_file=None, internal_host=EVERYWHERE).reachable_at == url


def test_what_is_said_is_told_as_it_is() -> None:
    told = Settings(_env_file=None, internal_host=EVERYWHERE, internal_url="http://a:1/")
    assert told.reachable_at == "http://a:1"


def test_the_way_out_costs_no_name_and_no_packet() -> None:
    """Whether there is one depends on the host; what is found is an address."""
    for address in own_address._on_the_way_out():
        socket.inet_aton(address)


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.1.1", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("gw", False)]
)
def test_loopback_is_known_by_address_and_name(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
