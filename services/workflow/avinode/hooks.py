"""The webhooks that a company has at Avinode: which there are, which there should be, and what nobody is told of. Pure.

A webhook for each kind of notice, since a notice's body does not say what happened and its path may.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from services.workflow.avinode import fields
from shared.events import Json
from shared.settings import Settings

# What a broker is told of trips; of Avinode's nine kinds the others are for operators, or about no trip.
EVENTS = ("TripRequestMine", "TripRequestSellerResponse", "TripChatFromSeller", "TripChatMine")
PATH = "/api/webhooks/avinode"


@dataclass(frozen=True)
class Hook:
    """A webhook as Avinode shows it, which is without its password."""

    id: str
    target: str
    is_active: bool
    user: str
    events: tuple[str, ...]


def read_hooks(body: Any) -> list[Hook]:
    """Read one webhook or a list of them; one without an id or a target is none."""
    data = fields.value(body, "data")
    shown = data if isinstance(data, list) else [data]
    return [hook for each in shown if (hook := _hook(each)) is not None]


def _hook(data: Any) -> Hook | None:
    hook_id, target = fields.avinode_id(data), fields.text(data, "targetURI")
    if hook_id is None or not target:
        return None
    events = tuple(event for event in fields.items(data, "eventTypes") if isinstance(event, str))
    return Hook(
        hook_id, target, fields.value(data, "active") is True, fields.text(data, "clientIdentifier") or "", events
    )


def unheard(hooks: Sequence[Hook], user: str) -> list[str]:
    """Return the kinds of notices that no active webhook brings to our route with our user."""
    ours = [hook for hook in hooks if hook.is_active and hook.user == user and _is_our_route(hook.target)]
    return [event for event in EVENTS if not any(event in hook.events for hook in ours)]


def _is_our_route(target: str) -> bool:
    path = urlsplit(target).path.rstrip("/")
    return path == PATH or path.startswith(f"{PATH}/")


def target_of(url: str, event: str) -> str:
    """Return where a kind of notice goes."""
    return f"{url}{PATH}/{event}"


def setting_of(settings: Settings, url: str, event: str) -> Json:
    """Return the body that sets a webhook up, or changes it."""
    return {
        "targetURI": target_of(url, event),
        "displayName": f"Tripthread {event}",
        "active": True,
        "clientIdentifier": settings.avinode_webhook_user,
        "clientSecret": settings.avinode_webhook_password.get_secret_value(),
        "clientAuthenticationType": "BASIC",
        "eventTypes": [event],
    }
