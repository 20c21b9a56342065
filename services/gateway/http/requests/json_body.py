"""The JSON bodies of commands: read once, and refused where something in them could not be stored or passed on."""

from collections.abc import Mapping
from typing import Any

import orjson

from services.gateway.http.callers.origin import from_own_page
from shared.errors import Invalid, UnsupportedMedia

# Deeper JSON is nobody's data, and its writers downstream give up: orjson at 254 levels, pydantic at 255.
MAX_DEPTH = 64
# Values and keys of one body: each costs everybody's time on its way to what it is. A chat's client sends all that was
# said before; nobody's command is long.
MAX_NODES = 50_000
MAX_COMMAND_NODES = 5_000


def read_json(body: bytes, most_nodes: int = MAX_NODES) -> Any:
    """Parse a body.

    Raises:
        Invalid: It is not JSON in UTF-8, nested too deeply, or has a text that PostgreSQL can't hold (a NUL; half a
            surrogate pair is no JSON to begin with), or too many values.
    """
    if len(body) > most_nodes and count_nodes(body, most_nodes) > most_nodes:
        raise Invalid(f"The body has more than {most_nodes} keys and values.")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"The body is not valid JSON: {error}") from error
    may_be_deep = body.count(b"[") + body.count(b"{") > MAX_DEPTH
    may_have_nul = b"\\u0000" in body  # an escape is the only way for one into a JSON text
    if may_be_deep or may_have_nul:
        _check(value)
    return value


def count_nodes(body: bytes, most: int) -> int:
    """Count the keys and values of a JSON text without parsing it, as far as they are worth counting.

    Outside of texts each follows a comma, a colon or a bracket; so it is never less than there are.
    """
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    texts = body.count(b'"') // 2
    if texts > most:
        return texts
    outside = b"".join(body.split(b'"')[::2])
    return 1 + sum(outside.count(each) for each in (b",", b":", b"[", b"{"))


def require_json(headers: Mapping[str, str]) -> None:
    """Refuse a body that is not sent as JSON where it may come from a form on another site, with a visitor's cookie.

    A browser sends a form's types, and a `fetch` without headers, anywhere without asking. A bearer token it sends
    nowhere by itself, and what comes from a page of our own needs no asking: that is JSON, whatever its type says.
    """
    if not (_is_json(headers.get("content-type", "")) or _has_token(headers) or from_own_page(headers)):
        raise UnsupportedMedia("Send `Content-Type: application/json`, or a bearer token.")


def _is_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def _has_token(headers: Mapping[str, str]) -> bool:
    """Tell whether there is a bearer token, good or not. Basic credentials a browser sends along as it does cookies."""
    return headers.get("authorization", "")[:7].lower() == "bearer "


def _check(value: Any) -> None:
    """Walk level by level, since a recursion could end in the very depth that this is to refuse."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return
        level = [child for item in level for child in _children(item)]
    raise Invalid(f"The body is nested deeper than {MAX_DEPTH} levels.")


def _children(item: Any) -> list[Any]:
    if isinstance(item, str):
        if "\x00" in item:
            raise Invalid("A text in the body contains a NUL character, which can't be stored.")
        return []
    if isinstance(item, dict):
        return [*item.keys(), *item.values()]
    return item if isinstance(item, list) else []
