"""Which page a request comes from, as far as the browser that sends it says so."""

from collections.abc import Mapping

SCHEMES = ("http", "https")


def from_own_page(headers: Mapping[str, str]) -> bool | None:
    """Tell whether a page of our own origin sends this; None where nothing says so, as of a program.

    No page can write these headers itself. `Sec-Fetch-Site` decides where a browser sends it, and its `none` is no
    page's doing, so it proves nothing; else `Origin` is compared with `Host`. The rule for what is refused is that of
    Go's net/http CrossOriginProtection.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return None if site == "none" else site == "same-origin"
    origin = headers.get("origin")
    if origin is None:
        return None
    scheme, _, host = origin.partition("://")
    return scheme in SCHEMES and host != "" and host == headers.get("host")
