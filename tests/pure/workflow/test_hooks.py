"""Which notices reach us, by the webhooks that Avinode shows."""

from typing import Any

import pytest

from services.workflow.avinode.hooks import EVENTS, read_hooks, setting_of, target_of, unheard
from shared.settings import Settings

URL = "https://tripthread.test"
ALL = f"{URL}/api/webhooks/avinode"


def shown(**changed: Any) -> dict[str, Any]:
    usual = {"id": "whs-1", "targetURI": ALL, "active": True, "clientIdentifier": "avinode", "eventTypes": list(EVENTS)}
    return usual | changed


def missing(*hooks: Any) -> list[str]:
    return unheard(read_hooks({"data": list(hooks)}), "avinode")


def test_one_for_everything_or_one_for_each_do_alike() -> None:
    each = [shown(targetURI=target_of(URL, event), eventTypes=[event]) for event in EVENTS]
    assert missing(shown()) == missing(*each) == []
    assert missing(*each[1:]) == [EVENTS[0]]
    assert missing() == list(EVENTS)


@pytest.mark.parametrize(
    "changed",
    [
        {"active": False},
        {"active": "true"},
        {"clientIdentifier": "somebody"},
        {"targetURI": f"{URL}/elsewhere"},
        {"targetURI": f"{ALL}-too"},
        {"targetURI": None},
        {"id": None},
        {"eventTypes": None},
        {"eventTypes": [None, 3, "TripRequest"]},
    ],
)
def test_what_is_not_ours_or_not_active_tells_us_nothing(changed: dict[str, Any]) -> None:
    assert missing(shown(**changed)) == list(EVENTS)


@pytest.mark.parametrize("body", [None, [], {}, {"data": None}, {"data": [None, 1, "x", []]}, {"data": {}}])
def test_an_odd_answer_has_no_webhooks(body: Any) -> None:
    assert read_hooks(body) == []


def test_what_sets_one_up_has_our_password_and_the_path_of_its_kind() -> None:
    setting = setting_of(Settings(_env_file=None), URL, "TripChatMine")
    assert setting["targetURI"] == f"{ALL}/TripChatMine"
    assert (setting["clientAuthenticationType"], setting["eventTypes"]) == ("BASIC", ["TripChatMine"])
    assert setting["clientSecret"] == Settings(_env_file=None).avinode_webhook_password.get_secret_value()
