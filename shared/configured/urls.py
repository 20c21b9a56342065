"""What a URL in the settings must look like, so that a wrong one is told by its variable's name before it is used."""

from urllib.parse import SplitResult, urlsplit

# By the end of the setting's name: the schemes that we speak, and a URL as it should be.
_FORMS = {
    "database_url": (("postgresql", "postgres"), "postgresql://user:password@host:5432/database"),
    "amqp_url": (("amqp", "amqps"), "amqp://user:password@host:5672/"),
    "jwks_url": (("http", "https"), "https://host/.well-known/jwks.json"),
    "management_url": (("http", "https"), "http://host:15672"),
    "base_url": (("http", "https"), "https://host/path"),
}


def malformed(setting: str, url: str) -> str | None:
    """Say what a URL should be where it is none; None where it may lead somewhere. Its text may hold a password."""
    schemes, example = next(form for end, form in _FORMS.items() if setting.endswith(end))
    return None if _is_whole(url, schemes) else f"{setting.upper()} is not a URL such as {example}"


def is_base_url(url: str) -> bool:
    """Tell whether calls can begin with it."""
    return _is_whole(url, _FORMS["base_url"][0])


def _is_whole(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and _has_host(parts)
    except ValueError:  # half a bracket, a port that is no number
        return False


def _has_host(parts: SplitResult) -> bool:
    if "host=" in parts.query or "," in parts.netloc:  # libpq's own ways: a socket's directory, several hosts
        return True
    return bool(parts.hostname) and (parts.port is None or parts.port > 0)
