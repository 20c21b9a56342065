"""The secrets of a private stack: made once, kept with its data."""

import secrets
from pathlib import Path

from deploy.supervisor.machine.remembered import recall, remember

# PostgreSQL's login roles, as the grants in deploy/migrations know them.
ROLES = ("gateway", "reader", "admin", "logger", "tagger", "workflow")
# The broker's logins, one a service.
LOGINS = ("gateway", "logger", "tagger", "workflow")
_SERVICES = ("project", "jwt_secret", "cookie_secret", "webhook_password")
_SERVERS = ("postgres_password", "rabbitmq_password")  # where docker compose runs them
_LOGINS = (*(f"{role}_database_password" for role in ROLES), *(f"{login}_amqp_password" for login in LOGINS))
_NAMES = (*_SERVICES, *_SERVERS, *_LOGINS)


def load_credentials(path: Path) -> dict[str, str]:
    """Read the secrets, making those that are missing."""
    known = recall(path)
    whole = {name: known.get(name) or secrets.token_hex(24) for name in _NAMES}
    if whole != known:
        remember(path, whole)
    return whole
