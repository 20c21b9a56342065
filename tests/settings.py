"""Settings for the services of one test."""

import os
from urllib.parse import urlsplit, urlunsplit

from deploy.migrate import SERVICE_URLS
from shared.settings import Settings
from shared.topology import LOGINS


def with_database(url: str, database: str, login: str | None = None) -> str:
    """Return `url` for another database and, where `login` is `user:password`, another user."""
    parts = urlsplit(url)
    address = f"{parts.hostname}:{parts.port}"
    user = login or f"{parts.username}:{parts.password}"
    return urlunsplit(("postgresql", f"{user}@{address}", f"/{database}", "", ""))


def broker_logins(amqp_url: str) -> dict[str, str]:
    """Return each service's own login at a broker that a test has started; a given broker has none of them."""
    if amqp_url == os.environ.get("TEST_AMQP_URL"):
        return {}
    address = amqp_url.rpartition("@")[2]
    return {f"{login}_amqp_url": f"amqp://tripthread_{login}:pw_{login}@{address}" for login in LOGINS}


def settings_for(database_url: str, amqp_url: str, **overrides: object) -> Settings:
    """Return the settings that every service of one test shares."""
    database = urlsplit(database_url).path.removeprefix("/")
    roles = {name: name.removesuffix("_database_url") for name in SERVICE_URLS}
    urls = {name: with_database(database_url, database, f"tripthread_{role}:pw_{role}") for name, role in roles.items()}
    values = {
        "environment": "test",
        "database_url": database_url,
        "amqp_url": amqp_url,
        "internal_port": 0,
        "allowed_hosts": "gateway.test",
        "log_level": "WARNING",
        "calls_per_minute": 1_000_000,  # a test looks again and again
        **urls,
        **broker_logins(amqp_url),
        **overrides,
    }
    return Settings(_env_file=None, **values)  # type: ignore[arg-type]  # a mapping of fields by name
