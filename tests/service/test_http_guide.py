"""docs/http.md tells of every route and every error that there is, and of none that there is not."""

import re
from pathlib import Path

from services.gateway.http.answers.problems import CODES
from shared.errors import Away, Refused, TripthreadError
from tests.service.gateway.fakes import World

GUIDE = (Path(__file__).parents[2] / "docs/http.md").read_text()
DOCUMENT = World().api().openapi()


def nameless(call: str) -> str:
    """Leave out what a path's parameters are called."""
    return re.sub(r"\{\w+\}", "{}", call)


def codes(error: type[TripthreadError]) -> set[str]:
    """Collect the codes of an error and its kinds, as far as the gateway may answer them."""
    is_ours = error.__module__.startswith(("shared.", "services.gateway."))
    return {error.code for _ in range(is_ours)}.union(*(codes(kind) for kind in error.__subclasses__()))


def test_every_route_is_told_of_and_none_besides() -> None:
    told = {nameless(call) for call in re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`]*)`", GUIDE)}
    there = {nameless(f"{method.upper()} {path}") for path, calls in DOCUMENT["paths"].items() for method in calls}
    assert told == there


def test_every_error_is_told_of_and_none_besides() -> None:
    (table,) = re.findall(r"^\| `code` \|.*\n((?:\|.*\n)+)", GUIDE, flags=re.MULTILINE)
    told = {code for row in table.splitlines() for code in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert told == codes(Refused) | codes(Away) | set(CODES.values()) | {"error", "internal_error"}


def test_every_field_of_a_chat_is_told_of() -> None:
    fields = DOCUMENT["components"]["schemas"]["ChatBody"]["properties"]
    assert [name for name in fields if f"`{name}`" not in GUIDE] == []
