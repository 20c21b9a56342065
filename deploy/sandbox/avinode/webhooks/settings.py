"""Webhook settings: who is told what, and with which credentials."""

from dataclasses import dataclass

from deploy.sandbox.avinode.market.errors import UnknownIdError
from deploy.sandbox.avinode.market.ids import IdMaker
from deploy.sandbox.avinode.market.inputs import EVENT_TYPES, EventType, NewWebhook
from deploy.sandbox.settings import SandboxSettings


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as the broker's company set it up."""

    id: str
    setting: NewWebhook


class Webhooks:
    """Keep the webhooks of the one company there is. There is no delete: an unwanted one is made inactive."""

    def __init__(self, ids: IdMaker) -> None:
        self._ids = ids
        self._webhooks: dict[str, Webhook] = {}

    def add(self, setting: NewWebhook) -> Webhook:
        """Set up a webhook."""
        return self._put(self._ids.take("whs"), setting)

    def replace(self, webhook_id: str, setting: NewWebhook) -> Webhook:
        """Change a webhook."""
        return self._put(self.find(webhook_id).id, setting)

    def find(self, webhook_id: str) -> Webhook:
        """Find a webhook by its id."""
        if webhook_id not in self._webhooks:
            msg = f"nothing has the id {webhook_id}"
            raise UnknownIdError(msg)
        return self._webhooks[webhook_id]

    def list_all(self) -> list[Webhook]:
        """List the webhooks, oldest first."""
        return list(self._webhooks.values())

    def hearing(self, event: EventType) -> list[Webhook]:
        """List the active webhooks that want to hear of an event."""
        return [
            webhook
            for webhook in self._webhooks.values()
            if webhook.setting.active and event in webhook.setting.event_types
        ]

    def _put(self, webhook_id: str, setting: NewWebhook) -> Webhook:
        self._webhooks[webhook_id] = Webhook(webhook_id, setting)
        return self._webhooks[webhook_id]


def webhook_from_environment(settings: SandboxSettings) -> NewWebhook | None:
    """Return the webhook the environment names, if it does: one target for everything."""
    if settings.avinode_webhook_target is None:
        return None
    return NewWebhook(
        target_uri=settings.avinode_webhook_target,
        display_name="From the environment",
        client_identifier=settings.avinode_webhook_user,
        client_secret=settings.avinode_webhook_password.get_secret_value(),
        event_types=list(EVENT_TYPES),
    )
