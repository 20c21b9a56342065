"""One of everything that a user can have here, each text of it marked; and what each route is sent about it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import asyncpg

from services.gateway.account.logins.links import PATH as LOGIN
from services.gateway.account.logins.links import login_token
from services.gateway.turns.call_parts import asking, begun
from services.gateway.turns.consent import name_approval
from shared.ids import new_id
from shared.settings import Settings
from tests.connected.gateway.chat.test_projects import BODIES
from tests.connected.gateway.stage import Rows
from tests.connected.gateway.trips.whole_trip import CONTENT

MARK = "planted-of-ann"
PROJECT = "p1"
# What a turn is asked that goes on for five minutes, the mark in its first piece.
SAID = f"[echo {MARK} {'word ' * 8000}] [slow 300] [chunks 1000]"

# What is in no example of tests/connected/gateway/chat/test_projects.py.
_MORE: dict[tuple[str, str], Any] = {
    ("post", "/api/chat"): {"session_id": "s-ann", "message": "[echo hi]", "stream": False},
    ("post", "/api/chat/sessions"): {"id": "s-ann"},
    ("post", "/api/chat/{session_id}/approvals/{approval_id}"): {"approved": True},
    ("post", "/api/chat/sessions/bulk"): {"ids": ["s-ann"], "action": "pin"},
    ("post", "/api/chat/templates"): {"name": "of the caller"},
    ("patch", "/api/chat/templates/{template_id}"): {"name": "of somebody else"},
    ("post", "/api/sessions"): {"model": "sandbox-small"},
    ("post", "/api/trips/{trip_id}/proposals"): {"quote_ids": ["q-ann"]},
    ("post", "/api/models"): {"name": "another"},
    ("patch", "/api/models/{model_id}"): {"tracked": True},
    ("post", "/api/analytics/session-tags"): {"model": "sandbox-small", "count": 1},
    ("post", "/api/analytics/traces"): {
        "trace_id": "t-ann",
        "status": "ok",
        "model": "m",
        "started_at": "2026-11-30T00:00:00Z",
    },
    ("post", "/v1/traces"): {"resourceSpans": []},
    ("post", "/v1/chat/completions"): {
        "model": "sandbox-small",
        "messages": [{"role": "user", "content": "[echo hi]"}],
        "metadata": {"session_id": "s-ann"},
    },
    ("post", "/v1/responses"): {
        "model": "sandbox-small",
        "input": "[echo hi]",
        "metadata": {"session_id": "s-ann"},
    },
    ("post", "/api/keys"): {"name": "of the caller"},
}
# Lists that show anybody's where a filter names them.
QUERIES = {
    ("delete", "/api/chat/sessions"): {"id": "s-ann"},
    ("get", "/api/trips"): {"include": "sessions"},
}


@dataclass(frozen=True)
class Everything:
    """What ann has."""

    ids: dict[str, str]  # by the names that paths have for them
    settings: Settings

    def path(self, pattern: str) -> str:
        return pattern.format(**self.ids)

    def query(self, method: str, pattern: str) -> dict[str, str]:
        if (method, pattern) == ("get", LOGIN):
            return {"token": self.ids["link"]}
        return QUERIES.get((method, pattern), {})

    def content(self, method: str, pattern: str) -> dict[str, Any]:
        """Return what a client is to send: a form where browsers do, else JSON."""
        if (method, pattern) == ("post", LOGIN):
            form = urlencode({"token": self.ids["link"]})
            return {"content": form, "headers": {"content-type": "application/x-www-form-urlencoded"}}
        body = {**BODIES, **_MORE}.get((method, pattern))
        return {} if body is None else {"json": body}


async def plant(settings: Settings, owner: asyncpg.Connection) -> Everything:
    """Write one of everything of ann's, as the services would."""
    rows, at = Rows(owner), await owner.fetchval("SELECT clock_timestamp()")
    ids = {name: str(new_id()) for name in ("template_id", "key_id", "delivery_id", "dead_letter_id")}
    await rows.session("s-ann", project_id=PROJECT, title=f"{MARK} title", title_source="user", folder=f"{MARK} folder")
    await rows.message("s-ann", "m-ann", at=0, content=f"{MARK} words", metadata={"k": f"{MARK} metadata"})
    turn_id = new_id()
    await rows.message("s-ann", "r-ann", at=1, role="assistant", content=f"{MARK} answer", turn_id=turn_id)
    model = await rows.model("sandbox-small")
    await rows.tag("s-ann", model, 1)
    await rows.trace("t-ann", session_id="s-ann", status="error", error=f"{MARK} error")
    trip_id = await rows.trip("s-ann", avinode_trip_id="atrip-ann", deep_link=f"http://sim/{MARK}")
    await rows.quote("q-ann", trip_id, message=f"{MARK} quote")
    proposed: Any = CONTENT
    option = {**proposed["options"][0], "quote_id": "q-ann"}
    content = {**proposed, "options": [option], "note": f"{MARK} note"}
    await rows.proposal(trip_id, "q-ann", "s-ann", content=content)
    turn_id = new_id()
    call = asking(begun("create_trip", "c1", {"pax": f"{MARK} input"}), name_approval(turn_id, 0))
    asked_at = at - timedelta(minutes=1)  # so that she has said something since, which denies it
    await rows.insert(
        "gateway.turns",
        turn_id=turn_id,
        user_id="ann",
        session_id="s-ann",
        body_hash=b"",
        owner="test",
        state="complete",
        lease_until=at,
        correlation_id=turn_id,
        model="sandbox-small",
        provider="sandbox",
        project_id=PROJECT,
        question={"message_id": "m-ann", "content": f"{MARK} words", "is_known": True},
        asked_at=asked_at,
        answer={"content": "", "parts": [call], "status": "complete", "revision": 0},
        answered_at=asked_at,
        waits_until=at + timedelta(days=7),
        question_published=True,
        answer_published=True,
        stored_at=at,
    )
    event = {"event_id": new_id()}
    await rows.insert(
        "chat.templates",
        user_id="ann",
        template_id=ids["template_id"],
        name=f"{MARK} template",
        template={"title": f"{MARK} title"},
        occurred_at=at,
        **event,
    )
    await rows.insert(
        "gateway.api_keys",
        key_id=ids["key_id"],
        key_hash=b"k" * 32,
        user_id="ann",
        name=f"{MARK} key",
        role="user",
        expires_at=at.replace(year=at.year + 1),
    )
    await rows.insert(
        "workflow.deliveries",
        delivery_id=ids["delivery_id"],
        source="avinode",
        payload=f'{{"a": "{MARK} notice"}}'.encode(),
        state="unreadable",
        error=f"{MARK} reason",
        received_at=at,
        **event,
    )
    await rows.insert(
        "chat.dead_letters",
        dead_letter_id=ids["dead_letter_id"],
        queue="logger.chat",
        dedupe_key="x",
        body=f"{MARK} letter".encode(),
        reason="undecodable",
        error=f"{MARK} reason",
        user_id="ann",
    )
    return Everything(
        {
            **ids,
            "response_id": f"resp_{turn_id.hex}",
            "session_id": "s-ann",
            "message_id": "m-ann",
            "approval_id": name_approval(turn_id, 0),
            "trace_id": "t-ann",
            "model": "sandbox-small",
            "model_id": str(model),
            "trip_id": str(trip_id),
            "proposal_id": str(trip_id),
            "user_id": "ann",
            "event": "TripChatSeller",
            "source": "elsewhere",
            "link": login_token(settings, "ann", "user", 600),
        },
        settings,
    )
