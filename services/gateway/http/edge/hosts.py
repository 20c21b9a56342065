"""By which names the gateway is called: what a page of somebody else's reaches by a name of its own is not served.

A name can be made to lead to this machine after a browser has loaded a page from it (DNS rebinding), and then that page
is of our own origin. It has no token, so this is for whoever comes without one.
"""

from collections.abc import Iterable
from functools import lru_cache

from shared.settings import Settings

LOOPBACK = ("localhost", "127.0.0.1", "::1")
COMPOSE = ("gateway", "host.docker.internal")  # as containers beside it, and on its host, call it


class AllowedHosts:
    def __init__(self, names: Iterable[str] | None) -> None:
        self._names = None if names is None else frozenset(name.lower() for name in names)
        self.admits = lru_cache(maxsize=1024)(self._admits)  # the same few, or one attacker's many

    def _admits(self, host: bytes) -> bool:
        """Tell whether a `Host` header names us, whatever its port is."""
        return self._names is None or _name_in(host.decode("latin-1")) in self._names


def allowed_hosts(settings: Settings) -> AllowedHosts:
    """Return the names of this gateway: in production those of `ALLOWED_HOSTS`, and any where that is empty."""
    named = [name.strip() for name in settings.allowed_hosts.split(",") if name.strip()]
    if settings.environment == "production":
        return AllowedHosts([*named, *LOOPBACK] if named else None)
    return AllowedHosts([*named, *LOOPBACK, *COMPOSE, settings.http_host])


def _name_in(host: str) -> str:
    """Take a port off: `name:80`, `[::1]:80`, `[::1]`."""
    if host.startswith("["):
        address, bracket, port = host[1:].partition("]")
        return address if bracket and port[:1] in ("", ":") else host
    return host.partition(":")[0].lower().removesuffix(".")
