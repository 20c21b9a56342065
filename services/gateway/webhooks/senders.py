"""Who may post: Avinode by HTTP Basic, others by the signatures of Standard Webhooks."""

from base64 import b64decode
from collections.abc import Mapping
from hmac import compare_digest

from standardwebhooks import Webhook, WebhookVerificationError

from services.gateway.http.callers.authorization import credentials_in
from shared.configured.webhook_senders import read_senders
from shared.settings import Settings

SIGNED_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


def is_avinode(authorization: str, settings: Settings) -> bool:
    """Check HTTP Basic credentials, in a time that tells nothing of how wrong they are.

    The password before this one counts as long as the settings have it: Avinode is told of a new one by hand.
    """
    scheme, token = credentials_in(authorization)
    try:
        given = b64decode(token, validate=True)
    except ValueError:
        return False
    passwords = [settings.avinode_webhook_password.get_secret_value()]
    if previous := settings.avinode_webhook_previous_password.get_secret_value():
        passwords.append(previous)
    matches = [compare_digest(given, f"{settings.avinode_webhook_user}:{each}".encode()) for each in passwords]
    return scheme == "basic" and any(matches)


class SignedSenders:
    """The senders that the settings name, each with its secrets."""

    def __init__(self, settings: Settings) -> None:
        senders = read_senders(settings.webhook_senders.get_secret_value())
        self._webhooks = {name: [Webhook(secret) for secret in secrets] for name, secrets in senders.items()}

    def __contains__(self, source: str) -> bool:
        return source in self._webhooks

    def has_signed(self, source: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Tell whether this sender signed the body within the last five minutes, by one of its secrets."""
        signed = {name: headers.get(name, "") for name in SIGNED_HEADERS}
        return any(_verifies(webhook, signed, body) for webhook in self._webhooks[source])


def _verifies(webhook: Webhook, headers: dict[str, str], body: bytes) -> bool:
    try:
        webhook.verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):  # the library's own words do for some malformed signatures only
        return False
    return True
