"""By which names the gateway may be called."""

import pytest

from services.gateway.http.edge.hosts import allowed_hosts
from shared.settings import Settings


def admits(host: bytes, environment: str = "development", names: str = "") -> bool:
    values = {"environment": environment, "allowed_hosts": names}
    return allowed_hosts(Settings(_env_file=None, **values)).admits(host)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    "host", [b"localhost", b"LocalHost:8080", b"localhost.", b"127.0.0.1:1", b"[::1]", b"[::1]:80", b"gateway:8080"]
)
def test_development_goes_by_loopbacks_names_and_composes(host: bytes) -> None:
    assert admits(host)


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"evil.example",
        b"evil.example:8080",
        b"localhost.evil.example",
        b"[::2]",
        b"[::1].evil.example",
        b"[::1",
        b"127.0.0.1.evil",
        b"\xff",
    ],
)
def test_development_goes_by_no_other_name(host: bytes) -> None:
    assert not admits(host)


def test_names_of_ones_own_come_on_top_in_development() -> None:
    assert admits(b"laptop.example:80", names="laptop.example, other.example")
    assert admits(b"localhost", names="laptop.example")


def test_production_goes_by_the_names_it_is_given_and_by_any_without() -> None:
    assert admits(b"chat.example", "production", "Chat.Example")
    assert not admits(b"gateway", "production", "chat.example")
    assert admits(b"anything", "production")
