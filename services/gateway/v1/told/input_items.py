"""What a turn was asked, as items of a response's input; and a page of them, as OpenAI lists things. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.gateway.http.requests.refused_field import refused_field
from services.gateway.v1.told.response_shape import Item
from shared.events import Role

USUAL_LIMIT, MOST = 20, 100
ORDERS = ("desc", "asc")  # the first where none is named


@dataclass(frozen=True)
class AskedItem:
    """A message that a turn was asked, or that came with that one."""

    role: Role
    content: str
    parts: Sequence[Mapping[str, Any]]  # the AI SDK's


@dataclass(frozen=True)
class Window:
    """Which part of a list is wanted."""

    after: str | None  # the item behind which it begins; none: at the beginning
    limit: int
    newest_first: bool


def read_window(query: Mapping[str, str]) -> Window:
    """Read what a query wants.

    Raises:
        Invalid: It wants more or less than there can be, or an order that there is not.
    """
    limit, order = query.get("limit", str(USUAL_LIMIT)), query.get("order", ORDERS[0])
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 4 and 1 <= int(limit) <= MOST):
        raise refused_field("limit", f"must be a whole number from 1 to {MOST}")
    if order not in ORDERS:
        raise refused_field("order", f"must be {' or '.join(sorted(ORDERS))}")
    return Window(query.get("after"), int(limit), order == "desc")


def page_of(items: Sequence[Item], window: Window) -> dict[str, Any]:
    """Return the part of these that is wanted, as OpenAI lists it.

    Raises:
        Invalid: It is to begin behind an item that there is not.
    """
    listed = list(reversed(items)) if window.newest_first else list(items)
    if window.after is not None:
        begins = next((number + 1 for number, item in enumerate(listed) if item["id"] == window.after), None)
        if begins is None:
            raise refused_field("after", "names no item of this list")
        listed = listed[begins:]
    shown = listed[: window.limit]
    ends = {"first_id": shown[0]["id"], "last_id": shown[-1]["id"]} if shown else {"first_id": None, "last_id": None}
    return {"object": "list", "data": shown, **ends, "has_more": len(listed) > len(shown)}


def input_items(turn_id: UUID, asked: Sequence[AskedItem]) -> list[Item]:
    """Spell what a turn was asked, in order."""
    return [_item(f"{turn_id.hex}_in{number or ''}", each) for number, each in enumerate(asked)]


def _item(name: str, asked: AskedItem) -> Item:
    # Messages that clients have stored have parts of whatever shape.
    results = (part for part in asked.parts if part.get("type") == "tool-result")
    result = next((part for part in results if isinstance(part.get("toolCallId"), str)), None)
    if asked.role == "tool" and result is not None:
        told = {"call_id": result["toolCallId"], "output": asked.content}
        return {"id": f"fco_{name}", "type": "function_call_output", **told, "status": "completed"}
    texts = [part.get("text") for part in asked.parts if part.get("type") == "text"]
    content = [{"type": "input_text", "text": text} for text in texts if isinstance(text, str)]
    content = content or [{"type": "input_text", "text": asked.content}]
    return {"id": f"msg_{name}", "type": "message", "role": asked.role, "content": content, "status": "completed"}
