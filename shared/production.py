"""What production refuses though it would run on it: settings by which strangers get in, one sentence each. Pure."""

from typing import TYPE_CHECKING

from yarl import URL

if TYPE_CHECKING:
    from shared.settings import Settings

GUEST = "guest"  # RabbitMQ's first login and its password, and what a client takes where a URL names none
PUBLIC = "development-only"  # in every secret that everybody knows
# What stands in examples everywhere; a password that is its login's name counts as one of them.
GUESSED = ("password", "postgres", "changeme", "secret", "admin", "test")
_LOGINS = {
    "migrate": ("database_url",),
    "gateway": ("gateway_database_url", "reader_database_url", "admin_database_url", "gateway_amqp_url"),
    "logger": ("logger_database_url", "logger_amqp_url"),
    "tagger": ("tagger_database_url", "tagger_amqp_url"),
    "workflow": ("workflow_database_url", "workflow_amqp_url"),
}
SANDBOX = "sandbox"  # what signs in at the simulated systems
SHORTEST_PASSWORD = 16  # bytes; nobody types it


def unsafe(settings: "Settings", part: str) -> list[str]:
    """Say what is unsafe in the settings of one part; nothing where all is well."""
    if part == "migrate":
        return _unsafe_passwords(settings, part)
    own = {"gateway": _unsafe_callers, "workflow": _unsafe_outside}.get(part)
    return [*(own(settings) if own else ()), *_unsafe_broker(settings, part), *_unsafe_passwords(settings, part)]


def _unsafe_passwords(settings: "Settings", part: str) -> list[str]:
    """Say which logins at the servers have a password that everybody tries first."""
    names = [name for name in _LOGINS[part] if getattr(settings, name)]
    urls = {name: URL(getattr(settings, name)) for name in names}
    guessed = [name.upper() for name, url in urls.items() if url.password and url.password in (*GUESSED, url.user)]
    return [f"{name} has a password that everybody tries first" for name in guessed]


def _unsafe_outside(settings: "Settings") -> list[str]:
    found = []
    if settings.smtp_host and settings.smtp_user and settings.smtp_security == "none":
        found.append("SMTP_SECURITY is none, so SMTP_PASSWORD would be sent in the clear: starttls or tls")
    if settings.avinode_client_secret.get_secret_value() == SANDBOX:
        found.append("AVINODE_CLIENT_SECRET is the sandbox's")
    return found


def _unsafe_callers(settings: "Settings") -> list[str]:
    found = []
    found += _unsafe_signing(settings)
    if not settings.jwt_audience and not settings.jwt_any_audience:
        found.append(
            "JWT_AUDIENCE is empty, so a token for any other application with the same secret would count here: "
            "set it, or say JWT_ANY_AUDIENCE=true"
        )
    found += _unsafe_provider(settings)
    if len(settings.avinode_webhook_password.get_secret_value().encode()) < SHORTEST_PASSWORD:
        found.append(f"AVINODE_WEBHOOK_PASSWORD has fewer than {SHORTEST_PASSWORD} bytes")
    previous = settings.avinode_webhook_previous_password.get_secret_value()
    if previous and (len(previous.encode()) < SHORTEST_PASSWORD or PUBLIC in previous):
        found.append(f"AVINODE_WEBHOOK_PREVIOUS_PASSWORD has fewer than {SHORTEST_PASSWORD} bytes, or is public")
    return found


def _unsafe_signing(settings: "Settings") -> list[str]:
    """Say what is unsafe about the secrets that sign, and those that they replace."""
    found = []
    if settings.jwt_secret == settings.cookie_secret:
        found.append("JWT_SECRET and COOKIE_SECRET are equal: give each a secret of its own")
    elif {*settings.hs256_secrets} & {*settings.cookie_secrets}:
        found.append("a secret of tokens is one of cookies too, before or now: give each a secret of its own")
    replaced = ("jwt_previous_secret", "cookie_previous_secret")
    public = [name.upper() for name in replaced if PUBLIC in getattr(settings, name).get_secret_value()]
    return [*found, *(f"{name} is public" for name in public)]


def _unsafe_provider(settings: "Settings") -> list[str]:
    """Say what is unsafe about whom tokens are signed by, where that is not us."""
    if not settings.jwt_jwks_url:
        return []
    found = []
    if URL(settings.jwt_jwks_url).scheme != "https":
        found.append("JWT_JWKS_URL is not https, so whoever is on the way could put their keys in its place")
    if not settings.jwt_audience and not settings.jwt_issuer:
        found.append("JWT_AUDIENCE and JWT_ISSUER are empty: some providers sign for all their customers with one key")
    return found


def _unsafe_broker(settings: "Settings", service: str) -> list[str]:
    used = settings.as_service(service).amqp_url
    url = URL(used)
    if (url.user or GUEST, url.password or GUEST) != (GUEST, GUEST):
        return []
    variable = "AMQP_URL" if used == settings.amqp_url else f"{service.upper()}_AMQP_URL"
    return [f"{variable} logs in as guest with the password that every new broker has: make a login of its own"]
